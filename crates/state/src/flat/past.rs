//! What entries were before they were what they are.
//!
//! Invariant: of an entry, versions ascend; each is that of a write, and stands with the value before that write. What an entry was at a
//! version is what it was before the first write after it, or what it is.

use std::collections::HashMap;

/// Values before writes, by the number of their entry.
#[derive(Debug)]
pub(super) struct Past<V> {
    writes: HashMap<u32, Vec<(u64, V)>>,
}

impl<V> Default for Past<V> {
    fn default() -> Self {
        Self { writes: HashMap::new() }
    }
}

impl<V: Copy> Past<V> {
    /// The value at `version`, if there was a write after it.
    pub(super) fn at(&self, entry: usize, version: u64) -> Option<V> {
        let writes = self.writes.get(&number(entry))?;
        let first = writes.partition_point(|(written, _)| *written <= version);
        writes.get(first).map(|(_, before)| *before)
    }

    /// Version `version`, the newest, writes an entry whose value was `before`.
    pub(super) fn push(&mut self, entry: usize, version: u64, before: V) {
        self.writes.entry(number(entry)).or_default().push((version, before));
    }

    /// The value before the write of `version`, which is undone.
    pub(super) fn pop(&mut self, entry: usize, version: u64) -> Option<V> {
        let writes = self.writes.get_mut(&number(entry))?;
        let before = writes.pop_if(|(written, _)| *written == version).map(|(_, before)| before);
        if writes.is_empty() {
            self.writes.remove(&number(entry));
        }
        before
    }

    /// Values held.
    pub(super) fn len(&self) -> usize {
        self.writes.values().map(Vec::len).sum()
    }
}

/// Numbers of entries fit: the index refused others.
const fn number(entry: usize) -> u32 {
    entry as u32
}
