//! Translated code, shared by everybody who executes on one state.
//!
//! Invariant: what is kept under a hash and a fork is a function of the two; at most [`MAX_CELL_BYTES`] are kept. A cache that is full
//! forgets everything. Code is translated when it is executed for the [`WARM`]th time, on a thread of its own: nobody who executes waits.
//! Bounds: [`MAX_WAITING`] codes wait to be translated; who comes when there are more executes as before, and asks again the next time.
//! Executions of [`MAX_SEEN`] codes are counted, then counting begins anew. Code above [`MAX_TRANSLATED_CODE`] bytes is never translated.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::thread;

use alloy_primitives::B256;
use alloy_primitives::map::B256Map;
use interlace_primitives::Fork;
use revm::bytecode::Bytecode;
use revm::interpreter::instructions::GasTable;

use super::analyse::analyse;
use super::cells::Analysed;

/// Bytes of translated code.
pub const MAX_CELL_BYTES: usize = 128 * 1024 * 1024;
/// Bytes of code that is translated at all. Contracts have 24,576 at most since Spurious Dragon.
pub const MAX_TRANSLATED_CODE: usize = 1024 * 1024;
/// Codes that wait to be translated.
const MAX_WAITING: usize = 64;
/// Codes of which executions are counted.
const MAX_SEEN: usize = 65_536;
/// Executions after which code is translated.
const WARM: u64 = 2;

type Key = (B256, Fork);

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeStats {
    /// Codes that are kept.
    pub codes: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Codes that were translated.
    pub translated: u64,
    /// Frames that began in cells.
    pub frames: u64,
    /// Frames that the interpreter executed, because their code is not translated, or not yet.
    pub plain_frames: u64,
}

/// Code that is about to be executed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called<'a> {
    pub(crate) hash: B256,
    pub(crate) fork: Fork,
    pub(crate) code: &'a Bytecode,
    /// Static gas of its instructions.
    pub(crate) gas: &'a GasTable,
    /// Whether it begins, rather than goes on after a call.
    pub(crate) begins: bool,
}

impl Called<'_> {
    const fn key(&self) -> Key {
        (self.hash, self.fork)
    }

    fn translated(&self) -> Analysed {
        analyse(self.code.bytes_ref(), self.gas, self.fork)
    }
}

struct Wanted {
    key: Key,
    code: Bytecode,
    gas: GasTable,
}

#[derive(Default)]
struct Kept {
    codes: HashMap<Key, Arc<Analysed>>,
    bytes: usize,
}

#[derive(Default)]
struct Shared {
    kept: RwLock<Kept>,
    seen: Mutex<HashMap<Key, u64>>,
    translated: AtomicU64,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    frames: AtomicU64,
    plain_frames: AtomicU64,
}

/// See above.
#[derive(Default)]
pub(crate) struct TierCache {
    /// Whether whoever executes translates, the first time.
    at_once: AtomicBool,
    off: AtomicBool,
    shared: Arc<Shared>,
    worker: Mutex<Option<SyncSender<Wanted>>>,
}

impl fmt::Debug for TierCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    fn kept(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: Key, code: Analysed) -> Arc<Analysed> {
        let (code, bytes) = (Arc::new(code), size_of::<Key>());
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = bytes + code.bytes();
        if kept.bytes.saturating_add(bytes) > MAX_CELL_BYTES {
            *kept = Kept::default();
        }
        if kept.codes.insert(key, Arc::clone(&code)).is_none() {
            kept.bytes += bytes;
        }
        self.translated.fetch_add(1, Ordering::Relaxed);
        code
    }
}

impl TierCache {
    pub(crate) fn at_once(&self) {
        self.at_once.store(true, Ordering::Relaxed);
    }

    /// Whether code is translated and cells are executed.
    pub(crate) fn is_on(&self) -> bool {
        !self.off.load(Ordering::Relaxed)
    }

    pub(crate) fn switch(&self, on: bool) {
        self.off.store(!on, Ordering::Relaxed);
    }

    /// The cells of what is `called`, if it was translated; else counts the execution, and has it translated if it is executed often. Only what is
    /// `lasting` is: code that an execution brought along may never be committed.
    fn get(&self, called: Called<'_>, lasting: impl Fn() -> bool) -> Option<Arc<Analysed>> {
        let key = called.key();
        if let Some(code) = self.shared.kept().codes.get(&key) {
            return Some(Arc::clone(code));
        }
        if !called.begins || called.code.bytes_ref().len() > MAX_TRANSLATED_CODE || !lasting() {
            return None;
        }
        if self.at_once.load(Ordering::Relaxed) {
            return Some(self.shared.keep(key, called.translated()));
        }
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_SEEN {
            seen.clear();
        }
        let times = seen.entry(key).or_default();
        *times += 1;
        if *times == WARM && !self.want(Wanted { key, code: called.code.clone(), gas: *called.gas }) {
            *times = 0;
        }
        None
    }

