//! Which entries of a part are as in the tables below, and which of them go when there is no room.
//!
//! Invariant: an entry is clean from when it was read until it is written or given up. One that is kept is not given up. What was given up
//! is used again before the part grows.
//! What it does not do: it holds no entries and takes none out of the index; who asks for one to give up does.

use std::collections::VecDeque;

use super::words::Bits;

/// Clean entries of a part.
#[derive(Debug, Default)]
pub(super) struct Clean {
    clean: Bits,
    /// Those that may be given up, the first first; some may have been written since.
    spare: VecDeque<u32>,
    /// Those that are about to be written, and stay until something else was.
    kept: Vec<u32>,
    /// Entries that were given up.
    free: Vec<u32>,
}

impl Clean {
    /// Whether an entry is as in the tables.
    pub(super) fn has(&self, entry: usize) -> bool {
        self.clean.has(entry)
    }

    /// An entry was read; one that `goes` may be given up.
    pub(super) fn add(&mut self, entry: usize, goes: bool) {
        self.clean.add(entry);
        if goes {
            self.spare.push_back(entry as u32);
        }
    }

    /// An entry was written. Says whether it was clean.
    pub(super) fn remove(&mut self, entry: usize) -> bool {
        self.clean.remove(entry)
    }

    /// Keeps an entry, if it is clean, until [`Self::settle`].
    pub(super) fn keep(&mut self, entry: usize) {
        if self.has(entry) {
            self.kept.push(entry as u32);
        }
    }

    /// Keeps nothing any more.
    pub(super) fn settle(&mut self) {
        self.kept.clear();
    }

    /// The first entry that is still clean and not kept, if `room` of them or more may go; it is used again for the next one.
    pub(super) fn give_up(&mut self, room: usize) -> Option<usize> {
        if self.spare.len() < room {
            return None;
        }
        for _ in 0..self.spare.len() {
            let entry = self.spare.pop_front()?;
            if self.kept.contains(&entry) {
                self.spare.push_back(entry);
            } else if self.clean.remove(entry as usize) {
                self.free.push(entry);
                return Some(entry as usize);
            }
        }
        None
    }

    /// An entry that was given up, to be used again.
    pub(super) fn reuse(&mut self) -> Option<usize> {
        self.free.pop().map(|entry| entry as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_goes_unless_it_was_written_or_is_kept() {
        let mut clean = Clean::default();
        (0..5).for_each(|entry| clean.add(entry, entry != 1));
        assert_eq!(clean.give_up(5), None);
        assert!(clean.remove(0) && !clean.remove(0));
        clean.keep(0);
        clean.keep(2);
        assert_eq!(clean.give_up(4), Some(3));
        assert_eq!((clean.reuse(), clean.reuse()), (Some(3), None));
        assert!(clean.has(2) && !clean.has(3));
        clean.settle();
        assert_eq!((clean.give_up(0), clean.give_up(0), clean.give_up(0)), (Some(4), Some(2), None));
        assert!(clean.has(1));
    }
}
