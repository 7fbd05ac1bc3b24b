//! A folder in memory that keeps apart what was written and what is durable, and can be crashed after any call.
//!
//! Invariant: [`Sim::image`] gives a folder that a real one may be after the crash it is asked for, and durable files and names are in
//! every image. It is stricter than most file systems: sectors reach the disk in any order, torn ones too, and each change of a name is
//! kept or lost alone.
//! Source: the crash images of redb's and NOMT's tests; "All File Systems Are Not Created Equal" (OSDI 2014) for what may be lost.
//! What it does not do: bits that rot; tests flip those themselves with [`Sim::flip`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{File, Map, Vfs};

/// What a disk writes at once.
const SECTOR: usize = 512;

/// What is left of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process was killed: all that it wrote is there.
    Process,
    /// The power went, and nothing that was not synced had been written.
    PowerNothing,
    /// The power went, and some of it had been: chosen by this seed.
    PowerSome(u64),
}

/// What goes wrong in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`.
    Io,
    /// `ENOSPC`.
    Full,
    /// A write takes half of its bytes, and succeeds.
    Short,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    synced: Vec<u8>,
    current: Vec<u8>,
    /// Sectors that differ from what is synced, or may.
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum Rename {
    Given(String, usize),
    Removed(String),
    Changed(String, String, usize),
}

impl Rename {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Given(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
            Self::Changed(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Machine {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    renames: Vec<Rename>,
    calls: u64,
    halt_at: Option<u64>,
    faults: BTreeMap<u64, Fault>,
}

/// A folder in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Sim {
    machine: Arc<Mutex<Machine>>,
}

/// Numbers that look random, from a seed (splitmix64).
#[derive(Clone, Copy, Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

impl Sim {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls so far that change something or could fail to.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.machine().calls
    }

    /// Crashes in call number `call`: half of it is done if it writes, and all calls from it on fail.
    pub fn halt_at(&self, call: u64) {
        self.machine().halt_at = Some(call);
    }

    /// Lets call number `call` go wrong, once.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.machine().faults.insert(call, fault);
    }

    /// The folder as it is found after a crash now.
    #[must_use]
    pub fn image(&self, crash: Crash) -> Self {
        let machine = self.machine();
        let mut dice = Dice(if let Crash::PowerSome(seed) = crash { seed } else { 0 });
        let names = match crash {
            Crash::Process => machine.names.clone(),
            Crash::PowerNothing => machine.synced_names.clone(),
            Crash::PowerSome(_) => {
                let mut names = machine.synced_names.clone();
                machine.renames.iter().filter(|_| dice.roll(2) == 0).for_each(|rename| rename.apply(&mut names));
                names
            }
        };
        let left = |inode: &Inode, dice: &mut Dice| match crash {
            Crash::Process => inode.current.clone(),
            Crash::PowerNothing => inode.synced.clone(),
            Crash::PowerSome(_) => inode.some(dice),
        };
        let inodes: Vec<Inode> = machine
            .inodes
            .iter()
            .map(|inode| left(inode, &mut dice))
            .map(|bytes| Inode { synced: bytes.clone(), current: bytes, dirty: BTreeSet::new() })
            .collect();
        let machine = Machine { inodes, synced_names: names.clone(), names, ..Machine::default() };
        Self { machine: Arc::new(Mutex::new(machine)) }
    }

    /// Size of a file, if it is there.
    #[must_use]
    pub fn size_of(&self, name: &str) -> Option<usize> {
        let machine = self.machine();
        machine.names.get(name).map(|inode| machine.inodes[*inode].current.len())
    }

    /// Turns bits of one byte of a file, durably.
    pub fn flip(&self, name: &str, offset: usize, bits: u8) {
        let mut machine = self.machine();
        if let Some(inode) = machine.names.get(name).copied() {
            let inode = &mut machine.inodes[inode];
            inode.current[offset] ^= bits;
            inode.synced = inode.current.clone();
        }
    }
}

impl Inode {
    fn mark(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.mark(self.current.len(), end);
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(bytes);
        self.mark(offset, end);
    }

    /// Some of what was written: each sector as it was, as it is, or torn.
    fn some(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let (shorter, longer) = (bytes.len().min(self.current.len()), bytes.len().max(self.current.len()));
        let size = match dice.roll(3) {
            0 => bytes.len(),
            1 => self.current.len(),
            _ => shorter + usize::try_from(dice.roll((longer - shorter) as u64 + 1)).unwrap_or_default(),
        };
        bytes.resize(size.max(bytes.len()), 0);
        for sector in &self.dirty {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.current.len()).min(bytes.len());
            if start >= end {
                continue;
            }
            let kept = match dice.roll(5) {
                0 | 1 => end - start,
                2 | 3 => 0,
                _ => usize::try_from(dice.roll((end - start) as u64)).unwrap_or_default(),
            };
            bytes[start..start + kept].copy_from_slice(&self.current[start..start + kept]);
        }
        bytes.truncate(size);
        bytes
    }
}

