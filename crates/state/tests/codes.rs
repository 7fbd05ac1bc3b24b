//! Codes of what the state refuses; its root stays as it was.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use interlace_state::{Account, AccountChange, Changes, MemoryState, StateError, StateReader};

const RICH: Address = Address::repeat_byte(1);

fn funded(balance: u64) -> Changes {
    let change = AccountChange { info: Some(Account::with_balance(U256::from(balance))), ..AccountChange::default() };
    Changes { accounts: BTreeMap::from([(RICH, change)]), ..Changes::default() }
}

fn code<T>(result: Result<T, StateError>) -> &'static str {
    result.err().unwrap().code()
}

#[test]
fn every_refusal_has_its_code_and_changes_nothing() {
    let state = MemoryState::new(5, funded(1), |_| B256::ZERO);
    let root = state.root();
    for number in [4, 6] {
        assert_eq!(code(state.at(number)), "engine.unknown-block");
        assert_eq!(code(state.root_at(number)), "engine.unknown-block");
        assert_eq!(code(state.revert_to(number)), "engine.unknown-block");
    }
    for number in [5, 7] {
        assert_eq!(code(state.commit(number, B256::ZERO, state.stage(funded(2)).unwrap())), "engine.not-next");
    }
    assert_eq!(code(state.latest().code(B256::repeat_byte(7))), "engine.missing-code");
    assert_eq!((state.root(), state.latest().number()), (root, 5));

    let stale = state.stage(funded(3)).unwrap();
    let reverted = state.commit(6, B256::ZERO, state.stage(funded(9)).unwrap()).unwrap();
    let root = state.root();
    assert_eq!(code(state.commit(7, B256::ZERO, stale)), "engine.stale-stage");
    assert_eq!((state.root(), state.latest().number()), (root, 6));

    state.revert_to(5).unwrap();
    let root = state.root();
    assert_eq!(code(reverted.account(RICH)), "engine.reverted-block");
    assert_eq!(code(state.restore(&reverted)), "engine.reverted-block");
    assert_eq!((state.root(), state.latest().number()), (root, 5));

    state.keep(Some(1));
    let old = state.latest();
    for number in 6..8 {
        state.commit(number, B256::ZERO, state.stage(funded(number)).unwrap()).unwrap();
    }
    let root = state.root();
    assert_eq!(code(old.account(RICH)), "engine.snapshot-expired");
    assert_eq!(code(state.restore(&old)), "engine.snapshot-expired");
    assert_eq!(code(state.revert_to(5)), "engine.snapshot-expired");
    assert_eq!((state.root(), state.latest().number()), (root, 7));
    assert_eq!(state.at(6).unwrap().account(RICH).unwrap().unwrap().balance, U256::from(6));
}
