//! A folder that is looked at without being changed: what is written to it stays in memory.
//!
//! Why: opening a log cuts and rewrites its end; who only checks a folder shall not.
//!
//! Invariant: nothing reaches the folder below.
//! Bounds: a file that is written to is held in memory as a whole; of a log that is its last one, at most a file and a record long.
//! What it does not do: it keeps nothing across a restart, so syncs succeed at once.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{File, Map, Vfs, read_full};

/// What was made of a file.
#[derive(Debug)]
enum Content {
    /// As below, until it is written to.
    Below(Box<dyn File>),
    Own(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Layered(Arc<Mutex<Content>>);

/// A folder with changes in memory.
#[derive(Debug)]
pub struct Overlay {
    below: Arc<dyn Vfs>,
    /// Files that were opened, made or removed.
    files: Mutex<BTreeMap<String, Option<Layered>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Overlay {
    /// A view of `below`.
    #[must_use]
    pub fn new(below: Arc<dyn Vfs>) -> Self {
        Self { below, files: Mutex::default() }
    }

    fn find(&self, name: &str) -> io::Result<Layered> {
        let mut files = lock(&self.files);
        match files.get(name) {
            Some(Some(file)) => Ok(file.clone()),
            Some(None) => Err(ErrorKind::NotFound.into()),
            None => {
                let file = Layered(Arc::new(Mutex::new(Content::Below(self.below.open(name)?))));
                files.insert(name.to_owned(), Some(file.clone()));
                Ok(file)
            }
        }
    }
}

impl Layered {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> io::Result<T>) -> io::Result<T> {
        let mut content = lock(&self.0);
        if let Content::Below(file) = &*content {
            let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
            let read = read_full(file.as_ref(), &mut bytes, 0)?;
            bytes.truncate(read);
            *content = Content::Own(bytes);
        }
        match &mut *content {
            Content::Own(bytes) => change(bytes),
            Content::Below(_) => Err(ErrorKind::Other.into()), // It was made its own above.
        }
    }
}

impl File for Layered {
    fn size(&self) -> io::Result<u64> {
        match &*lock(&self.0) {
            Content::Below(file) => file.size(),
            Content::Own(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match &*lock(&self.0) {
            Content::Below(file) => file.read_at(bytes, offset),
            Content::Own(own) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| own.get(offset..)).unwrap_or_default();
                let count = rest.len().min(bytes.len());
                bytes[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(|own| {
            own.resize(own.len().max(start + bytes.len()), 0);
            own[start..start + bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        })
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        self.change(|own| {
            own.resize(size, 0);
            Ok(())
        })
    }

    fn map(&self) -> io::Result<Map> {
        match &*lock(&self.0) {
            Content::Below(file) => file.map(),
            Content::Own(own) => Ok(Map::Copied(own.clone())),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Vfs for Overlay {
    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(self.find(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = Layered(Arc::new(Mutex::new(Content::Own(Vec::new()))));
        lock(&self.files).insert(name.to_owned(), Some(file.clone()));
        Ok(Box::new(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let files = lock(&self.files);
        let mut names: Vec<String> = self.below.list()?.into_iter().filter(|name| !files.contains_key(name)).collect();
        names.extend(files.iter().filter(|(_, file)| file.is_some()).map(|(name, _)| name.clone()));
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.find(name)?;
        lock(&self.files).insert(name.to_owned(), None);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.find(from)?;
        let mut files = lock(&self.files);
        files.insert(from.to_owned(), None);
        files.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::sim::Sim;
    use super::super::{read_all, replace};
    use super::*;

    #[test]
    fn what_is_done_to_it_is_seen_there_and_nowhere_else() {
        let below = Sim::default();
        for (name, text) in [("a", b"alpha"), ("b", b"bravo"), ("c", b"coral")] {
            replace(&below, name, text).unwrap();
        }
        let calls = below.calls();
        let over = Overlay::new(Arc::new(below.clone()));
        let file = over.open("a").unwrap();
        assert_eq!(file.write_at(b"OMEGA!", 4).unwrap(), 6);
        over.open("b").unwrap().set_size(2).unwrap();
        over.remove("c").unwrap();
        over.rename("b", "d").unwrap();
        over.create("e").unwrap().write_at(b"echo", 0).unwrap();
        let read = |vfs: &dyn Vfs, name: &str| read_all(vfs, name, 100).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(read(&over, "a").unwrap(), "alphOMEGA!");
        assert_eq!(read(&over, "d").unwrap(), "br");
        assert_eq!(read(&over, "e").unwrap(), "echo");
        for gone in ["b", "c", "f"] {
            assert_eq!(read(&over, gone).unwrap_err().kind(), ErrorKind::NotFound);
            assert_eq!(over.remove(gone).unwrap_err().kind(), ErrorKind::NotFound);
        }
        let mut names = over.list().unwrap();
        names.sort_unstable();
        assert_eq!(names, ["a", "d", "e"]);
        assert!(below.calls() > calls);
        assert_eq!(below.list().unwrap(), ["a", "b", "c"]);
        assert_eq!(["a", "b", "c"].map(|name| read(&below, name).unwrap()), ["alpha", "bravo", "coral"]);
    }
}
