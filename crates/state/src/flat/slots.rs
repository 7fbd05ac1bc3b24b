//! A part of the slots of all storages, by storage and key.
//!
//! A slot is 72 bytes: storage, next slot of the same storage, key, value. Readers of the newest version take no lock (`words`).
//!
//! Invariant: an entry that was written stays where it is, zero or not. The slots of a storage are a chain of entries, in whichever parts they lie, that
//! begins at the newest. Clean ones, read from the tables below and never written, are in none.

use std::sync::PoisonError;

use alloy_primitives::U256;

use super::clean::Clean;
use super::cold::Room;
use super::index::Index;
use super::past::Past;
use super::words::{Records, Sequence, same};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// No entry, and no storage.
pub(super) const NONE: u32 = u32::MAX;
/// In the word of storage and next slot: all writes were undone.
const UNWRITTEN: u64 = 1 << 31;

/// Words of a slot: storage below next slot, key, value.
type SlotWords = [u64; 9];

/// Slots of any storages, their newest values readable without a lock.
#[derive(Debug, Default)]
pub(super) struct Slots {
    sequence: Sequence,
    entries: Records<9>,
    index: Index,
    held: RwLock<Held>,
}

/// What readers of older versions, and writers, lock.
#[derive(Debug, Default)]
struct Held {
    len: usize,
    /// None before the first write.
    past: Past<Option<U256>>,
    /// Entries that are as in the tables below, and were never written; they are in no chain.
    clean: Clean,
}

/// The right to write.
pub(super) struct Writer<'a> {
    part: &'a Slots,
    held: RwLockWriteGuard<'a, Held>,
}

const fn words(links: u64, key: &U256, value: &U256) -> SlotWords {
    let ([a, b, c, d], [e, f, g, h]) = (*key.as_limbs(), *value.as_limbs());
    [links, a, b, c, d, e, f, g, h]
}

const fn value_of([links, _, _, _, _, e, f, g, h]: &SlotWords) -> Option<U256> {
    if *links & UNWRITTEN == 0 { Some(U256::from_limbs([*e, *f, *g, *h])) } else { None }
}

const fn key_of([_, a, b, c, d, ..]: &SlotWords) -> U256 {
    U256::from_limbs([*a, *b, *c, *d])
}

impl Slots {
    /// What `take` has of the words of a slot that was ever written.
    #[inline]
    fn with_entry<T>(
        &self,
        hash: u64,
        storage: u32,
        key: &U256,
        take: impl Fn(usize, &[AtomicU64; 9]) -> T,
    ) -> Option<T> {
        self.index.find(hash, |entry| {
            let words = self.entries.get(entry)?;
            let load = |word: usize| words[word].load(Ordering::Relaxed);
            let is_storage = (load(0) & (UNWRITTEN - 1)) as u32 == storage;
            (is_storage && same([load(1), load(2), load(3), load(4)], *key.as_limbs())).then(|| take(entry, words))
        })
    }

    /// The entry of a slot, for who does not hold the right to write.
    pub(super) fn entry_of(&self, hash: u64, storage: u32, key: &U256) -> Option<usize> {
        let found = self.sequence.read(u64::MAX, || self.place_of(hash, storage, key));
        found.unwrap_or_else(|| {
            let _held = self.read();
            self.place_of(hash, storage, key)
        })
    }

    /// The same, while nobody writes.
    fn place_of(&self, hash: u64, storage: u32, key: &U256) -> Option<usize> {
        self.with_entry(hash, storage, key, |entry, _| entry)
    }

    fn now(&self, entry: usize) -> Option<U256> {
        // A torn read may ask for an entry that is not there.
        value_of(&self.entries.load(entry).unwrap_or_default())
    }

    /// The value of a slot at `version`; none if it was not written yet.
    #[inline]
    pub(super) fn value(&self, hash: u64, storage: u32, key: &U256, version: u64) -> Option<U256> {
        let newest = self.sequence.read(version, || {
            self.with_entry(hash, storage, key, |_, words| {
                let load = |word: usize| words[word].load(Ordering::Relaxed);
                let value = U256::from_limbs([load(5), load(6), load(7), load(8)]);
                (load(0) & UNWRITTEN == 0).then_some(value)
            })
        });
        newest.map_or_else(|| self.older_value(hash, storage, key, version), Option::flatten)
    }

    #[cold]
    fn older_value(&self, hash: u64, storage: u32, key: &U256, version: u64) -> Option<U256> {
        let held = self.read();
        self.place_of(hash, storage, key).and_then(|entry| self.at(&held, entry, version))
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, held: &Held, entry: usize, version: u64) -> Option<U256> {
        let before = if self.sequence.is_newest(version) { None } else { held.past.at(entry, version) };
        before.unwrap_or_else(|| self.now(entry))
    }

    /// The entry of a slot, and whether it is as in the tables below and was never written.
    pub(super) fn entry_and_clean(&self, hash: u64, storage: u32, key: &U256) -> Option<(usize, bool)> {
        let held = self.read();
        self.place_of(hash, storage, key).map(|entry| (entry, held.clean.has(entry)))
    }

