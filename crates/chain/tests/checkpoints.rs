//! A chain in a data directory that starts from a checkpoint of its state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use alloy_primitives::{Bytes, TxKind, U256};
use interlace_chain::folder::{Checked, Phase, check, compact, export, stats};
use interlace_chain::{Chain, ChainError, Durability};
use interlace_state::vfs::sim::{Crash, Sim};
use interlace_state::vfs::{Vfs, read_all};
use interlace_state::{StateError, StorageError};
use interlace_stf::StateReader;

mod folder;

use folder::{POOR, RICH, STEPS, View, checkpoint, open, open_keeping, open_watched, send, step, view};

const WINDOW: u64 = 2;

fn reopen(sim: &Sim) -> Result<Chain, ChainError> {
    reopen_with(sim, Durability::Power, None)
}

/// A start that reads the log once, from its beginning to its end.
fn reopen_with(sim: &Sim, durability: Durability, in_tables: Option<usize>) -> Result<Chain, ChainError> {
    let read = AtomicU64::new(0);
    let once = |phase, done, _| {
        assert!(phase != Phase::Log || read.swap(done, Ordering::Relaxed) < done, "the log is read a second time");
        true
    };
    open_watched(sim, durability, Some(WINDOW), u64::MAX, in_tables, &once)
}

#[test]
fn a_start_from_a_checkpoint_gives_the_chain_that_was() {
    let sim = Sim::default();
    let mut written = 0;
    for index in 0..STEPS {
        // In memory, or in the checkpoint's tables with room for some entries, or for hardly any.
        let in_tables = [None, Some(100_000), Some(0)][index % 3];
        let reopen = |sim: &Sim| reopen_with(sim, Durability::Power, in_tables);
        let chain = reopen(&sim).unwrap();
        step(&chain, index).unwrap_or_else(|error| panic!("step {index}: {error}"));
        let living = view(&chain);
        written += usize::from(checkpoint(&chain).unwrap());
        assert!(!checkpoint(&chain).unwrap(), "step {index}: nothing new");
        drop(chain);
        let chain = reopen(&sim).unwrap();
        assert_eq!(view(&chain), living, "step {index}");
        // What can be gone back to can still be gone back to, on a disk of its own.
        drop(chain);
        for depth in 0..=WINDOW {
            let [disk, other] = [sim.image(Crash::Process), sim.image(Crash::Process)];
            let (one, other) = (reopen(&disk).unwrap(), open(&other, Durability::Power).unwrap());
            let head = other.head().number();
            let Some(target) = head.checked_sub(depth) else { continue };
            if living.states[usize::try_from(target).unwrap()].is_none() {
                // It went back itself, and kept no more for it.
                let error = one.rollback(depth).unwrap_err();
                assert!(matches!(error, ChainError::State(StateError::Expired { .. })), "step {index}: {error}");
                continue;
            }
            // From the log alone, as a chain does that keeps all states.
            assert_eq!((one.rollback(depth), other.rollback(depth)), (Ok(()), Ok(())), "step {index}, {depth} back");
            let (found, expected) = (view(&one), view(&other));
            assert_eq!((&found.blocks, &found.accounts), (&expected.blocks, &expected.accounts));
            drop(one);
            assert_eq!(view(&reopen(&disk).unwrap()), found, "step {index}, {depth} back");
        }
    }
    assert!(written > 8, "{written}");
    // Whoever keeps fewer states starts from it as well; whoever keeps more has them all made again.
    assert!(open_keeping(&sim, Durability::Power, Some(0), u64::MAX).is_ok());
    for history in [Some(WINDOW + 1), None] {
        let chain = open_keeping(&sim, Durability::Power, history, u64::MAX).unwrap();
        let readable = view(&chain).states.iter().flatten().count() as u64;
        assert_eq!(readable, history.map_or(chain.head().number(), |history| history) + 1);
    }
}

