//! Readers beside a writer that commits and goes back: each snapshot shows one version and no other, or says that it is gone.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use alloy_primitives::{Address, B256, U256};
use interlace_state::{Account, AccountChange, Changes, MemoryState, StateError, StateReader};

const ACCOUNTS: u64 = 40;

fn address(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

/// All balances and slots get the value `mark`; now and then storage is wiped before.
fn changes(mark: u64) -> Changes {
    let change = |number| {
        let info = Account { balance: U256::from(mark), nonce: 1, ..Account::default() };
        let storage = [(U256::from(number), U256::from(mark))].into();
        (address(number), AccountChange { info: Some(info), wiped: mark.is_multiple_of(7), storage })
    };
    Changes { accounts: (0..ACCOUNTS).map(change).collect(), ..Changes::default() }
}

#[test]
fn a_reader_sees_one_version_or_none() {
    let rounds = if std::env::var_os("INTERLACE_SOAK").is_some() { 40_000 } else { 2_000 };
    let state = MemoryState::new(0, changes(1), |_| B256::ZERO);
    // As short as the writer's steps back allow, so that snapshots expire while they are read.
    state.keep(Some(3));
    let (done, complete, gone) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let snapshot = state.latest();
                    let hash = snapshot.hash();
                    let mark = U256::from_be_bytes(hash.0).max(U256::ONE);
                    let read = || -> Result<(), StateError> {
                        for number in 0..ACCOUNTS {
                            assert_eq!(snapshot.account(address(number))?.unwrap().balance, mark);
                            assert_eq!(snapshot.storage(address(number), U256::from(number))?, mark);
                        }
                        Ok(())
                    };
                    match read() {
                        Ok(()) => complete.fetch_add(1, Ordering::Relaxed),
                        Err(StateError::Reverted { .. } | StateError::Expired { .. }) => {
                            gone.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
        let mut number = 0;
        for round in 0..rounds {
            let mark = round + 2;
            number += 1;
            let staged = state.stage(changes(mark)).unwrap();
            state.commit(number, B256::from(U256::from(mark)), staged).unwrap();
            if round % 5 == 4 {
                number -= 1 + round % 3;
                state.revert_to(number).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(complete.into_inner() > 10, "readers finished too seldom to show anything");
    assert_eq!(state.root(), state.latest().root_after(&Changes::default()).unwrap());
}
