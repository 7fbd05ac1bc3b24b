//! What was read of another chain's block, kept on disk for the next start.
//!
//! One file for each block, named by chain id, number and hash; several processes may share it. Every value carries a checksum
//! over its key and itself: what does not match it is fetched again, so that a damaged file costs time and never gives a wrong value.
//! A file that cannot be opened is begun anew.
//!
//! Invariant: an answer is the base's, from this start or an earlier one. Fetches never wait for the disk: values are written by
//! a thread of their own, and those that it has no room for are not kept.
//! Bounds: [`MAX_CACHE_FILE_BYTES`], [`MAX_CACHE_FOLDER_BYTES`], [`MAX_UNWRITTEN`]; values above [`MAX_VALUE_BYTES`] are not kept.
//! What it does not do: it promises nothing at a crash; what was not written yet is fetched again.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use interlace_state::{Base, BaseAccount, BaseError};
use redb::{ConcurrencyMode, Database, ReadableDatabase, TableDefinition};

/// Bytes of one file above which nothing is added to it.
pub const MAX_CACHE_FILE_BYTES: u64 = 256 << 20;
/// Bytes of all files of a folder; the ones that were not used for longest are removed when another one is opened.
pub const MAX_CACHE_FOLDER_BYTES: u64 = 1 << 30;
/// Values that wait to be written.
pub const MAX_UNWRITTEN: usize = 4_096;
/// Bytes of one value.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// Pages of a file held in memory.
const PAGE_CACHE_BYTES: usize = 8 << 20;
const CHECKSUM_BYTES: usize = 8;
const SUFFIX: &str = "fork";
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("values-1");

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Entry = (Vec<u8>, Vec<u8>);

/// A base whose answers are kept in a file.
pub(crate) struct CachedBase {
    base: Arc<dyn Base>,
    database: Arc<Database>,
    /// Whether the file still takes and gives values; a fault ends that.
    sound: Arc<AtomicBool>,
    waiting: Option<SyncSender<Entry>>,
    writer: Option<JoinHandle<()>>,
}

impl fmt::Debug for CachedBase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CachedBase").field("base", &self.base).finish_non_exhaustive()
    }
}

#[derive(RlpDecodable, RlpEncodable)]
struct StoredAccount {
    nonce: u64,
    balance: U256,
    code: alloy_primitives::Bytes,
}

fn account_key(address: Address) -> Vec<u8> {
    [b"a", address.as_slice()].concat()
}

fn slot_key(address: Address, slot: U256) -> Vec<u8> {
    [b"s", address.as_slice(), &slot.to_be_bytes::<32>()].concat()
}

fn hash_key(number: u64) -> Vec<u8> {
    [b"h".as_slice(), &number.to_be_bytes()].concat()
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = keccak256([&(key.len() as u64).to_be_bytes(), key, value].concat());
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    sum
}

/// A file may be damaged in any way, and the library's own checks end in panics at some of them.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the file is damaged".into()))
}

impl CachedBase {
    /// Keeps what `base` says in `folder`, in the file of block `number` with `hash` on chain `chain_id`.
    ///
    /// # Errors
    /// When the folder or the file cannot be used: the text says why.
    pub(crate) fn open(base: Arc<dyn Base>, folder: &Path, block: (u64, u64, B256)) -> Result<Self, String> {
        Self::bounded(base, folder, block, MAX_CACHE_FILE_BYTES, MAX_CACHE_FOLDER_BYTES)
    }

    fn bounded(
        base: Arc<dyn Base>,
        folder: &Path,
        (chain_id, number, hash): (u64, u64, B256),
        file_bytes: u64,
        folder_bytes: u64,
    ) -> Result<Self, String> {
        let path = folder.join(format!("{chain_id}-{number}-{hash}.{SUFFIX}"));
        let shown = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
        fs::create_dir_all(folder).map_err(|error| shown(&error))?;
        make_room(folder, &path, folder_bytes);
        let database = open_file(&path).or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "a cache of a fork was unusable and is begun anew");
            fs::remove_file(&path)?;
            open_file(&path)
        });
        let database = Arc::new(database.map_err(|error| shown(&error))?);
        let sound = Arc::new(AtomicBool::new(true));
        let (waiting, entries) = sync_channel(MAX_UNWRITTEN);
        let writer = {
            let (database, sound) = (Arc::clone(&database), Arc::clone(&sound));
            let work = move || write_all(&entries, &database, &sound, &path, file_bytes);
            std::thread::Builder::new().name("interlace-fork-cache".into()).spawn(work)
        };
        let writer = writer.map_err(|error| error.to_string())?;
        Ok(Self { base, database, sound, waiting: Some(waiting), writer: Some(writer) })
    }

    /// The value of `key`, from the file if it holds it.
    fn get<T: Encodable + Decodable>(
        &self,
        key: Vec<u8>,
        fetch: impl FnOnce() -> Result<T, BaseError>,
    ) -> Result<T, BaseError> {
        if let Some(known) = self.read(&key).and_then(|value| T::decode(&mut value.as_slice()).ok()) {
            return Ok(known);
        }
        let value = fetch()?;
        let mut stored = alloy_rlp::encode(&value);
        if stored.len() <= MAX_VALUE_BYTES && self.sound.load(Ordering::Relaxed) {
            stored.extend_from_slice(&checksum(&key, &stored));
            if let Some(waiting) = &self.waiting {
                let _ = waiting.try_send((key, stored)); // Without room it is fetched again after the next start.
            }
        }
        Ok(value)
    }

    fn read(&self, key: &[u8]) -> Option<Vec<u8>> {
        if !self.sound.load(Ordering::Relaxed) {
            return None;
        }
        let read = guarded(|| {
            let table = self.database.begin_read()?.open_table(TABLE)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        });
        let mut value = read
            .inspect_err(|error| {
                self.sound.store(false, Ordering::Relaxed);
                tracing::warn!(%error, "the cache of a fork cannot be read and is not used further");
            })
            .ok()??;
        let sum = value.split_off(value.len().checked_sub(CHECKSUM_BYTES)?);
        (checksum(key, &value) == *sum).then_some(value)
    }
}

