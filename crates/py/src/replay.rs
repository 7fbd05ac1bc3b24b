//! Python's view of the room `replay`: recorded blocks, found once and executed in batches.
//!
//! Invariant: a report crosses the border as one JSON text, written by the crate that made it; this file adds nothing.

use std::path::PathBuf;

use interlace_fixtures::{Engine, Engines, FixtureError, Loader, Source, find, replay};
use pyo3::prelude::*;

use crate::border::{CoreError, enter};
use crate::predictor::{self, LessonTuple, WeightTuple};

fn error(error: FixtureError) -> CoreError {
    CoreError::new(error.code(), error)
}

/// Recorded blocks behind some paths, in order; files that several of them share are read once.
#[pyclass(frozen)]
struct Replay {
    loader: Loader,
    sources: Vec<Source>,
    engines: Engines,
}

#[pymethods]
impl Replay {
    #[new]
    #[pyo3(signature = (paths, *, threads = 1, engine = "sequential", predictor = "history"))]
    fn new(py: Python<'_>, paths: Vec<PathBuf>, threads: usize, engine: &str, predictor: &str) -> PyResult<Self> {
        let (engines, sources) = enter(py, || {
            let engine = Engine::named(engine).map_err(error)?;
            let engines = Engines::new(engine, threads).map_err(error)?.predicting(predictor::named(predictor)?);
            Ok((engines, find(&paths).map_err(error)?))
        })?;
        Ok(Self { loader: Loader::default(), sources, engines })
    }

    fn __len__(&self) -> usize {
        self.sources.len()
    }

    /// What the predictor may learn from, since this was last asked.
    fn take_lessons<'py>(&self, py: Python<'py>) -> PyResult<Vec<LessonTuple<'py>>> {
        predictor::lessons(py, || Ok(self.engines.executor().take_lessons()))
    }

    /// What the predictor says from now on.
    fn give_weights(&self, py: Python<'_>, weights: Vec<WeightTuple>) -> PyResult<()> {
        enter(py, || {
            self.engines.executor().give(predictor::weights(weights)?);
            Ok(())
        })
    }

    /// Executes up to `count` blocks from `start` on; one JSON report for each.
    fn run(&self, py: Python<'_>, start: usize, count: usize) -> PyResult<Vec<String>> {
        enter(py, || {
            let end = start.saturating_add(count).min(self.sources.len());
            let sources = self.sources.get(start..end).unwrap_or_default();
            let reports = replay(&self.loader, sources, &self.engines);
            reports.iter().map(|report| report.to_json().map_err(error)).collect()
        })
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Replay>()
}
