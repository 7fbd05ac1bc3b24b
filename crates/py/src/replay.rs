//! Python's view of the room `replay`: recorded blocks, found once and executed in batches.
//!
//! Invariant: a report crosses the border as one JSON text, written by the crate that made it; this file adds nothing.

use std::path::PathBuf;

use interlace_executor::Executor;
use interlace_fixtures::{CodeTier, Engine, Engines, FixtureError, Kind, Loader, Source, execute, find, replay};
use pyo3::prelude::*;

use crate::border::{CoreError, enter};
use crate::predictor::{self, LessonTuple, WeightTuple};
use crate::vm;

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
    #[pyo3(signature = (paths, *, threads = 1, engine = "sequential", predictor = "history", vm = "plain"))]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        threads: usize,
        engine: &str,
        predictor: &str,
        vm: &str,
    ) -> PyResult<Self> {
        let (engines, sources) = enter(py, || {
            let engine = Engine::named(engine).map_err(error)?;
            let engines = Engines::new(engine, threads).map_err(error)?.predicting(predictor::named(predictor)?);
            let engines = engines.executing(vm::named(vm)?);
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

    /// Executes a block's transactions on one thread and a recorded state, and nothing else, `times` times with each tier in turns: its number, and the
    /// shortest seconds with revm's interpreter and with translated code. `None` for a recording that is not a header over a flat state.
    fn time(&self, py: Python<'_>, index: usize, times: usize) -> PyResult<Option<(Option<u64>, f64, f64)>> {
        enter(py, || {
            let Some(source) = self.sources.get(index).filter(|source| source.kind == Kind::Mainnet) else {
                return Ok(None);
            };
            let one = Executor::new(1).map_err(|error| CoreError::new("engine.threads", error))?;
            let machines = [(&one, CodeTier::Plain), (&one, CodeTier::Analysed)];
            let seconds = execute(&self.loader, source, &machines, times)
                .map_err(|error| CoreError::new("engine.bench-differs", error))?;
            Ok(Some((source.number, seconds[0], seconds[1])))
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
