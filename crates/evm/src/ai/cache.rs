//! Programs that ran before, ready to run again.
//!
//! Invariant: what is kept stands under the hash of the code that registers it, which names manifest and leaves, so it never goes stale. A hit
//! saves reading, proving and packing; accounts are looked at and gas is taken all the same.
//! Bounds: [`MAX_PROGRAM_CACHE_BYTES`] and [`MAX_CACHED_PROGRAMS`]; what was not asked for the longest goes first.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};

use super::infer::Ready;

/// Bytes of programs that are kept.
pub const MAX_PROGRAM_CACHE_BYTES: usize = 256 * 1024 * 1024;
/// Programs that are kept.
pub const MAX_CACHED_PROGRAMS: usize = 4_096;

/// What was asked of the cache so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramStats {
    /// Programs that are kept.
    pub programs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Runs that found their program.
    pub hits: u64,
    /// Runs that had to make it from the state.
    pub misses: u64,
}

struct Entry {
    program: Arc<Ready>,
    bytes: usize,
    asked: u64,
}

#[derive(Default)]
struct Kept {
    programs: HashMap<(Address, B256), Entry>,
    bytes: usize,
    /// Questions and answers so far: the clock by which entries are older or younger.
    asked: u64,
}

impl Kept {
    fn forget(&mut self, key: (Address, B256)) {
        self.bytes -= self.programs.remove(&key).map_or(0, |entry| entry.bytes);
    }

    fn oldest(&self) -> Option<(Address, B256)> {
        self.programs.iter().min_by_key(|(_, entry)| entry.asked).map(|(key, _)| *key)
    }
}

/// See above.
#[derive(Default)]
pub(crate) struct ProgramCache {
    kept: Mutex<Kept>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl fmt::Debug for ProgramCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgramCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl ProgramCache {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program that code with this hash registers at `address`.
    pub(super) fn get(&self, address: Address, code_hash: B256) -> Option<Arc<Ready>> {
        let mut kept = self.kept();
        kept.asked += 1;
        let asked = kept.asked;
        let found = kept.programs.get_mut(&(address, code_hash)).map(|entry| {
            entry.asked = asked;
            Arc::clone(&entry.program)
        });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(super) fn keep(&self, address: Address, code_hash: B256, program: &Arc<Ready>) {
        let bytes = program.bytes();
        if bytes > MAX_PROGRAM_CACHE_BYTES {
            return;
        }
        let mut kept = self.kept();
        kept.forget((address, code_hash));
        while kept.bytes + bytes > MAX_PROGRAM_CACHE_BYTES || kept.programs.len() >= MAX_CACHED_PROGRAMS {
            let Some(oldest) = kept.oldest() else { break };
            kept.forget(oldest);
        }
        kept.bytes += bytes;
        kept.asked += 1;
        let asked = kept.asked;
        kept.programs.insert((address, code_hash), Entry { program: Arc::clone(program), bytes, asked });
    }

    pub(crate) fn stats(&self) -> ProgramStats {
        let kept = self.kept();
        ProgramStats {
            programs: kept.programs.len() as u64,
            bytes: kept.bytes as u64,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use interlace_tensor::{DType, Graph, Node, Op, Program, TensorType};

    use super::*;

    /// A product of `depth` numbers and a matrix of 16 columns.
    fn program(depth: u32) -> Arc<Ready> {
        let input = TensorType { dtype: DType::I8, dims: vec![depth] };
        let nodes = vec![Node { op: Op::MatMul { outputs: 16 }, operands: vec![0] }];
        let weights = vec![0; depth as usize * 16 + 64];
        Arc::new(Ready::unplaced(Program::assemble(&Graph { input, nodes }.encode(), &weights).unwrap()))
    }

    fn place(number: usize) -> Address {
        Address::from_word(B256::from(alloy_primitives::U256::from(number)))
    }

    #[test]
    fn bytes_are_bounded_and_what_was_not_asked_for_goes_first() {
        let (cache, program) = (ProgramCache::default(), program(400_000));
        let fit = MAX_PROGRAM_CACHE_BYTES / program.bytes();
        assert!((10..40).contains(&fit), "{fit}");
        for number in 0..fit {
            cache.keep(place(number), B256::ZERO, &program);
            cache.keep(place(number), B256::ZERO, &program);
        }
        assert_eq!(cache.stats().bytes, (fit * program.bytes()) as u64, "the same program counts once");
        assert!(cache.get(place(0), B256::ZERO).is_some());
        cache.keep(place(fit), B256::ZERO, &program);
        assert_eq!(cache.stats().bytes, (fit * program.bytes()) as u64);
        let held = |number| cache.get(place(number), B256::ZERO).is_some();
        assert_eq!([held(0), held(1), held(2), held(fit)], [true, false, true, true]);
        assert_eq!((cache.stats().hits, cache.stats().misses), (4, 1));
        // Other code at the same address is something else.
        assert!(cache.get(place(0), B256::repeat_byte(1)).is_none());
    }

    #[test]
    fn programs_are_bounded() {
        let (cache, program) = (ProgramCache::default(), program(1));
        (0..MAX_CACHED_PROGRAMS + 10).for_each(|number| cache.keep(place(number), B256::ZERO, &program));
        assert_eq!(cache.stats().programs, MAX_CACHED_PROGRAMS as u64);
        assert!(cache.get(place(9), B256::ZERO).is_none() && cache.get(place(10), B256::ZERO).is_some());
    }
}
