#![allow(clippy::unwrap_used)]

mod history;

use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, Bytes, KECCAK256_EMPTY, U256, keccak256};
use interlace_stf::{Account, AccountChange, Changes, StateReader};
use interlace_trie::TrieAccount;

use super::*;
use crate::error::StateError;
use crate::snapshot::Snapshot;
use crate::vfs::read_all;
use crate::vfs::sim::{Crash, Fault, Sim};

const IDENTITY: B256 = B256::repeat_byte(0x1d);

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn address(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

fn code(number: u64) -> Bytes {
    vec![number as u8; [0, 1, 30, 5_000, 24_576][number as usize % 5]].into()
}

/// Changes of every kind to some of `of` accounts.
fn changes(dice: &mut Dice, count: u64, of: u64) -> Changes {
    let mut changes = Changes::default();
    for _ in 0..count {
        let who = address(dice.roll(of));
        let mut change = AccountChange::default();
        if dice.roll(8) > 0 {
            let code = code(dice.roll(10));
            let code_hash = keccak256(&code);
            change.info = Some(Account {
                nonce: dice.roll(3) * u64::from(u32::MAX) + 1,
                balance: U256::from(dice.roll(1 << 40)) << (dice.roll(200) as usize),
                code_hash: if dice.roll(2) == 0 { KECCAK256_EMPTY } else { code_hash },
            });
            if change.info.unwrap().code_hash != KECCAK256_EMPTY {
                changes.codes.insert(code_hash, code);
            }
            change.wiped = dice.roll(6) == 0;
            for _ in 0..[0, 0, 3, 50][dice.roll(4) as usize] {
                let key = U256::from(dice.roll(60)) << (dice.roll(3) as usize * 100);
                change.storage.insert(key, U256::from(dice.roll(3)) << (dice.roll(250) as usize));
            }
        } else {
            change.wiped = true;
        }
        changes.accounts.insert(who, change);
    }
    changes
}

/// A chain of states with a window, and the changes that made it.
struct Run {
    state: MemoryState,
    dice: Dice,
    block: u64,
    mark: u64,
    accounts: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self::of(80, seed)
    }

    fn of(accounts: u64, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let state = MemoryState::new(0, changes(&mut dice, accounts / 2, accounts), |root| root);
        state.keep(Some(3));
        Self { state, dice, block: 0, mark: 0, accounts }
    }

    /// Commits a block, and at times an edit of it.
    fn step(&mut self, others: &[&MemoryState]) {
        let edits = self.dice.roll(2);
        let made: Vec<Changes> = (0..=edits).map(|_| changes(&mut self.dice, 30, self.accounts)).collect();
        self.block += 1;
        for (nth, changes) in made.into_iter().enumerate() {
            self.mark += 1;
            for state in [&self.state].into_iter().chain(others.iter().copied()) {
                state.logged(self.mark);
                if nth == 0 {
                    let staged = state.stage(changes.clone()).unwrap();
                    state.commit(self.block, B256::with_last_byte(self.block as u8), staged).unwrap();
                } else {
                    state.amend(changes.clone()).unwrap();
                }
            }
        }
    }
}

fn go_on(_: u64, _: u64) -> bool {
    true
}

fn flushed(_: u64) -> Result<(), StorageError> {
    Ok(())
}

fn open(disk: &Sim) -> Result<Checkpoints, StorageError> {
    Checkpoints::open(Arc::new(disk.clone()), IDENTITY)
}

/// An account with its slots and code.
type Content = (Address, TrieAccount, Vec<(U256, U256)>, Bytes);

/// Everything that can be read of the newest state.
fn content(state: &MemoryState) -> Vec<Content> {
    let latest = state.latest();
    let entry = |(address, account): (Address, TrieAccount)| {
        let code = latest.code(account.code_hash).unwrap();
        (address, account, state.slots(address).unwrap(), code)
    };
    state.accounts().unwrap().into_iter().map(entry).collect()
}

/// The state at the oldest version that `state` can read, alone.
fn oldest(state: &MemoryState) -> (u64, B256) {
    let pin = state.pin().unwrap();
    (pin.mark, pin.root)
}

