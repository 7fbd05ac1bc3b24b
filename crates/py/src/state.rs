//! Python's view of the state's tries: what is measured of them.

use std::time::Duration;

use interlace_state::bench;
use interlace_state::keccak::Backend;
use pyo3::prelude::*;

use crate::border::{CoreError, enter};

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn error(error: bench::BenchError) -> CoreError {
    CoreError::new(error.code(), error)
}

/// A trie of accounts whose keys and values follow from their numbers; all times in seconds.
#[pyclass(module = "interlace._core")]
#[derive(Default)]
struct BenchTrie(bench::BenchTrie);

#[pymethods]
impl BenchTrie {
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

    /// Bytes of nodes and leaves.
    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Adds `count` accounts at once.
    fn grow(&mut self, py: Python<'_>, count: u64) -> PyResult<f64> {
        enter(py, || Ok(seconds(self.0.grow(count))))
    }

    /// Changes `count` accounts drawn at random; `None` where the processor cannot hash this way.
    fn batch(&mut self, py: Python<'_>, count: u64, backend: &str) -> PyResult<Option<f64>> {
        let backend = Backend::ALL.into_iter().find(|known| known.name() == backend);
        enter(py, || Ok(backend.and_then(|backend| self.0.batch(count, backend)).map(seconds)))
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
    m.add_class::<BenchTrie>()
}
