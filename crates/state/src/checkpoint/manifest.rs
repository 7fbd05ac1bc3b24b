//! Which checkpoint counts: a file with two places, written in turn. Numbers are little-endian.
//!
//! ```text
//! place  8 checksum | 8 "ILACEMAN" | 4 format | 4 zero | 8 checkpoint | 8 mark | 8 block | 8 edits | 8 window | 32 hash | 32 root | 32 identity
//!        8 position | 8 history
//! ```
//! Checkpoint `n` stands in place `n mod 2`, 4,096 bytes from the other one, so that a torn write leaves the one before.
//!
//! Invariant: what is read was written as it is. The encoding is pinned by a test.
//! What it does not do: it does not look at the tables that it names.

use core::ops::RangeInclusive;

use alloy_primitives::B256;
use twox_hash::XxHash3_64;

use super::page::CHECKPOINT_FORMAT;
use crate::error::StorageError;
use crate::vfs::{Vfs, read_full, write_full};

/// Name of the file.
pub const MANIFEST: &str = "MANIFEST";
const MAGIC: &[u8; 8] = b"ILACEMAN";
/// Bytes of a place that are used.
const USED: usize = 176;
/// The same up to format 2.
const USED_BEFORE: usize = 160;
/// Bytes from one place to the other.
const APART: u64 = 4_096;

/// What a checkpoint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Number of the checkpoint, from 1.
    pub number: u64,
    /// How many of the log's records led to it.
    pub mark: u64,
    /// Number of the block after which this is the state.
    pub block: u64,
    /// Edits of the state after that block that are in it.
    pub edits: u64,
    /// Blocks behind the newest one whose states were kept; it is of the oldest of them.
    pub window: u64,
    /// Hash of the block.
    pub hash: B256,
    /// Root of the state.
    pub root: B256,
    /// What the state is of: as in the log.
    pub identity: B256,
    /// How many states there were before it, genesis included, that the chain did not go back from.
    pub position: u64,
    /// Number of the first checkpoint whose history counts, with that of all later ones: then all states can be read. Zero if there is none.
    pub history: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) newest: Option<Manifest>,
    /// Places that hold something that is no manifest.
    pub(super) torn: usize,
}