    fn want(&self, wanted: Wanted) -> bool {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.is_none() {
            *worker = translator(Arc::downgrade(&self.shared));
        }
        worker.as_ref().is_some_and(|worker| worker.try_send(wanted).is_ok())
    }

    pub(crate) fn stats(&self) -> CodeStats {
        let kept = self.shared.kept();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CodeStats {
            codes: kept.codes.len() as u64,
            bytes: kept.bytes as u64,
            translated: count(&self.shared.translated),
            frames: count(&self.shared.counts.frames),
            plain_frames: count(&self.shared.counts.plain_frames),
        }
    }
}

/// A thread that translates until the cache is gone; none if the system gives none.
fn translator(shared: Weak<Shared>) -> Option<SyncSender<Wanted>> {
    let (sender, wanted) = sync_channel::<Wanted>(MAX_WAITING);
    let work = move || {
        for Wanted { key, code, gas } in wanted {
            let Some(shared) = shared.upgrade() else { return };
            shared.keep(key, analyse(code.bytes_ref(), &gas, key.1));
        }
    };
    thread::Builder::new().name("translator".to_owned()).spawn(work).ok().map(|_| sender)
}

/// What one machine has asked for before: it looks here without a lock. Its counts are told when it ends.
#[derive(Default)]
pub(crate) struct Known {
    fork: Option<Fork>,
    codes: B256Map<Arc<Analysed>>,
    counts: Option<Arc<Counts>>,
    frames: u64,
    plain_frames: u64,
}

impl Known {
    /// The cells of what is `called`, if `cache` has them; see [`TierCache::get`].
    pub(crate) fn get(
        &mut self,
        cache: &TierCache,
        called: Called<'_>,
        lasting: impl Fn() -> bool,
    ) -> Option<Arc<Analysed>> {
        let Called { hash, fork, begins, .. } = called;
        if self.fork != Some(fork) {
            (self.fork, self.codes) = (Some(fork), B256Map::default());
        }
        let cells = match self.codes.get(&hash) {
            Some(cells) => Some(Arc::clone(cells)),
            None => {
                self.counts.get_or_insert_with(|| Arc::clone(&cache.shared.counts));
                cache.get(called, lasting).inspect(|cells| drop(self.codes.insert(hash, Arc::clone(cells))))
            }
        };
        let counter = if cells.is_some() { &mut self.frames } else { &mut self.plain_frames };
        *counter += u64::from(begins);
        cells
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some(counts) = &self.counts {
            counts.frames.fetch_add(self.frames, Ordering::Relaxed);
            counts.plain_frames.fetch_add(self.plain_frames, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_primitives::Bytes;

    use super::*;

    /// Code of which each byte begins a section, which is what takes most.
    fn code(length: usize) -> Bytecode {
        Bytecode::new_legacy(Bytes::from(vec![0x5b; length]))
    }

    fn ask(cache: &TierCache, number: u8, code: &Bytecode) -> Option<Arc<Analysed>> {
        let called = Called { hash: B256::repeat_byte(number), fork: Fork::Osaka, code, gas: &[1; 256], begins: true };
        cache.get(called, || true)
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let (cache, code) = (TierCache::default(), code(MAX_TRANSLATED_CODE - 1));
        cache.at_once();
        let mut most = 0;
        for number in 0..10 {
            assert!(ask(&cache, number, &code).is_some());
            let stats = cache.stats();
            assert!(stats.bytes <= MAX_CELL_BYTES as u64, "{stats:?}");
            most = most.max(stats.codes);
        }
        assert!((3..10).contains(&most), "{most}");
        assert_eq!(cache.stats().translated, 10);
    }

    #[test]
    fn code_above_the_bound_is_not_translated() {
        let (cache, code) = (TierCache::default(), code(MAX_TRANSLATED_CODE + 1));
        cache.at_once();
        assert!(ask(&cache, 1, &code).is_none());
        assert_eq!(cache.stats(), CodeStats::default());
    }

    #[test]
    fn code_that_is_executed_once_is_not_translated() {
        let cache = TierCache::default();
        assert!((0..200).all(|number| ask(&cache, number, &code(9)).is_none()));
        assert!(cache.worker.lock().unwrap().is_none(), "nothing was asked of the translator");
        assert_eq!(cache.stats().translated, 0);
    }
}
