//! A log on a disk that crashes, fills up, fails and rots.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use alloy_primitives::B256;

use super::read::name_of;
use super::record::FileHead;
use super::{Durability, Log, MAX_FILE_BYTES};
use crate::error::StorageError;
use crate::vfs::Vfs;
use crate::vfs::sim::{Crash, Fault, Sim};

const IDENTITY: B256 = B256::repeat_byte(0x11);
/// Small, so that a short run begins several files.
const FILE_BYTES: u64 = 2_000;
const SIZES: [usize; 9] = [1, 8, 100, 511, 512, 1_500, 40, 3_000, 7];

/// A payload that tells its place, and differs in every byte from its neighbours.
fn payload(index: usize) -> Vec<u8> {
    let size = SIZES[index % SIZES.len()];
    (0..size).map(|place| (index * 31 + place * 7 + 1) as u8).collect()
}

fn open(sim: &Sim, durability: Durability) -> Result<(Log, Vec<Vec<u8>>), StorageError> {
    open_with(sim, durability, FILE_BYTES)
}

fn open_with(sim: &Sim, durability: Durability, bytes: u64) -> Result<(Log, Vec<Vec<u8>>), StorageError> {
    let mut found = Vec::new();
    let log = Log::open(Arc::new(sim.clone()), IDENTITY, durability, bytes, |_, record: &[u8]| {
        found.push(record.to_vec());
        Ok::<_, StorageError>(())
    })?;
    Ok((log, found))
}

/// Appends `count` payloads behind the `from` that are there, `group` at a time, and says how many were acknowledged before
/// something failed.
fn write(log: &Log, from: usize, count: usize, group: usize) -> usize {
    let mut acknowledged = from;
    for start in (from..from + count).step_by(group) {
        let end = (start + group).min(from + count);
        let numbers: Result<Vec<u64>, _> = (start..end).map(|index| log.append(&payload(index))).collect();
        let Ok(numbers) = numbers else { break };
        // The last one is acknowledged with all before it.
        if numbers.last().is_some_and(|number| log.wait(*number).is_err()) {
            break;
        }
        acknowledged = end;
    }
    acknowledged
}

/// What was found is what was written from the first on, and nothing of what was acknowledged is missing.
fn check(found: &[Vec<u8>], acknowledged: usize, what: &str) {
    assert!(found.len() >= acknowledged, "{what}: {} of {acknowledged} acknowledged records", found.len());
    for (index, record) in found.iter().enumerate() {
        assert_eq!(*record, payload(index), "{what}: record {index}");
    }
}

/// Every image of a crash in call `halt`, and how many records were acknowledged before.
fn crash_in(halt: u64, durability: Durability, group: usize) -> (Sim, usize) {
    let sim = Sim::default();
    sim.halt_at(halt);
    let acknowledged = open(&sim, durability).map_or(0, |(log, _)| write(&log, 0, 12, group));
    (sim, acknowledged)
}

fn crashes(durability: Durability) -> Vec<Crash> {
    match durability {
        Durability::Process => vec![Crash::Process],
        Durability::Power => {
            [Crash::Process, Crash::PowerNothing].into_iter().chain((0..12).map(Crash::PowerSome)).collect()
        }
    }
}

fn calls_of_a_run(durability: Durability, group: usize) -> u64 {
    let (sim, acknowledged) = crash_in(u64::MAX, durability, group);
    assert_eq!(acknowledged, 12);
    sim.calls()
}

#[test]
fn a_crash_in_any_call_loses_nothing_that_was_acknowledged() {
    for durability in [Durability::Process, Durability::Power] {
        for group in [1, 5] {
            for halt in 0..calls_of_a_run(durability, group) {
                let (sim, acknowledged) = crash_in(halt, durability, group);
                for crash in crashes(durability) {
                    let what = format!("{durability:?}, groups of {group}, call {halt}, {crash:?}");
                    let image = sim.image(crash);
                    let (log, found) = open(&image, durability).unwrap_or_else(|error| panic!("{what}: {error}"));
                    check(&found, acknowledged, &what);
                    // It goes on from there, and what was given up does not come back.
                    let from = found.len();
                    assert_eq!(write(&log, from, 3, 1), from + 3, "{what}");
                    drop(log);
                    let (_, found) = open(&image, durability).unwrap();
                    assert_eq!(found.len(), from + 3, "{what}");
                    check(&found, from + 3, &what);
                }
            }
        }
    }
}

