//! The border: the only crate that knows Python; conversions and nothing else.
//!
//! Why Rust: this is the door to the crates that work per transaction, opcode, leaf or tensor element.
//!
//! Invariant: every long call goes through [`border::enter`], the one place that releases the GIL.
//! Each room has a file of its own that adds its functions to the flat module `interlace._core`.

mod border;
mod crypto;
mod executor;
mod fixtures;
mod folder;
mod logging;
mod node;
mod predictor;
mod progress;
mod records;
mod replay;
mod state;
mod stf;
mod sumcheck;
mod tensor;
mod trace;
mod vm;

use pyo3::prelude::*;

/// What one thread makes is often dropped by another here, for which the system's allocator takes locks; docs/decisions, no. 27.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule(gil_used = false)]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    crypto::register(m)?;
    logging::register(m)?;
    tensor::register(m)?;
    records::register(m)?;
    replay::register(m)?;
    executor::register(m)?;
    fixtures::register(m)?;
    state::register(m)?;
    stf::register(m)?;
    sumcheck::register(m)?;
    progress::register(m)?;
    folder::register(m)?;
    node::register(m)
}
