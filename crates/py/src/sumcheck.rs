//! Python's view of the room `sumcheck`: keys, proofs of batches, and their verification.
//!
//! Invariant: bytes that another thread of the interpreter could change are copied before the GIL is released.

use crate::{
    border::{CoreError, enter},
    tensor::{Packed, PyProgram},
};
use alloy_primitives::B256;
use interlace_sumcheck::{Error, Form, Key, ProverKey};
use pyo3::{prelude::*, pybacked::PyBackedBytes, types::PyBytes};

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<SumcheckProver>()?;
    m.add_class::<SumcheckKey>()?;
    m.add_function(wrap_pyfunction!(sumcheck_verify_program, m)?)
}

/// [`enter`] for work whose errors are the proof system's.
fn work<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    enter(py, || work().map_err(|error| CoreError::new(error.code(), error)))
}

fn context_of(bytes: &[u8]) -> Result<B256, Error> {
    let got = bytes.len();
    B256::try_from(bytes).map_err(|_| Error::Length { what: "words", expected: 32, got })
}

/// A program with its matrices committed to.
#[pyclass(frozen, module = "interlace._core")]
struct SumcheckProver {
    inner: ProverKey,
}

#[pymethods]
impl SumcheckProver {
    #[new]
    fn new(py: Python<'_>, program: &Bound<'_, PyProgram>) -> PyResult<Self> {
        let program = &program.get().inner;
        work(py, || ProverKey::new(program).map(|inner| Self { inner }))
    }

    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.key().encode())
    }

    /// Outputs and proof of a batch of inputs.
    fn prove<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
        context: PyBackedBytes,
        succinct: bool,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let inputs = Packed::new(inputs)?;
        let form = if succinct { Form::Succinct } else { Form::WithProgram };
        let proved = work(py, || interlace_sumcheck::prove(&self.inner, form, context_of(&context)?, inputs.bytes()))?;
        Ok((PyBytes::new(py, &proved.outputs), PyBytes::new(py, &proved.proof)))
    }
}

/// A verifier's key.
#[pyclass(frozen, module = "interlace._core")]
struct SumcheckKey {
    inner: Key,
}

#[pymethods]
impl SumcheckKey {
    #[new]
    fn new(py: Python<'_>, key: PyBackedBytes) -> PyResult<Self> {
        work(py, || Key::decode(&key).map(|inner| Self { inner }))
    }

    #[getter]
    fn program_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.program().as_slice())
    }

    /// Raises `sumcheck.*` when the proof does not hold.
    fn verify(
        &self,
        py: Python<'_>,
        context: PyBackedBytes,
        inputs: &Bound<'_, PyAny>,
        outputs: &Bound<'_, PyAny>,
        proof: PyBackedBytes,
    ) -> PyResult<()> {
        let (inputs, outputs) = (Packed::new(inputs)?, Packed::new(outputs)?);
        work(py, || {
            interlace_sumcheck::verify(&self.inner, context_of(&context)?, inputs.bytes(), outputs.bytes(), &proof)
        })
    }
}

/// Raises `sumcheck.*` when the proof, made for who holds the program, does not hold.
#[pyfunction]
fn sumcheck_verify_program(
    py: Python<'_>,
    program: &Bound<'_, PyProgram>,
    context: PyBackedBytes,
    inputs: &Bound<'_, PyAny>,
    outputs: &Bound<'_, PyAny>,
    proof: PyBackedBytes,
) -> PyResult<()> {
    let (inputs, outputs) = (Packed::new(inputs)?, Packed::new(outputs)?);
    let program = &program.get().inner;
    work(py, || {
        let context = context_of(&context)?;
        interlace_sumcheck::verify_with_program(program, context, inputs.bytes(), outputs.bytes(), &proof)
    })
}