#[test]
fn a_crash_in_any_call_leaves_a_chain_that_was_and_all_that_was_acknowledged() {
    let run = |sim: &Sim, durability| {
        let Ok(chain) = reopen_with(sim, durability, None) else { return 0 };
        (0..STEPS).take_while(|index| step(&chain, *index).is_ok()).count()
    };
    let mut views: Vec<View> = Vec::new();
    let sim = Sim::default();
    {
        let chain = reopen(&sim).unwrap();
        views.push(view(&chain));
        for index in 0..STEPS {
            step(&chain, index).unwrap();
            views.push(view(&chain));
        }
    }
    let calls = sim.calls();
    assert!(sim.list().unwrap().contains(&"MANIFEST".to_owned()));
    for (halt, durability) in (0..calls).flat_map(|halt| [(halt, Durability::Process), (halt, Durability::Power)]) {
        let sim = Sim::default();
        sim.halt_at(halt);
        let done = run(&sim, durability);
        for crash in [Crash::Process, Crash::PowerNothing, Crash::PowerSome(1), Crash::PowerSome(2)] {
            let what = format!("{durability:?}, call {halt}, {crash:?}, {done} steps acknowledged");
            let chain = reopen(&sim.image(crash)).unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = view(&chain);
            let at = views.iter().rposition(|view| *view == found).unwrap_or_else(|| panic!("{what}: no such chain"));
            assert!(at >= done || durability == Durability::Process && crash != Crash::Process, "{what}: {at}");
            chain.produce().unwrap_or_else(|error| panic!("{what}: {error}"));
            checkpoint(&chain).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}

#[test]
fn a_checkpoint_is_written_beside_when_the_log_has_grown() {
    let sim = Sim::default();
    let chain = open_keeping(&sim, Durability::Process, Some(WINDOW), 20_000).unwrap();
    let since = Instant::now();
    while chain.metrics().checkpoint.accounts.get() == 0 {
        send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap();
        assert!(since.elapsed() < Duration::from_secs(60), "no checkpoint");
    }
    let text = chain.metrics_text();
    assert!(text.contains("interlace_checkpoint_seconds_count 1"), "{text}");
    let living = view(&chain);
    chain.close();
    assert_eq!(chain.checkpoint(&|_, _| true), Ok(None));
    let chain = reopen(&sim).unwrap();
    assert_eq!(view(&chain), living);
    (0..WINDOW + 1).for_each(|_| send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap());
    assert!(checkpoint(&chain).unwrap());
    drop(chain);
    // The next one comes after as much of the log as the last one has, also after a start.
    let chain = open_keeping(&sim, Durability::Process, Some(0), 1).unwrap();
    send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap();
    sleep(Duration::from_millis(50));
    assert_eq!(chain.metrics().checkpoint.accounts.get(), 0);
    let since = Instant::now();
    while chain.metrics().checkpoint.accounts.get() == 0 {
        send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap();
        assert!(since.elapsed() < Duration::from_secs(60), "no checkpoint");
    }
    drop(chain);
    // One that keeps all states writes them as well, with history.
    let sim = Sim::default();
    let chain = open_keeping(&sim, Durability::Process, None, 1).unwrap();
    let since = Instant::now();
    while chain.metrics().checkpoint.accounts.get() == 0 {
        send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap();
        assert!(since.elapsed() < Duration::from_secs(60), "no checkpoint");
    }
    assert!(sim.list().unwrap().contains(&"0000000001.past-slots".to_owned()));
}

#[test]
fn a_dump_ends_checkpoints_and_one_before_it_still_counts() {
    let other = {
        let chain = open(&Sim::default(), Durability::Power).unwrap();
        chain.set_balance(POOR, U256::from(77)).unwrap();
        (0..6).for_each(|_| drop(chain.produce().unwrap()));
        chain.dump().unwrap()
    };
    let sim = Sim::default();
    let chain = reopen(&sim).unwrap();
    (0..7).for_each(|index| step(&chain, index).unwrap());
    chain.load(&other).unwrap();
    (0..4).for_each(|_| drop(chain.produce().unwrap()));
    assert!(!checkpoint(&chain).unwrap());
    let living = view(&chain);
    drop(chain);
    let chain = reopen(&sim).unwrap();
    assert_eq!(view(&chain), living);
    (0..4).for_each(|_| drop(chain.produce().unwrap()));
    assert!(!checkpoint(&chain).unwrap());
}

#[test]
fn what_does_not_fit_together_is_told() {
    let sim = Sim::default();
    let chain = reopen(&sim).unwrap();
    (0..STEPS).for_each(|index| step(&chain, index).unwrap());
    let living = view(&chain);
    drop(chain);
    // A table that rots, in any page.
    for name in sim.list().unwrap().into_iter().filter(|name| !name.ends_with(".log") && name.starts_with('0')) {
        for byte in (0..sim.size_of(&name).unwrap()).step_by(1_000) {
            let image = sim.image(Crash::Process);
            image.flip(&name, byte, 1);
            match reopen(&image).unwrap_err() {
                ChainError::Storage(StorageError::Damaged { file, .. }) => assert_eq!(file, name),
                error => panic!("{name}: {error}"),
            }
            // Whoever keeps all states does not need it.
            assert!(open(&image, Durability::Power).is_ok());
        }
    }
    // A log that ends before the checkpoint.
    let image = sim.image(Crash::Process);
    let logs: Vec<String> = image.list().unwrap().into_iter().filter(|name| name.ends_with(".log")).collect();
    logs.iter().skip(1).for_each(|name| image.remove(name).unwrap());
    let error = reopen(&image).unwrap_err();
    assert_eq!(error.code(), "chain.data-contradiction");
    assert!(error.to_string().contains("the checkpoint at block"), "{error}");
    // Without a manifest the log is enough.
    let image = sim.image(Crash::Process);
    image.remove("MANIFEST").unwrap();
    assert_eq!(view(&reopen(&image).unwrap()), living);
    assert!(image.list().unwrap().iter().all(|name| !name.ends_with(".accounts")));
    assert!(living.states.iter().any(Option::is_none));
    let (_, state) = reopen(&sim).unwrap().head_with_state();
    assert_eq!(state.storage(RICH.create(0), U256::from(89)), Ok(U256::from(89)));
}

#[test]
fn a_state_in_tables_tells_what_it_reads() {
    let sim = Sim::default();
    let chain = reopen(&sim).unwrap();
    (0..STEPS).for_each(|index| step(&chain, index).unwrap());
    checkpoint(&chain).unwrap();
    assert!(chain.metrics_text().contains("interlace_state_reads_total 0"));
    drop(chain);
    let chain = reopen_with(&sim, Durability::Power, Some(1 << 20)).unwrap();
    let (_, state) = chain.head_with_state();
    for _ in 0..10 {
        assert_eq!(state.storage(RICH.create(0), U256::from(89)), Ok(U256::from(89)));
    }
    let text = chain.metrics_text();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("interlace_state_{name} ")));
        line.unwrap_or_else(|| panic!("{name} in {text}")).parse::<u64>().unwrap()
    };
    assert!(value("reads_total") >= 10, "{text}");
    assert!((1..5).contains(&value("cold_reads_total")), "{text}");
    assert_eq!((value("evictions_total"), value("table_bytes") % 1_024), (0, 0));
    assert!(value("table_bytes") > 0);
}

