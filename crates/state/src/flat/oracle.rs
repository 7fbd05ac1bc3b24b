//! Every value that a key ever had, by version, in plain maps: the oracle of the flat state.
//!
//! Invariant: versions in a history ascend; the value at a version is the last one written at or before it. On a base, whether a key was
//! ever written decides who answers for it: an account that was wiped never reads through to the base again, nor do its slots.

use alloy_primitives::map::{AddressMap, HashMap};
use alloy_primitives::{Address, U256};
use interlace_stf::{Account, Changes};
use interlace_trie::TrieAccount;

use crate::leaves::wipes;

/// Values of one key, oldest first.
#[derive(Clone, Debug)]
struct History<T>(Vec<(u64, T)>);

impl<T> Default for History<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> History<T> {
    fn at(&self, version: u64) -> Option<T> {
        // The newest value is wanted far more often than any other.
        match self.0.last() {
            Some((written, value)) if *written <= version => Some(*value),
            _ => self.0[..self.0.partition_point(|(written, _)| *written <= version)].last().map(|(_, value)| *value),
        }
    }

    fn newest(&self) -> Option<T> {
        self.0.last().map(|(_, value)| *value)
    }

    fn write(&mut self, version: u64, value: T) {
        match self.0.last_mut() {
            Some((written, last)) if *written == version => *last = value,
            _ => self.0.push((version, value)),
        }
    }

    /// Forgets what was written after `version`; says whether anything is left.
    fn truncate(&mut self, version: u64) -> bool {
        self.0.truncate(self.0.partition_point(|(written, _)| *written <= version));
        !self.0.is_empty()
    }
}

/// Keys written by one version, so that they can be found again to revert it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) accounts: Vec<Address>,
    pub(crate) slots: Vec<(Address, U256)>,
    wiped: Vec<Address>,
}

/// Accounts, slots and code, by version.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    accounts: AddressMap<History<Option<TrieAccount>>>,
    slots: AddressMap<HashMap<U256, History<U256>>>,
    /// Versions that wiped an account; kept only on a base, where it says what is zero without having been written.
    wipes: Option<AddressMap<History<()>>>,
}

impl Histories {
    /// Histories over a base.
    pub(crate) fn on_base() -> Self {
        Self { wipes: Some(AddressMap::default()), ..Self::default() }
    }

    /// The account at `address` as it was written last; `None` if it never was.
    pub(crate) fn written_account(&self, address: Address, version: u64) -> Option<Option<Account>> {
        let account = self.accounts.get(&address)?.at(version)?;
        Some(account.map(|TrieAccount { nonce, balance, code_hash, .. }| Account { nonce, balance, code_hash }))
    }

    pub(crate) fn trie_account(&self, address: Address, version: u64) -> Option<TrieAccount> {
        self.accounts.get(&address).and_then(|history| history.at(version)).flatten()
    }

    /// The accounts that exist at `version`, in no particular order.
    pub(crate) fn accounts(&self, version: u64) -> impl Iterator<Item = (Address, TrieAccount)> {
        self.accounts.iter().filter_map(move |(address, history)| Some((*address, history.at(version)??)))
    }

    /// The value of a slot as it was written last, by a wipe too; `None` if it never was.
    pub(crate) fn written_slot(&self, address: Address, slot: U256, version: u64) -> Option<U256> {
        let history = self.slots.get(&address).and_then(|slots| slots.get(&slot));
        history
            .and_then(|history| history.at(version))
            .or_else(|| self.is_wiped(address, version).then_some(U256::ZERO))
    }

    fn is_wiped(&self, address: Address, version: u64) -> bool {
        let wipes = self.wipes.as_ref().and_then(|wipes| wipes.get(&address));
        wipes.is_some_and(|history| history.at(version).is_some())
    }

    /// The slots of `address` that are not zero at `version`, in no particular order.
    pub(crate) fn slots(&self, address: Address, version: u64) -> impl Iterator<Item = (U256, U256)> {
        let slots = self.slots.get(&address).into_iter().flatten();
        let values = slots.filter_map(move |(slot, history)| Some((*slot, history.at(version)?)));
        values.filter(|(_, value)| !value.is_zero())
    }

    /// Writes `changes` as `version`, the newest; `after` are the accounts as they are then, in the order of the changes.
    pub(crate) fn write(&mut self, version: u64, changes: Changes, after: &[Option<TrieAccount>]) -> Written {
        let mut written = Written::default();
        for ((address, change), after) in changes.accounts.into_iter().zip(after) {
            self.accounts.entry(address).or_default().write(version, *after);
            written.accounts.push(address);
            if wipes(&change) {
                self.wipe(version, address, &mut written);
                if let Some(wiped) = &mut self.wipes {
                    wiped.entry(address).or_default().write(version, ());
                    written.wiped.push(address);
                }
            }
            for (slot, value) in change.storage {
                let slots = self.slots.entry(address).or_default();
                slots.entry(slot).or_default().write(version, value);
                written.slots.push((address, slot));
            }
        }
        written
    }

    /// Forgets what was written after `version` to the keys in `written`.
    pub(crate) fn revert(&mut self, version: u64, written: &Written) {
        for address in &written.accounts {
            if self.accounts.get_mut(address).is_some_and(|history| !history.truncate(version)) {
                self.accounts.remove(address);
            }
        }
        for (address, slot) in &written.slots {
            let Some(slots) = self.slots.get_mut(address) else { continue };
            if slots.get_mut(slot).is_some_and(|history| !history.truncate(version)) {
                slots.remove(slot);
            }
        }
        for address in &written.wiped {
            let Some(wipes) = &mut self.wipes else { break };
            if wipes.get_mut(address).is_some_and(|history| !history.truncate(version)) {
                wipes.remove(address);
            }
        }
    }

    fn wipe(&mut self, version: u64, address: Address, written: &mut Written) {
        for (slot, history) in self.slots.get_mut(&address).into_iter().flatten() {
            if history.newest().is_some_and(|value| !value.is_zero()) {
                history.write(version, U256::ZERO);
                written.slots.push((address, *slot));
            }
        }
    }
}
