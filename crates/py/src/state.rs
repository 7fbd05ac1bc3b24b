//! Python's view of the state: what is measured of it.

use std::path::PathBuf;
use std::time::Duration;

use interlace_state::bench;
use interlace_state::keccak::Backend;
use interlace_state::log::Durability;
use pyo3::prelude::*;

use crate::border::{CoreError, enter};

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn error(error: bench::BenchError) -> CoreError {
    CoreError::new(error.code(), error)
}

/// A state of accounts whose addresses and values follow from their numbers; all times in seconds.
#[pyclass(module = "interlace._core")]
#[derive(Default)]
struct BenchState(bench::BenchState);

#[pymethods]
impl BenchState {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Names of the ways to hash, slowest first.
    #[staticmethod]
    fn backends() -> Vec<&'static str> {
        Backend::ALL.map(Backend::name).to_vec()
    }

    /// Threads that share a change.
    #[staticmethod]
    fn threads() -> usize {
        rayon::current_num_threads()
    }

    /// Bytes of the flat state, and of the tries.
    fn bytes(&self) -> (usize, usize) {
        self.0.bytes()
    }

    /// Adds `count` accounts at once.
    fn grow(&mut self, py: Python<'_>, count: u64) -> PyResult<f64> {
        enter(py, || Ok(seconds(self.0.grow(count).map_err(error)?)))
    }

    /// Changes `count` accounts drawn at random: time until the root, and until all is in place; `None` where the processor cannot hash
    /// this way.
    fn batch(&mut self, py: Python<'_>, count: u64, backend: &str) -> PyResult<Option<(f64, f64)>> {
        let backend = Backend::ALL.into_iter().find(|known| known.name() == backend);
        enter(py, || {
            let Some(backend) = backend else { return Ok(None) };
            let times = self.0.batch(count, backend).map_err(error)?;
            Ok(times.map(|(root, all)| (seconds(root), seconds(all))))
        })
    }

    /// Reads `groups` times 16 accounts drawn at random from `set` of them: time of a read in each group. In a `chain`, each read waits for
    /// the one before.
    fn read(&mut self, py: Python<'_>, set: u64, groups: u64, chain: bool) -> PyResult<Vec<f64>> {
        enter(py, || Ok(self.0.read(set, groups, chain).map_err(error)?.into_iter().map(seconds).collect()))
    }

    /// Commits `blocks` blocks of `count` random changes with a log in `folder`: the whole time and, of each, that to work and to be durable.
    fn sustain(
        &mut self,
        py: Python<'_>,
        folder: PathBuf,
        power: bool,
        count: u64,
        blocks: u64,
    ) -> PyResult<(f64, Vec<(f64, f64)>)> {
        let durability = if power { Durability::Power } else { Durability::Process };
        enter(py, || {
            let (whole, times) = self.0.sustain(&folder, durability, count, blocks).map_err(error)?;
            Ok((seconds(whole), times.into_iter().map(|block| (seconds(block.work), seconds(block.durable))).collect()))
        })
    }

    /// Writes a checkpoint to `folder`: the time it took, and its bytes.
    fn write_checkpoint(&mut self, py: Python<'_>, folder: PathBuf) -> PyResult<(f64, u64)> {
        enter(py, || {
            let (time, bytes) = self.0.write_checkpoint(&folder).map_err(error)?;
            Ok((seconds(time), bytes))
        })
    }

    /// Goes on with the checkpoint in `folder`, in memory or in its tables with room for so many bytes: the time it took.
    #[pyo3(signature = (folder, in_tables = None))]
    fn start_from(&mut self, py: Python<'_>, folder: PathBuf, in_tables: Option<usize>) -> PyResult<f64> {
        enter(py, || Ok(seconds(self.0.start_from(&folder, in_tables).map_err(error)?)))
    }

    /// Lets the mapped pages of the tables go.
    fn forget_pages(&self) {
        self.0.forget_pages();
    }

    /// Reads `count` accounts drawn at random, each timed alone.
    fn read_each(&mut self, py: Python<'_>, count: u64) -> PyResult<Vec<f64>> {
        enter(py, || Ok(self.0.read_each(count).map_err(error)?.into_iter().map(seconds).collect()))
    }

    /// Runs a trace of `blocks` blocks of reads and writes: time of all reads, of all commits, root, reads, reads in the tables, evictions,
    /// bytes of the flat state.
    #[allow(clippy::type_complexity)]
    fn trace(
        &mut self,
        py: Python<'_>,
        blocks: u64,
        reads: u64,
        writes: u64,
    ) -> PyResult<(f64, f64, String, Option<(u64, u64, u64)>, usize)> {
        enter(py, || {
            let bench::Trace { reads, commits, root, tiers, flat_bytes } =
                self.0.trace(blocks, reads, writes).map_err(error)?;
            let tiers = tiers.map(|tiers| (tiers.reads, tiers.cold_reads, tiers.evictions));
            Ok((seconds(reads), seconds(commits), root.to_string(), tiers, flat_bytes))
        })
    }

    /// Commits `depth` blocks of `count` random changes, goes back before them, and returns how many seconds going back took.
    fn reorg(&mut self, py: Python<'_>, depth: u64, count: u64) -> PyResult<f64> {
        enter(py, || self.0.reorg(depth, count).map(seconds).map_err(error))
    }

    /// Commits `epochs` times `blocks` blocks of `count` random changes with a checkpoint and history in `folder` after each time, reads accounts at
    /// older states, and goes back to the first: writes, bytes of history, times of `reads` reads of accounts that were changed and of as
    /// many of any, and the way back.
    #[allow(clippy::type_complexity)]
    fn past(
        &mut self,
        py: Python<'_>,
        folder: PathBuf,
        epochs: u64,
        blocks: u64,
        count: u64,
        reads: u64,
    ) -> PyResult<(u64, u64, Vec<f64>, Vec<f64>, f64)> {
        enter(py, || {
            let bench::Past { writes, bytes, changed, any, back } =
                self.0.past(&folder, epochs, blocks, count, reads).map_err(error)?;
            let times = |times: Vec<_>| times.into_iter().map(seconds).collect();
            Ok((writes, bytes, times(changed), times(any), seconds(back)))
        })
    }

    /// Proves `count` accounts drawn at random and verifies the proofs.
    fn prove(&mut self, py: Python<'_>, count: u64) -> PyResult<Vec<f64>> {
        enter(py, || (0..count).map(|_| self.0.prove().map(seconds).map_err(error)).collect())
    }

    /// Computes the root of all accounts from nothing and compares.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        enter(py, || self.0.check().map_err(error))
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<BenchState>()
}
