//! What entries were before they were what they are.
//!
//! Invariant: of an entry, versions ascend; each is that of a write, and stands with the value before that write. What an entry was at a
//! version is what it was before the first write after it, or what it is.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};

use foldhash::fast::RandomState;

/// The writes of one entry, oldest first. Most entries are written once, and then need no memory of their own.
#[derive(Debug)]
enum Writes<V> {
    One((u64, V)),
    More(VecDeque<(u64, V)>),
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
        match self.writes.get(&number(entry))? {
            Writes::One((written, before)) => (*written > version).then_some(*before),
            Writes::More(more) => {
                more.get(more.partition_point(|(written, _)| *written <= version)).map(|(_, before)| *before)
            }
        }
    }

    /// Version `version`, the newest, writes an entry whose value was `before`.
    pub(super) fn push(&mut self, entry: usize, version: u64, before: V) {
        self.len += 1;
        match self.writes.entry(number(entry)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Writes::One((version, before)));
            }
            Entry::Occupied(mut writes) => match writes.get_mut() {
                Writes::One(one) => *writes.get_mut() = Writes::More([*one, (version, before)].into()),
                Writes::More(more) => more.push_back((version, before)),
            },
        }
    }

    /// The value before the write of `version`, which is undone.
    pub(super) fn pop(&mut self, entry: usize, version: u64) -> Option<V> {
        self.take(entry, version, VecDeque::back, VecDeque::pop_back)
    }

    /// Forgets the value before the write of `version`, the oldest that is held.
    pub(super) fn forget(&mut self, entry: usize, version: u64) {
        let _ = self.take(entry, version, VecDeque::front, VecDeque::pop_front);
    }

    /// Takes a write from one end, if it is that of `version`.
    fn take(
        &mut self,
        entry: usize,
        version: u64,
        end: impl Fn(&VecDeque<(u64, V)>) -> Option<&(u64, V)>,
        pop: impl Fn(&mut VecDeque<(u64, V)>) -> Option<(u64, V)>,
    ) -> Option<V> {
        let Entry::Occupied(mut writes) = self.writes.entry(number(entry)) else { return None };
        let (_, before) = match writes.get_mut() {
            Writes::One(one) if one.0 == version => {
                let one = *one;
                writes.remove();
                one
            }
            Writes::More(more) if end(more).is_some_and(|(written, _)| *written == version) => {
                let taken = pop(more)?;
                if more.is_empty() {
                    writes.remove();
                }
                taken
            }
            _ => return None,
        };
        self.len -= 1;
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
