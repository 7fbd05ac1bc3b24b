//! What one execution wrote, flat: one list of accounts, one of slots.
//!
//! Why not [`Changes`]: they are ordered trees, made to be merged and kept; this is made once per transaction, laid over a state once per thread
//! and dropped.
//!
//! Invariant: as in [`Changes`]; each account is named once, and its slots lie together.
//! Source: EIP-161 for which empty accounts exist; revm's account status flags for what a transaction did.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use revm::state::{Account as RevmAccount, AccountInfo, EvmState};

use crate::access::Accesses;
use crate::changes::{AccountChange, Changes};
use crate::reader::Account;

/// Values after an execution, each account with its slots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    pub(crate) accounts: Vec<Written>,
    pub(crate) slots: Vec<(U256, U256)>,
    pub(crate) codes: Vec<(B256, Bytes)>,
    /// Whatever was reached, if it was asked for.
    pub(crate) accesses: Option<Accesses>,
}

/// One account after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) address: Address,
    pub(crate) info: Option<Account>,
    pub(crate) wiped: bool,
    /// How many of the slots, after those of the accounts before, are its.
    pub(crate) slots: usize,
}

impl Writes {
    /// What revm's journal holds; untouched and unchanged accounts are left out.
    pub(crate) fn of(state: EvmState, clears_empty: bool, tells: bool) -> Self {
        let accesses = tells.then(|| Accesses::of(&state, clears_empty));
        let mut writes = Self { accounts: Vec::with_capacity(state.len()), accesses, ..Self::default() };
        for (address, account) in state {
            if account.is_touched() {
                writes.put(address, account, clears_empty);
            }
        }
        writes
    }

    fn put(&mut self, address: Address, account: RevmAccount, clears_empty: bool) {
        let gone = Written { address, info: None, wiped: true, slots: 0 };
        if account.is_selfdestructed() {
            return self.accounts.push(gone);
        }
        if clears_empty && account.is_empty() {
            if !account.is_loaded_as_not_existing() {
                self.accounts.push(gone);
            }
            return;
        }
        let created = account.is_created();
        let start = self.slots.len();
        let changed = account.storage.iter().filter(|(_, slot)| slot.is_changed());
        self.slots.extend(changed.map(|(key, slot)| (*key, slot.present_value())));
        let slots = self.slots.len() - start;
        if !created && slots == 0 && !account.is_changed() {
            return;
        }
        let before = account.original_info().code_hash;
        let AccountInfo { nonce, balance, code_hash, code, .. } = account.info;
        let deployed = code_hash != KECCAK256_EMPTY && (created || code_hash != before);
        self.codes.extend(code.filter(|_| deployed).map(|code| (code_hash, code.original_bytes())));
        let info = Some(Account { nonce, balance, code_hash });
        self.accounts.push(Written { address, info, wiped: created, slots });
    }

    /// The value of a slot after it, if it was written.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> Option<U256> {
        let (_, slots) = self.each().find(|(written, _)| written.address == address)?;
        slots.iter().find(|(key, _)| *key == slot).map(|(_, value)| *value)
    }

    /// Gives a slot that was written another value.
    pub(crate) fn resum(&mut self, address: Address, slot: U256, value: U256) {
        let mut first = 0;
        for written in &self.accounts {
            let own = &mut self.slots[first..first + written.slots];
            if written.address == address {
                own.iter_mut().filter(|(key, _)| *key == slot).for_each(|(_, held)| *held = value);
                return;
            }
            first += written.slots;
        }
    }

    /// Each account with its slots.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&Written, &[(U256, U256)])> {
        let mut rest = self.slots.as_slice();
        self.accounts.iter().map(move |written| {
            let (slots, others) = rest.split_at(written.slots);
            rest = others;
            (written, slots)
        })
    }

    /// The same in order.
    pub(crate) fn into_changes(self) -> Changes {
        let change = |(written, slots): (&Written, &[(U256, U256)])| {
            let storage = slots.iter().copied().collect();
            (written.address, AccountChange { info: written.info, wiped: written.wiped, storage })
        };
        Changes { accounts: self.each().map(change).collect(), codes: self.codes.into_iter().collect() }
    }
}