fn files(sim: &Sim) -> BTreeMap<String, Vec<u8>> {
    sim.list().unwrap().into_iter().map(|name| (name.clone(), read_all(sim, &name, 1 << 30).unwrap())).collect()
}

#[test]
fn a_folder_is_looked_at_without_being_changed() {
    let sim = Sim::default();
    let chain = reopen(&sim).unwrap();
    let (genesis, mut roots) = (chain.head().hash, Vec::new());
    for index in 0..STEPS {
        step(&chain, index).unwrap();
        roots.push(chain.head().header.state_root);
    }
    let head = chain.head();
    // As a killed process leaves it, with a torn end.
    let torn = sim.image(Crash::Process);
    let last = torn.list().unwrap().into_iter().filter(|name| name.ends_with(".log")).max().unwrap();
    let file = torn.open(&last).unwrap();
    file.write_at(&[7; 20], file.size().unwrap()).unwrap();
    drop(chain);
    let go_on = |_, _, _| true;
    for (sim, cut) in [(&sim, 0), (&torn, 20)] {
        let before = files(sim);
        let found = stats(Arc::new(sim.clone()), &go_on).unwrap();
        assert_eq!((found.blocks, found.edits, found.reverts, found.loads), (14, 3, 1, 0));
        assert_eq!((found.head, found.deepest_revert, found.torn_bytes), (Some(head.number()), 1, cut));
        assert_eq!((found.genesis, found.torn_manifests), (genesis, 0));
        let logs = before.iter().filter(|(name, _)| name.ends_with(".log"));
        let (count, bytes) = logs.fold((0, 0), |(count, bytes), (_, file)| (count + 1, bytes + file.len() as u64));
        assert_eq!((found.log_files, found.log_bytes), (count, bytes));
        let checkpoint = found.checkpoint.unwrap();
        assert_eq!(found.records_behind, 18 - checkpoint.mark);
        assert!(found.checkpoint_bytes >= 5 * 1_024 && found.checkpoint_bytes.is_multiple_of(1_024));
        let checked = check(Arc::new(sim.clone()), &go_on).unwrap();
        let expected = Checked { head: head.number(), hash: head.hash, root: head.header.state_root, checkpoint: true };
        assert_eq!(checked, expected);
        assert_eq!(files(sim), before);
    }
    let mut exported = Vec::new();
    let sink = |rlp: &[u8]| {
        exported.push(rlp.to_vec());
        Ok(())
    };
    assert_eq!(export(Arc::new(sim.clone()), sink, &go_on), Ok(head.number()));
    let last = interlace_stf::decode_block(exported.last().unwrap()).unwrap();
    assert_eq!((exported.len() as u64, last.header.hash_slow()), (head.number(), head.hash));
    let full = |_: &[u8]| Err(ChainError::Unknown("no room".into()));
    assert_eq!(export(Arc::new(sim.clone()), full, &go_on), Err(ChainError::Unknown("no room".into())));
    let error = export(Arc::new(sim.clone()), |_| Ok(()), &|phase, _, _| phase != Phase::Write).unwrap_err();
    assert_eq!(error.code(), "chain.data-stopped");
    // Each phase may be interrupted, and says what it does.
    for stop in [Phase::Load, Phase::Log] {
        let error = check(Arc::new(sim.clone()), &|phase, _, _| phase != stop).unwrap_err();
        assert_eq!(error.code(), "chain.data-stopped", "{error}");
    }
    // What rots is told, here without a start.
    for name in sim.list().unwrap() {
        for byte in (0..sim.size_of(&name).unwrap()).step_by(701) {
            let image = sim.image(Crash::Process);
            image.flip(&name, byte, 1);
            match (stats(Arc::new(image.clone()), &go_on), check(Arc::new(image), &go_on)) {
                // A byte of the manifest's older place, or between places, is nobody's.
                (Ok(_), Ok(_)) if name == "MANIFEST" => {}
                (Err(error), Err(again)) => assert_eq!(error, again, "{name}, byte {byte}"),
                (one, other) => panic!("{name}, byte {byte}: {one:?}, {other:?}"),
            }
        }
    }
    assert_eq!(stats(Arc::new(Sim::default()), &go_on).unwrap_err().code(), "chain.data-contradiction");
}

