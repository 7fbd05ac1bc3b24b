//! What the node writes to stderr: structured events as text or JSON.
//!
//! Invariant: one subscriber per process, installed once; level and format may change later. Events carry hashes, numbers and
//! reasons, never keys: no type that holds a key prints it.
//! What it does not do: it forwards nothing to Python's logging; that would take the GIL for every event.

use std::sync::OnceLock;

use pyo3::prelude::*;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::border::{CoreError, enter};

type Output = Box<dyn Layer<Registry> + Send + Sync>;

struct Handles {
    output: reload::Handle<Output, Registry>,
    level: Box<dyn Fn(LevelFilter) -> bool + Send + Sync>,
}

static HANDLES: OnceLock<Option<Handles>> = OnceLock::new();

fn writer(json: bool) -> Output {
    let layer = fmt::layer().with_writer(std::io::stderr);
    if json { layer.json().boxed() } else { layer.boxed() }
}

/// `None` when the process has a subscriber that is not ours; then its owner decides.
fn install() -> Option<Handles> {
    let (out, output) = reload::Layer::new(writer(false));
    let (filter, level) = reload::Layer::new(LevelFilter::OFF);
    tracing_subscriber::registry().with(out).with(filter).try_init().ok()?;
    Some(Handles { output, level: Box::new(move |to| level.reload(to).is_ok()) })
}

/// Sets the form of the output (`text` or `json`) and level (`off`, `error`, `warn`, `info`, `debug`, `trace`) for this process.
#[pyfunction]
fn set_logging(py: Python<'_>, output: &str, level: &str) -> PyResult<()> {
    enter(py, || {
        let json = match output {
            "json" => true,
            "text" => false,
            other => {
                return Err(CoreError::new(
                    "chain.bad-config",
                    format_args!("log format {other:?} is not text or json"),
                ));
            }
        };
        let parsed: LevelFilter = level.parse().map_err(|_| {
            CoreError::new("chain.bad-config", format_args!("log level {level:?} is none of off to trace"))
        })?;
        let Some(handles) = HANDLES.get_or_init(install) else { return Ok(()) };
        // Both can fail only if the subscriber is gone, which ends with the process.
        let done = handles.output.reload(writer(json)).is_ok() && (handles.level)(parsed);
        if done { Ok(()) } else { Err(CoreError::new("chain.bad-config", "logging is gone")) }
    })
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(set_logging, m)?)
}