#[test]
fn a_crash_while_a_crash_is_mended_loses_nothing_either() {
    let durability = Durability::Power;
    for halt in 0..calls_of_a_run(durability, 5) {
        let (sim, acknowledged) = crash_in(halt, durability, 5);
        for seed in 0..3 {
            let calls = {
                let image = sim.image(Crash::PowerSome(seed));
                drop(open(&image, durability).unwrap());
                image.calls()
            };
            for second in 0..calls {
                let image = sim.image(Crash::PowerSome(seed));
                image.halt_at(second);
                let before = open(&image, durability).map_or(0, |(_, found)| found.len());
                for crash in [Crash::Process, Crash::PowerNothing, Crash::PowerSome(seed + 100)] {
                    let what = format!("call {halt}, seed {seed}, then call {second}, {crash:?}");
                    let (_, found) =
                        open(&image.image(crash), durability).unwrap_or_else(|error| panic!("{what}: {error}"));
                    check(&found, acknowledged.max(before), &what);
                }
            }
        }
    }
}

#[test]
fn process_durability_may_lose_the_end_with_the_power_and_nothing_else() {
    for halt in 0..calls_of_a_run(Durability::Process, 1) {
        let (sim, _) = crash_in(halt, Durability::Process, 1);
        for crash in [Crash::PowerNothing].into_iter().chain((0..12).map(Crash::PowerSome)) {
            let what = format!("call {halt}, {crash:?}");
            let (_, found) =
                open(&sim.image(crash), Durability::Process).unwrap_or_else(|error| panic!("{what}: {error}"));
            check(&found, 0, &what);
        }
    }
}

#[test]
fn many_crashes_in_a_row_lose_nothing() {
    for seed in 0..40_u64 {
        let mut sim = Sim::default();
        let mut acknowledged = 0;
        for round in 0..12 {
            let roll = (seed * 1_000 + round) * 2_654_435_761 % 97;
            sim.halt_at(roll);
            if let Ok((log, found)) = open(&sim, Durability::Power) {
                check(&found, acknowledged, &format!("seed {seed}, round {round}"));
                acknowledged = write(&log, found.len(), 20, 1 + (roll % 4) as usize).max(acknowledged);
            }
            sim = sim.image(Crash::PowerSome(seed * 77 + round));
        }
        let (_, found) = open(&sim, Durability::Power).unwrap();
        check(&found, acknowledged, &format!("seed {seed}"));
    }
}

#[test]
fn a_call_that_fails_is_told_and_leaves_nothing() {
    for durability in [Durability::Process, Durability::Power] {
        for fault in [Fault::Full, Fault::Io, Fault::Short] {
            for call in 0..calls_of_a_run(durability, 1) {
                let what = format!("{durability:?}, {fault:?} in call {call}");
                let sim = Sim::default();
                sim.fail_at(call, fault);
                let Ok((log, _)) = open(&sim, durability) else {
                    assert_ne!(fault, Fault::Short, "{what}");
                    drop(open(&sim, durability).unwrap_or_else(|error| panic!("{what}: {error}")));
                    continue;
                };
                let mut written = write(&log, 0, 12, 1);
                let mut stopped = false;
                if written < 12 {
                    assert_ne!(fault, Fault::Short, "{what}");
                    // Until it is told to try again it takes nothing.
                    assert!(log.append(&payload(written)).is_err(), "{what}");
                    match log.retry() {
                        Ok(()) => written = write(&log, written, 12 - written, 1),
                        Err(error) => {
                            assert_eq!(error.code(), "chain.data-stopped", "{what}");
                            stopped = true;
                        }
                    }
                }
                assert!(stopped || written == 12, "{what}");
                drop(log);
                let (_, found) = open(&sim, durability).unwrap_or_else(|error| panic!("{what}: {error}"));
                check(&found, written, &what);
                assert!(stopped || found.len() == 12, "{what}");
                for crash in crashes(durability) {
                    let (_, found) =
                        open(&sim.image(crash), durability).unwrap_or_else(|error| panic!("{what}: {error}"));
                    check(&found, written, &what);
                }
            }
        }
    }
}

