//! The flat state: every account and slot by its key, at every version since genesis.
//!
//! Why Rust: it is read several times per opcode that touches storage.
//!
//! ```text
//! address ─hash─► one of 64 shards, each behind a lock of its own ─► entry, as it is now ─► and, for an older version, as it was
//! ```
//! Invariant: a read at a version answers for that version, whatever is written meanwhile: the newest value and what was there before each
//! write are changed together, under the shard's lock. No reader waits for hashing, and a writer keeps one shard at a time.
//! What it does not do: it knows no blocks, and does not know which versions were reverted; who reverts says so first (`memory`).

mod index;
#[cfg(test)]
mod oracle;
mod past;
mod shard;
#[cfg(test)]
mod tests;

use core::fmt::{Debug, Formatter};
use core::hash::BuildHasher;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use alloy_primitives::map::{AddressMap, B256Map, DefaultHashBuilder};
use alloy_primitives::{Address, B256, Bytes, U256};
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::TrieAccount;
use rayon::prelude::*;

use shard::{Key, Shard, WrittenAccount};

/// Shards; a power of two. More than threads by far, so that readers and a writer seldom meet.
const SHARDS: usize = 64;
/// Accounts of a version from which on it is written by several threads.
const MIN_PARALLEL: usize = 512;

/// What a version wrote, so that it can be undone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) accounts: Vec<WrittenAccount>,
}

/// Accounts, slots and code, by version.
pub(crate) struct Flat {
    shards: Box<[RwLock<Shard>]>,
    /// Seeded, because whoever chooses addresses could otherwise choose them for one place.
    hasher: DefaultHashBuilder,
    /// Code is addressed by its hash: that of a reverted version is not reachable and does no harm.
    codes: RwLock<B256Map<Bytes>>,
    /// Whether another chain's state lies below.
    partial: bool,
}

impl Debug for Flat {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        let (bytes, past) = self.sizes();
        f.debug_struct("Flat").field("bytes", &bytes).field("past", &past).finish_non_exhaustive()
    }
}

impl Flat {
    pub(crate) fn new(partial: bool) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, hasher: DefaultHashBuilder::default(), codes: RwLock::default(), partial }
    }

    fn key(&self, address: Address) -> Key {
        Key { address, hash: self.hasher.hash_one(address) }
    }

    fn slot_hash(&self, storage: u32, slot: &U256) -> u64 {
        self.hasher.hash_one((storage, slot.as_limbs()))
    }

    const fn place(key: Key) -> usize {
        key.hash as usize % SHARDS
    }

    // A panic under a lock is a bug that ends the write half way; the state root of the next block would tell. A poisoned lock is taken.
    fn read(&self, key: Key) -> RwLockReadGuard<'_, Shard> {
        self.shards[Self::place(key)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard_mut(&self, place: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[place].write().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- reading

    /// The account at `address` as it was written last; `None` if it never was.
    pub(crate) fn written_account(&self, address: Address, version: u64) -> Option<Option<Account>> {
        let key = self.key(address);
        self.read(key).account(key, version).written()
    }

    pub(crate) fn account(&self, address: Address, version: u64) -> Option<Account> {
        self.written_account(address, version).flatten()
    }

    pub(crate) fn trie_account(&self, address: Address, version: u64) -> Option<TrieAccount> {
        let key = self.key(address);
        self.read(key).trie_account(key, version)
    }

    /// The value of a slot as it was written last, by a wipe too; `None` if it never was.
    pub(crate) fn written_slot(&self, address: Address, slot: U256, version: u64) -> Option<U256> {
        let key = self.key(address);
        self.read(key).slot(key, &slot, version, |storage| self.slot_hash(storage, &slot))
    }

    /// The accounts that exist at `version`, in no particular order.
    pub(crate) fn accounts(&self, version: u64) -> Vec<(Address, TrieAccount)> {
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|shard| shard.accounts(version).collect::<Vec<_>>()).collect()
    }

    /// The slots of `address` that are not zero at `version`, in no particular order.
    pub(crate) fn slots(&self, address: Address, version: u64) -> Vec<(U256, U256)> {
        let key = self.key(address);
        self.read(key).slots(key, version)
    }

    /// Which storage an account has; another one after each wipe.
    pub(crate) fn storage_of(&self, address: Address, version: u64) -> Option<u32> {
        let key = self.key(address);
        self.read(key).storage_of(key, version)
    }

    /// Keys of the slots that were written.
    pub(crate) fn keys(&self, written: &WrittenAccount) -> Vec<U256> {
        self.read(self.key(written.address)).keys(written).collect()
    }

    pub(crate) fn code(&self, hash: B256) -> Option<Bytes> {
        self.codes.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    /// Bytes of entries and indexes, and how many values of older versions there are.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        shards.fold((0, 0), |(bytes, past), shard| (bytes + shard.bytes(), past + shard.past()))
    }

    // ---- writing

    /// Writes `changes` as `version`, the newest; `accounts` are those of them that exist afterwards.
    pub(crate) fn write(&self, version: u64, changes: Changes, accounts: &AddressMap<TrieAccount>) -> Written {
        let Changes { accounts: changed, codes } = changes;
        self.codes.write().unwrap_or_else(PoisonError::into_inner).extend(codes);
        let put = |shard: &mut Shard, key: Key, change: &AccountChange| {
            let slot_hash = |storage: u32, slot: &U256| self.slot_hash(storage, slot);
            shard.write(key, version, change, accounts.get(&key.address), self.partial, slot_hash)
        };
        if changed.len() < MIN_PARALLEL {
            let written = changed.iter().map(|(address, change)| {
                let key = self.key(*address);
                put(&mut self.shard_mut(Self::place(key)), key, change)
            });
            return Written { accounts: written.collect() };
        }
        let mut parts: Vec<Vec<(Key, &AccountChange)>> = vec![Vec::new(); SHARDS];
        for (address, change) in &changed {
            let key = self.key(*address);
            parts[Self::place(key)].push((key, change));
        }
        let written = parts.into_par_iter().enumerate().map(|(place, part)| {
            let mut shard = self.shard_mut(place);
            part.into_iter().map(|(key, change)| put(&mut shard, key, change)).collect::<Vec<_>>()
        });
        Written { accounts: written.collect::<Vec<_>>().into_iter().flatten().collect() }
    }

    /// Undoes `version`, the newest; `target` is the version that will be the newest.
    pub(crate) fn revert(&self, version: u64, target: u64, written: &Written) {
        for account in &written.accounts {
            let key = self.key(account.address);
            self.shard_mut(Self::place(key)).revert(version, target, account);
        }
    }
}
