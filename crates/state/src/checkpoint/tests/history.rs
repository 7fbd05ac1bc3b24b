//! Chains that keep all states, beside one that holds them in memory: through checkpoints, ways back and starts.
use super::*;

/// Blocks before the newest one whose states stay in memory.
const IN_MEMORY: u64 = 3;

/// What a log would hold.
#[derive(Clone, Debug)]
enum Record {
    Block(Changes),
    Edit(Changes),
    /// Number of the block and of its edits that hold.
    Back(u64, u64),
}

/// A chain that has its older states on disk, and one that has all in memory.
struct Pair {
    disk: Sim,
    archive: MemoryState,
    whole: MemoryState,
    first: Changes,
    log: Vec<Record>,
    /// Block and number of the edit of each state.
    states: Vec<(u64, u64)>,
    dice: Dice,
    accounts: u64,
}

fn hash(number: u64) -> B256 {
    B256::with_last_byte(number as u8)
}

/// Does what a record says, and follows it in the list of states.
fn take(state: &MemoryState, states: &mut Vec<(u64, u64)>, record: &Record, mark: u64) {
    let (block, edit) = *states.last().unwrap();
    state.logged(mark);
    match record {
        Record::Block(changes) => {
            state.commit(block + 1, hash(block + 1), state.stage(changes.clone()).unwrap()).unwrap();
            states.push((block + 1, 0));
        }
        Record::Edit(changes) => {
            state.amend(changes.clone()).unwrap();
            states.push((block, edit + 1));
        }
        Record::Back(number, edits) => {
            state.restore(&state.at_edit(*number, *edits as usize).unwrap()).unwrap();
            states.truncate(states.iter().position(|state| *state == (*number, *edits)).unwrap() + 1);
        }
    }
}

impl Pair {
    fn new(seed: u64, accounts: u64) -> Self {
        let mut dice = Dice(seed);
        let first = changes(&mut dice, accounts / 2, accounts);
        let [archive, whole] = [0; 2].map(|_| MemoryState::new(0, first.clone(), |root| root));
        archive.archive(History::default(), IN_MEMORY);
        let (disk, states) = (Sim::default(), vec![(0, 0)]);
        Self { disk, archive, whole, first, log: Vec::new(), states, dice, accounts }
    }

    fn push(&mut self, record: Record) {
        let mark = self.log.len() as u64 + 1;
        let mut states = self.states.clone();
        take(&self.archive, &mut states, &record, mark);
        take(&self.whole, &mut self.states, &record, mark);
        self.log.push(record);
        assert_eq!(self.archive.root(), self.whole.root());
    }

    fn step(&mut self) {
        let changes = changes(&mut self.dice, 12, self.accounts);
        let is_edit = self.dice.roll(4) == 0;
        self.push(if is_edit { Record::Edit(changes) } else { Record::Block(changes) });
    }

    fn back(&mut self) {
        let state = self.dice.roll(self.states.len() as u64) as usize;
        let (number, edits) = self.states[state];
        self.push(Record::Back(number, edits));
    }

    fn write(&self) -> Option<CheckpointStats> {
        open(&self.disk).unwrap().write(&self.archive, flushed, &go_on).unwrap()
    }

    /// Starts again from the checkpoint and the log behind it; with `bytes`, accounts stay in the tables.
    fn start(&mut self, bytes: Option<usize>) {
        let checkpoints = open(&self.disk).unwrap();
        let Some(manifest) = checkpoints.newest().copied() else { return };
        let state = match bytes {
            Some(bytes) => checkpoints.map(bytes, &go_on),
            None => checkpoints.load(&go_on),
        };
        let state = state.unwrap();
        state.archive(checkpoints.history().unwrap(), IN_MEMORY);
        let mut states = vec![(0, 0)];
        let shadow = MemoryState::new(0, self.first.clone(), |root| root);
        let (before, behind) = self.log.split_at(manifest.mark as usize);
        before.iter().for_each(|record| take(&shadow, &mut states, record, 0));
        assert_eq!((state.root(), states.len() as u64 - 1), (shadow.root(), manifest.position));
        let earlier = states[..states.len() - 1].iter();
        state.precede(earlier.map(|(number, _)| (*number, hash(*number), B256::ZERO))).unwrap();
        for (mark, record) in (manifest.mark + 1..).zip(behind) {
            take(&state, &mut states, record, mark);
        }
        assert_eq!((state.root(), &states), (self.whole.root(), &self.states));
        self.archive = state;
    }

