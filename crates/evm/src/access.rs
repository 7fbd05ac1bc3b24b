//! What executions reached, value by value: what a block's access list is made of.
//!
//! Invariant: an account or slot that an execution looked at is named, whether or not what looked was undone afterwards; a value is given where
//! it is another than before the execution, and nowhere else.
//! Source: EIP-7928.
//! What it does not do: slots that went with an account that was there before (SELFDESTRUCT until Cancun) are not named one by one, nor are
//! accounts told apart that are empty and that are not there: lists are for Spurious Dragon and later.

use alloc::vec::Vec;
use core::mem;

use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange, SlotChanges,
    StorageChange,
};
use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, Bytes, U256};
use revm::state::{Account as RevmAccount, AccountInfo, EvmState, EvmStorageSlot};

use crate::reader::Account;
use crate::writes::Writes;

/// What one execution reached, each account with its slots.
#[derive(Clone, Debug, Default)]
pub struct Accesses {
    accounts: Vec<Reached>,
    slots: Vec<(U256, Option<U256>)>,
}

#[derive(Clone, Debug)]
struct Reached {
    address: Address,
    balance: Option<U256>,
    nonce: Option<u64>,
    code: Option<Bytes>,
    /// How many of the slots, after those of the accounts before, are its.
    slots: usize,
}

/// One account that an execution reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access<'a> {
    /// Where it is.
    pub address: Address,
    /// The balance after, if it changed.
    pub balance: Option<U256>,
    /// The nonce after, if it changed.
    pub nonce: Option<u64>,
    /// The code after, if it changed.
    pub code: Option<&'a Bytes>,
    /// Slots that were looked at, each with its value after if that changed.
    pub slots: &'a [(U256, Option<U256>)],
}

impl Accesses {
    /// What revm's journal holds.
    pub(crate) fn of(state: &EvmState, clears_empty: bool) -> Self {
        let mut accesses = Self { accounts: Vec::with_capacity(state.len()), ..Self::default() };
        state.iter().for_each(|(address, account)| accesses.put(*address, account, clears_empty));
        accesses
    }

    fn put(&mut self, address: Address, account: &RevmAccount, clears_empty: bool) {
        // What was not touched is not written, whatever revm left in it: a payment that overflows has been taken from who pays.
        let touched = account.is_touched();
        let gone = touched && (account.is_selfdestructed() || (clears_empty && account.is_empty()));
        let start = self.slots.len();
        let stays = gone || !touched;
        let value = |slot: &EvmStorageSlot| (!stays && slot.is_changed()).then(|| slot.present_value());
        self.slots.extend(account.storage.iter().map(|(slot, held)| (*slot, value(held))));
        let slots = self.slots.len() - start;
        let before = account.original_info();
        let nothing = AccountInfo::default();
        let after = match (touched, gone) {
            (false, _) => &before,
            (true, true) => &nothing,
            (true, false) => &account.info,
        };
        let code = || after.code.as_ref().map(|code| code.original_bytes()).unwrap_or_default();
        self.accounts.push(Reached {
            address,
            balance: (before.balance != after.balance).then_some(after.balance),
            nonce: (before.nonce != after.nonce).then_some(after.nonce),
            code: (before.code_hash != after.code_hash).then(code),
            slots,
        });
    }

    /// An account that was changed beside executions, or looked at.
    pub(crate) fn one(address: Address, before: Option<Account>, after: Option<Account>) -> Self {
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let balance = (before.balance != after.balance).then_some(after.balance);
        Self { accounts: [Reached { address, balance, nonce: None, code: None, slots: 0 }].into(), slots: Vec::new() }
    }

    /// A slot that was written beside executions.
    fn slot(address: Address, slot: U256, value: U256) -> Self {
        let reached = Reached { address, balance: None, nonce: None, code: None, slots: 1 };
        Self { accounts: [reached].into(), slots: [(slot, Some(value))].into() }
    }

    /// Takes values of these slots from what is written.
    pub(crate) fn resum(&mut self, writes: &Writes, slots: &[(Address, U256)]) {
        let mut first = 0;
        for reached in &self.accounts {
            let own = &mut self.slots[first..first + reached.slots];
            for (slot, value) in own.iter_mut().filter(|(slot, _)| slots.contains(&(reached.address, *slot))) {
                *value = value.and_then(|_| writes.slot(reached.address, *slot));
            }
            first += reached.slots;
        }
    }

    /// Takes balances from what is written: what was added or taken was added or taken elsewhere.
    pub(crate) fn rebalance(&mut self, writes: &Writes) {
        for reached in self.accounts.iter_mut().filter(|reached| reached.balance.is_some()) {
            let written = writes.accounts.iter().find(|written| written.address == reached.address);
            reached.balance = written.map(|written| written.info.unwrap_or_default().balance);
        }
    }

    /// Each account.
    pub fn each(&self) -> impl Iterator<Item = Access<'_>> {
        let mut rest = self.slots.as_slice();
        self.accounts.iter().map(move |reached| {
            let (slots, others) = rest.split_at(reached.slots);
            rest = others;
            let Reached { address, balance, nonce, ref code, .. } = *reached;
            Access { address, balance, nonce, code: code.as_ref(), slots }
        })
    }
}