#[test]
fn a_loaded_state_is_the_one_that_was_written_and_goes_on_like_it() {
    for seed in 0..40 {
        let mut run = Run::new(seed / 2);
        (0..6).for_each(|_| run.step(&[]));
        // Back to what the checkpoint will be of, so that both can be compared whole.
        let block = run.block - 3;
        run.state.revert_to(block).unwrap();
        run.block = block;
        let disk = Sim::default();
        let mut checkpoints = open(&disk).unwrap();
        assert_eq!(checkpoints.newest(), None);
        let stats = checkpoints.write(&run.state, flushed, &go_on).unwrap().unwrap();
        let slots = content(&run.state).iter().map(|(_, _, slots, _)| slots.len() as u64).sum();
        assert_eq!((stats.accounts, stats.slots), (run.state.accounts().unwrap().len() as u64, slots));
        assert_eq!(checkpoints.write(&run.state, flushed, &go_on), Ok::<_, StorageError>(None));

        let checkpoints = open(&disk).unwrap();
        let Manifest { number, block, hash, root, mark, .. } = *checkpoints.newest().unwrap();
        assert_eq!((number, block, root), (1, run.block, run.state.root()));
        // All in memory, or in the tables.
        let loaded = if seed % 2 == 0 {
            checkpoints.load(&go_on)
        } else {
            checkpoints.map(usize::from(seed % 4 == 1) << 20, &go_on)
        }
        .unwrap();
        assert_eq!((loaded.root(), loaded.latest().hash()), (root, hash));
        assert_eq!(content(&loaded), content(&run.state));
        for (address, account, slots, _) in content(&loaded) {
            let keys: Vec<U256> = slots.iter().map(|(key, _)| *key).chain([U256::from(7)]).collect();
            assert_eq!(loaded.proof(address, &keys), run.state.proof(address, &keys));
            assert_eq!(loaded.proof(address, &[]).unwrap().account, Some(account));
        }
        loaded.keep(Some(3));
        loaded.precede((0..block).map(|number| (number, B256::with_last_byte(number as u8), B256::ZERO))).unwrap();
        for number in 0..block {
            let error = loaded.at(number).unwrap().account(Address::ZERO).unwrap_err();
            assert_eq!(error, StateError::Expired { number, oldest: block });
        }
        assert_eq!(loaded.latest().block_hash(1), Ok(B256::with_last_byte(1)));
        run.mark = mark;
        for _ in 0..5 {
            run.step(&[&loaded]);
            assert_eq!(loaded.root(), run.state.root());
        }
        assert_eq!(content(&loaded), content(&run.state));
        assert_eq!(oldest(&loaded), oldest(&run.state));
        [&loaded, &run.state].into_iter().for_each(|state| state.revert_to(run.block - 2).unwrap());
        assert_eq!(content(&loaded), content(&run.state));
    }
}

/// An account as it is read in every way, with some slots.
type Reading = (Address, Option<Account>, Option<TrieAccount>, Vec<U256>);

/// Reads all that there is of a version.
fn read(snapshot: &Snapshot) -> Vec<Reading> {
    let keys = (0..60u64).step_by(7).flat_map(|key| (0..3).map(move |shift| U256::from(key) << (shift * 100)));
    let keys: Vec<U256> = keys.collect();
    let all = (0..80).map(|number| {
        let address = address(number);
        let slots = keys.iter().map(|key| snapshot.storage(address, *key).unwrap()).collect();
        (address, snapshot.account(address).unwrap(), snapshot.trie_account(address).unwrap(), slots)
    });
    all.collect()
}

