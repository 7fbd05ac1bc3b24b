//! How far something long is, for a thread of Python's that waits for it.
//!
//! Invariant: whoever works never waits for Python: it writes three numbers, and reads whether to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use interlace_chain::folder::Phase;
use pyo3::prelude::*;

#[derive(Debug, Default)]
struct State {
    phase: AtomicU8,
    done: AtomicU64,
    all: AtomicU64,
    stop: AtomicBool,
}

/// What is being done and how much of it is done.
#[pyclass(frozen, module = "interlace._core")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<State>);

impl Progress {
    /// Says how far it is; answers whether to go on.
    pub(crate) fn tell(&self, phase: Phase, done: u64, all: u64) -> bool {
        let State { phase: told, done: so_far, all: of, stop } = self.0.as_ref();
        told.store(phase as u8 + 1, Ordering::Relaxed);
        so_far.store(done, Ordering::Relaxed);
        of.store(all, Ordering::Relaxed);
        !stop.load(Ordering::Relaxed)
    }
}

#[pymethods]
impl Progress {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// What is being done: `load`, `log` or `write`, empty before anything is; how much of how much is done.
    fn state(&self) -> (&'static str, u64, u64) {
        let State { phase, done, all, .. } = self.0.as_ref();
        let phase = ["", "load", "log", "write"].get(usize::from(phase.load(Ordering::Relaxed)));
        (phase.copied().unwrap_or_default(), done.load(Ordering::Relaxed), all.load(Ordering::Relaxed))
    }

    /// Asks for an end, with an error of the code `chain.data-stopped`.
    fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Progress>()
}
