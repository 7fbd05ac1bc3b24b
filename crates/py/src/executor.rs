//! Blocks, and chains of blocks, to measure their execution with.
//!
//! Invariant: nothing is measured here; this file converts.

use interlace_chain::bench::{BenchChain as Chain, Way};
use interlace_executor::bench::{BenchBlock as Block, BenchError, BenchKernel as Kernel, KernelRound, NAMES, Round};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

use crate::border::{CoreError, enter};
use crate::vm;

fn error(error: BenchError) -> CoreError {
    CoreError::new(error.code(), error)
}

/// A synthetic block, and the engines to execute it with.
#[pyclass(frozen)]
struct BenchBlock(Block);

#[pymethods]
impl BenchBlock {
    #[new]
    #[pyo3(signature = (name, transactions, threads, read_us=0, vm="plain"))]
    fn new(py: Python<'_>, name: &str, transactions: u64, threads: usize, read_us: u64, vm: &str) -> PyResult<Self> {
        let delay = Duration::from_micros(read_us);
        enter(py, || Block::new(name, transactions, threads, delay, vm::named(vm)?).map_err(error)).map(Self)
    }

    /// What the blocks are called, and what is in them.
    #[staticmethod]
    fn names() -> Vec<(&'static str, &'static str)> {
        NAMES.to_vec()
    }

    /// Gas of the block.
    #[getter]
    fn gas(&self) -> u64 {
        self.0.gas()
    }

    /// Executes it with each engine: seconds of revm alone, one thread, one thread while the others do the same, all threads, all threads that
    /// make an access list too, and all threads that have one; transactions that were taken over, and those that were executed ahead for nothing.
    #[allow(clippy::type_complexity)]
    fn round(&self, py: Python<'_>) -> PyResult<(f64, f64, f64, f64, f64, f64, u64, u64)> {
        let Round { plain, sequential, beside, parallel, listing, follow, report } =
            enter(py, || self.0.round().map_err(error))?;
        Ok((plain, sequential, beside, parallel, listing, follow, report.adopted, report.redone))
    }
}

/// A contract that computes, and a call of it.
#[pyclass(frozen)]
struct BenchKernel(Kernel);

#[pymethods]
impl BenchKernel {
    #[new]
    fn new(py: Python<'_>, code: Vec<u8>, input: Vec<u8>) -> PyResult<Self> {
        enter(py, || Kernel::new(code.into(), input.into()).map_err(error)).map(Self)
    }

    /// Gas of the call.
    #[getter]
    fn gas(&self) -> u64 {
        self.0.gas()
    }

    /// What the call returns.
    #[getter]
    fn output(&self) -> &[u8] {
        self.0.output()
    }

    /// Makes the call on one machine, and gives its seconds: the engine's with what `vm` says, or revm alone without it.
    #[pyo3(signature = (vm=None))]
    fn call(&self, py: Python<'_>, vm: Option<&str>) -> PyResult<f64> {
        enter(py, || self.0.call(vm.map(vm::named).transpose()?).map_err(error))
    }

    /// Makes the call on each machine: seconds of revm alone, of the engine with revm's interpreter, and with translated code.
    fn round(&self, py: Python<'_>) -> PyResult<(f64, f64, f64)> {
        let KernelRound { plain, engine, analysed } = enter(py, || self.0.round().map_err(error))?;
        Ok((plain, engine, analysed))
    }
}

/// A chain with transactions that wait for it.
#[pyclass(frozen)]
struct BenchChain(Chain);

#[pymethods]
impl BenchChain {
    #[new]
    fn new(py: Python<'_>, name: &str, transactions: u64, per_block: u64, accounts: u64) -> PyResult<Self> {
        enter(py, || Chain::new(name, transactions, per_block, accounts).map_err(error)).map(Self)
    }

    /// Blocks of a round.
    #[getter]
    fn blocks(&self) -> u64 {
        self.0.blocks()
    }

    /// Seconds that it takes to make the blocks: one after the other, or each while the one before is sealed; in a new folder, if one is given.
    #[pyo3(signature = (overlapped, folder=None))]
    fn round(&self, py: Python<'_>, overlapped: bool, folder: Option<PathBuf>) -> PyResult<f64> {
        let way = if overlapped { Way::Overlapped } else { Way::Alone };
        enter(py, || self.0.round(way, folder.as_deref()).map_err(error))
    }
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<BenchBlock>()?;
    m.add_class::<BenchKernel>()?;
    m.add_class::<BenchChain>()
}