#[test]
fn a_state_over_tables_is_as_one_in_memory_at_every_version_and_back() {
    for seed in 0..20 {
        let mut run = Run::new(100 + seed);
        (0..5).for_each(|_| run.step(&[]));
        run.state.revert_to(run.block - 3).unwrap();
        run.block -= 3;
        let disk = Sim::default();
        open(&disk).unwrap().write(&run.state, flushed, &go_on).unwrap().unwrap();
        let mapped = open(&disk).unwrap().map((seed as usize % 3) * 40_000, &go_on).unwrap();
        mapped.precede((0..run.block).map(|number| (number, B256::ZERO, B256::ZERO))).unwrap();
        [&mapped, &run.state].into_iter().for_each(|state| state.keep(Some(6)));
        let first = run.block;
        for _ in 0..8 {
            // Back by as much as is kept, at times, and forth again.
            if run.dice.roll(3) == 0 {
                run.block = run.block.saturating_sub(run.dice.roll(4)).max(first);
                [&mapped, &run.state].into_iter().for_each(|state| state.revert_to(run.block).unwrap());
                assert_eq!(mapped.root(), run.state.root(), "seed {seed}");
            }
            run.step(&[&mapped]);
            assert_eq!(mapped.root(), run.state.root(), "seed {seed}");
            // What is tried and dropped changes nothing.
            let tried = changes(&mut run.dice, 60, 80);
            assert_eq!(mapped.root_after(&tried), run.state.root_after(&tried));
            for number in run.block.saturating_sub(6).max(first)..=run.block {
                let [one, other] = [&mapped, &run.state].map(|state| state.at(number).unwrap());
                // It went back, and kept no more for it.
                if let Err(error) = other.account(Address::ZERO) {
                    assert_eq!(one.account(Address::ZERO), Err(error));
                    continue;
                }
                assert_eq!(read(&one), read(&other), "seed {seed}, block {number} of {}", run.block);
                let who = address(run.dice.roll(80));
                assert_eq!(one.root_after(&tried), other.root_after(&tried));
                let keys = [U256::from(3), U256::from(5) << 100];
                assert_eq!(one.proof(who, &keys), other.proof(who, &keys), "seed {seed}, block {number}");
                let sorted = |snapshot: &Snapshot| {
                    let mut slots = snapshot.slots(who).unwrap();
                    slots.sort_unstable();
                    slots
                };
                assert_eq!(sorted(&one), sorted(&other), "seed {seed}, block {number} of {}", run.block);
            }
            assert_eq!(content(&mapped), content(&run.state), "seed {seed}");
        }
        // And a checkpoint of it is one of the other.
        let (one, other) = (Sim::default(), Sim::default());
        let written = [(&one, &mapped), (&other, &run.state)].map(|(disk, state)| {
            let CheckpointStats { accounts, slots, bytes, .. } =
                open(disk).unwrap().write(state, flushed, &go_on).unwrap().unwrap();
            (accounts, slots, bytes)
        });
        assert_eq!(written[0], written[1]);
        for kind in page::Kind::STATE {
            let [one, other] = [&one, &other].map(|disk| read_all(disk, &kind.name(1), 1 << 30).unwrap());
            assert!(one == other, "seed {seed}: {kind:?} differ");
        }
    }
}

#[test]
fn the_chain_goes_on_while_a_checkpoint_is_written() {
    let mut run = Run::new(5);
    (0..6).for_each(|_| run.step(&[]));
    let (mark, root) = oldest(&run.state);
    let disk = Sim::default();
    let mut checkpoints = open(&disk).unwrap();
    // The window moves past the state that is written, which nobody may forget yet.
    let state = run.state.clone();
    let run = std::sync::Mutex::new(run);
    let progress = |_, _| {
        (0..9).for_each(|_| run.lock().unwrap().step(&[]));
        true
    };
    checkpoints.write(&state, flushed, &progress).unwrap().unwrap();
    let loaded = open(&disk).unwrap().load(&go_on).unwrap();
    assert_eq!((checkpoints.newest().unwrap().mark, loaded.root()), (mark, root));
    // It is forgotten afterwards.
    assert!(oldest(&state).0 > mark);
    assert_eq!(state.at(3).unwrap().account(Address::ZERO).unwrap_err().code(), "engine.snapshot-expired");
}

#[test]
fn a_chain_over_tables_goes_on_and_is_read_while_a_checkpoint_is_written() {
    for seed in 0..12 {
        let mut run = Run::of(500, 200 + seed);
        (0..6).for_each(|_| run.step(&[]));
        run.state.revert_to(run.block - 3).unwrap();
        run.block -= 3;
        let disk = Sim::default();
        open(&disk).unwrap().write(&run.state, flushed, &go_on).unwrap().unwrap();
        let mapped = open(&disk).unwrap().map((seed as usize % 2) * 60_000, &go_on).unwrap();
        mapped.precede((0..run.block).map(|number| (number, B256::ZERO, B256::ZERO))).unwrap();
        [&mapped, &run.state].into_iter().for_each(|state| state.keep(Some(2)));
        (0..4).for_each(|_| run.step(&[&mapped]));
        let (mark, root) = oldest(&mapped);
        let run = std::sync::Mutex::new((run, 0));
        // Accounts are written, removed, read, and given up between any two that are put on disk.
        let progress = |_, _| {
            let (run, calls) = &mut *run.lock().unwrap();
            *calls += 1;
            if *calls % 5 == 0 && *calls < 400 {
                run.step(&[&mapped]);
            }
            let latest = mapped.latest();
            for _ in 0..12 {
                let who = address(run.dice.roll(500));
                latest.account(who).unwrap();
                latest.storage(who, U256::from(run.dice.roll(60)) << (run.dice.roll(3) as usize * 100)).unwrap();
            }
            true
        };
        let mut checkpoints = open(&disk).unwrap();
        checkpoints.write(&mapped, flushed, &progress).unwrap().unwrap();
        // Loading compares every root.
        let loaded = open(&disk).unwrap().load(&go_on).unwrap();
        assert_eq!((checkpoints.newest().unwrap().mark, loaded.root()), (mark, root), "seed {seed}");
    }
}

