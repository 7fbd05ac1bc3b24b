//! A chain in a data directory that keeps all its states, most of them on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use alloy_primitives::{Bytes, TxKind, U256};
use interlace_chain::folder::{check, compact, stats};
use interlace_chain::{Chain, ChainError, Durability};
use interlace_state::vfs::Vfs;
use interlace_state::vfs::sim::{Crash, Sim};
use interlace_stf::StateReader;

mod folder;

use folder::{INITCODE, POOR, RICH, STEPS, View, checkpoint, open_keeping, open_watched, send, step, view};

/// A start as one that keeps all states.
fn reopen(sim: &Sim, durability: Durability, in_tables: Option<usize>) -> Result<Chain, ChainError> {
    open_watched(sim, durability, None, u64::MAX, in_tables, &|_, _, _| true)
}

/// The same chain, of the log alone.
fn from_log(sim: &Sim) -> Chain {
    let image = sim.image(Crash::Process);
    if image.size_of("MANIFEST").is_some() {
        image.remove("MANIFEST").unwrap();
    }
    reopen(&image, Durability::Power, None).unwrap()
}

/// All that was and is stored in a contract, in each state.
fn storage(chain: &Chain) -> Vec<Vec<U256>> {
    let of = |number| {
        let state = chain.state_at(number).unwrap();
        (0..90).map(|slot| state.storage(RICH.create(0), U256::from(slot)).unwrap()).collect()
    };
    (0..=chain.head().number()).map(of).collect()
}

#[test]
fn every_state_is_there_after_a_start_and_can_be_gone_back_to() {
    let sim = Sim::default();
    let mut written = 0;
    for index in 0..STEPS {
        let in_tables = [None, Some(100_000), Some(0)][index % 3];
        let chain = reopen(&sim, Durability::Power, in_tables).unwrap();
        step(&chain, index).unwrap_or_else(|error| panic!("step {index}: {error}"));
        written += usize::from(checkpoint(&chain).unwrap());
        let (living, stored) = (view(&chain), storage(&chain));
        drop(chain);
        for chain in [reopen(&sim, Durability::Power, in_tables).unwrap(), from_log(&sim)] {
            assert_eq!((view(&chain), storage(&chain)), (living.clone(), stored.clone()), "step {index}");
        }
        for depth in 0..=living.blocks.len() as u64 {
            let disk = sim.image(Crash::Process);
            let (one, other) = (reopen(&disk, Durability::Power, in_tables).unwrap(), from_log(&disk));
            let context = format!("step {index}, {depth} back");
            assert_eq!(one.rollback(depth), other.rollback(depth), "{context}");
            for chain in [&one, &other] {
                (0..4).for_each(|_| send(chain, TxKind::Call(POOR), Bytes::new()).unwrap());
            }
            assert_eq!((view(&one), storage(&one)), (view(&other), storage(&other)), "{context}");
            checkpoint(&one).unwrap();
            drop(one);
            let again = reopen(&disk, Durability::Power, in_tables).unwrap();
            assert_eq!((view(&again), storage(&again)), (view(&other), storage(&other)), "{context}, once more");
        }
    }
    assert!(written > 8, "{written}");
    let looked = stats(Arc::new(sim.clone()), &|_, _, _| true).unwrap();
    assert!(looked.history_bytes >= 2 * written as u64 * 2_048 && looked.checkpoint.unwrap().history == 1);
    check(Arc::new(sim), &|_, _, _| true).unwrap();
}

#[test]
fn a_crash_in_any_call_leaves_all_states_of_a_chain_that_was() {
    let mut views: Vec<(View, Vec<Vec<U256>>)> = Vec::new();
    let sim = Sim::default();
    {
        let chain = reopen(&sim, Durability::Power, None).unwrap();
        views.push((view(&chain), storage(&chain)));
        for index in 0..STEPS {
            step(&chain, index).unwrap();
            views.push((view(&chain), storage(&chain)));
        }
    }
    let calls = sim.calls();
    assert!(sim.list().unwrap().iter().filter(|name| name.ends_with(".past-slots")).count() > 2);
    for halt in 0..calls {
        let sim = Sim::default();
        sim.halt_at(halt);
        let done = reopen(&sim, Durability::Power, None)
            .map_or(0, |chain| (0..STEPS).take_while(|index| step(&chain, *index).is_ok()).count());
        for crash in [Crash::Process, Crash::PowerNothing, Crash::PowerSome(halt)] {
            let what = format!("call {halt}, {crash:?}, {done} steps acknowledged");
            let chain = reopen(&sim.image(crash), Durability::Power, None);
            let chain = chain.unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = (view(&chain), storage(&chain));
            let at = views.iter().rposition(|view| *view == found).unwrap_or_else(|| panic!("{what}: no such chain"));
            assert!(at >= done, "{what}: {at}");
            (0..4).for_each(|_| drop(chain.produce().unwrap_or_else(|error| panic!("{what}: {error}"))));
            assert!(checkpoint(&chain).unwrap_or_else(|error| panic!("{what}: {error}")), "{what}");
        }
    }
}

