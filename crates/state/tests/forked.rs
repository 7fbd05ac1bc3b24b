//! A state on another chain's: it reads as one that held everything from the start, and asks for each value once.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use interlace_state::{
    Account, AccountChange, Base, BaseAccount, BaseError, Changes, MemoryState, StateError, StateReader, Unsealed,
};
use proptest::prelude::*;

const FORK: u64 = 100;
const EMPTY: Address = Address::repeat_byte(0xee);

#[derive(Debug, Default)]
struct Remote {
    accounts: BTreeMap<Address, BaseAccount>,
    slots: BTreeMap<(Address, U256), U256>,
    asked: Mutex<BTreeMap<String, usize>>,
    down: AtomicBool,
    slow: bool,
}

impl Remote {
    fn ask(&self, what: String) -> Result<(), BaseError> {
        *self.asked.lock().unwrap().entry(what).or_default() += 1;
        if self.slow {
            std::thread::sleep(Duration::from_millis(50));
        }
        if self.down.load(Ordering::SeqCst) { Err(BaseError("nobody answers".into())) } else { Ok(()) }
    }

    fn total(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }
}

impl Base for Remote {
    fn account(&self, address: Address) -> Result<BaseAccount, BaseError> {
        self.ask(format!("account {address}"))?;
        Ok(self.accounts.get(&address).cloned().unwrap_or_default())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, BaseError> {
        self.ask(format!("slot {address} {slot}"))?;
        Ok(self.slots.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn block_hash(&self, number: u64) -> Result<B256, BaseError> {
        self.ask(format!("hash {number}"))?;
        Ok(keccak256(number.to_be_bytes()))
    }
}

fn address(index: u8) -> Address {
    Address::repeat_byte(index + 1)
}

fn remote() -> Remote {
    let mut remote = Remote::default();
    for index in 0..4 {
        let code = if index % 2 == 0 { Bytes::from(vec![0xfe, index]) } else { Bytes::new() };
        let account = BaseAccount { nonce: 1, balance: U256::from(1_000 + u64::from(index)), code };
        remote.accounts.insert(address(index), account);
        for slot in 0..4_u64 {
            remote.slots.insert((address(index), U256::from(slot)), U256::from(10 * u64::from(index) + slot + 1));
        }
    }
    remote
}

/// Everything of `remote`, as changes to an empty state.
fn whole(remote: &Remote) -> Changes {
    let mut changes = Changes::default();
    for (address, account) in &remote.accounts {
        let code_hash = keccak256(&account.code);
        changes.codes.insert(code_hash, account.code.clone());
        let slots = remote.slots.iter().filter(|((owner, _), _)| owner == address);
        let storage = slots.map(|((_, slot), value)| (*slot, *value)).collect();
        let info = Some(Account { nonce: account.nonce, balance: account.balance, code_hash });
        changes.accounts.insert(*address, AccountChange { info, wiped: true, storage });
    }
    changes
}

fn forked(remote: Remote) -> (MemoryState, Arc<Remote>) {
    let remote = Arc::new(remote);
    (MemoryState::forked(FORK, B256::repeat_byte(9), Arc::<Remote>::clone(&remote)), remote)
}

fn change(index: u8, info: Option<u64>, wiped: bool, storage: &[(u64, u64)]) -> Changes {
    let storage = storage.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect();
    let info = info.map(|wei| Account::with_balance(U256::from(wei)));
    Changes {
        accounts: BTreeMap::from([(address(index), AccountChange { info, wiped, storage })]),
        ..Changes::default()
    }
}

#[test]
fn reads_wait_where_values_are_elsewhere() {
    let whole = MemoryState::new(FORK, whole(&remote()), |_| B256::repeat_byte(9));
    for (state, waits) in [(whole, false), (forked(remote()).0, true)] {
        assert_eq!(state.latest().waits(), waits);
        assert_eq!(Unsealed::new(state.latest(), Arc::default()).waits(), waits);
    }
}

#[test]
fn each_value_is_asked_for_once_and_absence_is_a_value() {
    let (state, remote) = forked(remote());
    let view = state.latest();
    for _ in 0..3 {
        assert_eq!(view.account(address(0)).unwrap().unwrap().balance, U256::from(1_000));
        assert_eq!(
            view.code(view.account(address(0)).unwrap().unwrap().code_hash).unwrap(),
            Bytes::from(vec![0xfe, 0])
        );
        assert_eq!(view.account(EMPTY).unwrap(), None);
        assert_eq!(view.storage(address(1), U256::from(2)).unwrap(), U256::from(13));
        assert_eq!(view.storage(EMPTY, U256::ZERO).unwrap(), U256::ZERO);
        assert_eq!(view.block_hash(7).unwrap(), keccak256(7_u64.to_be_bytes()));
    }
    assert_eq!(remote.total(), 5);
    // What is known here is not asked for at all.
    assert_eq!(view.block_hash(FORK).unwrap(), B256::repeat_byte(9));
    assert_eq!(view.block_hash(FORK + 1).unwrap(), B256::ZERO);
    assert_eq!(remote.total(), 5);
}

#[test]
fn callers_that_miss_together_share_one_fetch() {
    let (state, remote) = forked(Remote { slow: true, ..remote() });
    let start = Barrier::new(16);
    std::thread::scope(|scope| {
        for index in 0..16_u64 {
            let (view, start) = (state.latest(), &start);
            scope.spawn(move || {
                start.wait();
                assert_eq!(view.storage(address(0), U256::from(index % 2)).unwrap(), U256::from(index % 2 + 1));
                assert!(view.account(address(3)).unwrap().is_some());
            });
        }
    });
    let asked = remote.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3);
    assert!(asked.values().all(|count| *count == 1), "{asked:?}");
}

#[test]
fn a_slow_fetch_keeps_no_writer_waiting() {
    let (state, _) = forked(Remote { slow: true, ..remote() });
    let view = state.latest();
    let reading = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            reading.store(1, Ordering::SeqCst);
            view.storage(address(0), U256::ZERO).unwrap();
            reading.store(2, Ordering::SeqCst);
        });
        while reading.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        state.amend(change(2, Some(5), false, &[])).unwrap();
        assert_eq!(reading.load(Ordering::SeqCst), 1, "the amendment waited for the fetch");
    });
}