#[test]
fn what_no_record_led_to_is_not_written() {
    let disk = Sim::default();
    let state = MemoryState::new(0, changes(&mut Dice(1), 9, 9), |root| root);
    assert_eq!(open(&disk).unwrap().write(&state, flushed, &go_on), Ok::<_, StorageError>(None));
    assert_eq!(disk.list().unwrap(), Vec::<String>::new());
    assert_eq!(open(&disk).unwrap().load(&go_on).unwrap_err().code(), "chain.data-damaged");
}

/// A disk with one checkpoint, a state that is further, and both roots.
fn two() -> (Sim, MemoryState, [B256; 2]) {
    let mut run = Run::new(9);
    (0..6).for_each(|_| run.step(&[]));
    let disk = Sim::default();
    let (_, first) = oldest(&run.state);
    open(&disk).unwrap().write(&run.state, flushed, &go_on).unwrap().unwrap();
    (0..2).for_each(|_| run.step(&[]));
    let (_, second) = oldest(&run.state);
    let disk = disk.image(Crash::Process);
    (disk, run.state, [first, second])
}

/// Roots that a folder may hold after a second checkpoint was tried.
fn check(disk: &Sim, roots: [B256; 2], is_second: Option<bool>, context: &str) {
    let checkpoints = open(disk).unwrap();
    let root = checkpoints.load(&go_on).unwrap().root();
    assert!(roots.contains(&root), "{context}");
    if let Some(is_second) = is_second {
        assert_eq!(root == roots[1], is_second, "{context}");
    }
    let tables = disk.list().unwrap().iter().filter(|name| page::Kind::of(name).is_some()).count();
    assert_eq!(tables, 3, "{context}");
}

#[test]
fn a_crash_in_any_call_leaves_one_checkpoint_or_the_other() {
    let (disk, state, roots) = two();
    let calls = |disk: &Sim| {
        let outcome = open(disk).and_then(|mut checkpoints| checkpoints.write(&state, flushed, &go_on));
        (disk.calls(), outcome)
    };
    let (all, _) = calls(&disk.image(Crash::Process));
    assert!(all > 20, "{all}");
    for call in 0..=all {
        let disk = disk.image(Crash::Process);
        disk.halt_at(call);
        let done = calls(&disk).1.is_ok();
        for crash in [Crash::Process, Crash::PowerNothing].into_iter().chain((0..12).map(Crash::PowerSome)) {
            let image = disk.image(crash);
            check(&image, roots, done.then_some(true), &format!("call {call}, {crash:?}"));
            // What comes after a crash is as safe.
            let again = image.image(Crash::Process);
            open(&again).unwrap().write(&state, flushed, &go_on).unwrap();
            check(&again.image(Crash::PowerNothing), roots, Some(true), &format!("call {call}, {crash:?}, again"));
        }
    }
}

