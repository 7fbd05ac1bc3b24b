//! What execution did to the state, as values after it, ordered by address and slot.
//!
//! Invariant: applying `a` and then `b` equals applying `a.merge(b)`. A slot that `storage` does not name keeps its
//! value, unless `wiped`: then it is zero.
//! What it does not do: it holds no values from before; a store that wants to go back keeps them itself.

use alloc::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::reader::Account;

/// One account after execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The account; `None` if it exists no longer.
    pub info: Option<Account>,
    /// Whether the storage from before is gone: the account was destroyed or created anew.
    pub wiped: bool,
    /// Slots written, with their values; zero erases a slot.
    pub storage: BTreeMap<U256, U256>,
}

impl AccountChange {
    /// Adds what happened to the same account afterwards.
    pub fn merge(&mut self, later: Self) {
        if later.wiped {
            *self = later;
        } else {
            self.info = later.info;
            self.storage.extend(later.storage);
        }
    }
}

/// Everything that execution changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Accounts changed, and none other.
    pub accounts: BTreeMap<Address, AccountChange>,
    /// Code deployed, by its keccak-256.
    pub codes: BTreeMap<B256, Bytes>,
}

impl Changes {
    /// Adds what happened afterwards.
    pub fn merge(&mut self, later: Self) {
        for (address, change) in later.accounts {
            match self.accounts.entry(address) {
                alloc::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(change);
                }
                alloc::collections::btree_map::Entry::Occupied(entry) => entry.into_mut().merge(change),
            }
        }
        self.codes.extend(later.codes);
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.codes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(info: Option<Account>, wiped: bool, slots: &[(u64, u64)]) -> AccountChange {
        let storage = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect();
        AccountChange { info, wiped, storage }
    }

    #[test]
    fn a_wipe_forgets_earlier_slots_and_stays() {
        let live = Some(Account::default());
        let mut merged = change(live, false, &[(1, 1), (2, 2)]);
        merged.merge(change(live, false, &[(2, 3)]));
        assert_eq!(merged, change(live, false, &[(1, 1), (2, 3)]));
        merged.merge(change(None, true, &[]));
        assert_eq!(merged, change(None, true, &[]));
        merged.merge(change(live, false, &[(4, 4)]));
        assert_eq!(merged, change(live, true, &[(4, 4)]));
    }
}