/// A log of several files that was closed.
fn closed() -> (Sim, Vec<String>) {
    let sim = Sim::default();
    let (log, _) = open(&sim, Durability::Power).unwrap();
    assert_eq!(write(&log, 0, 12, 1), 12);
    assert!(log.stats().files > 3, "{:?}", log.stats());
    drop(log);
    let mut names = sim.list().unwrap();
    names.sort_unstable();
    (sim, names)
}

#[test]
fn a_byte_that_rots_in_a_closed_log_is_told_with_its_place() {
    let (sim, names) = closed();
    for name in &names {
        for offset in 0..sim.size_of(name).unwrap() {
            let image = sim.image(Crash::Process);
            image.flip(name, offset, 1 << (offset % 8));
            match open(&image, Durability::Power).map(|(_, found)| found) {
                // Only the seal has nothing to vouch for.
                Ok(found) => {
                    check(&found, 12, &format!("byte {offset} of {name}"));
                    assert_eq!(name, names.last().unwrap());
                }
                Err(StorageError::Damaged { file, offset: told, .. }) => {
                    assert_eq!(file, *name);
                    assert!(told <= offset as u64, "byte {offset} of {name} is told as byte {told}");
                }
                Err(other) => panic!("byte {offset} of {name}: {other}"),
            }
        }
    }
}

#[test]
fn a_file_that_could_not_be_begun_and_stayed_is_no_damage() {
    // The disk refused the third file after its head was written, and its removal was lost; the second went on, until a crash tore it.
    let sim = Sim::default();
    let (log, _) = open(&sim, Durability::Power).unwrap();
    let acknowledged = write(&log, 0, 6, 1);
    let files = log.stats().files;
    sim.halt_at(sim.calls());
    assert_eq!(write(&log, acknowledged, 1, 1), acknowledged);
    let leave = |image: &Sim, first| {
        let head = FileHead { number: files + 1, first, identity: IDENTITY };
        image.create(&name_of(files + 1)).unwrap().write_at(&head.encode(), 0).unwrap();
    };
    let image = sim.image(Crash::Process);
    leave(&image, 6);
    let (log, found) = open(&image, Durability::Power).unwrap();
    assert!(log.cut() > 0, "nothing was torn");
    check(&found, acknowledged, "left behind");
    // A head says that all before its first record was there.
    let image = sim.image(Crash::Process);
    leave(&image, 9);
    let error = open(&image, Durability::Power).unwrap_err();
    assert!(matches!(error, StorageError::Damaged { offset: 0, .. }), "{error}");
}

#[test]
fn missing_and_foreign_files_are_told() {
    let (sim, names) = closed();
    for (index, name) in names.iter().enumerate() {
        let image = sim.image(Crash::Process);
        image.remove(name).unwrap();
        match open(&image, Durability::Power) {
            // A missing end is a shorter log: nothing that is left tells of it.
            Ok((_, found)) => {
                assert_eq!(index + 1, names.len());
                assert!(found.len() < 12);
            }
            Err(error) => assert_eq!(error.code(), "chain.data-damaged", "{error}"),
        }
    }
    let other =
        Log::open(Arc::new(sim), B256::ZERO, Durability::Power, FILE_BYTES, |_, _: &[u8]| Ok::<_, StorageError>(()));
    let error = other.unwrap_err();
    assert_eq!(error.code(), "chain.data-damaged");
    assert!(error.to_string().starts_with("0000000001.log is damaged at byte 0: it is of 0x1111"), "{error}");
}

