//! Tables on disk: a head, then pages of records. Numbers are little-endian.
//!
//! ```text
//! head   8 checksum | 8 "ILACETAB" | 4 format | 4 kind | 8 checkpoint | 8 pages, this one included | 8 records | 32 identity | 8 from | 8 to | zeros
//! page   8 checksum | 2 records | 2 their bytes | records | zeros
//! ```
//! Head and pages have 1,024 bytes, so that little is hashed and searched for a record that is read alone. A checksum is XXH3, 64 bits, of all that follows it, with kind, checkpoint and number of the page as its
//! seed, so that a page of another place or table does not hold. The head is written last. `from` and `to` are zero but for tables of history.
//!
//! Invariant: what a reader gives was written as it is; decoding never panics. The encoding is pinned by a test.
//! What it does not do: it does not know what records mean, and no record lies across pages.

use alloy_primitives::B256;
use twox_hash::XxHash3_64;

use crate::error::StorageError;
use crate::vfs::{File, Map, Vfs, read_full, write_full};

/// Version of the format of tables and manifest. In 1, pages had 4,096 bytes; in 2, there was no history.
pub const CHECKPOINT_FORMAT: u32 = 3;
/// Bytes of a page.
pub(super) const PAGE: usize = 1_024;
/// Bytes before a page's records.
const PAGE_HEAD: usize = 12;
/// Most bytes of a record.
pub(super) const MAX_RECORD: usize = PAGE - PAGE_HEAD;
/// Pages written with one call.
const AT_ONCE: usize = 1_024;
const MAGIC: &[u8; 8] = b"ILACETAB";

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Accounts = 1,
    Slots = 2,
    Codes = 3,
    PastAccounts = 4,
    PastSlots = 5,
}

impl Kind {
    /// Of the state.
    pub(super) const STATE: [Self; 3] = [Self::Accounts, Self::Slots, Self::Codes];
    /// Of what was before it.
    pub(super) const PAST: [Self; 2] = [Self::PastAccounts, Self::PastSlots];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Slots => "slots",
            Self::Codes => "codes",
            Self::PastAccounts => "past-accounts",
            Self::PastSlots => "past-slots",
        }
    }

    /// Name of the file of checkpoint `number`.
    pub(super) fn name(self, number: u64) -> String {
        format!("{number:010}.{}", self.suffix())
    }

    /// Kind and checkpoint of a file with this name.
    pub(super) fn of(name: &str) -> Option<(Self, u64)> {
        let (number, suffix) = name.split_once('.')?;
        let kind = Self::STATE.into_iter().chain(Self::PAST).find(|kind| kind.suffix() == suffix)?;
        let number = number.parse().ok()?;
        (kind.name(number) == name).then_some((kind, number))
    }

    const fn seed(self, number: u64, page: u64) -> u64 {
        number << 40 ^ (self as u64) << 56 ^ page
    }
}

/// Where a record is: page, and place among the page's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(super) page: u64,
    pub(super) index: u16,
}

fn seal(page: &mut [u8], seed: u64) {
    let checksum = XxHash3_64::oneshot_with_seed(seed, &page[8..]);
    page[..8].copy_from_slice(&checksum.to_le_bytes());
}

fn holds(page: &[u8], seed: u64) -> bool {
    page.first_chunk::<8>()
        .is_some_and(|checksum| u64::from_le_bytes(*checksum) == XxHash3_64::oneshot_with_seed(seed, &page[8..]))
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| usize::from(u16::from_le_bytes(*bytes)))
}

/// Writes a table, one record after another.
#[derive(Debug)]
pub(super) struct TableWriter {
    file: Box<dyn File>,
    name: String,
    kind: Kind,
    number: u64,
    identity: B256,
    range: (u64, u64),
    /// Whole pages, and the one that is being filled.
    buffer: Vec<u8>,
    /// Where that one begins.
    start: usize,
    /// Pages in the file.
    written: u64,
    /// Records in the page that is being filled.
    count: u16,
    records: u64,
}

impl TableWriter {
    pub(super) fn create(vfs: &dyn Vfs, kind: Kind, number: u64, identity: B256) -> Result<Self, StorageError> {
        let name = kind.name(number);
        let file = vfs.create(&name).map_err(|error| StorageError::io("create", &name, &error))?;
        let buffer = vec![0; PAGE_HEAD];
        let range = (0, 0);
        Ok(Self { file, name, kind, number, identity, range, buffer, start: 0, written: 1, count: 0, records: 0 })
    }

    /// Says in the head from where to where it goes.
    pub(super) const fn over(mut self, from: u64, to: u64) -> Self {
        self.range = (from, to);
        self
    }

