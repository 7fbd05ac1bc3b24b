//! How a log's files look: a head, then records. Numbers are little-endian.
//!
//! ```text
//! head     8 "ILACELOG" | 4 format | 4 zero | 8 file number | 8 sequence of its first record | 32 identity | 8 checksum of these 64
//! record   8 checksum of all that follows | 4 "RCRD" | 4 length | 8 sequence | 8 durable | payload | zeros up to a multiple of 8
//! ```
//! `durable` says that all records with a lower sequence had been synced when this one was written: it tells records that a crash may
//! have torn from damaged ones. A record of length zero, a seal, exists only to say that. Checksums are XXH3, 64 bits.
//!
//! Invariant: decoding never panics, and what it accepts is bit for bit what was encoded. The encoding is pinned by a test.
//! What it does not do: it guards against accidents, not against someone who computes checksums.

use alloy_primitives::B256;
use twox_hash::XxHash3_64;

/// Version of the format of a log's files.
pub const LOG_FORMAT: u32 = 1;
/// Most bytes of one record.
pub const MAX_RECORD_BYTES: usize = 1 << 30;
/// Bytes before a file's first record.
pub(super) const FILE_HEAD: usize = 72;
/// Bytes before a record's payload.
pub(super) const RECORD_HEAD: usize = 32;
const FILE_MAGIC: &[u8; 8] = b"ILACELOG";
const RECORD_MAGIC: &[u8; 4] = b"RCRD";

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHead {
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) identity: B256,
}

/// Why bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHead {
    Damaged,
    Format(u32),
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

impl FileHead {
    pub(super) fn encode(&self) -> [u8; FILE_HEAD] {
        let mut bytes = [0; FILE_HEAD];
        bytes[..8].copy_from_slice(FILE_MAGIC);
        bytes[8..12].copy_from_slice(&LOG_FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..64].copy_from_slice(self.identity.as_slice());
        let checksum = XxHash3_64::oneshot(&bytes[..64]);
        bytes[64..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NoHead> {
        let read = || {
            let covered = bytes.get(..64)?;
            let whole = covered.starts_with(FILE_MAGIC) && u64_at(bytes, 64)? == XxHash3_64::oneshot(covered);
            whole.then_some((u32_at(bytes, 8)?, u64_at(bytes, 16)?, u64_at(bytes, 24)?, bytes_at::<32>(bytes, 32)?))
        };
        let (format, number, first, identity) = read().ok_or(NoHead::Damaged)?;
        if format != LOG_FORMAT {
            return Err(NoHead::Format(format));
        }
        Ok(Self { number, first, identity: identity.into() })
    }
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) checksum: u64,
    pub(super) length: usize,
    pub(super) sequence: u64,
    pub(super) durable: u64,
}

impl RecordHead {
    /// The head at the start of `bytes`, unless they cannot be one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes_at(bytes, 8)? != *RECORD_MAGIC {
            return None;
        }
        let length = usize::try_from(u32_at(bytes, 12)?).ok().filter(|length| *length <= MAX_RECORD_BYTES)?;
        Some(Self { checksum: u64_at(bytes, 0)?, length, sequence: u64_at(bytes, 16)?, durable: u64_at(bytes, 24)? })
    }

    /// Bytes of the whole record.
    pub(super) const fn size(&self) -> usize {
        RECORD_HEAD + self.length.next_multiple_of(8)
    }

    /// Whether `record`, which begins with this head, is all of it and as it was written.
    pub(super) fn holds(&self, record: &[u8]) -> bool {
        record.len() == self.size() && XxHash3_64::oneshot(&record[8..]) == self.checksum
    }
}

/// Puts a record behind `bytes`.
pub(super) fn encode(bytes: &mut Vec<u8>, sequence: u64, durable: u64, payload: &[u8]) {
    let start = bytes.len();
    bytes.reserve(RECORD_HEAD + payload.len() + 8);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(RECORD_MAGIC);
    // A longer payload was refused before; a length that did not fit would be found out as damage.
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&durable.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(start + RECORD_HEAD + payload.len().next_multiple_of(8), 0);
    let checksum = XxHash3_64::oneshot(&bytes[start + 8..]);
    bytes[start..start + 8].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_primitives::hex;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_encoding_is_pinned() {
        let head = FileHead { number: 2, first: 7, identity: B256::repeat_byte(0xab) };
        let bytes = head.encode();
        assert_eq!(
            hex::encode(bytes),
            "494c4143454c4f47010000000000000002000000000000000700000000000000\
             ababababababababababababababababababababababababababababababababa3d2724e142a306d"
        );
        assert_eq!(FileHead::decode(&bytes), Ok(head));
        let mut record = Vec::new();
        encode(&mut record, 9, 5, b"interlace");
        assert_eq!(
            hex::encode(&record),
            "09e30e1358ac2628524352440900000009000000000000000500000000000000696e7465726c61636500000000000000"
        );
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let mut bytes = FileHead { number: 1, first: 0, identity: B256::ZERO }.encode();
        bytes[8] = 2;
        assert_eq!(FileHead::decode(&bytes), Err(NoHead::Damaged));
        let checksum = XxHash3_64::oneshot(&bytes[..64]);
        bytes[64..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(FileHead::decode(&bytes), Err(NoHead::Format(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_nothing_or_to_what_encodes_to_them(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(head) = FileHead::decode(&bytes) {
                prop_assert_eq!(&head.encode()[..], &bytes[..FILE_HEAD]);
            }
            if let Some(head) = RecordHead::decode(&bytes) {
                let _ = head.holds(&bytes);
            }
        }

        #[test]
        fn a_record_holds_only_as_it_was_written(
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            sequence: u64, durable: u64, place: proptest::sample::Index, bits in 1_u8..,
        ) {
            let mut bytes = Vec::new();
            encode(&mut bytes, sequence, durable, &payload);
            let head = RecordHead::decode(&bytes).unwrap();
            prop_assert!(head.holds(&bytes));
            prop_assert_eq!((head.sequence, head.durable, head.length), (sequence, durable, payload.len()));
            let place = place.index(bytes.len());
            bytes[place] ^= bits;
            prop_assert!(!RecordHead::decode(&bytes).is_some_and(|head| head.holds(&bytes)));
            bytes.pop();
            prop_assert!(!head.holds(&bytes));
        }
    }
}
