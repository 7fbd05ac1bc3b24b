//! Calls to the console's address, at which no code lives: contracts under development write lines with them.
//!
//! Invariant: inputs are kept in the order of execution, also those of calls that fail: a line written before a revert is
//! what its author looks for.
//! Source: the address spells `console.log`; hardhat's console.sol. What it does not do: decode the inputs.

use alloc::vec::Vec;

use alloy_primitives::{Address, Bytes, address};

/// Where contracts send their lines.
pub const CONSOLE_ADDRESS: Address = address!("000000000000000000636F6e736F6c652e6c6f67");
/// Lines of one transaction that are kept.
const MAX_LINES: usize = 1_024;
/// Bytes of one line's input; a longer one is cut, and then shown as bytes.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Collects inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Console {
    inputs: Vec<Bytes>,
}

impl Console {
    pub(crate) fn write(&mut self, input: &[u8]) {
        if self.inputs.len() < MAX_LINES {
            self.inputs.push(Bytes::copy_from_slice(&input[..input.len().min(MAX_LINE_BYTES)]));
        }
    }

    pub(crate) fn into_inputs(self) -> Vec<Bytes> {
        self.inputs
    }
}