    /// Number of the page that is being filled.
    fn page(&self) -> u64 {
        self.written + (self.start / PAGE) as u64
    }

    /// Where a record of `bytes` bytes would go.
    pub(super) fn place(&self, bytes: usize) -> Place {
        if bytes <= self.room() {
            Place { page: self.page(), index: self.count }
        } else {
            Place { page: self.page() + 1, index: 0 }
        }
    }

    /// Puts a record of at most [`MAX_RECORD`] bytes behind the others.
    pub(super) fn push(&mut self, record: &[u8]) -> Result<(), StorageError> {
        if record.len() > self.room() {
            self.turn()?;
        }
        self.buffer.extend_from_slice(record);
        self.count += 1;
        self.records += 1;
        Ok(())
    }

    /// Bytes that still fit into the page.
    pub(super) fn room(&self) -> usize {
        self.start + PAGE - self.buffer.len()
    }

    /// Ends the page and begins the next one.
    fn turn(&mut self) -> Result<(), StorageError> {
        let (start, seed) = (self.start, self.kind.seed(self.number, self.page()));
        let used = (self.buffer.len() - start - PAGE_HEAD) as u16;
        self.buffer.resize(start + PAGE, 0);
        self.buffer[start + 8..start + 10].copy_from_slice(&self.count.to_le_bytes());
        self.buffer[start + 10..start + 12].copy_from_slice(&used.to_le_bytes());
        seal(&mut self.buffer[start..], seed);
        self.start += PAGE;
        if self.start >= AT_ONCE * PAGE {
            self.flush()?;
        }
        self.count = 0;
        self.buffer.resize(self.start + PAGE_HEAD, 0);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        let written = write_full(self.file.as_ref(), &self.buffer, self.written * PAGE as u64);
        written.map_err(|error| StorageError::io("write", &self.name, &error))?;
        self.written += (self.start / PAGE) as u64;
        self.buffer.clear();
        self.start = 0;
        Ok(())
    }

    /// Writes what is left and the head, durably but for the file's name, and says how many bytes the table has.
    pub(super) fn finish(mut self) -> Result<u64, StorageError> {
        if self.count > 0 {
            self.turn()?;
        }
        self.buffer.truncate(self.start);
        self.flush()?;
        let head = Head { pages: self.written, records: self.records, range: self.range };
        let bytes = head.encode(self.kind, self.number, self.identity);
        let synced = write_full(self.file.as_ref(), &bytes, 0).and_then(|()| self.file.sync());
        synced.map_err(|error| StorageError::io("write", &self.name, &error))?;
        Ok(head.pages * PAGE as u64)
    }
}

/// What a table's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    pages: u64,
    records: u64,
    range: (u64, u64),
}

impl Head {
    fn encode(self, kind: Kind, number: u64, identity: B256) -> Vec<u8> {
        let mut page = vec![0; 8];
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&CHECKPOINT_FORMAT.to_le_bytes());
        page.extend_from_slice(&(kind as u32).to_le_bytes());
        [number, self.pages, self.records].iter().for_each(|number| page.extend_from_slice(&number.to_le_bytes()));
        page.extend_from_slice(identity.as_slice());
        [self.range.0, self.range.1].iter().for_each(|number| page.extend_from_slice(&number.to_le_bytes()));
        page.resize(PAGE, 0);
        seal(&mut page, kind.seed(number, 0));
        page
    }
}

/// A table that is there.
#[derive(Debug)]
pub(super) struct Table {
    file: Box<dyn File>,
    name: String,
    kind: Kind,
    number: u64,
    head: Head,
}

/// Some pages, one after another, whose checksums held.
#[derive(Debug)]
pub(super) struct Pages {
    bytes: Vec<u8>,
    first: u64,
}

