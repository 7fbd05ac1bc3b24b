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

/// What a version lists and proves, however old it is.
fn assert_listed_and_proved(snapshot: &Snapshot, model: &Model) {
    let slots: Vec<U256> = (0..SLOTS).map(U256::from).collect();
    let root = root(model);
    assert_eq!(state_root(snapshot.accounts().unwrap()), root);
    for address in (0..ADDRESSES).map(address) {
        let listed: BTreeMap<U256, U256> = snapshot.slots(address).unwrap().into_iter().collect();
        assert_eq!(listed, model.get(&address).map(|(_, slots)| slots.clone()).unwrap_or_default());
        let proof = snapshot.proof(address, &slots).unwrap();
        assert_eq!(proof.account, snapshot.trie_account(address).unwrap());
        assert_eq!(proof.account, account_of_proof(root, address, &proof.nodes).unwrap());
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
    fn every_version_reads_as_its_model(genesis in changes(), steps in steps(), window in prop::option::of(0u64..6)) {
        let mut model = Model::new();
        apply(&mut model, &genesis);
        let state = MemoryState::new(3, genesis, keccak256);
        state.keep(window);
        let mut versions = vec![(state.latest(), model)];
        let mut gone: Vec<Snapshot> = Vec::new();
        // Of the versions, the first that is kept.
        let mut oldest = 0;
        for step in steps {
            match step {
                Step::Commit(changes) => {
                    let mut model = versions.last().unwrap().1.clone();
                    apply(&mut model, &changes);
                    prop_assert_eq!(state.root_after(&changes).unwrap(), root(&model));
                    let staged = state.stage(changes).unwrap();
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
                    if keep < oldest {
                        let number = versions[keep].0.number();
                        let expired = StateError::Expired { number, oldest: versions[oldest].0.number() };
                        prop_assert_eq!(state.check(&versions[keep].0), Err(expired.clone()));
                        prop_assert_eq!(state.restore(&versions[keep].0), Err(expired));
                        continue;
                    }
                    state.restore(&versions[keep].0).unwrap();
                    gone.extend(versions.drain(keep + 1..).map(|(snapshot, _)| snapshot));
                }
            }
            if let Some(window) = window {
                let first = state.latest().number().saturating_sub(window);
                let within = versions.iter().rposition(|(snapshot, _)| snapshot.number() <= first);
                oldest = oldest.max(within.unwrap_or(0));
            }
            for (snapshot, model) in &versions[oldest..] {
                assert_reads(snapshot, model);
                assert_listed_and_proved(snapshot, model);
            }
            for (snapshot, _) in &versions[..oldest] {
                let expired = StateError::Expired { number: snapshot.number(), oldest: versions[oldest].0.number() };
                prop_assert_eq!(snapshot.accounts(), Err(expired.clone()));
                prop_assert_eq!(snapshot.account(address(0)), Err(expired.clone()));
                prop_assert_eq!(snapshot.storage(address(0), U256::ZERO), Err(expired));
                prop_assert!(state.root_at(snapshot.number()).is_ok());
            }
            let newest = &versions.last().unwrap().1;
            prop_assert_eq!(state.root(), root(newest));
            prop_assert_eq!(state.accounts().unwrap().len(), newest.len());
            prop_assert_eq!(state.proof(address(0), &[U256::from(1)]).unwrap(),
                state.latest().proof(address(0), &[U256::from(1)]).unwrap());
            for snapshot in &gone {
                prop_assert_eq!(snapshot.accounts(), Err(StateError::Reverted { number: snapshot.number() }));
                prop_assert_eq!(snapshot.account(address(0)), Err(StateError::Reverted { number: snapshot.number() }));
            }
        }
    }
}

/// Thousands of accounts and slots, so that every bucket of every trie is full: roots against those computed from nothing,
/// through writes, erasures, wipes, destroyed and new accounts, and back.
#[test]
fn many_accounts_and_slots_have_the_root_of_the_whole() {
    let mut seed = 11u64;
    let mut next = move |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let numbered = |number: u64| Address::left_padding_from(&number.to_be_bytes());
    let funded = |balance: u64| Some(Account::with_balance(U256::from(balance)));
    let mut genesis = Changes::default();
    for number in 0..3_000 {
        // Two contracts with large storages; the others have none.
        let slots = if number < 2 { 0..2_000 } else { 0..0 };
        let storage = slots.map(|slot| (U256::from(slot), U256::from(slot + 1))).collect();
        let change = AccountChange { info: funded(number + 1), wiped: true, storage };
        genesis.accounts.insert(numbered(number), change);
    }
    let mut model = Model::new();
    apply(&mut model, &genesis);
    let state = MemoryState::new(0, genesis, |_| B256::ZERO);
    assert_eq!(state.root(), root(&model));
    let mut roots = vec![state.root()];
    for block in 1..=40 {
        let mut changes = Changes::default();
        for _ in 0..next(60) {
            let info = funded(next(1_000)).filter(|_| next(4) != 0);
            let change = AccountChange { info, wiped: info.is_none(), ..AccountChange::default() };
            changes.accounts.insert(numbered(2 + next(4_000)), change);
        }
        let mut storage = BTreeMap::new();
        for _ in 0..next(80) {
            let value = if next(3) == 0 { 0 } else { next(u64::MAX >> 33) };
            storage.insert(U256::from(next(3_000)), U256::from(value));
        }
        changes
            .accounts
            .insert(numbered(next(2)), AccountChange { info: funded(block), wiped: block % 13 == 0, storage });
        apply(&mut model, &changes);
        let staged = state.stage(changes).unwrap();
        assert_eq!(staged.root(), root(&model), "block {block}");
        state.commit(block, B256::ZERO, staged).unwrap();
        roots.push(state.root());
    }
    assert_eq!(state.accounts().unwrap().len(), model.len());
    for number in [33, 20, 12, 0] {
        state.revert_to(number).unwrap();
        assert_eq!(state.root(), roots[usize::try_from(number).unwrap()]);
        // Every hash that is kept is that of the version gone back to: the next root is right as well.
        let change = AccountChange { info: funded(7), ..AccountChange::default() };
        let changes = Changes { accounts: BTreeMap::from([(numbered(1), change)]), ..Changes::default() };
        let staged = state.stage(changes).unwrap();
        state.commit(number + 1, B256::ZERO, staged).unwrap();
        assert_eq!(state.root(), state_root(state.accounts().unwrap()));
        assert_eq!(
            storage_root(state.slots(numbered(1)).unwrap()),
            state.latest().trie_account(numbered(1)).unwrap().unwrap().storage_root
        );
    }
}

fn funded(balance: u64) -> Changes {
    let change = AccountChange { info: Some(Account::with_balance(U256::from(balance))), ..AccountChange::default() };
    Changes { accounts: BTreeMap::from([(address(1), change)]), ..Changes::default() }
}

#[test]
fn blocks_are_found_by_number_and_go_back_with_their_amendments() {
    let state = MemoryState::new(0, funded(1), |_| B256::ZERO);
    let first = state.commit(1, B256::repeat_byte(1), state.stage(funded(2)).unwrap()).unwrap();
    state.amend(funded(20)).unwrap();
    state.commit(2, B256::repeat_byte(2), state.stage(funded(3)).unwrap()).unwrap();
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
    let (one, two) = (state.stage(funded(2)).unwrap(), state.stage(funded(3)).unwrap());
    assert_eq!(state.commit(7, B256::ZERO, one).unwrap_err(), StateError::NotNext { number: 7, head: 5 });
    assert_eq!(state.root(), root);
    state.commit(6, B256::ZERO, state.stage(funded(9)).unwrap()).unwrap();
    assert_eq!(state.commit(7, B256::ZERO, two).unwrap_err(), StateError::StaleStage { head: 6 });
    let hash = B256::repeat_byte(7);
    assert_eq!(state.latest().code(hash).unwrap_err(), StateError::MissingCode(hash));
}