#[test]
fn a_failed_fetch_is_an_error_and_is_not_remembered() {
    let (state, remote) = forked(remote());
    let view = state.latest();
    let root = state.root();
    remote.down.store(true, Ordering::SeqCst);
    for error in [
        view.account(address(0)).unwrap_err(),
        view.storage(address(0), U256::ZERO).unwrap_err(),
        view.block_hash(3).unwrap_err(),
    ] {
        assert_eq!(error.code(), "engine.remote");
        assert_eq!(error.to_string(), "the remote chain's state could not be read: nobody answers");
    }
    assert_eq!(state.root(), root);
    remote.down.store(false, Ordering::SeqCst);
    assert_eq!(view.storage(address(0), U256::ZERO).unwrap(), U256::from(1));
    assert!(view.account(address(0)).unwrap().is_some());
}

#[test]
fn what_was_wiped_does_not_read_through_until_the_wipe_is_reverted() {
    let (state, _) = forked(remote());
    let before = state.latest();
    let gone = state.commit(FORK + 1, B256::ZERO, state.stage(change(0, None, true, &[])).unwrap()).unwrap();
    assert_eq!(gone.account(address(0)).unwrap(), None);
    assert_eq!(gone.storage(address(0), U256::from(3)).unwrap(), U256::ZERO);
    // Made anew: a slot of before is zero, one written since is what was written.
    let anew = state.commit(FORK + 2, B256::ZERO, state.stage(change(0, Some(1), true, &[(1, 77)])).unwrap()).unwrap();
    assert_eq!(anew.storage(address(0), U256::from(1)).unwrap(), U256::from(77));
    assert_eq!(anew.storage(address(0), U256::from(3)).unwrap(), U256::ZERO);
    // Versions from before still see the remote, and after a revert so does the newest.
    assert_eq!(before.storage(address(0), U256::from(3)).unwrap(), U256::from(4));
    state.revert_to(FORK).unwrap();
    assert_eq!(state.latest().storage(address(0), U256::from(3)).unwrap(), U256::from(4));
    assert_eq!(state.latest().storage(address(0), U256::from(1)).unwrap(), U256::from(2));
    assert!(state.latest().account(address(0)).unwrap().is_some());
    assert_eq!(gone.account(address(0)), Err(StateError::Reverted { number: FORK + 1 }));
}

