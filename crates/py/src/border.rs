//! The gate between Python and the crates: releases the GIL, maps errors, lets Ctrl-C through.
//!
//! Invariant: no other file of this crate attaches to or detaches from the interpreter, or builds an exception.
//! What it does not do: it converts no values; each room's file does that for its own types.

use pyo3::prelude::*;

/// An error that crosses the border: a stable code and a message with the offending values.
#[derive(Debug)]
pub(crate) struct CoreError {
    /// Dotted code, `<room>.<mistake>`; the room selects the Python class.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) message: String,
}

impl CoreError {
    /// An error with `code` whose message is `error`'s display.
    pub(crate) fn new(code: &'static str, error: impl core::fmt::Display) -> Self {
        Self { code, message: error.to_string() }
    }

    /// The Python exception, built by `interlace.errors.from_code`.
    pub(crate) fn into_py(self, py: Python<'_>) -> PyErr {
        match py
            .import("interlace.errors")
            .and_then(|errors| errors.call_method1("from_code", (self.code, self.message)))
        {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        }
    }
}

/// Runs `work` without the GIL; then maps its error and lets a pending Ctrl-C through.
pub(crate) fn enter<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, CoreError> + Send) -> PyResult<T> {
    let result = py.detach(work);
    py.check_signals()?;
    result.map_err(|error| error.into_py(py))
}

/// Runs `work` with the GIL from one of our own threads; `None` when the interpreter is ending.
pub(crate) fn attach<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    Python::try_attach(work)
}
