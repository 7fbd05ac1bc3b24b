//! Python's view of the room `fixtures`: Ethereum's tests, run in batches.
//!
//! Invariant: results cross the border as JSON texts written by the crate that made them; this file adds nothing.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use interlace_fixtures::Engine;
use interlace_fixtures::ethereum::{EthereumError, Format, Suite, SuiteOptions};
use pyo3::prelude::*;

use crate::border::{CoreError, enter};
use crate::vm;

fn error(error: EthereumError) -> CoreError {
    CoreError::new(error.code(), error)
}

/// Ethereum's fixtures behind some paths, found once and run in batches.
#[pyclass(frozen)]
struct Fixtures(Mutex<Suite>);

#[pymethods]
impl Fixtures {
    // Python calls it by keywords.
    #[allow(clippy::too_many_arguments)]
    #[new]
    #[pyo3(signature = (paths, *, blocks, pattern = None, fork = None, threads = None, endings = false, engine = "sequential", vm = "plain", times = 0))]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        blocks: bool,
        pattern: Option<String>,
        fork: Option<String>,
        threads: Option<usize>,
        endings: bool,
        engine: &str,
        vm: &str,
        times: usize,
    ) -> PyResult<Self> {
        let format = if blocks { Format::Block } else { Format::State };
        enter(py, || {
            let engine = Engine::named(engine).map_err(|error| CoreError::new(error.code(), error))?;
            let vm = vm::named(vm)?;
            let options = SuiteOptions { format, filter: pattern, fork, threads, endings, engine, vm, times };
            Suite::new(&paths, options).map_err(error)
        })
        .map(|suite| Self(Mutex::new(suite)))
    }

    /// Size of all files, packed, in bytes.
    #[getter]
    fn total_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |suite| Ok(suite.total_bytes()))
    }

    /// How much of that was read.
    #[getter]
    fn read_bytes(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |suite| Ok(suite.read_bytes()))
    }

    /// Runs the next cases and returns their results as JSON; `None` when all have run.
    fn next_batch(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.with(py, |suite| suite.next_batch().map(|batch| batch.to_json().map_err(error)).transpose())
    }
}

impl Fixtures {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Suite) -> Result<T, CoreError> + Send,
    ) -> PyResult<T> {
        // Waiting for another thread's batch must not hold the GIL either. A panic leaves files unread, nothing broken.
        enter(py, || work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Fixtures>()
}
