//! One version of a state, read wherever it is: in memory and the tables below, or on disk if memory has forgotten it.
//!
//! Invariant: a view answers for its version only while memory's oldest version stays what it was when the view was made; who reads looks
//! at that afterwards.
//! What it does not do: it does not know whether its version was reverted.

use alloy_primitives::map::{AddressMap, U256Map};
use alloy_primitives::{Address, U256};
use interlace_stf::Account;
use interlace_trie::TrieAccount;

use crate::checkpoint::History;
use crate::error::StorageError;
use crate::flat::Flat;

/// What was before a version that memory has.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) history: History,
    /// Number of the state among all.
    pub(crate) state: u64,
}

impl Past {
    /// Says that what is on disk does not lead to this state.
    pub(crate) fn damaged(&self, detail: String) -> StorageError {
        StorageError::damaged(&self.history.file_behind(self.state), 0, detail)
    }
}

/// One version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) flat: &'a Flat,
    /// The version; of a past one, the oldest that memory has.
    pub(crate) version: u64,
    pub(crate) past: Option<&'a Past>,
}

impl View<'_> {
    /// The account at `address` with its storage root.
    pub(crate) fn trie_account(&self, address: Address) -> Result<Option<TrieAccount>, StorageError> {
        let past = self.past.map(|Past { history, state }| history.account(*state, &address)).transpose()?.flatten();
        past.map_or_else(|| self.flat.trie_account(address, self.version), Ok)
    }

    /// The account at `address`.
    pub(crate) fn account(&self, address: Address) -> Result<Option<Account>, StorageError> {
        if self.past.is_none() {
            return self.flat.account(address, self.version);
        }
        Ok(self.trie_account(address)?.map(|account| Account {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
        }))
    }

    /// The value of a slot.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> Result<U256, StorageError> {
        let past =
            self.past.map(|Past { history, state }| history.slot(*state, &address, &slot)).transpose()?.flatten();
        past.map_or_else(|| self.flat.slot(address, slot, self.version), Ok)
    }

    /// The accounts that exist, in no particular order.
    pub(crate) fn accounts(&self) -> Result<Vec<(Address, TrieAccount)>, StorageError> {
        let accounts = self.flat.accounts(self.version)?;
        let Some(Past { history, state }) = self.past else { return Ok(accounts) };
        let mut all: AddressMap<Option<TrieAccount>> =
            accounts.into_iter().map(|(address, account)| (address, Some(account))).collect();
        all.extend(history.accounts(*state)?.into_iter().map(|(address, (account, _))| (address, account)));
        Ok(all.into_iter().filter_map(|(address, account)| Some((address, account?))).collect())
    }

    /// The slots of `address` that are not zero, in no particular order.
    pub(crate) fn slots(&self, address: Address) -> Result<Vec<(U256, U256)>, StorageError> {
        let slots = self.flat.slots(address, self.version)?;
        let Some(Past { history, state }) = self.past else { return Ok(slots) };
        let mut all: U256Map<U256> = slots.into_iter().collect();
        all.extend(history.slots(*state, &address)?);
        Ok(all.into_iter().filter(|(_, value)| !value.is_zero()).collect())
    }
}