impl Table {
    pub(super) fn open(vfs: &dyn Vfs, kind: Kind, number: u64, identity: B256) -> Result<Self, StorageError> {
        let name = kind.name(number);
        let failed = |what| {
            let name = name.clone();
            move |error: std::io::Error| StorageError::io(what, &name, &error)
        };
        let file = vfs.open(&name).map_err(failed("open"))?;
        let size = file.size().map_err(failed("open"))?;
        let mut page = vec![0; PAGE];
        let read = read_full(file.as_ref(), &mut page, 0).map_err(failed("read"))?;
        if read < PAGE || !holds(&page, kind.seed(number, 0)) || !page[8..].starts_with(MAGIC) {
            return Err(StorageError::damaged(&name, 0, "this is no head of such a table"));
        }
        let word = |at: usize| page[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let format = word(16) as u32;
        if format != CHECKPOINT_FORMAT {
            return Err(StorageError::Format { file: name, found: format, known: CHECKPOINT_FORMAT });
        }
        let head = Head { pages: word(32), records: word(40), range: (word(80), word(88)) };
        if page[48..80] != *identity {
            let detail = format!("it is of {}, not of {identity}", B256::from_slice(&page[48..80]));
            return Err(StorageError::damaged(&name, 48, detail));
        }
        if head.pages == 0 || head.pages.checked_mul(PAGE as u64) != Some(size) {
            let detail = format!("it has {size} bytes, its head says {} pages", head.pages);
            return Err(StorageError::damaged(&name, 32, detail));
        }
        Ok(Self { file, name, kind, number, head })
    }

    /// Pages, the head included.
    pub(super) const fn pages(&self) -> u64 {
        self.head.pages
    }

    /// Records in all pages together.
    pub(super) const fn records(&self) -> u64 {
        self.head.records
    }

    /// From where to where it goes.
    pub(super) const fn range(&self) -> (u64, u64) {
        self.head.range
    }

    pub(super) fn damaged(&self, page: u64, detail: impl Into<String>) -> StorageError {
        StorageError::damaged(&self.name, page * PAGE as u64, detail)
    }

    /// Maps all pages into memory.
    pub(super) fn map(&self) -> Result<Mapped, StorageError> {
        let map = self.file.map().map_err(|error| StorageError::io("map", &self.name, &error))?;
        if map.len() as u64 != self.head.pages * PAGE as u64 {
            return Err(self.damaged(0, format!("it has {} bytes now", map.len())));
        }
        Ok(Mapped { map, name: self.name.clone(), kind: self.kind, number: self.number })
    }

    /// Reads pages from `first` on, at most `count` and as many as there are.
    pub(super) fn read(&self, first: u64, count: u64) -> Result<Pages, StorageError> {
        let count = count.min(self.head.pages.saturating_sub(first));
        let mut bytes = vec![0; count as usize * PAGE];
        let read = read_full(self.file.as_ref(), &mut bytes, first * PAGE as u64);
        let read = read.map_err(|error| StorageError::io("read", &self.name, &error))?;
        for (number, page) in (first..).zip(bytes.chunks(PAGE)) {
            let at = (number - first) as usize * PAGE;
            let used = u16_at(page, 10);
            if read < at + PAGE || !holds(page, self.kind.seed(self.number, number)) || used > MAX_RECORD {
                return Err(self.damaged(number, "this page does not have its checksum"));
            }
        }
        Ok(Pages { bytes, first })
    }
}

/// A table as a whole, read where it lies.
#[derive(Debug)]
pub(super) struct Mapped {
    map: Map,
    name: String,
    kind: Kind,
    number: u64,
}

impl Mapped {
    /// Pages, the head included.
    pub(super) fn pages(&self) -> u64 {
        (self.map.len() / PAGE) as u64
    }

    /// Lets the pages go that are mapped.
    pub(super) fn forget(&self) {
        self.map.forget();
    }

    pub(super) fn damaged(&self, page: u64, detail: impl Into<String>) -> StorageError {
        StorageError::damaged(&self.name, page * PAGE as u64, detail)
    }

    /// How many records a page has, and their bytes; its checksum is compared each time.
    pub(super) fn page(&self, number: u64) -> Result<(usize, &[u8]), StorageError> {
        let start = number as usize * PAGE;
        let page = self.map.get(start..start + PAGE).ok_or_else(|| self.damaged(number, "there is no such page"))?;
        let records = page.get(PAGE_HEAD..PAGE_HEAD + u16_at(page, 10));
        let records = records.filter(|_| holds(page, self.kind.seed(self.number, number)));
        records
            .map(|records| (u16_at(page, 8), records))
            .ok_or_else(|| self.damaged(number, "this page does not have its checksum"))
    }
}

impl Pages {
    /// How many records a page has, and their bytes, if it is one of these.
    pub(super) fn get(&self, number: u64) -> Option<(u16, &[u8])> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.iter().nth(place).map(|(_, count, bytes)| (count as u16, bytes))
    }

