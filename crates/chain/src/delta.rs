//! Changes of a state as RLP: in dumps and in the log.
//!
//! Invariant: what decodes gives the changes that were encoded; decoding never panics.
//! What it does not do: it does not know whether the changes fit the state they are made to.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use interlace_stf::{Account, AccountChange, Changes};

/// What changed of one account.
#[derive(Debug, RlpEncodable, RlpDecodable)]
pub(crate) struct AccountDelta {
    address: Address,
    /// One, or none for an account that is gone.
    info: Vec<Info>,
    wiped: bool,
    storage: Vec<SlotValue>,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct Info {
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct SlotValue {
    slot: U256,
    value: U256,
}

impl AccountDelta {
    /// Whether it gives the account at most once.
    pub(crate) fn is_single(&self) -> bool {
        self.info.len() <= 1
    }
}

/// Accounts and codes that `changes` bring.
pub(crate) fn split(changes: &Changes) -> (Vec<AccountDelta>, Vec<Bytes>) {
    let accounts = changes.accounts.iter().map(|(address, change)| AccountDelta {
        address: *address,
        info: change
            .info
            .iter()
            .map(|Account { nonce, balance, code_hash }| Info {
                nonce: *nonce,
                balance: *balance,
                code_hash: *code_hash,
            })
            .collect(),
        wiped: change.wiped,
        storage: change.storage.iter().map(|(slot, value)| SlotValue { slot: *slot, value: *value }).collect(),
    });
    (accounts.collect(), changes.codes.values().cloned().collect())
}

/// The changes that were split.
pub(crate) fn join(accounts: Vec<AccountDelta>, codes: Vec<Bytes>) -> Changes {
    let mut changes = Changes::default();
    for AccountDelta { address, info, wiped, storage } in accounts {
        let info = info.first().map(|Info { nonce, balance, code_hash }| Account {
            nonce: *nonce,
            balance: *balance,
            code_hash: *code_hash,
        });
        let storage = storage.into_iter().map(|SlotValue { slot, value }| (slot, value)).collect();
        changes.accounts.insert(address, AccountChange { info, wiped, storage });
    }
    changes.codes = codes.into_iter().map(|code| (keccak256(&code), code)).collect();
    changes
}