#[test]
fn nothing_is_proved_of_a_part() {
    let (state, _) = forked(remote());
    assert!(state.is_partial());
    assert_eq!(state.latest().proof(address(0), &[]).unwrap_err().code(), "engine.partial-state");
    let root = state.root();
    // The root is that of what was written here.
    state.amend(change(0, Some(5), false, &[])).unwrap();
    let alone = MemoryState::new(0, change(0, Some(5), false, &[]), |_| B256::ZERO);
    assert_eq!(state.root(), alone.root());
    assert_ne!(state.root(), root);
}

#[derive(Clone, Debug)]
enum Step {
    Commit(u8, Option<u64>, bool, Vec<(u64, u64)>),
    Amend(u8, Option<u64>, bool, Vec<(u64, u64)>),
    Revert(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let parts = || {
        let storage = proptest::collection::vec((0..6_u64, 0..3_u64), 0..4);
        (0..6_u8, proptest::option::weighted(0.8, 0..9_u64), proptest::bool::weighted(0.2), storage)
    };
    let fix = |(index, info, wiped, storage): (u8, Option<u64>, bool, Vec<(u64, u64)>)| match info {
        // An account that is gone has no storage, and its change says so.
        None => (index, None, true, Vec::new()),
        info => (index, info, wiped, storage),
    };
    let step = prop_oneof![
        4 => parts().prop_map(move |p| { let (a, b, c, d) = fix(p); Step::Commit(a, b, c, d) }),
        2 => parts().prop_map(move |p| { let (a, b, c, d) = fix(p); Step::Amend(a, b, c, d) }),
        1 => (0..8_u64).prop_map(Step::Revert),
    ];
    proptest::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn it_reads_as_a_state_that_held_everything(steps in steps()) {
        let (ours, remote) = forked(remote());
        let whole = MemoryState::new(FORK, whole(&remote), |_| B256::ZERO);
        let mut views = vec![(ours.latest(), whole.latest())];
        for step in steps {
            match step {
                Step::Commit(index, info, wiped, storage) => {
                    let number = ours.latest().number() + 1;
                    let made = change(index, info, wiped, &storage);
                    let left = ours.commit(number, B256::ZERO, ours.stage(made.clone()).unwrap()).unwrap();
                    views.push((left, whole.commit(number, B256::ZERO, whole.stage(made).unwrap()).unwrap()));
                }
                Step::Amend(index, info, wiped, storage) => {
                    let made = change(index, info, wiped, &storage);
                    views.push((ours.amend(made.clone()).unwrap(), whole.amend(made).unwrap()));
                }
                Step::Revert(back) => {
                    let number = ours.latest().number().saturating_sub(back).max(FORK);
                    ours.revert_to(number).unwrap();
                    whole.revert_to(number).unwrap();
                }
            }
            views.push((ours.latest(), whole.latest()));
            for (left, right) in &views {
                for index in 0..6 {
                    prop_assert_eq!(left.account(address(index)), right.account(address(index)));
                    for slot in 0..6_u64 {
                        let slot = U256::from(slot);
                        prop_assert_eq!(left.storage(address(index), slot), right.storage(address(index), slot));
                    }
                }
            }
        }
    }
}
