//! A folder of files behind a border, so that a simulator can take the disk's place and crash it.
//!
//! Invariant: what was written is durable only after [`File::sync`] of the file, and a file's name only after [`Vfs::sync_folder`].
//! Whoever writes through this border relies on nothing else.
//! What it does not do: folders within the folder, writing through memory maps, permissions beyond those of the owner.

use std::fmt::Debug;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::StorageError;

mod overlay;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use overlay::Overlay;

/// Name of the file whose lock says that a folder is in use.
const LOCK: &str = "LOCK";

/// A file that is open for reading and writing at any place.
pub trait File: Debug + Send + Sync {
    /// Length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn size(&self) -> io::Result<u64>;

    /// Reads at `offset` and says how many bytes; fewer than asked may come, none at the end.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset` and says how many bytes; fewer than given may be taken.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file, or fills it up with zeros.
    ///
    /// # Errors
    /// The system's.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// Maps the file into memory, to be read. What is written to it or cut off later may be seen or not; whoever maps lets nobody do so.
    ///
    /// # Errors
    /// The system's.
    fn map(&self) -> io::Result<Map>;

    /// Returns when all that was written survives a loss of power.
    ///
    /// # Errors
    /// The system's; what was written since the last success is then in doubt for good.
    fn sync(&self) -> io::Result<()>;
}

/// Bytes of a file that can be read without a call.
#[derive(Debug)]
pub enum Map {
    /// Pages of the system's cache.
    Mapped(memmap2::Mmap),
    /// A copy, where there is no such file.
    Copied(Vec<u8>),
}

impl Map {
    /// Lets the pages go that are mapped; they are read again when they are needed.
    #[allow(unsafe_code)]
    pub(crate) fn forget(&self) {
        if let Self::Mapped(map) = self {
            // SAFETY: Of a private memory this would lose what was written; this one is of a file and only read, so the same bytes come back.
            // A system that refuses keeps the pages, which is no harm.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// A folder.
pub trait Vfs: Debug + Send + Sync {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Makes an empty file, in the place of one of that name.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Names of the files, in no particular order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in the place of a file that has it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Returns when names that were given, changed and removed survive a loss of power.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self) -> io::Result<()>;
}

/// Reads a whole file.
///
/// # Errors
/// The system's; `InvalidData` above `most` bytes.
pub fn read_all(vfs: &dyn Vfs, name: &str, most: u64) -> io::Result<Vec<u8>> {
    let file = vfs.open(name)?;
    let size = file.size()?;
    if size > most {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("{size} bytes, at most {most} are read")));
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let read = read_full(file.as_ref(), &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes a whole file so that it has its old content or the new one, whatever happens meanwhile; durable on return.
///
/// # Errors
/// The system's.
pub fn replace(vfs: &dyn Vfs, name: &str, bytes: &[u8]) -> io::Result<()> {
    let part = format!("{name}.part");
    let file = vfs.create(&part)?;
    write_full(file.as_ref(), bytes, 0)?;
    file.sync()?;
    vfs.rename(&part, name)?;
    vfs.sync_folder()
}

/// Reads until `bytes` is full or the file ends, and says how many there were.
pub(crate) fn read_full(file: &dyn File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `bytes`.
pub(crate) fn write_full(file: &dyn File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + done as u64) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A folder of the system, locked for one user at a time until it is dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    /// Holds the lock; the system releases it however the process ends.
    _lock: fs::File,
}

impl Disk {
    /// Opens a folder for this process alone, and makes it if it is not there.
    ///
    /// # Errors
    /// [`StorageError::Locked`] while another one has it, [`StorageError::Io`].
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        let shown = folder.display().to_string();
        let failed = |what| {
            let shown = shown.clone();
            move |error: io::Error| StorageError::io(what, &shown, &error)
        };
        let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("create"))?;
        // The name of each folder that was made is in its parent.
        for made in missing {
            let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed("sync"))?;
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK));
        let lock = lock.map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StorageError::Locked { folder: shown }),
            Err(TryLockError::Error(error)) => return Err(StorageError::io("lock", &shown, &error)),
        }
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }
}

impl Vfs for Disk {
    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.folder.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let options = &mut OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(options.open(self.folder.join(name))?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn sync_folder(&self) -> io::Result<()> {
        fs::File::open(&self.folder)?.sync_all()
    }
}

impl File for fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    #[allow(unsafe_code)]
    fn map(&self) -> io::Result<Map> {
        // SAFETY: The bytes must not change while they are borrowed. Only tables of a checkpoint are mapped, which this program does not write
        // to once they are whole; the folder's lock keeps other processes of it out.
        let map = unsafe { memmap2::MmapOptions::new().map(self)? };
        // Reads go where hashes say; neighbours are not wanted.
        map.advise(memmap2::Advice::Random)?;
        Ok(Map::Mapped(map))
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