    fn at(&self, state: &MemoryState, (number, edits): (u64, u64)) -> Snapshot {
        state.at_edit(number, edits as usize).unwrap()
    }

    /// Every state is read in every way, and compared.
    fn compare(&mut self, context: &str) {
        for state in self.states.clone() {
            let [one, other] = [&self.archive, &self.whole].map(|chain| self.at(chain, state));
            assert_eq!(read(&one), read(&other), "{context}: {state:?}");
            if state != (0, 0) && self.dice.roll(3) > 0 {
                continue;
            }
            let who = address(self.dice.roll(self.accounts));
            let sorted = |snapshot: &Snapshot| {
                let (mut slots, mut accounts) = (snapshot.slots(who).unwrap(), snapshot.accounts().unwrap());
                slots.sort_unstable();
                accounts.sort_unstable_by_key(|(address, _)| *address);
                (slots, accounts)
            };
            assert_eq!(sorted(&one), sorted(&other), "{context}: {state:?}");
            for (_, account) in sorted(&other).1 {
                assert_eq!(one.code(account.code_hash), other.code(account.code_hash), "{context}: {state:?}");
            }
            let keys = [U256::from(3), U256::from(5) << 100];
            assert_eq!(one.proof(who, &keys), other.proof(who, &keys), "{context}: {state:?}");
            let tried = changes(&mut self.dice, 3, self.accounts);
            assert_eq!(one.root_after(&tried), other.root_after(&tried), "{context}: {state:?}");
        }
    }
}

#[test]
fn all_states_are_read_as_if_they_were_in_memory_through_checkpoints_ways_back_and_starts() {
    let mut forgotten = 0;
    for seed in 0..36 {
        let mut pair = Pair::new(seed, 80);
        for round in 0..40 {
            match pair.dice.roll(12) {
                0 => pair.back(),
                1 | 2 => drop(pair.write()),
                3 if seed % 3 == 0 => pair.start(None),
                3 if seed % 3 == 1 => pair.start(Some((seed as usize % 2) * 40_000)),
                _ => pair.step(),
            }
            if round % 13 == 12 {
                pair.compare(&format!("seed {seed}, round {round}"));
            }
        }
        let on_disk = pair.archive.history().unwrap().size().0;
        forgotten += on_disk;
        assert_eq!(content(&pair.archive), content(&pair.whole), "seed {seed}");
    }
    assert!(forgotten > 36, "{forgotten}");
}

#[test]
fn memory_forgets_what_is_on_disk_and_finds_it_there() {
    let mut pair = Pair::new(3, 80);
    (0..20).for_each(|_| pair.step());
    let before = pair.archive.sizes().older_values;
    let stats = pair.write().unwrap();
    assert!(stats.history > 0);
    assert_eq!(pair.archive.history().unwrap().size(), (1, stats.history));
    let after = pair.archive.sizes().older_values;
    assert!(after * 3 < before, "{after} of {before}");
    pair.compare("once");
    // The next one has only what came since.
    (0..2).for_each(|_| pair.step());
    let next = pair.write().unwrap();
    assert!(next.history < stats.history, "{next:?}, {stats:?}");
    assert_eq!(pair.archive.history().unwrap().size(), (2, stats.history + next.history));
    pair.compare("twice");
    let (state, history) = open(&pair.disk).unwrap().bytes().unwrap();
    assert_eq!((state, history), (next.bytes, stats.history + next.history));
}

