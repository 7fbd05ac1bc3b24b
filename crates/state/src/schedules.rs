//! Readers beside a writer, in orders that a scheduler chooses: at every touch of a lock or an atomic another thread may go on.
//!
//! ```text
//! cargo test --release -p interlace-state --features sim,shuttle --lib schedules
//! ```
//! What has to hold: whoever reads gets what the block of his snapshot wrote, or is told that it is gone; what is pinned stays readable;
//! and what nobody can read any more is forgotten at the end. Orders follow from seeds; a failure prints the one that leads there again.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use interlace_stf::{Account, AccountChange, Changes, StateReader};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner, thread};

use crate::checkpoint::Checkpoints;
use crate::error::{StateError, StorageError};
use crate::memory::MemoryState;
use crate::snapshot::Snapshot;
use crate::vfs::sim::Sim;

const ACCOUNTS: u8 = 4;
const SLOTS: u8 = 2;
/// Of the first block.
const FIRST: u8 = 1;

/// Tries orders: at random, and such with few changes of who goes on (Burckhardt et al., ASPLOS 2010).
fn explore(runs: usize, test: impl Fn() + Send + Sync + 'static) {
    let soak = std::env::var_os("INTERLACE_SOAK").is_some();
    let runs = if soak { runs * 50 } else { runs };
    let test = Arc::new(test);
    let config = || {
        let mut config = Config::new();
        config.silence_warnings = true;
        config.failure_persistence = FailurePersistence::Print;
        config.max_steps = MaxSteps::FailAfter(1_000_000);
        config
    };
    let same = Arc::clone(&test);
    Runner::new(RandomScheduler::new_from_seed(1, runs), config()).run(move || same());
    Runner::new(PctScheduler::new_from_seed(2, 4, runs), config()).run(move || test());
}

fn address(number: u8) -> Address {
    Address::with_last_byte(number + 1)
}

fn holder() -> Address {
    Address::repeat_byte(0xcc)
}

/// A block is known by its tag, which its hash is made of; it writes what follows from it.
fn hash(tag: u8) -> B256 {
    B256::with_last_byte(tag)
}

/// Even accounts and slots get the tag, odd ones what is left to 200, in every word; the last ones are only in the first block.
fn value(tag: u8, number: u8, of: u8) -> U256 {
    let tag = if number + 1 == of { FIRST } else { tag };
    let word = u64::from(if number.is_multiple_of(2) { tag } else { 200 - tag });
    U256::from_limbs([word; 4])
}

fn account(tag: u8, number: u8) -> Account {
    let balance = value(tag, number, ACCOUNTS);
    Account { nonce: balance.as_limbs()[0], balance, code_hash: KECCAK256_EMPTY }
}

fn changes(tag: u8) -> Changes {
    let written = |number: &u8, of: u8| tag == FIRST || number + 1 < of;
    let change =
        |number: u8| (address(number), AccountChange { info: Some(account(tag, number)), ..AccountChange::default() });
    let storage = (0..SLOTS).filter(|slot| written(slot, SLOTS));
    let storage = storage.map(|slot| (U256::from(slot), value(tag, slot, SLOTS))).collect();
    let info = Some(Account { nonce: 1, balance: U256::from(tag), code_hash: KECCAK256_EMPTY });
    let mut accounts: Vec<_> = (0..ACCOUNTS).filter(|number| written(number, ACCOUNTS)).map(change).collect();
    accounts.push((holder(), AccountChange { info, wiped: false, storage }));
    Changes { accounts: accounts.into_iter().collect(), ..Changes::default() }
}

/// What a read gave, if it counts.
fn counts<T>(read: Result<T, StateError>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(StateError::Reverted { .. } | StateError::Expired { .. } | StateError::UnknownBlock { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Reads everything through a snapshot.
fn look(snapshot: &Snapshot) {
    let tag = snapshot.hash()[31];
    for number in 0..ACCOUNTS {
        if let Some(found) = counts(snapshot.account(address(number))) {
            assert_eq!(found, Some(account(tag, number)), "account {number} of {tag}");
        }
    }
    for slot in 0..SLOTS {
        if let Some(found) = counts(snapshot.storage(holder(), U256::from(slot))) {
            assert_eq!(found, value(tag, slot, SLOTS), "slot {slot} of {tag}");
        }
    }
}

fn commit(state: &MemoryState, number: u64, tag: u8) {
    state.logged(u64::from(tag));
    let staged = state.stage(changes(tag)).unwrap();
    state.commit(number, hash(tag), staged).unwrap();
}

/// Blocks come, one goes back, others come in its place; readers and a pin are beside.
fn beside_a_writer(state: &MemoryState) {
    let reader = |state: &MemoryState| {
        let state = state.clone();
        thread::spawn(move || {
            let snapshot = state.latest();
            look(&snapshot);
            let before = counts(state.at(snapshot.number().saturating_sub(1)));
            before.iter().for_each(look);
            look(&snapshot);
        })
    };
    let pinned = state.clone();
    let pinner = thread::spawn(move || {
        let Some(pin) = pinned.pin() else { return };
        let tag = pin.hash[31];
        for _ in 0..2 {
            for number in 0..ACCOUNTS {
                let found = pinned.flat().trie_account(address(number), pin.version).unwrap().unwrap();
                assert_eq!(found.balance, value(tag, number, ACCOUNTS), "account {number} of {tag}, which is pinned");
            }
            let found = pinned.flat().slot(holder(), U256::ZERO, pin.version).unwrap();
            assert_eq!(found, value(tag, 0, SLOTS), "a slot of {tag}, which is pinned");
        }
    });
    let readers = [reader(state), reader(state)];
    let first = state.latest().number();
    commit(state, first + 1, 2);
    commit(state, first + 2, 3);
    state.revert_to(first + 1).unwrap();
    commit(state, first + 2, 4);
    commit(state, first + 3, 5);
    pinner.join().unwrap();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    look(&state.latest());
    // Of the last block alone there is something to undo.
    assert_eq!(state.sizes().older_values, changes(5).accounts.len() + usize::from(SLOTS) - 1);
}

#[test]
fn a_state_in_memory() {
    explore(1_000, || {
        let state = MemoryState::new(0, changes(FIRST), |_| hash(FIRST));
        state.keep(Some(1));
        beside_a_writer(&state);
    });
}

#[test]
fn a_state_in_tables_without_room() {
    let sim = Sim::default();
    let made = sim.clone();
    // The scheduler's locks only live in a run.
    shuttle::check_random(
        move || {
            let state = MemoryState::new(0, Changes::default(), |_| B256::ZERO);
            state.logged(1);
            commit(&state, 1, FIRST);
            state.keep(Some(0));
            let mut checkpoints = Checkpoints::open(Arc::new(made.clone()), B256::ZERO).unwrap();
            checkpoints.write::<StorageError>(&state, |_| Ok(()), &|_, _| true).unwrap();
        },
        1,
    );
    explore(1_000, move || {
        let checkpoints = Checkpoints::open(Arc::new(sim.clone()), B256::ZERO).unwrap();
        let state = checkpoints.map(0, &|_, _| true).unwrap();
        state.keep(Some(1));
        beside_a_writer(&state);
    });
}