    /// Of each page: its number, how many records it has, and their bytes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, usize, &[u8])> {
        (self.first..).zip(self.bytes.chunks_exact(PAGE)).map(|(number, page)| {
            let used = u16_at(page, 10);
            (number, u16_at(page, 8), page.get(PAGE_HEAD..PAGE_HEAD + used).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::vfs::sim::Sim;

    fn table(records: &[Vec<u8>]) -> (Sim, Vec<Place>) {
        let disk = Sim::default();
        let mut writer = TableWriter::create(&disk, Kind::Slots, 3, B256::repeat_byte(7)).unwrap();
        let mut places = Vec::new();
        for record in records {
            places.push(writer.place(record.len()));
            writer.push(record).unwrap();
        }
        let bytes = writer.finish().unwrap();
        assert_eq!(disk.size_of("0000000003.slots"), usize::try_from(bytes).ok());
        (disk, places)
    }

    fn open(disk: &Sim) -> Result<Table, StorageError> {
        Table::open(disk, Kind::Slots, 3, B256::repeat_byte(7))
    }

    #[test]
    fn records_come_back_in_their_places() {
        for count in [0, 1, 2_000] {
            let records: Vec<Vec<u8>> = (0..count).map(|n: usize| vec![n as u8; 1 + n * 7 % 900]).collect();
            let (disk, places) = table(&records);
            let table = open(&disk).unwrap();
            assert_eq!(table.records(), count as u64);
            let pages = table.read(1, u64::MAX).unwrap();
            let mut found = Vec::new();
            for (page, count, mut bytes) in pages.iter() {
                for index in 0..count {
                    let record = &records[found.len()];
                    assert!(bytes.starts_with(record));
                    bytes = &bytes[record.len()..];
                    found.push(Place { page, index: index as u16 });
                }
                assert!(bytes.is_empty());
            }
            assert_eq!(found, places);
        }
    }

    #[test]
    fn the_largest_record_has_a_page_of_its_own() {
        let (disk, places) = table(&[vec![1; MAX_RECORD], vec![2], vec![3; MAX_RECORD]]);
        assert_eq!(places.iter().map(|place| (place.page, place.index)).collect::<Vec<_>>(), [(1, 0), (2, 0), (3, 0)]);
        assert_eq!(open(&disk).unwrap().pages(), 4);
    }

    #[test]
    fn every_byte_counts() {
        let (disk, _) = table(&[vec![9; 700], vec![8; 1_000]]);
        for byte in 0..disk.size_of("0000000003.slots").unwrap() {
            disk.flip("0000000003.slots", byte, 0x10);
            let error = open(&disk).and_then(|table| table.read(1, u64::MAX)).unwrap_err();
            let StorageError::Damaged { file, offset, .. } = error else { unreachable!("{error}") };
            assert_eq!((file.as_str(), offset as usize / PAGE), ("0000000003.slots", byte / PAGE));
            disk.flip("0000000003.slots", byte, 0x10);
        }
        open(&disk).unwrap().read(1, u64::MAX).unwrap();
    }

    #[test]
    fn another_table_is_told() {
        let (disk, _) = table(&[vec![1]]);
        disk.rename("0000000003.slots", "0000000004.slots").unwrap();
        let error = Table::open(&disk, Kind::Slots, 4, B256::repeat_byte(7)).unwrap_err();
        assert_eq!(error.code(), "chain.data-damaged");
        disk.rename("0000000004.slots", "0000000003.slots").unwrap();
        let error = Table::open(&disk, Kind::Slots, 3, B256::repeat_byte(8)).unwrap_err();
        assert!(error.to_string().contains("not of"), "{error}");
        disk.open("0000000003.slots").unwrap().set_size(PAGE as u64).unwrap();
        assert!(open(&disk).unwrap_err().to_string().contains("1024 bytes, its head says 2 pages"));
    }

    #[test]
    fn names_tell_kind_and_number() {
        for kind in Kind::STATE.into_iter().chain(Kind::PAST) {
            assert_eq!(Kind::of(&kind.name(12)), Some((kind, 12)));
        }
        for name in ["12.slots", "0000000012.log", "0000000012", "+000000012.slots", "LOCK"] {
            assert_eq!(Kind::of(name), None, "{name}");
        }
    }

    #[test]
    fn the_encoding_is_pinned() {
        let (disk, _) = table(&[b"interlace".to_vec()]);
        let mut bytes = vec![0; 2 * PAGE];
        disk.open("0000000003.slots").unwrap().read_at(&mut bytes, 0).unwrap();
        let hex = |bytes: &[u8]| alloy_primitives::hex::encode(bytes);
        assert_eq!(
            hex(&bytes[8..84]),
            "494c41434554414203000000020000000300000000000000020000000000000001000000000000000707070707070707\
             07070707070707070707070707070707070707070707070700000000"
        );
        assert_eq!(hex(&bytes[PAGE + 8..PAGE + 22]), "01000900696e7465726c61636500");
        let checksums = [hex(&bytes[..8]), hex(&bytes[PAGE..PAGE + 8])];
        assert_eq!(checksums, ["c80c5e632d96f2b0", "7346b28735f375f4"]);
    }
}
