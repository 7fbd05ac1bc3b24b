//! A transaction executed by one machine, and kept by another whose state is the same.
//!
//! Invariant: the machine that keeps it is as if it had executed the transaction itself, if both states are the same; that they are, the caller
//! has to know.

use alloy_primitives::{Address, Bloom, logs_bloom};

use crate::access::Access;
use crate::error::EvmError;
use crate::outcome::TxOutcome;
use crate::reader::StateReader;
use crate::request::TxRequest;
use crate::vm::Vm;
use crate::writes::{Writes, Written};

/// What a transaction did.
#[derive(Clone, Debug)]
pub struct Execution {
    outcome: TxOutcome,
    logs_bloom: Bloom,
    writes: Writes,
}

impl Execution {
    /// What it reached, if its machine's overlay tells.
    pub fn accesses(&self) -> impl Iterator<Item = Access<'_>> {
        self.writes.accesses.iter().flat_map(|accesses| accesses.each())
    }

    /// Accounts that are no longer there, nor are the slots that they had.
    pub fn destroyed(&self) -> impl Iterator<Item = Address> {
        self.writes.accounts.iter().filter(|written| written.info.is_none()).map(|Written { address, .. }| *address)
    }

    /// How it ended, and the bloom of its logs.
    #[must_use]
    pub fn into_outcome(self) -> (TxOutcome, Bloom) {
        (self.outcome, self.logs_bloom)
    }
}

impl<R: StateReader> Vm<R> {
    /// Executes `tx` as [`Vm::execute`] without keeping anything.
    ///
    /// # Errors
    /// As [`Vm::transact`].
    pub fn perform(&mut self, tx: &TxRequest) -> Result<Execution, EvmError<R::Error>> {
        let (outcome, writes) = self.written(tx)?;
        Ok(Execution { logs_bloom: logs_bloom(&outcome.logs), outcome, writes })
    }

    /// Keeps what a transaction did on the state as it is now. What it reached is not taken note of.
    pub fn keep(&mut self, execution: &Execution) {
        self.overlay_mut().write(&execution.writes);
    }
}