impl Manifest {
    /// Numbers of the checkpoints whose history counts.
    pub(super) const fn past(&self) -> RangeInclusive<u64> {
        if self.history == 0 { RangeInclusive::new(1, 0) } else { RangeInclusive::new(self.history, self.number) }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&CHECKPOINT_FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for number in [self.number, self.mark, self.block, self.edits, self.window] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        [self.hash, self.root, self.identity].iter().for_each(|hash| bytes.extend_from_slice(hash.as_slice()));
        [self.position, self.history].iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        let checksum = XxHash3_64::oneshot(&bytes[8..]);
        bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The manifest in `bytes`; `Ok(None)` if there is none, the other format if it has one.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, u32> {
        let Some(bytes) = bytes.first_chunk::<USED>() else { return Ok(None) };
        let number = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let holds = |used: usize| number(0) == XxHash3_64::oneshot(&bytes[8..used]);
        if !bytes[8..].starts_with(MAGIC) {
            return Ok(None);
        }
        match number(16) {
            format if format == u64::from(CHECKPOINT_FORMAT) && holds(USED) => {}
            format if format < u64::from(CHECKPOINT_FORMAT) && holds(USED_BEFORE) => return Err(format as u32),
            format if format > u64::from(CHECKPOINT_FORMAT) && holds(USED) => return Err(format as u32),
            _ => return Ok(None),
        }
        let hash = |at: usize| B256::from_slice(&bytes[at..at + 32]);
        Ok(Some(Self {
            number: number(24),
            mark: number(32),
            block: number(40),
            edits: number(48),
            window: number(56),
            hash: hash(64),
            root: hash(96),
            identity: hash(128),
            position: number(160),
            history: number(168),
        }))
    }

    /// The newest manifest in a folder, if it is not of an older format.
    pub(super) fn find(vfs: &dyn Vfs) -> Result<Found, StorageError> {
        let failed = |what| move |error: std::io::Error| StorageError::io(what, MANIFEST, &error);
        let file = match vfs.open(MANIFEST) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::default()),
            Err(error) => return Err(failed("open")(error)),
        };
        let mut found = Found::default();
        for place in 0..2 {
            let mut bytes = [0; USED];
            read_full(file.as_ref(), &mut bytes, place * APART).map_err(failed("read"))?;
            let manifest = match Self::decode(&bytes) {
                Ok(manifest) => manifest,
                // The log has everything that an older release's has, and the next one replaces it.
                Err(older) if older < CHECKPOINT_FORMAT => continue,
                Err(format) => {
                    return Err(StorageError::Format {
                        file: MANIFEST.into(),
                        found: format,
                        known: CHECKPOINT_FORMAT,
                    });
                }
            };
            match manifest {
                None => found.torn += usize::from(bytes.iter().any(|byte| *byte != 0)),
                Some(manifest) if found.newest.is_some_and(|newest| newest.number > manifest.number) => {}
                Some(manifest) => found.newest = Some(manifest),
            }
        }
        Ok(found)
    }

    /// Makes this the newest, durably.
    pub(super) fn write(&self, vfs: &dyn Vfs) -> Result<(), StorageError> {
        let write = || {
            let file = match vfs.open(MANIFEST) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => vfs.create(MANIFEST)?,
                opened => opened?,
            };
            write_full(file.as_ref(), &self.encode(), self.number % 2 * APART)?;
            file.sync()?;
            vfs.sync_folder()
        };
        write().map_err(|error| StorageError::io("write", MANIFEST, &error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_primitives::hex;

    use super::*;
    use crate::vfs::sim::Sim;

    fn manifest(number: u64) -> Manifest {
        let [hash, root, identity] = [0xaa, 0xbb, 0xcc].map(B256::repeat_byte);
        Manifest { number, mark: 2, block: 3, edits: 4, window: 5, hash, root, identity, position: 6, history: 7 }
    }

    #[test]
    fn the_encoding_is_pinned() {
        let bytes = manifest(1).encode();
        assert_eq!(bytes.len(), USED);
        assert_eq!(Manifest::decode(&bytes), Ok(Some(manifest(1))));
        assert_eq!(
            hex::encode(&bytes[..64]),
            "a30b3962d5c0d78c494c4143454d414e030000000000000001000000000000000200000000000000030000000000000004000000000000000500000000000000"
        );
    }

    #[test]
    fn the_newest_counts_and_a_torn_one_leaves_the_one_before() {
        let disk = Sim::default();
        assert_eq!(Manifest::find(&disk), Ok(Found::default()));
        for number in 1..5 {
            manifest(number).write(&disk).unwrap();
            assert_eq!(Manifest::find(&disk), Ok(Found { newest: Some(manifest(number)), torn: 0 }));
        }
        for byte in 0..USED {
            disk.flip(MANIFEST, byte, 1);
            assert_eq!(Manifest::find(&disk), Ok(Found { newest: Some(manifest(3)), torn: 1 }));
            disk.flip(MANIFEST, byte, 1);
        }
        disk.flip(MANIFEST, APART as usize + 30, 1);
        disk.flip(MANIFEST, 30, 1);
        assert_eq!(Manifest::find(&disk), Ok(Found { newest: None, torn: 2 }));
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let mut bytes = manifest(1).encode();
        bytes[16] = 9;
        assert_eq!(Manifest::decode(&bytes), Ok(None));
        let checksum = XxHash3_64::oneshot(&bytes[8..]);
        bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Manifest::decode(&bytes), Err(9));
        // One of an older release is none, one of a newer release is not read.
        let cases =
            [(1, USED_BEFORE, Ok(0)), (2, USED_BEFORE, Ok(0)), (2, USED, Ok(1)), (9, USED, Err("chain.data-format"))];
        for (format, used, torn) in cases {
            let expected = torn.map(|torn| Found { newest: None, torn });
            let disk = Sim::default();
            bytes[16] = format;
            let checksum = XxHash3_64::oneshot(&bytes[8..used]);
            bytes[..8].copy_from_slice(&checksum.to_le_bytes());
            write_full(disk.create(MANIFEST).unwrap().as_ref(), &bytes, 0).unwrap();
            assert_eq!(Manifest::find(&disk).map_err(|error| error.code()), expected);
        }
    }
}
