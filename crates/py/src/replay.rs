//! Python's view of the room `replay`: recorded blocks, found once and executed in batches.
//!
//! Invariant: a report crosses the border as one JSON text, written by the crate that made it; this file adds nothing.

use std::path::PathBuf;

use interlace_fixtures::{FixtureError, Loader, Source, check_engine, find, replay};
use pyo3::prelude::*;

use crate::border::{CoreError, enter};

fn error(error: FixtureError) -> CoreError {
    CoreError::new(error.code(), error)
}

/// Recorded blocks behind some paths, in order; files that several of them share are read once.
#[pyclass(frozen)]
struct Replay {
    loader: Loader,
    sources: Vec<Source>,
    threads: usize,
}

#[pymethods]
impl Replay {
    #[new]
    #[pyo3(signature = (paths, *, threads = 1, engine = "sequential"))]
    fn new(py: Python<'_>, paths: Vec<PathBuf>, threads: usize, engine: &str) -> PyResult<Self> {
        let sources = enter(py, || {
            check_engine(engine).map_err(error)?;
            // An empty batch, so that a number of threads that cannot be had is refused before anything is read.
            replay(&Loader::default(), &[], threads).map_err(error)?;
            find(&paths).map_err(error)
        })?;
        Ok(Self { loader: Loader::default(), sources, threads })
    }

    fn __len__(&self) -> usize {
        self.sources.len()
    }

    /// Executes up to `count` blocks from `start` on; one JSON report for each.
    fn run(&self, py: Python<'_>, start: usize, count: usize) -> PyResult<Vec<String>> {
        enter(py, || {
            let end = start.saturating_add(count).min(self.sources.len());
            let sources = self.sources.get(start..end).unwrap_or_default();
            let reports = replay(&self.loader, sources, self.threads).map_err(error)?;
            reports.iter().map(|report| report.to_json().map_err(error)).collect()
        })
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Replay>()
}