#[test]
fn a_chain_that_goes_back_while_its_history_is_written_has_no_such_checkpoint() {
    for seed in 0..15 {
        let mut pair = Pair::new(50 + seed, 80);
        (0..12).for_each(|_| pair.step());
        assert!(seed % 2 == 0 || pair.write().is_some());
        (0..12).for_each(|_| pair.step());
        let mut checkpoints = open(&pair.disk).unwrap();
        let before = checkpoints.newest().copied();
        let (archive, length) = (pair.archive.clone(), pair.states.len());
        let cell = std::sync::Mutex::new((pair, 0));
        let outcome = checkpoints.write(&archive, flushed, &|_, _| {
            let (pair, calls) = &mut *cell.lock().unwrap();
            *calls += 1;
            if *calls == 3 + 2 * seed {
                // Behind what is being written, into what is on disk already for some; then on.
                let (number, edits) = pair.states[length / 4 + seed as usize % 3];
                pair.push(Record::Back(number, edits));
                (0..9).for_each(|_| pair.step());
            }
            true
        });
        let (mut pair, calls) = cell.into_inner().unwrap();
        if calls >= 3 + 2 * seed {
            assert!(matches!(outcome, Err(StorageError::Stopped(_))), "{outcome:?}");
            assert_eq!(open(&pair.disk).unwrap().newest().copied(), before);
        }
        pair.compare(&format!("seed {seed}"));
        (0..9).for_each(|_| pair.step());
        pair.write().unwrap();
        pair.compare(&format!("seed {seed}, written"));
        pair.start(None);
        pair.compare(&format!("seed {seed}, started"));
    }
}

#[test]
fn a_way_back_that_was_staged_is_gone_though_memory_forgot_its_target_meanwhile() {
    for seed in 0..6 {
        let mut pair = Pair::new(80 + seed, 80);
        (0..14).for_each(|_| pair.step());
        let state = pair.states[5];
        let back = pair.archive.stage_back(&pair.at(&pair.archive, state)).unwrap().unwrap();
        pair.write().unwrap();
        pair.archive.go_back(back).unwrap();
        pair.archive.logged(pair.log.len() as u64 + 1);
        let record = Record::Back(state.0, state.1);
        take(&pair.whole, &mut pair.states, &record, 0);
        pair.log.push(record);
        assert_eq!(pair.archive.root(), pair.whole.root(), "seed {seed}");
        (0..3).for_each(|_| pair.step());
        pair.compare(&format!("seed {seed}"));
        // What was staged on another state is refused.
        let back = pair.archive.stage_back(&pair.at(&pair.archive, pair.states[1])).unwrap().unwrap();
        pair.step();
        assert_eq!(pair.archive.go_back(back).unwrap_err().code(), "engine.stale-stage");
        assert!(pair.archive.stage_back(&pair.archive.latest()).unwrap().is_none());
    }
}

#[test]
fn a_reader_of_an_older_state_reads_again_if_the_chain_goes_back_to_it_meanwhile() {
    let mut pair = Pair::new(90, 80);
    (0..14).for_each(|_| pair.step());
    pair.write().unwrap();
    let state = pair.states[3];
    let [old, other] = [&pair.archive, &pair.whole].map(|chain| pair.at(chain, state));
    let expected = read(&other);
    let looks = std::cell::Cell::new(0);
    let archive = pair.archive.clone();
    let seen = old.found(|view| {
        looks.set(looks.get() + 1);
        if looks.get() == 1 {
            archive.restore(&old).unwrap();
        }
        (0..80).map(|number| view.account(address(number))).collect::<Result<Vec<_>, _>>()
    });
    let accounts: Vec<_> = expected.into_iter().map(|(_, account, ..)| account).collect();
    assert_eq!((seen.unwrap(), looks.get()), (accounts, 2));
}

#[test]
fn a_history_of_states_that_were_gone_back_from_is_not_taken() {
    for seed in 0..6 {
        let mut pair = Pair::new(100 + seed, 80);
        (0..14).for_each(|_| pair.step());
        let pin = pair.archive.pin().unwrap();
        let (history, undone) = pin.past.clone().unwrap();
        let vfs = Sim::default();
        crate::checkpoint::history::write(pair.archive.flat(), &undone, 0, &vfs, 1, IDENTITY, &go_on).unwrap();
        let history = history.with(&vfs, 1, IDENTITY).unwrap();
        // To before the state that is pinned, and on by more than there was.
        let (number, edits) = pair.states[4];
        pair.push(Record::Back(number, edits));
        (0..20).for_each(|_| pair.step());
        assert!(!pin.holds());
        pin.archived(history);
        drop(pin);
        pair.compare(&format!("seed {seed}"));
        pair.write().unwrap();
        pair.compare(&format!("seed {seed}, written"));
    }
}

