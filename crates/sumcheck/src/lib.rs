//! Proofs that an integer program gave an answer: by sumcheck, look-ups and hashes; no trusted setup.
//!
//! Why Rust: a proof of an 85,000-parameter program takes some ten million multiplications in the field; and a chain
//! verifies proofs while it executes a block.
//!
//! What is proved: *the program with this id maps these inputs to these outputs*, for a batch of inputs at once. Inputs
//! and outputs are in the open. The proof is not zero-knowledge: it hides nothing, it only shortens the check, for who
//! does not hold the matrices ([`Form::Succinct`]) or would not multiply by them ([`Form::WithProgram`]).
//!
//! docs/sumcheck.md describes the protocol and argues its soundness; `spec/sumcheck.py` is a second verifier.
//!
//! Invariant: [`verify()`] accepts a false statement with probability below 2^-99 for each set of messages that a prover
//! tries, keccak256 taken for a random function; it neither panics nor reads past a bound, whatever the bytes.
//!
//! What it does not do: no convolutions, products of values, softmax or pools; see [`statement`](crate) for the class.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(test)]
mod cheats;
mod claims;
mod commitment;
#[cfg(all(test, feature = "std"))]
mod core_cost;
mod error;
mod field;
mod fractions;
mod key;
mod multilinear;
mod ntt;
mod prove;
mod reveal;
mod rounds;
mod statement;
mod stream;
mod verify;
mod witness;
mod work;

use alloc::vec::Vec;
use alloy_primitives::{B256, keccak256};

pub use commitment::QUERIES;
pub use error::Error;
pub use key::{Key, ProverKey, padded_weights};
pub use prove::{Proved, prove};
pub use statement::{MAX_BATCH, MAX_LOG};
pub use verify::{Check, verify, verify_with_program};

use field::Ext;
use statement::{Rescale, Statement};
use stream::Transcript;

/// Whether the verifier holds the program's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It holds a [`Key`]; the proof opens the matrices' commitment.
    Succinct = 1,
    /// It holds the program, and evaluates the matrices itself.
    WithProgram = 2,
}

/// The transcript with all that a proof is about.
fn begin(program: B256, form: Form, context: B256, statement: &Statement, inputs: &[u8], outputs: &[u8]) -> Transcript {
    let mut transcript = Transcript::new(b"interlace sumcheck 1");
    let mut words = program.to_vec();
    words.push(form as u8);
    words.extend(context);
    words.extend((statement.batch as u64).to_be_bytes());
    words.extend(keccak256(inputs));
    words.extend(keccak256(outputs));
    transcript.absorb(&words);
    transcript
}

/// The equation of a rescaling: zero on every element if, and but for chance only if, it is right.
struct Equation {
    half: Ext,
    unit: Ext,
    lo: Ext,
    hi: Ext,
    mix: Ext,
}

impl Equation {
    fn new(rescale: &Rescale, mix: Ext) -> Self {
        Self {
            half: Ext::power_of_two(rescale.shift - 1),
            unit: Ext::power_of_two(rescale.shift),
            lo: Ext::from_i64(rescale.lo),
            hi: Ext::from_i64(rescale.hi),
            mix,
        }
    }

    fn at(&self, sum: Ext, y: Ext, over: Ext, under: Ext, rest: Ext) -> Ext {
        let whole = sum + self.half - (y + over - under) * self.unit.0 - rest;
        whole + self.mix * (over * (self.hi - y) + self.mix * (under * (y - self.lo)))
    }
}

impl Rescale {
    /// Its columns in the order of the messages.
    fn committed(&self) -> Vec<usize> {
        let numbers = [&self.rest, &self.over, &self.under];
        let first = [self.column].into_iter().chain(self.above);
        let bytes = |number: &statement::Number| {
            let shifted = number.shifted.map(|(column, _)| column);
            number.bytes.iter().copied().chain(shifted).collect::<Vec<_>>()
        };
        first.chain(numbers.into_iter().flat_map(bytes)).collect()
    }
}