impl Drop for CachedBase {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn open_file(path: &Path) -> Result<Database, Fault> {
    guarded(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(PAGE_CACHE_BYTES).set_concurrency_mode(ConcurrencyMode::MultiWriter);
        let database = builder.create(path)?;
        // Reading needs the table, and shows whether the file is whole enough to be read at all.
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(database)
    })
}

/// Writes what comes, all that waits at once, until nobody sends any more.
fn write_all(entries: &Receiver<Entry>, database: &Database, sound: &AtomicBool, path: &Path, bound: u64) {
    while let Ok(first) = entries.recv() {
        let full = fs::metadata(path).map_or(true, |file| file.len() > bound);
        let batch: Vec<Entry> = core::iter::once(first).chain(entries.try_iter()).take(MAX_UNWRITTEN).collect();
        if full || !sound.load(Ordering::Relaxed) {
            continue;
        }
        let written = guarded(|| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(TABLE)?;
                for (key, value) in &batch {
                    table.insert(key.as_slice(), value.as_slice())?;
                }
            }
            Ok(transaction.commit()?)
        });
        if let Err(error) = written {
            sound.store(false, Ordering::Relaxed);
            tracing::warn!(path = %path.display(), %error, "the cache of a fork cannot be written and is not used further");
        }
    }
}

/// Removes the files that were not written for longest until those of the folder keep within the bound; never `ours`.
fn make_room(folder: &Path, ours: &Path, bound: u64) {
    let Ok(listed) = fs::read_dir(folder) else { return };
    let mut files: Vec<(std::time::SystemTime, u64, PathBuf)> = listed
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let file = fs::metadata(&path).ok()?;
            let kept = path.extension().is_some_and(|suffix| suffix == SUFFIX) && file.is_file();
            kept.then_some((file.modified().ok()?, file.len(), path))
        })
        .collect();
    files.sort_unstable();
    let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in files {
        if bytes <= bound {
            break;
        }
        if path != ours && fs::remove_file(&path).is_ok() {
            bytes -= length;
        }
    }
}

impl Base for CachedBase {
    fn account(&self, address: Address) -> Result<BaseAccount, BaseError> {
        let stored = self.get(account_key(address), || {
            let BaseAccount { nonce, balance, code } = self.base.account(address)?;
            Ok(StoredAccount { nonce, balance, code })
        })?;
        Ok(BaseAccount { nonce: stored.nonce, balance: stored.balance, code: stored.code })
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, BaseError> {
        self.get(slot_key(address, slot), || self.base.storage(address, slot))
    }

    fn block_hash(&self, number: u64) -> Result<B256, BaseError> {
        self.get(hash_key(number), || self.base.block_hash(number))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicUsize;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Base for Counting {
        fn account(&self, _: Address) -> Result<BaseAccount, BaseError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(BaseAccount { nonce: 1, balance: U256::from(2), code: vec![3; 400].into() })
        }

        fn storage(&self, _: Address, slot: U256) -> Result<U256, BaseError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            if slot == U256::MAX { Err(BaseError("no answer".into())) } else { Ok(slot) }
        }

        fn block_hash(&self, number: u64) -> Result<B256, BaseError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(B256::with_last_byte(u8::try_from(number).unwrap()))
        }
    }

    /// A folder of this test alone, empty.
    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("interlace-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// How often a start that reads one account, 20 slots and a hash asks the base.
    fn questions(folder: &Path, file_bytes: u64) -> usize {
        let base = Arc::new(Counting::default());
        let block = (1, 7, B256::ZERO);
        let cached = CachedBase::bounded(Arc::<Counting>::clone(&base), folder, block, file_bytes, u64::MAX).unwrap();
        assert_eq!(cached.account(Address::ZERO).unwrap().code.len(), 400);
        for slot in 0..20 {
            assert_eq!(cached.storage(Address::ZERO, U256::from(slot)), Ok(U256::from(slot)));
        }
        assert_eq!(cached.block_hash(7), Ok(B256::with_last_byte(7)));
        assert!(cached.storage(Address::ZERO, U256::MAX).is_err());
        base.0.load(Ordering::SeqCst)
    }

    #[test]
    fn answers_are_kept_and_failures_are_not() {
        let folder = folder("kept");
        assert_eq!(questions(&folder, u64::MAX), 23);
        assert_eq!(questions(&folder, u64::MAX), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_full_file_takes_no_more() {
        let folder = folder("full");
        assert_eq!(questions(&folder, 0), 23);
        assert_eq!(questions(&folder, 0), 23);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_not_written_for_longest_leave_a_full_folder() {
        let folder = folder("room");
        let now = SystemTime::now();
        for (name, age) in [("old.fork", 300), ("ours.fork", 200), ("new.fork", 100), ("other.txt", 400)] {
            let file = fs::File::create(folder.join(name)).unwrap();
            file.set_len(1_000).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        }
        let left = |bound| {
            make_room(&folder, &folder.join("ours.fork"), bound);
            let mut names: Vec<_> =
                fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(left(3_000), ["new.fork", "old.fork", "other.txt", "ours.fork"]);
        assert_eq!(left(2_999), ["new.fork", "other.txt", "ours.fork"]);
        assert_eq!(left(0), ["other.txt", "ours.fork"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