    /// Key, and the newest value.
    pub(super) fn key_and_value(&self, entry: usize) -> (U256, U256) {
        let _held = self.read();
        let words = self.entries.load(entry).unwrap_or_default();
        (key_of(&words), value_of(&words).unwrap_or_default())
    }

    /// Key, value at `version`, and the next slot of the same storage.
    pub(super) fn link(&self, entry: usize, version: u64) -> (U256, Option<U256>, u32) {
        let held = self.read();
        let words = self.entries.load(entry).unwrap_or_default();
        (key_of(&words), self.at(&held, entry, version), (words[0] >> 32) as u32)
    }

    pub(super) fn write(&self) -> Writer<'_> {
        Writer { part: self, held: self.held.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Bytes of entries and index, and values of older versions.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let held = self.read();
        (held.len * size_of::<SlotWords>() + self.index.bytes(), held.past.len())
    }
}

impl Writer<'_> {
    /// Writes a slot as `version`, the newest; one that has no entry gets it, before `next`, which was the first of its storage. Gives the
    /// entry, and whether it is new.
    pub(super) fn write(
        &mut self,
        hash: u64,
        storage: u32,
        key: &U256,
        value: &U256,
        version: u64,
        next: u32,
    ) -> (usize, bool) {
        let (entry, is_new, before) = self.put(hash, storage, key, value, version, next);
        if version > 0 {
            self.held.past.push(entry, version, before);
        }
        let was_clean = self.held.clean.remove(entry);
        if was_clean {
            let _change = self.part.sequence.change(version);
            self.part.entries.store(entry, words(u64::from(storage) | u64::from(next) << 32, key, value));
        }
        (entry, is_new || was_clean)
    }

    /// Puts a slot beside which there is none yet as it is in the tables below.
    /// At most as many as the room has are held; `rehash` gives the hash of a slot. Says whether one was given up for it.
    pub(super) fn warm(
        &mut self,
        hash: u64,
        storage: u32,
        (key, value): (&U256, &U256),
        room: &Room,
        rehash: impl Fn(u32, &U256) -> u64,
    ) -> bool {
        if self.part.place_of(hash, storage, key).is_some() {
            return false;
        }
        let gives_up = self.give_up(room, rehash);
        let version = self.part.sequence.newest();
        let (entry, _, _) = self.put(hash, storage, key, value, version, NONE);
        self.held.clean.add(entry, true);
        gives_up
    }

    /// Keeps an entry, if it is clean, until [`Self::settle`]. Says whether there is one.
    pub(super) fn keep(&mut self, hash: u64, storage: u32, key: &U256) -> bool {
        self.part.place_of(hash, storage, key).map(|entry| self.held.clean.keep(entry)).is_some()
    }

    /// Keeps nothing any more.
    pub(super) fn settle(&mut self) {
        self.held.clean.settle();
    }

    /// Gives an entry up if there is no room.
    fn give_up(&mut self, room: &Room, rehash: impl Fn(u32, &U256) -> u64) -> bool {
        let Some(entry) = self.held.clean.give_up(room.slots) else { return false };
        let part = self.part;
        let now = part.entries.load(entry).unwrap_or_default();
        let _change = part.sequence.change(part.sequence.newest());
        part.index.remove(rehash((now[0] & (UNWRITTEN - 1)) as u32, &key_of(&now)), entry);
        part.entries.store(entry, [UNWRITTEN, 0, 0, 0, 0, 0, 0, 0, 0]);
        true
    }

    /// As [`Self::write`]; what the slot was is given, and forgotten by whoever does not keep it.
    pub(super) fn put(
        &mut self,
        hash: u64,
        storage: u32,
        key: &U256,
        value: &U256,
        version: u64,
        next: u32,
    ) -> (usize, bool, Option<U256>) {
        let part = self.part;
        let _change = part.sequence.change(version);
        let known = part.place_of(hash, storage, key);
        let entry = known.or_else(|| self.held.clean.reuse()).unwrap_or(self.held.len);
        let before = known.and_then(|entry| part.now(entry));
        let links = match known {
            Some(entry) => part.entries.load(entry).unwrap_or_default()[0] & !UNWRITTEN,
            None => u64::from(storage) | u64::from(next) << 32,
        };
        part.entries.store(entry, words(links, key, value));
        if known.is_none() {
            part.index.insert(hash, entry);
            self.held.len = self.held.len.max(entry + 1);
        }
        (entry, known.is_none(), before)
    }

    /// Forgets what an entry was before the write of `version`, the oldest that is held of it.
    pub(super) fn forget(&mut self, entry: usize, version: u64) {
        self.held.past.forget(entry, version);
    }

    /// Undoes what `version`, the newest, wrote to an entry; `target` is the version that will be the newest.
    pub(super) fn revert(&mut self, entry: usize, version: u64, target: u64) {
        let part = self.part;
        let _change = part.sequence.undo(target);
        if let Some(before) = self.held.past.pop(entry, version) {
            let now = part.entries.load(entry).unwrap_or_default();
            let unwritten = if before.is_none() { UNWRITTEN } else { 0 };
            part.entries.store(entry, words(now[0] | unwritten, &key_of(&now), &before.unwrap_or_default()));
        }
    }
}