/// What a call shall do.
enum Turn {
    Whole,
    Half,
    /// Half of it, and then fail.
    HalfAndFail(io::Error),
    Fail(io::Error),
}

fn halted() -> io::Error {
    io::Error::other("the machine has crashed")
}

impl Machine {
    fn turn(&mut self) -> Turn {
        let call = self.calls;
        self.calls += 1;
        match (self.halt_at, self.faults.remove(&call)) {
            (Some(halt), _) if call > halt => Turn::Fail(halted()),
            (Some(halt), _) if call == halt => Turn::HalfAndFail(halted()),
            (_, Some(Fault::Io)) => Turn::Fail(io::Error::from_raw_os_error(5)),
            // A disk that is full takes what fits.
            (_, Some(Fault::Full)) => Turn::HalfAndFail(ErrorKind::StorageFull.into()),
            (_, Some(Fault::Short)) => Turn::Half,
            (_, None) => Turn::Whole,
        }
    }

    /// A turn of a call that is done or not.
    fn whole(&mut self) -> io::Result<()> {
        match self.turn() {
            Turn::Whole | Turn::Half => Ok(()),
            Turn::HalfAndFail(error) | Turn::Fail(error) => Err(error),
        }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&mut self, rename: Rename) {
        rename.apply(&mut self.names);
        self.renames.push(rename);
    }
}

#[derive(Debug)]
struct Open {
    sim: Sim,
    inode: usize,
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl File for Open {
    fn size(&self) -> io::Result<u64> {
        Ok(self.sim.machine().inodes[self.inode].current.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut machine = self.sim.machine();
        machine.whole()?;
        let content = machine.inodes[self.inode].current.get(place(offset)?..).unwrap_or_default();
        let count = content.len().min(bytes.len());
        bytes[..count].copy_from_slice(&content[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut machine = self.sim.machine();
        let turn = machine.turn();
        let inode = &mut machine.inodes[self.inode];
        let half = &bytes[..bytes.len() / 2];
        match turn {
            Turn::Whole => inode.write(bytes, place(offset)?),
            Turn::Half => {
                inode.write(half, place(offset)?);
                return Ok(half.len());
            }
            Turn::HalfAndFail(error) => {
                inode.write(half, place(offset)?);
                return Err(error);
            }
            Turn::Fail(error) => return Err(error),
        }
        Ok(bytes.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut machine = self.sim.machine();
        machine.whole()?;
        let inode = &mut machine.inodes[self.inode];
        let (before, after) = (inode.current.len(), place(size)?);
        inode.current.resize(after, 0);
        inode.mark(before.min(after), before.max(after));
        Ok(())
    }

    fn map(&self) -> io::Result<Map> {
        let mut machine = self.sim.machine();
        machine.whole()?;
        Ok(Map::Copied(machine.inodes[self.inode].current.clone()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.sim.machine();
        let outcome = machine.whole();
        let Inode { synced, current, dirty } = &mut machine.inodes[self.inode];
        // A sync that fails leaves pages that count as written: no later one writes them.
        let written = core::mem::take(dirty);
        if outcome.is_ok() {
            synced.resize(current.len(), 0);
            for sector in written {
                let (start, end) = (sector * SECTOR, ((sector + 1) * SECTOR).min(current.len()));
                if start < end {
                    synced[start..end].copy_from_slice(&current[start..end]);
                }
            }
        }
        outcome
    }
}

impl Vfs for Sim {
    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut machine = self.machine();
        machine.whole()?;
        Ok(Box::new(Open { inode: machine.find(name)?, sim: self.clone() }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut machine = self.machine();
        machine.whole()?;
        let inode = if let Some(inode) = machine.names.get(name).copied() {
            let before = machine.inodes[inode].current.len();
            machine.inodes[inode].current.clear();
            machine.inodes[inode].mark(0, before);
            inode
        } else {
            machine.inodes.push(Inode::default());
            let inode = machine.inodes.len() - 1;
            machine.rename(Rename::Given(name.to_owned(), inode));
            inode
        };
        Ok(Box::new(Open { sim: self.clone(), inode }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut machine = self.machine();
        machine.whole()?;
        Ok(machine.names.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.whole()?;
        machine.find(name)?;
        machine.rename(Rename::Removed(name.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.whole()?;
        let inode = machine.find(from)?;
        machine.rename(Rename::Changed(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut machine = self.machine();
        machine.whole()?;
        machine.synced_names = machine.names.clone();
        machine.renames.clear();
        Ok(())
    }
}
