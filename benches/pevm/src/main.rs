//! Our executor and pevm on the same recorded blocks, in turns, in one process.
//!
//! ```text
//! interlace-bench-pevm FOLDER... [--threads N] [--rounds N] [--vm plain|analysed]
//! ```
//! In each round a block is executed by four, and the shortest of three times counts: ours on one thread and on all, pevm on one and on all. Both
//! have the recorded state in memory, the code analysed beforehand, and one allocator. Timed is what both do: from the transactions to their
//! receipts and changes, without roots.
//!
//! Invariant: a block counts only if both used the gas that its header says. The last line on standard output is a document with all figures.

mod figures;
mod peer;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};
use interlace_executor::Executor;
use interlace_fixtures::{CodeTier, Kind, Loader, execute, find};

use crate::figures::{Block, Figures, Round};
use crate::peer::Peer;

// What the wheel has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of so many times in a round the shortest counts.
const TIMES: usize = 3;
/// Rounds that may be asked for.
const MAX_ROUNDS: usize = 1_000;

struct Plan {
    folders: Vec<PathBuf>,
    threads: usize,
    rounds: usize,
    vm: CodeTier,
}

fn options() -> Result<Plan> {
    let mut plan = Plan { folders: Vec::new(), threads: 2, rounds: 5, vm: CodeTier::Plain };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<usize> {
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            value.parse().with_context(|| format!("{word} takes a number"))
        };
        match word.as_str() {
            "--threads" => plan.threads = number()?,
            "--rounds" => plan.rounds = number()?,
            "--vm" => {
                let name = words.next().context("--vm needs a value")?;
                plan.vm = CodeTier::named(&name).with_context(|| format!("--vm {name}: plain or analysed"))?;
            }
            option if option.starts_with("--") => {
                bail!("there is no option {option}; there are --threads N, --rounds N and --vm plain|analysed")
            }
            folder => plan.folders.push(folder.into()),
        }
    }
    ensure!(!plan.folders.is_empty(), "a folder with recorded blocks is needed");
    ensure!((1..=MAX_ROUNDS).contains(&plan.rounds), "--rounds takes 1 to {MAX_ROUNDS}");
    Ok(plan)
}

fn main() -> Result<()> {
    let plan = options()?;
    let (one, all) = (Executor::new(1)?, Executor::new(plan.threads)?);
    let mut pevm = Peer::new(plan.threads)?;
    let (loader, mut blocks) = (Loader::default(), Vec::new());
    for source in find(&plan.folders)?.into_iter().filter(|source| source.kind == Kind::Mainnet) {
        let recorded = pevm.load(&source.path)?;
        let mut rounds = Vec::new();
        for _ in 0..plan.rounds {
            let ours = execute(&loader, &source, &[(&one, plan.vm), (&all, plan.vm)], TIMES)
                .map_err(|error| anyhow!(error))?;
            rounds.push(Round { ours: [ours[0], ours[1]], pevm: pevm.time(&recorded, TIMES)? });
        }
        let block = Block::new(recorded.about(), &rounds);
        eprintln!("{block}");
        blocks.push(block);
    }
    println!("{}", serde_json::to_string(&Figures::new(plan.threads, plan.rounds, blocks))?);
    Ok(())
}
