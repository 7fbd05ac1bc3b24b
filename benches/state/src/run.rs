//! The run: both states loaded, then asked the same in turns.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256, keccak256};
use anyhow::{Result, ensure};
use interlace_state::bench::address;
use serde_json::{Value, json};

use crate::mdbx::Mdbx;
use crate::ours::Ours;
use crate::subject::{Batch, Change, Subject, wei};

/// Accounts changed by a batch.
const SIZES: [u64; 3] = [2_000, 40_000, 100_000];
/// Accounts that are read again and again, reads that are timed together, and how often.
const HOT: u64 = 4_096;
const GROUP: usize = 16;
const GROUPS: usize = 50_000;
const PROOFS: usize = 500;
/// Accounts changed by a block while commits are sustained, and blocks.
const BLOCK: u64 = 20_000;
const BLOCKS: usize = 10;

/// What to do.
#[derive(Debug)]
pub struct Plan {
    pub accounts: u64,
    pub rounds: usize,
    /// Where both write.
    pub folder: PathBuf,
}

/// Accounts and what they hold, and where the draws are.
struct Accounts {
    balances: Vec<u64>,
    seed: u64,
}

impl Accounts {
    fn draw(&mut self, of: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % of
    }

    /// Another balance for `count` accounts drawn at random.
    fn change(&mut self, count: u64) -> Vec<Change> {
        let of = self.balances.len() as u64;
        let mut numbers: Vec<u64> = (0..count).map(|_| self.draw(of)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let change = |number: u64| {
            self.balances[number as usize] += 1;
            Change { number, balance: self.balances[number as usize] }
        };
        numbers.into_iter().map(change).collect()
    }
}

fn say(text: &str) {
    eprintln!("{text}");
}

fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() as f64 * part) as usize).min(times.len() - 1)]
}

fn nanoseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e10).round() / 10.0
}

/// p50 and p99 of reads of accounts drawn from `of`, by subject.
fn reads(subjects: &[&dyn Subject], accounts: &mut Accounts, of: u64) -> Result<Value> {
    let mut out = serde_json::Map::new();
    let groups: Vec<Vec<u64>> = (0..GROUPS).map(|_| (0..GROUP).map(|_| accounts.draw(of)).collect()).collect();
    let addresses: Vec<Vec<Address>> =
        groups.iter().map(|group| group.iter().map(|number| address(*number)).collect()).collect();
    for subject in subjects {
        let mut times = Vec::with_capacity(GROUPS);
        for (group, addresses) in groups.iter().zip(&addresses) {
            let (found, time) = subject.read(addresses)?;
            let expected: U256 = group.iter().map(|number| wei(accounts.balances[*number as usize])).sum();
            ensure!(found == expected, "{} read accounts wrong", subject.name());
            times.push(time / GROUP as u32);
        }
        let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        out.insert(subject.name().into(), json!({ "p50_ns": nanoseconds(p50), "p99_ns": nanoseconds(p99) }));
    }
    Ok(out.into())
}

/// What both make of the same changes; their roots are the same.
fn both(ours: &mut Ours, mdbx: &mut Mdbx, changes: &[Change], durable: bool) -> Result<(Batch, Batch)> {
    let (one, other) = (ours.change(changes, durable)?, mdbx.change(changes, durable)?);
    ensure!(one.root == other.root, "after the same changes ours has the root {}, MDBX {}", one.root, other.root);
    Ok((one, other))
}

/// Accounts changed per second: until the root is known, and in place.
fn rates(changed: usize, batches: &mut [Batch]) -> Value {
    let median = |of: fn(&Batch) -> Duration| {
        let mut times: Vec<Duration> = batches.iter().map(of).collect();
        (changed as f64 / percentile(&mut times, 0.5).as_secs_f64()).round()
    };
    let (root, placed) = (median(|batch| batch.hashed), median(|batch| batch.placed));
    json!({ "root_per_second": root, "placed_per_second": placed })
}