#[test]
fn a_fault_in_any_call_is_told_and_costs_nothing() {
    let (disk, state, roots) = two();
    let whole = disk.image(Crash::Process);
    open(&whole).unwrap().write(&state, flushed, &go_on).unwrap();
    for call in 0..whole.calls() {
        for fault in [Fault::Io, Fault::Full, Fault::Short] {
            let context = format!("call {call}, {fault:?}");
            let disk = disk.image(Crash::Process);
            let mut checkpoints = match open(&disk) {
                Ok(checkpoints) => checkpoints,
                Err(error) => unreachable!("{error}"),
            };
            disk.fail_at(call, fault);
            let outcome = checkpoints.write(&state, flushed, &go_on);
            let second = match &outcome {
                Ok(_) => Some(true),
                Err(StorageError::Io { .. }) => None,
                Err(error) => unreachable!("{context}: {error}"),
            };
            for crash in [Crash::Process, Crash::PowerNothing, Crash::PowerSome(call)] {
                check(&disk.image(crash), roots, second, &context);
            }
            // Another attempt succeeds; if it is in doubt which manifest the disk has, only another start can tell.
            let in_doubt = matches!(&outcome, Err(StorageError::Io { file, .. }) if file == MANIFEST);
            match checkpoints.write(&state, flushed, &go_on) {
                Ok(_) if !in_doubt => check(&disk.image(Crash::PowerNothing), roots, Some(true), &context),
                Err(StorageError::Stopped(_)) if in_doubt => {
                    open(&disk).unwrap().write(&state, flushed, &go_on).unwrap();
                    check(&disk.image(Crash::PowerNothing), roots, Some(true), &context);
                }
                other => unreachable!("{context}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_log_is_flushed_first_and_whoever_asks_may_give_up() {
    let (disk, state, roots) = two();
    let mut checkpoints = open(&disk).unwrap();
    let refused = |mark| Err(StorageError::Stopped(format!("no record {mark}")));
    let error = checkpoints.write(&state, refused, &go_on).unwrap_err();
    assert_eq!(error, StorageError::Stopped(format!("no record {}", oldest(&state).0)));
    check(&disk.image(Crash::Process), roots, Some(false), "refused");
    for stop_at in 0..3 {
        let calls = AtomicU64::new(0);
        let progress = |_, _| calls.fetch_add(1, Ordering::Relaxed) < stop_at;
        let error = checkpoints.write(&state, flushed, &progress).unwrap_err();
        assert_eq!(error, given_up());
        check(&disk.image(Crash::Process), roots, Some(false), "given up");
    }
    assert_eq!(checkpoints.load(&|_, _| false).unwrap_err(), given_up());
    checkpoints.write(&state, flushed, &go_on).unwrap().unwrap();
    check(&disk.image(Crash::PowerNothing), roots, Some(true), "at last");
}

#[test]
fn records_out_of_order_are_told() {
    let entry = |number: u64| {
        let account = TrieAccount { nonce: number, ..TrieAccount::default() };
        entry::AccountEntry { address: address(number), account, slots: SlotRange::default() }
    };
    let mut entries: Vec<_> = (0..40).map(entry).collect();
    entries.sort_by_key(|entry| keccak256(entry.address));
    let (first, again) = (entries[3], entries[3]);
    let swapped = [entries[4], entries[3]];
    // As they are, one twice, and two that changed places.
    for (entries, holds) in [
        (entries.clone(), true),
        ([&entries[..3], &[first, again], &entries[4..]].concat(), false),
        ([&entries[..3], &swapped, &entries[5..]].concat(), false),
    ] {
        let disk = Sim::default();
        let mut accounts = page::TableWriter::create(&disk, page::Kind::Accounts, 1, IDENTITY).unwrap();
        for entry in &entries {
            let mut record = Vec::new();
            entry.put(&mut record);
            accounts.push(&record).unwrap();
        }
        accounts.finish().unwrap();
        for kind in [page::Kind::Slots, page::Kind::Codes] {
            page::TableWriter::create(&disk, kind, 1, IDENTITY).unwrap().finish().unwrap();
        }
        let root = interlace_trie::state_root(entries.iter().map(|entry| (entry.address, entry.account)));
        let (number, mark, block, edits, window) = (1, 1, 1, 0, 0);
        let manifest = Manifest {
            number,
            mark,
            block,
            edits,
            window,
            hash: root,
            root,
            identity: IDENTITY,
            position: 0,
            history: 0,
        };
        manifest.write(&disk).unwrap();
        for loaded in [open(&disk).unwrap().load(&go_on), open(&disk).unwrap().map(0, &go_on)] {
            match loaded {
                Ok(state) => assert!(holds && state.root() == root),
                Err(StorageError::Damaged { detail, .. }) => {
                    assert!(!holds && detail == "its accounts are out of order", "{detail}");
                }
                Err(error) => unreachable!("{error}"),
            }
        }
    }
}

#[test]
fn a_byte_that_rots_is_told_with_its_file() {
    let (disk, _, _) = two();
    let names: Vec<String> = disk.list().unwrap().into_iter().filter(|name| name != MANIFEST).collect();
    assert_eq!(names.len(), 3);
    for name in names {
        let size = disk.size_of(&name).unwrap();
        for byte in (0..size).step_by(97) {
            disk.flip(&name, byte, 4);
            let error = open(&disk).unwrap().load(&go_on).unwrap_err();
            let StorageError::Damaged { file, offset, .. } = error else { unreachable!("{name} {byte}: {error}") };
            assert_eq!((file, offset), (name.clone(), byte as u64 / page::PAGE as u64 * page::PAGE as u64));
            disk.flip(&name, byte, 4);
        }
    }
    open(&disk).unwrap().load(&go_on).unwrap();
    let other = Checkpoints::open(Arc::new(disk.clone()), B256::ZERO).unwrap_err();
    assert_eq!(other.code(), "chain.data-damaged");
    // Without a manifest there is no checkpoint, and what it was is removed.
    (0..2).for_each(|place| disk.flip(MANIFEST, place * 4_096 + 4, 4));
    let checkpoints = open(&disk).unwrap();
    assert_eq!((checkpoints.newest(), checkpoints.torn()), (None, 2));
    assert_eq!(disk.list().unwrap(), [MANIFEST]);
}

/// A balance and a slot of an account after `number` blocks, each of which writes its number to one account of seven.
fn mark(account: u64, number: u64) -> u64 {
    let last = (1..=number).rev().take(7).find(|block| account % 7 == block % 7);
    last.unwrap_or(1_000_000 + account)
}

fn marked(numbers: impl Iterator<Item = u64>, value: impl Fn(u64) -> u64) -> Changes {
    let change = |number: u64| {
        let info = Account { nonce: 1, balance: U256::from(value(number)), code_hash: KECCAK256_EMPTY };
        let storage = if number.is_multiple_of(3) { [(U256::from(number), info.balance)].into() } else { [].into() };
        (address(number), AccountChange { info: Some(info), storage, ..AccountChange::default() })
    };
    Changes { accounts: numbers.map(change).collect(), ..Changes::default() }
}

/// Tells the readers to end.
struct Ends<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_beside_a_writer_see_their_version_while_entries_come_and_go() {
    const ACCOUNTS: u64 = 3_000;
    let disk = Sim::default();
    let state = MemoryState::new(0, Changes::default(), |root| root);
    state.keep(Some(0));
    state.logged(1);
    let first = marked(0..ACCOUNTS, |account| 1_000_000 + account);
    state.commit(1, B256::ZERO, state.stage(first.clone()).unwrap()).unwrap();
    open(&disk).unwrap().write(&state, flushed, &go_on).unwrap().unwrap();
    // Room for a tenth of the accounts.
    let state = open(&disk).unwrap().map(60_000, &go_on).unwrap();
    state.precede([(0, B256::ZERO, B256::ZERO)]).unwrap();
    state.keep(Some(5));
    let whole = MemoryState::new(1, first, |root| root);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (state, stop) = (&state, &stop);
            scope.spawn(move || {
                let mut dice = Dice(reader);
                while !stop.load(Ordering::Relaxed) {
                    let newest = state.latest();
                    // Blocks count from the first one's.
                    let back = dice.roll(5).min(newest.number() - 1);
                    let snapshot = state.at(newest.number() - back).unwrap();
                    let number = snapshot.number() - 1;
                    for _ in 0..40 {
                        let account = dice.roll(ACCOUNTS);
                        let expected = U256::from(mark(account, number));
                        match snapshot.account(address(account)) {
                            Ok(found) => assert_eq!(found.unwrap().balance, expected, "{account} at {number}"),
                            Err(error) => assert_eq!(error.code(), "engine.snapshot-expired"),
                        }
                        let slot = if account.is_multiple_of(3) { expected } else { U256::ZERO };
                        match snapshot.storage(address(account), U256::from(account)) {
                            Ok(found) => assert_eq!(found, slot, "slot of {account} at {number}"),
                            Err(error) => assert_eq!(error.code(), "engine.snapshot-expired"),
                        }
                    }
                    // Others try changes meanwhile; nothing of it is seen.
                    state.root_after(&marked([dice.roll(ACCOUNTS)].into_iter(), |_| 7)).unwrap();
                }
            });
        }
        // Also if the writer fails, so that the test ends.
        let _end = Ends(&stop);
        for block in 1..=60 {
            let changes = marked((0..ACCOUNTS).filter(|account| account % 7 == block % 7), |_| block);
            for state in [&state, &whole] {
                let staged = state.stage(changes.clone()).unwrap();
                state.commit(block + 1, B256::ZERO, staged).unwrap();
            }
            assert_eq!(state.root(), whole.root());
        }
    });
    assert_eq!(content(&state), content(&whole));
    let tiers = state.tiers().unwrap();
    assert!(tiers.evictions > 100, "{tiers:?}");
    assert!(tiers.cold_reads > tiers.evictions && tiers.reads > tiers.cold_reads, "{tiers:?}");
}