#[test]
fn a_crash_or_fault_in_any_call_leaves_all_states_readable() {
    let mut pair = Pair::new(9, 30);
    (0..8).for_each(|_| pair.step());
    pair.write().unwrap();
    (0..8).for_each(|_| pair.step());
    let before = pair.disk.image(Crash::Process);
    let mut again = |disk: &Sim, stop: &dyn Fn(&Sim)| {
        pair.disk = disk.image(Crash::Process);
        pair.start(None);
        let start = pair.disk.calls();
        stop(&pair.disk);
        let outcome = open(&pair.disk).and_then(|mut disk| disk.write(&pair.archive, flushed, &go_on));
        let calls = pair.disk.calls() - start;
        for state in pair.states.iter().step_by(5) {
            // Whatever became of it, what runs goes on.
            let [one, other] = [&pair.archive, &pair.whole].map(|chain| pair.at(chain, *state));
            assert_eq!(read(&one), read(&other), "{state:?}");
        }
        for crash in [Crash::Process, Crash::PowerNothing].into_iter().chain((0..4).map(Crash::PowerSome)) {
            let image = pair.disk.image(crash);
            let disk = std::mem::replace(&mut pair.disk, image);
            pair.start(None);
            let names = pair.disk.list().unwrap();
            let count = |kinds: &[page::Kind]| {
                names.iter().filter(|name| page::Kind::of(name).is_some_and(|(kind, _)| kinds.contains(&kind))).count()
            };
            let newest = open(&pair.disk).unwrap().newest().unwrap().number;
            assert!(newest == 2 || outcome.is_err() && newest == 1);
            assert_eq!((count(&page::Kind::STATE), count(&page::Kind::PAST)), (3, newest as usize * 2), "{names:?}");
            for state in pair.states.iter().step_by(5) {
                let [one, other] = [&pair.archive, &pair.whole].map(|chain| pair.at(chain, *state));
                assert_eq!(read(&one), read(&other), "{crash:?}: {state:?}");
            }
            pair.disk = disk;
        }
        (calls, outcome)
    };
    let (all, outcome) = again(&before, &|_| ());
    assert!(all > 30 && outcome.unwrap().is_some(), "{all}");
    for call in 0..all {
        let (_, outcome) = again(&before, &|disk| disk.halt_at(disk.calls() + call));
        // The last calls only remove what does not count any more.
        assert!(outcome.is_err() || call + 6 > all, "call {call}");
        let fault = [Fault::Io, Fault::Full, Fault::Short][call as usize % 3];
        let (_, outcome) = again(&before, &|disk| disk.fail_at(disk.calls() + call, fault));
        // What is only removed may stay.
        assert!(outcome.is_ok() || matches!(outcome, Err(StorageError::Io { .. })), "call {call}: {outcome:?}");
    }
}

#[test]
fn damage_in_a_history_is_told_with_its_place_and_nothing_is_read_for_it() {
    let mut pair = Pair::new(4, 80);
    (0..20).for_each(|_| pair.step());
    pair.write().unwrap();
    for kind in page::Kind::PAST {
        let name = kind.name(1);
        let size = pair.disk.size_of(&name).unwrap();
        for byte in (0..size).step_by(311) {
            pair.disk.flip(&name, byte, 1);
            let page = byte / page::PAGE * page::PAGE;
            let found = open(&pair.disk).unwrap().verify(&go_on).unwrap_err();
            assert_eq!(found.code(), "chain.data-damaged");
            assert!(found.to_string().contains(&name), "{found}");
            if page == 0 {
                assert!(open(&pair.disk).unwrap().history().unwrap_err().to_string().contains(&name));
            } else {
                // What is read where it lies is compared with its checksum as well.
                pair.start(None);
                let oldest = pair.archive.at(0).unwrap();
                let mut told = 0;
                for number in 0..80 {
                    let account = oldest.account(address(number)).map(drop);
                    let slots = oldest.slots(address(number)).map(drop);
                    for error in [account, slots].into_iter().filter_map(Result::err) {
                        let place = format!("{name} is damaged at byte {page}");
                        assert!(error.to_string().contains(&place), "{error}");
                        told += 1;
                    }
                }
                assert!(told > 0, "{name} {byte}");
            }
            pair.disk.flip(&name, byte, 1);
        }
    }
    pair.start(None);
    pair.compare("mended");
}