/// Compares both and gives the figures.
pub fn compare(plan: &Plan) -> Result<Value> {
    let Plan { accounts: count, rounds, folder } = plan;
    let (log, tables) = (folder.join("interlace"), folder.join("mdbx"));
    [&log, &tables, &tables.join("none")].into_iter().try_for_each(std::fs::create_dir_all)?;
    let (mut ours, mut mdbx) = (Ours::new(&log)?, Mdbx::new(&tables)?);
    let mut accounts = Accounts { balances: (0..*count).collect(), seed: 0 };
    let mut loads = serde_json::Map::new();
    let mut roots = Vec::new();
    for subject in [&mut ours as &mut dyn Subject, &mut mdbx] {
        say(&format!("loading {count} accounts into {}", subject.name()));
        let start = Instant::now();
        roots.push(subject.load(*count)?);
        loads.insert(subject.name().into(), json!(start.elapsed().as_secs_f64()));
    }
    ensure!(roots[0] == roots[1], "of the same accounts ours has the root {}, MDBX {}", roots[0], roots[1]);
    let ((memory, _), (_, disk)) = (ours.bytes()?, mdbx.bytes()?);
    say("reading");
    let hot = reads(&[&ours, &mdbx], &mut accounts, HOT.min(*count))?;
    let uniform = reads(&[&ours, &mdbx], &mut accounts, *count)?;
    let mut batches = serde_json::Map::new();
    for size in SIZES.into_iter().filter(|size| *size <= count / 4) {
        say(&format!("changing {size} accounts at a time"));
        let (mut one, mut all, mut theirs, mut changed) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for round in 0..rounds * 2 {
            let changes = accounts.change(size);
            changed = changes.len();
            ours.on_one_thread(round % 2 == 1)?;
            let (our, their) = both(&mut ours, &mut mdbx, &changes, false)?;
            if round % 2 == 1 {
                one.push(our)
            } else {
                all.push(our)
            }
            theirs.push(their);
        }
        let (all, one) = (rates(changed, &mut all), rates(changed, &mut one));
        let figures = json!({ "interlace": all, "interlace_one_thread": one, "mdbx": rates(changed, &mut theirs) });
        batches.insert(size.to_string(), figures);
    }
    ours.on_one_thread(false)?;
    say("committing blocks, durable");
    let (mut our_time, mut their_time, mut changed) = (Duration::ZERO, Duration::ZERO, 0);
    for _ in 0..BLOCKS {
        let changes = accounts.change(BLOCK.min(count / 4));
        changed += changes.len();
        let (our, their) = both(&mut ours, &mut mdbx, &changes, true)?;
        our_time += our.placed;
        their_time += their.placed;
    }
    let rate = |time: Duration| (changed as f64 / time.as_secs_f64()).round();
    say("proving");
    let mut proofs = [Vec::new(), Vec::new()];
    for _ in 0..PROOFS {
        let address = address(accounts.draw(*count));
        let (our, time) = ours.prove(address)?;
        proofs[0].push(time);
        let (their, time) = mdbx.prove(address)?;
        proofs[1].push(time);
        ensure!(our == their, "the proofs of {} are not the same", keccak256(address));
    }
    let [our_proof, their_proof] = proofs.map(|mut times| nanoseconds(percentile(&mut times, 0.5)) / 1e3);
    say("opening it again");
    let reopened = mdbx.reopen(true)?;
    Ok(json!({
        "accounts": count,
        "load_seconds": loads,
        "hot_read": hot,
        "uniform_read": uniform,
        "batches": batches,
        "durable_per_second": { "interlace": rate(our_time), "mdbx": rate(their_time) },
        "proof_us": { "interlace": our_proof, "mdbx": their_proof },
        "bytes_per_account": { "interlace_memory": memory as f64 / *count as f64, "mdbx_disk": disk as f64 / *count as f64 },
        "mdbx_reopen_seconds": reopened.as_secs_f64(),
    }))
}
