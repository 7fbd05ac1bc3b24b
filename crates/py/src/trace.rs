//! Python's view of a traced run: roots, tiles and the ways from one to the other.
//!
//! Invariant: a value, level or tile that does not exist gives an empty answer, never another one's.

use crate::border::{CoreError, enter};
use interlace_tensor::{Program, Tensor, Trace};
use pyo3::{prelude::*, types::PyBytes};

/// Runs `program` on an encoded tensor and commits to what it computed.
pub(crate) fn trace(py: Python<'_>, program: &Program, input: &[u8]) -> PyResult<PyTrace> {
    let work = || program.trace(&Tensor::decode(input)?);
    enter(py, || work().map(|inner| PyTrace { inner }).map_err(|error| CoreError::new(error.code(), error)))
}

fn list<'py, T: AsRef<[u8]>>(py: Python<'py>, hashes: impl IntoIterator<Item = T>) -> Vec<Bound<'py, PyBytes>> {
    hashes.into_iter().map(|hash| PyBytes::new(py, hash.as_ref())).collect()
}

/// What one run computed, and the hashes over it.
#[pyclass(frozen, name = "Trace", module = "interlace._core")]
pub(crate) struct PyTrace {
    inner: Trace,
}

#[pymethods]
impl PyTrace {
    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.root().as_slice())
    }

    /// Encoded tensor.
    #[getter]
    fn output<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.output().encode())
    }

    #[getter]
    fn roots<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        list(py, self.inner.roots())
    }

    fn hashes<'py>(&self, py: Python<'py>, value: usize, level: usize) -> Vec<Bound<'py, PyBytes>> {
        list(py, self.inner.hashes(value, level).unwrap_or_default())
    }

    fn tile<'py>(&self, py: Python<'py>, value: usize, tile: usize) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.tile(value, tile).unwrap_or_default())
    }

    fn tile_path<'py>(&self, py: Python<'py>, value: usize, tile: usize) -> Vec<Bound<'py, PyBytes>> {
        list(py, self.inner.tile_path(value, tile).unwrap_or_default())
    }

    fn value_path<'py>(&self, py: Python<'py>, value: usize) -> Vec<Bound<'py, PyBytes>> {
        list(py, self.inner.value_path(value).unwrap_or_default())
    }
}