#[test]
fn a_log_that_goes_back_further_than_states_are_kept_is_read_all_the_same() {
    let sim = Sim::default();
    let chain = open(&sim, Durability::Power).unwrap();
    (0..9).for_each(|_| send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap());
    drop(chain);
    compact(Arc::new(sim.clone()), Some(WINDOW), &|_, _, _| true).unwrap().unwrap();
    let chain = open(&sim, Durability::Power).unwrap();
    chain.set_balance(POOR, U256::from(3)).unwrap();
    // Twice, each time by less than the states that are kept, and to before the checkpoint.
    for _ in 0..2 {
        chain.rollback(WINDOW).unwrap();
    }
    (0..2).for_each(|_| send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap());
    let living = view(&chain);
    drop(chain);
    assert_eq!(stats(Arc::new(sim.clone()), &|_, _, _| true).unwrap().deepest_revert, 2 * WINDOW);
    for history in 0..=2 * WINDOW + 1 {
        let chain = open_keeping(&sim, Durability::Power, Some(history), u64::MAX).unwrap();
        let found = view(&chain);
        assert_eq!((&found.blocks, &found.accounts), (&living.blocks, &living.accounts), "{history} kept");
        let readable = found.states.iter().flatten().count() as u64;
        assert!((1..=history + 1).contains(&readable), "{readable} of {history}");
        assert_eq!(chain.state_at(0).unwrap().account(POOR).is_ok(), history >= chain.head().number());
    }
    // What the checkpoint is of is not on the chain any more, but it was.
    check(Arc::new(sim.clone()), &|_, _, _| true).unwrap();
    compact(Arc::new(sim.clone()), Some(0), &|_, _, _| true).unwrap().unwrap();
    check(Arc::new(sim), &|_, _, _| true).unwrap();
}

#[test]
fn a_folder_gets_a_checkpoint_without_its_chain_being_used() {
    let sim = Sim::default();
    let chain = open(&sim, Durability::Power).unwrap();
    for index in (0..STEPS).filter(|index| ![6, 9, 12, 15].contains(index)) {
        step(&chain, index).unwrap();
    }
    let living = view(&chain);
    let accounts = chain.head_with_state().1.accounts().unwrap().len() as u64;
    drop(chain);
    assert_eq!(sim.size_of("MANIFEST"), None);
    let written = compact(Arc::new(sim.clone()), Some(WINDOW), &|_, _, _| true).unwrap().unwrap();
    assert_eq!(written.accounts, accounts);
    assert_eq!(compact(Arc::new(sim.clone()), Some(WINDOW), &|_, _, _| true), Ok(None));
    let error = compact(Arc::new(sim.clone()), Some(1), &|phase, _, _| phase != Phase::Write).unwrap_err();
    assert_eq!(error.code(), "chain.data-stopped", "{error}");
    let found = view(&reopen(&sim).unwrap());
    assert_eq!((found.blocks, found.accounts), (living.blocks, living.accounts));
    check(Arc::new(sim), &|_, _, _| true).unwrap();
}
