//! A part of the slots of all storages, by storage and key.
//!
//! Invariant: an entry stays where it is, zero or not. The slots of a storage are a chain of entries, in whichever parts they lie, that
//! begins at the newest.

use std::collections::HashSet;

use alloy_primitives::U256;

use super::index::Index;
use super::past::Past;
use crate::segments::Segments;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct SlotEntry {
    storage: u32,
    /// Handle of the next slot of the storage.
    next: u32,
    key: U256,
    value: U256,
}

/// Slots of any storages.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// The newest version that wrote here.
    version: u64,
    entries: Segments<SlotEntry>,
    index: Index,
    /// None before the first write.
    past: Past<Option<U256>>,
    /// Entries whose writes were all undone.
    unwritten: HashSet<u32>,
}

impl Slots {
    pub(super) fn find(&self, hash: u64, storage: u32, key: &U256) -> Option<usize> {
        self.index.find(hash, |number| {
            let entry = &self.entries[number];
            entry.storage == storage && entry.key == *key
        })
    }

    /// The value of an entry at `version`; none if it was not written yet.
    pub(super) fn at(&self, entry: usize, version: u64) -> Option<U256> {
        // The newest version is wanted far more often than any other.
        let before = if self.version > version { self.past.at(entry, version) } else { None };
        before.unwrap_or_else(|| self.now(entry))
    }

    fn now(&self, entry: usize) -> Option<U256> {
        let undone = !self.unwritten.is_empty() && self.unwritten.contains(&(entry as u32));
        (!undone).then(|| self.entries[entry].value)
    }

    /// Key, and the newest value.
    pub(super) fn key_and_value(&self, entry: usize) -> (U256, U256) {
        let SlotEntry { key, value, .. } = self.entries[entry];
        (key, value)
    }

    /// Key, value at `version`, and the next slot of the same storage.
    pub(super) fn link(&self, entry: usize, version: u64) -> (U256, Option<U256>, u32) {
        (self.entries[entry].key, self.at(entry, version), self.entries[entry].next)
    }

    /// An entry for a slot that has none, before the others of its storage; it is to be written before anyone reads.
    pub(super) fn begin(&mut self, hash: u64, storage: u32, key: U256, next: u32) -> usize {
        let entry = self.entries.len();
        self.index.insert(hash, entry);
        self.entries.push(SlotEntry { storage, next, key, value: U256::ZERO });
        entry
    }

    /// Writes an entry as `version`, the newest; `is_new` says that it was just begun.
    pub(super) fn write(&mut self, entry: usize, version: u64, value: U256, is_new: bool) {
        if version > 0 {
            let before = if is_new { None } else { self.now(entry) };
            self.past.push(entry, version, before);
        }
        self.version = version;
        if !self.unwritten.is_empty() {
            self.unwritten.remove(&(entry as u32));
        }
        self.entries[entry].value = value;
    }

    /// Undoes what `version`, the newest, wrote to an entry; `target` is the version that will be the newest.
    pub(super) fn revert(&mut self, entry: usize, version: u64, target: u64) {
        match self.past.pop(entry, version) {
            Some(Some(value)) => self.entries[entry].value = value,
            Some(None) => {
                self.entries[entry].value = U256::ZERO;
                self.unwritten.insert(entry as u32);
            }
            None => {}
        }
        self.version = self.version.min(target);
    }

    /// Bytes of entries and index, and values of older versions.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.entries.len() * size_of::<SlotEntry>() + self.index.bytes(), self.past.len())
    }
}

const _: () = assert!(size_of::<SlotEntry>() == 72);
