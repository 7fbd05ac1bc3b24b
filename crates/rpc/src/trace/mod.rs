//! Executions that are watched: geth's debug namespace, parity's trace namespace, Otterscan's, what waits for what, and what is reached.
//!
//! Invariant: a transaction of a block is traced on the state that it found: after the block's system calls and all transactions
//! before it. Nothing of a trace is kept. Every trace has a deadline and bounds (see [`run`]), and says so when it meets one.
//! What it does not do: tracers in JavaScript, and traces to files.

mod access_list;
mod debug;
mod dependencies;
mod filter;
mod options;
mod otterscan;
mod parity;
mod run;
mod search;
mod storage;

use crate::dispatch::Method;

pub(crate) use debug::MAX_TRACE_CALLS;
pub(crate) use filter::{MAX_TRACE_BLOCKS, MAX_TRACES};
pub(crate) use otterscan::MAX_PAGE;
pub(crate) use run::{Budget, MAX_TRACE_BYTES, MAX_TRACE_TIME, Run};
pub(crate) use storage::MAX_RANGE_SLOTS;

/// The methods of all these namespaces, a table for each file.
pub(crate) const METHODS: [&[(&str, Method)]; 8] = [
    access_list::METHODS,
    debug::METHODS,
    dependencies::METHODS,
    storage::METHODS,
    parity::METHODS,
    filter::METHODS,
    otterscan::METHODS,
    search::METHODS,
];