#[test]
fn a_history_that_is_not_there_is_told() {
    let mut pair = Pair::new(4, 80);
    (0..20).for_each(|_| pair.step());
    pair.write().unwrap();
    pair.disk.remove(&page::Kind::PastSlots.name(1)).unwrap();
    let error = open(&pair.disk).unwrap().history().unwrap_err();
    assert!(error.to_string().contains("0000000001.past-slots"), "{error}");
}

#[test]
fn a_history_that_does_not_fit_its_checkpoint_is_told() {
    let mut pair = Pair::new(4, 80);
    (0..12).for_each(|_| pair.step());
    pair.write().unwrap();
    let sooner = pair.disk.image(Crash::Process);
    // Another position in the manifest, and slots that go to another state than their accounts.
    let manifest = *open(&sooner).unwrap().newest().unwrap();
    Manifest { position: manifest.position + 1, ..manifest }.write(&sooner).unwrap();
    let error = open(&sooner).unwrap().history().unwrap_err();
    assert!(error.to_string().contains("its history ends at state"), "{error}");
    let mut other = Pair::new(5, 80);
    (0..20).for_each(|_| other.step());
    other.write().unwrap();
    let name = page::Kind::PastSlots.name(1);
    let slots = read_all(&other.disk, &name, 1 << 30).unwrap();
    pair.disk.create(&name).unwrap().write_at(&slots, 0).unwrap();
    let error = open(&pair.disk).unwrap().history().unwrap_err();
    assert!(error.to_string().contains("its accounts from 0 to"), "{error}");
}

#[test]
fn readers_of_old_states_see_them_while_they_leave_memory_and_the_chain_goes_back() {
    const ACCOUNTS: u64 = 300;
    let disk = Sim::default();
    let state = MemoryState::new(0, marked(0..ACCOUNTS, |account| 1_000_000 + account), |root| root);
    state.archive(History::default(), IN_MEMORY);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (state, stop) = (&state, &stop);
            scope.spawn(move || {
                let mut dice = Dice(reader);
                let mut reads = 0;
                while !stop.load(Ordering::Relaxed) || reads == 0 {
                    let newest = state.latest().number();
                    let Ok(snapshot) = state.at(dice.roll(newest + 1)) else { continue };
                    for _ in 0..30 {
                        let account = dice.roll(ACCOUNTS);
                        let expected = U256::from(mark(account, snapshot.number()));
                        let slot = if account.is_multiple_of(3) { expected } else { U256::ZERO };
                        let read = (
                            snapshot.account(address(account)).map(|found| found.unwrap().balance),
                            snapshot.storage(address(account), U256::from(account)),
                        );
                        for (read, expected) in [(read.0, expected), (read.1, slot)] {
                            match read {
                                Ok(found) => assert_eq!(found, expected, "{account} at {}", snapshot.number()),
                                Err(error) => assert_eq!(error.code(), "engine.reverted-block"),
                            }
                        }
                        reads += 1;
                    }
                }
            });
        }
        let _end = Ends(&stop);
        let mut dice = Dice(7);
        let (mut block, mut records) = (0, 0);
        for round in 0..150 {
            block += 1;
            records += 1;
            let changes = marked((0..ACCOUNTS).filter(|account| account % 7 == block % 7), |_| block);
            state.logged(records);
            state.commit(block, B256::ZERO, state.stage(changes).unwrap()).unwrap();
            if round % 9 == 8 {
                open(&disk).unwrap().write(&state, flushed, &go_on).unwrap();
            }
            if round % 40 == 39 {
                // Blocks are made of the same again, so that what readers expect stays right.
                block = dice.roll(block);
                records += 1;
                state.logged(records);
                state.revert_to(block).unwrap();
            }
        }
    });
    assert!(state.history().unwrap().size().0 > 5);
}
