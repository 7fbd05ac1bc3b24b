//! The flat state against plain maps, version by version, with writes undone in between.
#![allow(clippy::unwrap_used)]

use alloy_primitives::{Address, B256, U256};
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::TrieAccount;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::oracle::{self, Histories};
use super::{Flat, MIN_PARALLEL, Written};

const ADDRESSES: u8 = 6;
const SLOTS: u64 = 5;

#[derive(Clone, Debug)]
enum Step {
    Write(Changes),
    Undo(usize),
}

fn change() -> impl Strategy<Value = AccountChange> {
    let info = prop_oneof![
        1 => Just(None),
        4 => (0..3_u64, 0..3_u64, 0..3_u8).prop_map(|(nonce, balance, code)| {
            let code_hash = if code == 0 { alloy_primitives::KECCAK256_EMPTY } else { B256::repeat_byte(code) };
            Some(Account { nonce, balance: U256::from(balance), code_hash })
        }),
    ];
    let storage = btree_map((0..SLOTS).prop_map(U256::from), (0..3_u64).prop_map(U256::from), 0..4);
    (info, prop::bool::weighted(0.2), storage).prop_map(|(info, wiped, storage)| {
        // What is gone writes nothing.
        let storage = if info.is_some() { storage } else { Default::default() };
        AccountChange { info, wiped, storage }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = btree_map((0..ADDRESSES).prop_map(Address::repeat_byte), change(), 0..4);
    let write = changes
        .prop_map(|accounts| Step::Write(Changes { accounts: accounts.into_iter().collect(), ..Changes::default() }));
    vec(prop_oneof![5 => write, 1 => (1..4_usize).prop_map(Step::Undo)], 1..25)
}

/// The accounts after `changes`. The root is not computed here; it only has to come back.
fn after(changes: &Changes, version: u64) -> Vec<Option<TrieAccount>> {
    let account = |change: &AccountChange| {
        let Account { nonce, balance, code_hash } = change.info?;
        let storage_root = if version.is_multiple_of(3) {
            interlace_trie::EMPTY_ROOT_HASH
        } else {
            B256::with_last_byte(version as u8)
        };
        Some(TrieAccount { nonce, balance, storage_root, code_hash })
    };
    changes.accounts.values().map(account).collect()
}

fn compare(flat: &Flat, oracle: &Histories, version: u64, partial: bool) {
    let sorted = |mut all: Vec<(Address, TrieAccount)>| {
        all.sort_unstable_by_key(|(address, _)| *address);
        all
    };
    assert_eq!(
        sorted(flat.accounts(version).unwrap()),
        sorted(oracle.accounts(version).collect()),
        "version {version}"
    );
    for address in (0..ADDRESSES).map(Address::repeat_byte) {
        let (found, expected) = (flat.written_account(address, version), oracle.written_account(address, version));
        assert_eq!(found, expected, "{address} at version {version}");
        assert_eq!(flat.trie_account(address, version).unwrap(), oracle.trie_account(address, version));
        let mut slots = flat.slots(address, version).unwrap();
        slots.sort_unstable();
        let mut expected: Vec<_> = oracle.slots(address, version).collect();
        expected.sort_unstable();
        // The oracle keeps the slots of accounts that are gone as zeros, and lists none.
        assert_eq!(slots, expected, "slots of {address} at version {version}");
        for slot in (0..SLOTS).map(U256::from) {
            let (found, expected) =
                (flat.written_slot(address, slot, version), oracle.written_slot(address, slot, version));
            if partial {
                assert_eq!(found, expected, "slot {slot} of {address} at version {version}");
            } else {
                assert_eq!(
                    found.unwrap_or_default(),
                    expected.unwrap_or_default(),
                    "slot {slot} of {address} at version {version}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("INTERLACE_SOAK").is_some() { 4_000 } else { 300 }))]

    #[test]
    fn every_version_reads_as_the_oracle_says(steps in steps(), partial: bool) {
        let flat = Flat::new(partial);
        let mut oracle = if partial { Histories::on_base() } else { Histories::default() };
        let mut kept: Vec<(u64, Written, oracle::Written)> = Vec::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Write(changes) => {
                    let accounts = after(&changes, next);
                    let written = flat.write(next, &changes, &accounts);
                    kept.push((next, written, oracle.write(next, changes, &accounts)));
                    next += 1;
                }
                // The first version stays, as that of the first block does.
                Step::Undo(count) => {
                    for _ in 0..count.min(kept.len().saturating_sub(1)) {
                        let (version, written, of_oracle) = kept.pop().unwrap();
                        let target = kept.last().unwrap().0;
                        flat.revert(version, target, &written);
                        oracle.revert(target, &of_oracle);
                    }
                }
            }
            kept.iter().for_each(|(version, ..)| compare(&flat, &oracle, *version, partial));
        }
    }
}

#[test]
fn what_is_forgotten_takes_no_room() {
    let flat = Flat::new(false);
    let changes = |version: u64| {
        let info = Account { nonce: version, ..Account::default() };
        let storage = [(U256::from(version % 3), U256::from(version + 1))].into();
        let change = AccountChange { info: Some(info), wiped: false, storage };
        Changes { accounts: [(Address::ZERO, change)].into(), ..Changes::default() }
    };
    let write = |version| flat.write(version, &changes(version), &after(&changes(version), version));
    let written: Vec<Written> = (0..50).map(write).collect();
    // The first write of each slot has one as well, but for that of the first version.
    assert_eq!(flat.sizes().1, 49 + 49);
    for version in 0..40 {
        flat.forget(version, &written[version as usize]);
    }
    assert_eq!(flat.sizes().1, 10 + 10);
    for version in 39..50 {
        assert_eq!(flat.account(Address::ZERO, version).unwrap().unwrap().nonce, version);
        assert_eq!(flat.written_slot(Address::ZERO, U256::from(version % 3), version), Some(U256::from(version + 1)));
    }
    (40..50).rev().for_each(|version| flat.revert(version, version - 1, &written[version as usize]));
    assert_eq!(flat.sizes().1, 0);
    assert_eq!(flat.account(Address::ZERO, 39).unwrap().unwrap().nonce, 39);
}

#[test]
fn many_accounts_at_once_are_written_by_several_threads_and_come_back() {
    let address = |number: u64| Address::left_padding_from(&number.to_be_bytes());
    let count = 4 * MIN_PARALLEL as u64;
    let changes = |version: u64| {
        let change = |number: u64| {
            let info = Account { nonce: version, balance: U256::from(number), ..Account::default() };
            let storage = [(U256::from(number), U256::from(version + 1))].into();
            (address(number), AccountChange { info: Some(info), wiped: false, storage })
        };
        Changes { accounts: (0..count).map(change).collect(), ..Changes::default() }
    };
    let flat = Flat::new(false);
    let mut written = Vec::new();
    for version in 0..3 {
        written.push(flat.write(version, &changes(version), &after(&changes(version), version)));
    }
    flat.revert(2, 1, &written[2]);
    for number in 0..count {
        for version in 0..2 {
            assert_eq!(flat.account(address(number), version).unwrap().unwrap().nonce, version);
            let slot = flat.written_slot(address(number), U256::from(number), version);
            assert_eq!(slot, Some(U256::from(version + 1)));
        }
    }
    assert_eq!(flat.accounts(1).unwrap().len() as u64, count);
    let (bytes, past) = flat.sizes();
    // Of each, one account and one slot have one older version.
    assert_eq!(past as u64, 2 * count);
    // Entries, a contract for each version, and two places in tables that are between three eighths and three quarters full.
    assert!(bytes as u64 / count < 64 + 72 + 3 * 72 + 2 * 22, "{} bytes for each", bytes as u64 / count);
}