#[test]
fn whoever_keeps_fewer_or_more_states_than_before_gets_them() {
    let sim = Sim::default();
    let chain = reopen(&sim, Durability::Power, None).unwrap();
    (0..STEPS).for_each(|index| step(&chain, index).unwrap());
    let (living, stored) = (view(&chain), storage(&chain));
    drop(chain);
    let readable = |chain: &Chain| view(chain).states.iter().flatten().count() as u64;
    let all = living.blocks.len() as u64;
    for history in [0, 2, 5, 100] {
        // Fewer: history stays until another checkpoint takes its place.
        let disk = sim.image(Crash::Process);
        let chain = open_keeping(&disk, Durability::Power, Some(history), u64::MAX).unwrap();
        assert_eq!(readable(&chain), (history + 1).min(all), "{history}");
        (0..4).for_each(|_| send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap());
        let written = checkpoint(&chain).unwrap();
        let past = disk.list().unwrap().iter().any(|name| name.contains(".past-"));
        assert_eq!(past, !written, "{history}");
        drop(chain);
        // All again: they are made from the log, and written.
        let chain = reopen(&disk, Durability::Power, None).unwrap();
        assert_eq!(storage(&chain)[..stored.len()], stored[..], "{history}");
        (0..4).for_each(|_| send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap());
        assert!(checkpoint(&chain).unwrap());
        let seen = storage(&chain);
        drop(chain);
        assert_eq!(storage(&reopen(&disk, Durability::Power, Some(0)).unwrap()), seen, "{history}");
    }
    // A folder that nobody runs gets its history, too, of what is older than what memory holds.
    let whole = sim.image(Crash::Process);
    whole.remove("MANIFEST").unwrap();
    let chain = reopen(&whole, Durability::Process, None).unwrap();
    (0..130).for_each(|_| drop(chain.produce().unwrap()));
    let (living, stored) = (view(&chain), storage(&chain));
    drop(chain);
    let written = compact(Arc::new(whole.clone()), None, &|_, _, _| true).unwrap().unwrap();
    assert!(written.history > 0);
    assert_eq!(compact(Arc::new(whole.clone()), None, &|_, _, _| true), Ok(None));
    let chain = reopen(&whole, Durability::Power, None).unwrap();
    assert_eq!((view(&chain), storage(&chain)), (living, stored));
}

#[test]
fn a_way_back_that_cannot_be_gone_is_not_written_down() {
    let sim = Sim::default();
    let chain = reopen(&sim, Durability::Power, None).unwrap();
    send(&chain, TxKind::Create, INITCODE).unwrap();
    (0..12).for_each(|_| send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap());
    assert!(checkpoint(&chain).unwrap());
    let living = view(&chain);
    drop(chain);
    let names: Vec<String> = sim.list().unwrap().into_iter().filter(|name| name.contains(".past-accounts")).collect();
    let [name] = names.as_slice() else { panic!("{names:?}") };
    sim.flip(name, 1_024 + 100, 1);
    let chain = reopen(&sim, Durability::Power, None).unwrap();
    let log = |sim: &Sim| {
        sim.list()
            .unwrap()
            .iter()
            .filter(|name| name.ends_with(".log"))
            .map(|name| sim.size_of(name))
            .collect::<Vec<_>>()
    };
    let before = log(&sim);
    let error = chain.rollback(12).unwrap_err();
    assert!(error.to_string().contains(&format!("{name} is damaged at byte 1024")), "{error}");
    assert_eq!((log(&sim), chain.head().number()), (before, 13));
    // What is in memory is not concerned, and with the page mended all is as it was.
    chain.rollback(1).unwrap();
    send(&chain, TxKind::Call(POOR), Bytes::new()).unwrap();
    drop(chain);
    sim.flip(name, 1_024 + 100, 1);
    let chain = reopen(&sim, Durability::Power, None).unwrap();
    assert_eq!(view(&chain).states, living.states);
    chain.rollback(12).unwrap();
    assert_eq!(chain.head().number(), 1);
}
