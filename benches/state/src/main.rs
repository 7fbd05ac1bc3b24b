//! Two states side by side: ours, and MDBX with the nodes of ethrex's trie by their paths.
//!
//! ```text
//! interlace-bench-state --accounts N --rounds N --folder DIR
//! ```
//! Invariant: both hold the same accounts and get the same changes in turns; every read, every root and every proof of one is compared with
//! the other's. The last line on standard output is a document with what was measured; what is being done is told on standard error.
//! What it does not do: it makes no judgement. The one keeps all in memory and a log on disk, the other all on disk and pages in the
//! system's cache.

mod mdbx;
mod ours;
mod run;
mod subject;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

fn options() -> Result<run::Plan> {
    let mut plan = run::Plan { accounts: 1_000_000, rounds: 5, folder: PathBuf::new() };
    let mut words = std::env::args().skip(1);
    while let Some(option) = words.next() {
        let value = words.next().with_context(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--accounts" => plan.accounts = value.parse().context("--accounts takes a number")?,
            "--rounds" => plan.rounds = value.parse().context("--rounds takes a number")?,
            "--folder" => plan.folder = value.into(),
            _ => bail!("there is no option {option}; there are --accounts N, --rounds N and --folder DIR"),
        }
    }
    if plan.folder.as_os_str().is_empty() || plan.accounts < 1_000 || plan.rounds == 0 {
        bail!("--folder DIR is needed, at least 1000 accounts, and one round");
    }
    Ok(plan)
}

fn main() -> Result<()> {
    let figures = run::compare(&options()?)?;
    println!("{figures}");
    Ok(())
}
