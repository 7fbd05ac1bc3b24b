//! What entries were before they were what they are.
//!
//! Invariant: of an entry, versions ascend; each is that of a write, and stands with the value before that write. What an entry was at a
//! version is what it was before the first write after it, or what it is.

use std::collections::hash_map::{Entry, HashMap};

use foldhash::fast::RandomState;

/// The writes of one entry, oldest first. Most entries are written once, and then need no memory of their own.
#[derive(Debug)]
enum Writes<V> {
    One([(u64, V); 1]),
    More(Vec<(u64, V)>),
}

impl<V: Copy> Writes<V> {
    fn all(&self) -> &[(u64, V)] {
        match self {
            Self::One(one) => one,
            Self::More(more) => more,
        }
    }
}

/// Values before writes, by the number of their entry.
#[derive(Debug)]
pub(super) struct Past<V> {
    writes: HashMap<u32, Writes<V>, RandomState>,
    len: usize,
}

impl<V> Default for Past<V> {
    fn default() -> Self {
        Self { writes: HashMap::default(), len: 0 }
    }
}

impl<V: Copy> Past<V> {
    /// The value at `version`, if there was a write after it.
    pub(super) fn at(&self, entry: usize, version: u64) -> Option<V> {
        let writes = self.writes.get(&number(entry))?.all();
        let first = writes.partition_point(|(written, _)| *written <= version);
        writes.get(first).map(|(_, before)| *before)
    }

    /// Version `version`, the newest, writes an entry whose value was `before`.
    pub(super) fn push(&mut self, entry: usize, version: u64, before: V) {
        self.len += 1;
        match self.writes.entry(number(entry)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Writes::One([(version, before)]));
            }
            Entry::Occupied(mut writes) => match writes.get_mut() {
                Writes::One([one]) => *writes.get_mut() = Writes::More(vec![*one, (version, before)]),
                Writes::More(more) => more.push((version, before)),
            },
        }
    }

    /// The value before the write of `version`, which is undone.
    pub(super) fn pop(&mut self, entry: usize, version: u64) -> Option<V> {
        let Entry::Occupied(mut writes) = self.writes.entry(number(entry)) else { return None };
        let (_, before) = *writes.get().all().last().filter(|(written, _)| *written == version)?;
        self.len -= 1;
        match writes.get_mut() {
            Writes::More(more) if more.len() > 1 => {
                more.pop();
            }
            _ => {
                writes.remove();
            }
        }
        Some(before)
    }

    /// Values held.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

/// Numbers of entries fit: the index refused others.
const fn number(entry: usize) -> u32 {
    entry as u32
}
