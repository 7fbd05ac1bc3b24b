//! A follower on a state that is slow to read: places of the list are read ahead, beside each other, and the block comes out the same whatever
//! happens to who reads.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use alloy_eip7928::BlockAccessList;
use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, B256, Bytes, U256};
use interlace_executor::bench::{Synthetic, World, synthetic};
use interlace_executor::{Executor, ListError, Straight};
use interlace_stf::{Account, BlockOutput, StateReader, run};

/// What happens to those who read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Error,
    Panic,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be read")]
struct Broken;

/// A world of which a read takes a while, and who counts.
struct Slow<'a> {
    world: &'a World,
    waits: bool,
    fault: Fault,
    reading: AtomicUsize,
    most: AtomicUsize,
    /// How often those who read ahead asked for a place.
    ahead: Mutex<HashMap<(Address, Option<U256>), usize>>,
}

impl<'a> Slow<'a> {
    fn new(world: &'a World, waits: bool, fault: Fault) -> Self {
        let (reading, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { world, waits, fault, reading, most, ahead: Mutex::default() }
    }

    fn read<T>(&self, place: (Address, Option<U256>), value: T) -> Result<T, Broken> {
        self.most.fetch_max(self.reading.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_micros(100));
        self.reading.fetch_sub(1, Ordering::SeqCst);
        if thread::current().name().is_some_and(|name| name.starts_with("prefetch-")) {
            *self.ahead.lock().unwrap().entry(place).or_default() += 1;
            match self.fault {
                Fault::None => {}
                Fault::Error => return Err(Broken),
                Fault::Panic => std::panic::resume_unwind(Box::new("a reader fails")),
            }
        }
        Ok(value)
    }

    fn asked_ahead(&self) -> usize {
        self.ahead.lock().unwrap().values().sum()
    }
}

impl StateReader for Slow<'_> {
    type Error = Broken;

    fn account(&self, address: Address) -> Result<Option<Account>, Broken> {
        self.read((address, None), self.world.account(address).unwrap())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Broken> {
        self.read((address, Some(slot)), self.world.storage(address, slot).unwrap())
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, Broken> {
        Ok(self.world.code(code_hash).unwrap())
    }

    fn block_hash(&self, number: u64) -> Result<B256, Broken> {
        Ok(self.world.block_hash(number).unwrap())
    }

    fn waits(&self) -> bool {
        self.waits
    }
}

fn made(executor: &Executor) -> (Synthetic, BlockAccessList, BlockOutput) {
    let made = synthetic("token-10", 120).unwrap().unwrap();
    let (output, _) = executor.list(&made.spec, &made.block, &made.senders, &made.world, None, &Straight).unwrap();
    let list = output.accesses.unwrap().list();
    let expected = run(&made.spec, &made.block, &made.senders, &made.world, None).unwrap();
    (made, list, expected)
}

fn follow(
    executor: &Executor,
    made: &Synthetic,
    list: &BlockAccessList,
    state: &Slow<'_>,
) -> (BlockOutput, Result<(), ListError>) {
    let (output, followed) =
        executor.follow(&made.spec, &made.block, &made.senders, state, None, list, &Straight).unwrap();
    (output, followed.list)
}

#[test]
fn places_are_read_beside_each_other_where_reads_wait_and_there_alone() {
    let executor = Executor::new(2).unwrap();
    let (made, list, expected) = made(&executor);
    for waits in [true, false] {
        let state = Slow::new(&made.world, waits, Fault::None);
        let (output, verdict) = follow(&executor, &made, &list, &state);
        assert_eq!((output.header, output.changes), (expected.header.clone(), expected.changes.clone()));
        assert_eq!(verdict, Ok(()));
        let most = state.most.load(Ordering::SeqCst);
        // Two threads execute.
        assert_eq!(most > 2, waits, "{most}");
        let ahead = state.ahead.into_inner().unwrap();
        assert_eq!(!ahead.is_empty(), waits);
        for ((address, slot), times) in ahead {
            assert_eq!(times, 1, "{address} {slot:?}");
            let place = list.binary_search_by_key(&address, |account| account.address).unwrap();
            assert!(slot.is_none_or(|slot| list[place].storage_slots().any(|listed| listed == slot)));
        }
    }
}

/// Threads that wait for reads wait beside each other, however short the block.
#[test]
fn short_blocks_have_helpers_where_reads_wait() {
    let made = synthetic("token-0", 20).unwrap().unwrap();
    let executor = Executor::new(2).unwrap();
    for waits in [true, false] {
        let state = Slow::new(&made.world, waits, Fault::None);
        let (output, report) = executor.run(&made.spec, &made.block, &made.senders, &state, None, &Straight).unwrap();
        assert_eq!(report.adopted > 0, waits, "{report:?}");
        assert_eq!(output.header, run(&made.spec, &made.block, &made.senders, &made.world, None).unwrap().header);
    }
}

#[test]
fn who_reads_in_vain_changes_nothing() {
    let executor = Executor::new(3).unwrap();
    let (made, list, expected) = made(&executor);
    for fault in [Fault::Error, Fault::Panic] {
        let state = Slow::new(&made.world, true, fault);
        let (output, verdict) = follow(&executor, &made, &list, &state);
        assert_eq!((output.header, output.changes), (expected.header.clone(), expected.changes.clone()));
        assert_eq!(verdict, Ok(()));
        assert!(state.asked_ahead() > 0);
    }
}

/// A list that names much of which nothing is so is not read to its end.
#[test]
fn nothing_is_read_ahead_once_the_list_is_found_to_lie() {
    let executor = Executor::new(2).unwrap();
    let (made, mut list, expected) = made(&executor);
    let first =
        list.iter_mut().find(|account| account.nonce_changes.iter().any(|change| change.block_access_index.get() == 1));
    first.unwrap().nonce_changes[0].new_nonce += 1;
    let room = 3_000;
    let named = list.iter().position(|account| !account.storage_changes.is_empty()).unwrap();
    let last = list[named].storage_reads.last().copied().unwrap_or_default();
    list[named].storage_reads.extend((1..=room).map(|number| last.saturating_add(U256::from(number))));
    list[named].storage_reads.sort_unstable();
    list[named].storage_reads.dedup();
    let state = Slow::new(&made.world, true, Fault::None);
    let (output, verdict) = follow(&executor, &made, &list, &state);
    assert_eq!((output.header, output.changes), (expected.header, expected.changes));
    assert!(matches!(verdict, Err(ListError::Differs { number: 1, .. })), "{verdict:?}");
    assert!(state.asked_ahead() < room as usize, "{}", state.asked_ahead());
}