/// What the executions of a block reached, in order: first what comes before transactions, number 0, then transaction after transaction from 1
/// on, then what comes after them.
#[derive(Clone, Debug, Default)]
pub struct BlockAccesses {
    taken: Vec<(u64, Accesses)>,
    number: u64,
}

impl BlockAccesses {
    pub(crate) fn take(&mut self, accesses: Accesses) {
        self.taken.push((self.number, accesses));
    }

    /// Adds that the account at `address` was looked at before the first transaction, and that a slot of it got a value, if one is given.
    pub fn begin_with(&mut self, address: Address, slot: Option<(U256, U256)>) {
        let accesses = match slot {
            Some((slot, value)) => Accesses::slot(address, slot, value),
            None => Accesses::one(address, None, None),
        };
        self.taken.insert(0, (0, accesses));
    }

    /// What was reached under one number, each account once, its slots in order.
    #[must_use]
    pub fn under(&self, number: u64) -> Accesses {
        let taken = self.taken.iter().filter(|(at, _)| *at == number).cloned().collect();
        let mut accesses = Accesses::default();
        for account in (Self { taken, number }).list() {
            let changed = account.storage_changes.iter().map(|slot| (slot.slot, slot.changes.last()));
            let read = account.storage_reads.iter().map(|slot| (*slot, None));
            let start = accesses.slots.len();
            let value = |change: Option<&StorageChange>| change.map(|change| change.new_value);
            accesses.slots.extend(changed.chain(read).map(|(slot, change)| (slot, value(change))));
            accesses.accounts.push(Reached {
                address: account.address,
                balance: account.balance_post_state(),
                nonce: account.nonce_post_state(),
                code: account.code_post_state().cloned(),
                slots: accesses.slots.len() - start,
            });
        }
        accesses
    }

    /// The next number.
    pub fn advance(&mut self) {
        self.number += 1;
    }

    /// The access list, in the order that the EIP wants. What happens to one place twice under one number, as it may after the transactions, counts
    /// as it was last.
    #[must_use]
    pub fn list(&self) -> BlockAccessList {
        let reached = self.taken.iter().map(|(_, accesses)| accesses.accounts.len()).sum();
        let slots = self.taken.iter().map(|(_, accesses)| accesses.slots.len()).sum();
        let mut places = AddressMap::<u32>::with_capacity_and_hasher(reached, Default::default());
        let mut accounts = Vec::<AccountChanges>::with_capacity(reached);
        let mut values = Vec::<Value>::with_capacity(slots);
        for (number, accesses) in &self.taken {
            for access in accesses.each() {
                let place = *places.entry(access.address).or_insert_with(|| {
                    accounts.push(AccountChanges::new(access.address));
                    accounts.len() as u32 - 1
                });
                add(&mut accounts[place as usize], BlockAccessIndex::new(*number), &access);
                for (slot, value) in access.slots {
                    let order = values.len() as u32;
                    values.push(Value { place, slot: *slot, order, number: *number, value: *value });
                }
            }
        }
        values.sort_unstable_by_key(|value| (value.place, value.slot, value.order));
        for of_slot in values.chunk_by(|one, other| (one.place, one.slot) == (other.place, other.slot)) {
            add_slot(&mut accounts[of_slot[0].place as usize], of_slot);
        }
        let mut order: Vec<u32> = (0..accounts.len() as u32).collect();
        order.sort_unstable_by_key(|place| accounts[*place as usize].address);
        let taken = |place| mem::replace(&mut accounts[place as usize], AccountChanges::new(Address::ZERO));
        order.into_iter().map(taken).collect()
    }
}

/// What an execution found or left in a slot.
struct Value {
    /// The account's.
    place: u32,
    slot: U256,
    /// Which comes first.
    order: u32,
    number: u64,
    value: Option<U256>,
}

/// Adds what happened to an account under number `at`, the greatest so far, but for its slots.
fn add(account: &mut AccountChanges, at: BlockAccessIndex, access: &Access<'_>) {
    fn push<T>(list: &mut Vec<T>, same: impl FnOnce(&T) -> bool, item: T) {
        if list.last().is_some_and(same) {
            list.pop();
        }
        list.push(item);
    }
    if let Some(balance) = access.balance {
        let change = BalanceChange::new(at, balance);
        push(&mut account.balance_changes, |last| last.block_access_index == at, change);
    }
    if let Some(nonce) = access.nonce {
        push(&mut account.nonce_changes, |last| last.block_access_index == at, NonceChange::new(at, nonce));
    }
    if let Some(code) = access.code {
        push(&mut account.code_changes, |last| last.block_access_index == at, CodeChange::new(at, code.clone()));
    }
}

/// Adds all that happened to one slot of an account, in order.
fn add_slot(account: &mut AccountChanges, values: &[Value]) {
    let slot = values[0].slot;
    let mut changes = Vec::<StorageChange>::new();
    for Value { number, value, .. } in values {
        let Some(value) = value else { continue };
        let at = BlockAccessIndex::new(*number);
        if changes.last().is_some_and(|last| last.block_access_index == at) {
            changes.pop();
        }
        changes.push(StorageChange::new(at, *value));
    }
    if changes.is_empty() {
        account.storage_reads.push(slot);
    } else {
        account.storage_changes.push(SlotChanges::new(slot, changes));
    }
}