#[test]
fn what_it_says_of_itself() {
    let (sim, names) = closed();
    let size = |sim: &Sim| names.iter().map(|name| sim.size_of(name).unwrap() as u64).sum::<u64>();
    assert_eq!(Log::bytes(&sim).unwrap(), size(&sim));
    // Five bytes of a record that a crash tore.
    let last = sim.open(names.last().unwrap()).unwrap();
    let end = last.size().unwrap();
    last.write_at(&[1; 5], end).unwrap();
    let mut numbers = Vec::new();
    let log = Log::open(Arc::new(sim.clone()), IDENTITY, Durability::Power, FILE_BYTES, |number, _: &[u8]| {
        numbers.push(number);
        Ok::<_, StorageError>(())
    });
    let log = log.unwrap();
    assert_eq!(numbers, (0..12).collect::<Vec<u64>>());
    assert_eq!((log.files(), log.cut()), (names.len() as u64, 5));
    assert!(names.len() > 2);
    let before = size(&sim);
    assert_eq!(write(&log, 12, 12, 1), 24);
    let stats = log.stats();
    assert_eq!((stats.writes, stats.failures), (12, 0));
    assert!(stats.files > names.len() as u64 && stats.syncs >= 12, "{stats:?}");
    // Records and the heads of the files that were begun; the seal is not written yet.
    let heads = (stats.files - names.len() as u64) * super::record::FILE_HEAD as u64;
    assert_eq!(Log::bytes(&sim).unwrap(), before + stats.bytes + heads);
}

#[test]
fn a_flush_reaches_a_loss_of_power_whatever_was_promised() {
    let sim = Sim::default();
    let (log, _) = open(&sim, Durability::Process).unwrap();
    let on_disk = || open(&sim.image(Crash::PowerNothing), Durability::Process).unwrap().1.len();
    for (from, until) in [(0, 2), (2, 5), (5, 12)] {
        assert_eq!(write(&log, from, until - from, 1), until);
        // What is not there yet is waited for in vain, so less is asked for first.
        for end in [from as u64, until as u64, until as u64] {
            log.flush(end).unwrap();
            assert!(on_disk() as u64 >= end);
        }
    }
    check(&open(&sim.image(Crash::PowerNothing), Durability::Process).unwrap().1, 12, "flushed");
    log.close();
    log.flush(12).unwrap();
    assert_eq!(log.flush(13).unwrap_err().code(), "chain.data-stopped");
}

/// A log with files as long as they are in use.
fn open_long(sim: &Sim, durability: Durability) -> Result<(Log, Vec<Vec<u8>>), StorageError> {
    open_with(sim, durability, MAX_FILE_BYTES)
}

#[test]
fn damage_is_told_however_far_away_the_record_is_that_vouches() {
    // With its head the first is a little shorter than what is searched at a time, or longer.
    for size in [(1 << 20) - 40, (1 << 20) - 32, 1 << 20, 3 << 20] {
        let sim = Sim::default();
        let (log, _) = open_long(&sim, Durability::Power).unwrap();
        log.wait(log.append(&vec![7; size]).unwrap()).unwrap();
        log.wait(log.append(&[8]).unwrap()).unwrap();
        // Before it is sealed.
        let image = sim.image(Crash::Process);
        image.flip(&name_of(1), 500, 1);
        let error = open_long(&image, Durability::Power).unwrap_err();
        assert!(matches!(error, StorageError::Damaged { offset: 72, .. }), "{size}: {error}");
    }
}

#[test]
fn what_a_failed_flush_left_is_written_once_more() {
    for sizes in [&[600, 700, 800][..], &[3 << 20, 5], &[5, 3 << 20, 6]] {
        let sim = Sim::default();
        let (log, _) = open_long(&sim, Durability::Process).unwrap();
        for size in sizes {
            log.wait(log.append(&vec![9; *size]).unwrap()).unwrap();
        }
        sim.fail_at(sim.calls(), Fault::Io);
        assert_eq!(log.flush(sizes.len() as u64).unwrap_err().code(), "chain.data-stopped");
        drop(log);
        // The system shows all of it, the disk has nothing.
        assert_eq!(open_long(&sim.image(Crash::PowerNothing), Durability::Process).unwrap().1.len(), 0);
        let (_log, found) = open_long(&sim, Durability::Process).unwrap();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
        let (_, kept) = open_long(&sim.image(Crash::PowerNothing), Durability::Process).unwrap();
        assert_eq!(kept, found);
    }
}

#[test]
fn what_visits_may_refuse() {
    let (sim, _) = closed();
    let refuse = |_, record: &[u8]| if record == payload(3) { Err(StorageError::Stopped("no".into())) } else { Ok(()) };
    let refused = Log::open(Arc::new(sim), IDENTITY, Durability::Power, FILE_BYTES, refuse);
    assert_eq!(refused.unwrap_err(), StorageError::Stopped("no".into()));
}

