//! The versioned state against a model: a plain map per version, and roots computed from nothing each time.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_state::{Account, AccountChange, Changes, MemoryState, Snapshot, StateError, StateReader};
use interlace_trie::{TrieAccount, account_of_proof, slot_of_proof, state_root, storage_root};
use proptest::prelude::*;

const ADDRESSES: u8 = 5;
const SLOTS: u64 = 4;

type Model = BTreeMap<Address, (Account, BTreeMap<U256, U256>)>;

fn address(index: u8) -> Address {
    Address::repeat_byte(index)
}

fn apply(model: &mut Model, changes: &Changes) {
    for (address, change) in &changes.accounts {
        let Some(info) = change.info else {
            model.remove(address);
            continue;
        };
        let entry = model.entry(*address).or_default();
        entry.0 = info;
        if change.wiped {
            entry.1.clear();
        }
        entry.1.extend(change.storage.iter().map(|(slot, value)| (*slot, *value)));
        entry.1.retain(|_, value| !value.is_zero());
    }
}

fn root(model: &Model) -> B256 {
    state_root(model.iter().map(|(address, (info, slots))| {
        let storage_root = storage_root(slots.iter().map(|(slot, value)| (*slot, *value)));
        let Account { nonce, balance, code_hash } = *info;
        (*address, TrieAccount { nonce, balance, storage_root, code_hash })
    }))
}

fn assert_reads(snapshot: &Snapshot, model: &Model) {
    for address in (0..ADDRESSES).map(address) {
        let expected = model.get(&address);
        assert_eq!(snapshot.account(address).unwrap(), expected.map(|(info, _)| *info));
        for slot in (0..SLOTS).map(U256::from) {
            let value = expected.and_then(|(_, slots)| slots.get(&slot)).copied().unwrap_or_default();
            assert_eq!(snapshot.storage(address, slot).unwrap(), value);
        }
    }
}

fn assert_proofs(state: &MemoryState, model: &Model) {
    let slots: Vec<U256> = (0..SLOTS).map(U256::from).collect();
    for address in (0..ADDRESSES).map(address) {
        let proof = state.proof(address, &slots);
        assert_eq!(proof.account, account_of_proof(state.root(), address, &proof.nodes).unwrap());
        assert_eq!(proof.account.is_some(), model.contains_key(&address));
        for (slot, value, nodes) in proof.slots {
            let Some(account) = proof.account else { continue };
            assert_eq!(slot_of_proof(account.storage_root, slot, &nodes).unwrap(), value);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Changes),
    Amend(Changes),
    Revert(u8),
}

fn changes() -> impl Strategy<Value = Changes> {
    let storage = prop::collection::btree_map((0..SLOTS).prop_map(U256::from), (0u64..3).prop_map(U256::from), 0..4);
    let info = prop::option::weighted(0.8, (0u64..3, 0u64..3));
    let change = (info, any::<bool>(), storage).prop_map(|(info, wiped, storage)| match info {
        Some((nonce, balance)) => {
            let info = Account { nonce, balance: U256::from(balance), ..Account::default() };
            AccountChange { info: Some(info), wiped, storage }
        }
        None => AccountChange { info: None, wiped: true, storage: BTreeMap::new() },
    });
    prop::collection::btree_map((0..ADDRESSES).prop_map(address), change, 0..4)
        .prop_map(|accounts| Changes { accounts, ..Changes::default() })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => changes().prop_map(Step::Commit),
        1 => changes().prop_map(Step::Amend),
        1 => any::<u8>().prop_map(Step::Revert),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #[test]
    fn every_version_reads_as_its_model(genesis in changes(), steps in steps()) {
        let mut model = Model::new();
        apply(&mut model, &genesis);
        let state = MemoryState::new(3, genesis, keccak256);
        let mut versions = vec![(state.latest(), model)];
        let mut gone: Vec<Snapshot> = Vec::new();
        for step in steps {
            match step {
                Step::Commit(changes) => {
                    let mut model = versions.last().unwrap().1.clone();
                    apply(&mut model, &changes);
                    prop_assert_eq!(state.root_after(&changes), root(&model));
                    let staged = state.stage(changes);
                    prop_assert_eq!(staged.root(), root(&model));
                    let number = state.latest().number() + 1;
                    versions.push((state.commit(number, keccak256(number.to_be_bytes()), staged).unwrap(), model));
                }
                Step::Amend(changes) => {
                    let mut model = versions.last().unwrap().1.clone();
                    apply(&mut model, &changes);
                    versions.push((state.amend(changes).unwrap(), model));
                }
                Step::Revert(choice) => {
                    let keep = usize::from(choice) % versions.len();
                    state.restore(&versions[keep].0).unwrap();
                    gone.extend(versions.drain(keep + 1..).map(|(snapshot, _)| snapshot));
                }
            }
            for (snapshot, model) in &versions {
                assert_reads(snapshot, model);
            }
            let newest = &versions.last().unwrap().1;
            prop_assert_eq!(state.root(), root(newest));
            prop_assert_eq!(state.accounts().len(), newest.len());
            assert_proofs(&state, newest);
            for snapshot in &gone {
                prop_assert_eq!(snapshot.account(address(0)), Err(StateError::Reverted { number: snapshot.number() }));
            }
        }
    }
}

fn funded(balance: u64) -> Changes {
    let change = AccountChange { info: Some(Account::with_balance(U256::from(balance))), ..AccountChange::default() };
    Changes { accounts: BTreeMap::from([(address(1), change)]), ..Changes::default() }
}

#[test]
fn blocks_are_found_by_number_and_go_back_with_their_amendments() {
    let state = MemoryState::new(0, funded(1), |_| B256::ZERO);
    let first = state.commit(1, B256::repeat_byte(1), state.stage(funded(2))).unwrap();
    state.amend(funded(20)).unwrap();
    state.commit(2, B256::repeat_byte(2), state.stage(funded(3))).unwrap();
    let balance = |snapshot: &Snapshot| snapshot.account(address(1)).unwrap().unwrap().balance;
    assert_eq!(balance(&first), U256::from(2));
    assert_eq!(balance(&state.at(1).unwrap()), U256::from(20));
    assert_eq!(state.latest().block_hash(1).unwrap(), B256::repeat_byte(1));
    assert_eq!(state.at(1).unwrap().block_hash(2).unwrap(), B256::ZERO);
    state.revert_to(1).unwrap();
    assert_eq!(balance(&state.latest()), U256::from(20));
    assert_eq!(state.latest().block_hash(2).unwrap(), B256::ZERO);
}

#[test]
fn mistakes_change_nothing() {
    let state = MemoryState::new(5, funded(1), |_| B256::ZERO);
    let root = state.root();
    let unknown = StateError::UnknownBlock { number: 4, first: 5, last: 5 };
    assert_eq!(state.at(4).unwrap_err(), unknown);
    assert_eq!(state.root_at(4).unwrap_err(), unknown);
    assert_eq!(state.revert_to(4).unwrap_err(), unknown);
    let (one, two) = (state.stage(funded(2)), state.stage(funded(3)));
    assert_eq!(state.commit(7, B256::ZERO, one).unwrap_err(), StateError::NotNext { number: 7, head: 5 });
    assert_eq!(state.root(), root);
    state.commit(6, B256::ZERO, state.stage(funded(9))).unwrap();
    assert_eq!(state.commit(7, B256::ZERO, two).unwrap_err(), StateError::StaleStage { head: 6 });
    let hash = B256::repeat_byte(7);
    assert_eq!(state.latest().code(hash).unwrap_err(), StateError::MissingCode(hash));
}