#[test]
fn records_that_wait_together_share_one_sync() {
    /// A disk whose syncs last until they are let go.
    #[derive(Debug)]
    struct Slow(Sim, Arc<Mutex<()>>);
    #[derive(Debug)]
    struct SlowFile(Box<dyn crate::vfs::File>, Arc<Mutex<()>>);
    impl crate::vfs::File for SlowFile {
        fn size(&self) -> std::io::Result<u64> {
            self.0.size()
        }
        fn read_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<usize> {
            self.0.read_at(bytes, offset)
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<usize> {
            self.0.write_at(bytes, offset)
        }
        fn set_size(&self, size: u64) -> std::io::Result<()> {
            self.0.set_size(size)
        }
        fn map(&self) -> std::io::Result<crate::vfs::Map> {
            self.0.map()
        }

        fn sync(&self) -> std::io::Result<()> {
            let _turn = self.1.lock().unwrap();
            self.0.sync()
        }
    }
    impl Vfs for Slow {
        fn open(&self, name: &str) -> std::io::Result<Box<dyn crate::vfs::File>> {
            Ok(Box::new(SlowFile(self.0.open(name)?, Arc::clone(&self.1))))
        }
        fn create(&self, name: &str) -> std::io::Result<Box<dyn crate::vfs::File>> {
            Ok(Box::new(SlowFile(self.0.create(name)?, Arc::clone(&self.1))))
        }
        fn list(&self) -> std::io::Result<Vec<String>> {
            self.0.list()
        }
        fn remove(&self, name: &str) -> std::io::Result<()> {
            self.0.remove(name)
        }
        fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
            self.0.rename(from, to)
        }
        fn sync_folder(&self) -> std::io::Result<()> {
            self.0.sync_folder()
        }
    }
    let gate = Arc::new(Mutex::new(()));
    let vfs = Arc::new(Slow(Sim::default(), Arc::clone(&gate)));
    let log =
        Log::open(vfs, IDENTITY, Durability::Power, MAX_FILE_BYTES, |_, _: &[u8]| Ok::<_, StorageError>(())).unwrap();
    let closed_gate = gate.lock().unwrap();
    let numbers: Vec<u64> = (0..50).map(|index| log.append(&payload(index)).unwrap()).collect();
    drop(closed_gate);
    log.wait(*numbers.last().unwrap()).unwrap();
    assert_eq!(numbers, (0..50).collect::<Vec<u64>>());
    let stats = log.stats();
    // Some went with the first write; all others waited for it and went with the second.
    assert!(stats.writes <= 2 && stats.syncs <= 2, "{stats:?}");
}

#[test]
fn a_record_above_the_bound_is_refused_and_nothing_is_written() {
    let sim = Sim::default();
    let (log, _) = open(&sim, Durability::Power).unwrap();
    let before = sim.size_of(&name_of(1));
    let error = log.append(&vec![0; super::MAX_RECORD_BYTES + 1]).unwrap_err();
    assert_eq!(error.code(), "chain.data-too-long");
    assert_eq!(sim.size_of(&name_of(1)), before);
    assert_eq!(log.append(&[1]), Ok(0));
}

#[test]
fn a_folder_of_the_system_keeps_a_log_and_has_one_user() {
    let folder = std::env::temp_dir().join(format!("interlace-log-{}", std::process::id()));
    let open_here = || {
        let disk: Arc<dyn Vfs> = Arc::new(crate::vfs::Disk::open(&folder)?);
        let mut found = Vec::new();
        let log = Log::open(disk, IDENTITY, Durability::Power, FILE_BYTES, |_, record: &[u8]| {
            found.push(record.to_vec());
            Ok::<_, StorageError>(())
        })?;
        Ok::<_, StorageError>((log, found))
    };
    let (log, found) = open_here().unwrap();
    assert!(found.is_empty());
    assert_eq!(write(&log, 0, 12, 4), 12);
    assert_eq!(open_here().unwrap_err().code(), "chain.data-locked");
    drop(log);
    let (log, found) = open_here().unwrap();
    assert_eq!(found.len(), 12);
    check(&found, 12, "reopened");
    drop(log);
    std::fs::remove_dir_all(&folder).unwrap();
}
