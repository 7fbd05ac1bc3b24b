//! What can be wrong with a proof, or with a program that is to be proved.

use alloc::string::String;

/// Why a proof was refused, or none could be made. Every variant has a stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The program has an operator, a shape or a multiplier that these proofs do not cover.
    #[error("node {node} ({op}): {why}")]
    Program {
        /// The node.
        node: usize,
        /// Its operator.
        op: &'static str,
        /// What is not covered.
        why: &'static str,
    },
    /// The graph is not one.
    #[error(transparent)]
    Graph(#[from] interlace_tensor::Error),
    /// A number is above its bound.
    #[error("{what}: {value}, at most {max}")]
    Limit {
        /// What.
        what: &'static str,
        /// How much.
        value: u64,
        /// The bound.
        max: u64,
    },
    /// Inputs or outputs have another length than as many as the batch takes.
    #[error("{what} of the batch have {expected} bytes, not {got}")]
    Length {
        /// Inputs or outputs.
        what: &'static str,
        /// What they should have.
        expected: usize,
        /// What they have.
        got: usize,
    },
    /// The proof ends before it is complete.
    #[error("the proof ends too early")]
    Short,
    /// The proof goes on after its end.
    #[error("bytes follow the proof")]
    Trailing,
    /// A number of the field is not below its order.
    #[error("a number is not below the order of the field")]
    Number,
    /// The last value of a sumcheck is not what its polynomials give.
    #[error("the sum does not hold: {0}")]
    Sumcheck(&'static str),
    /// An element does not stand in its table.
    #[error("the look-ups do not hold")]
    Lookup,
    /// Elements that must be of a form are not.
    #[error("a relation between committed values does not hold: {0}")]
    Relation(&'static str),
    /// A commitment is not opened to what was claimed.
    #[error("the opening does not hold: {0}")]
    Opening(&'static str),
    /// The claimed inputs or outputs are not those of the proof.
    #[error("the proof is of other {0}")]
    Value(&'static str),
    /// The key is not one of this program.
    #[error("the key's bytes are not a key: {0}")]
    Key(String),
}

impl Error {
    /// The stable code; docs/errors/proofs.md has one line for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Program { .. } => "sumcheck.program",
            Self::Graph(_) => "sumcheck.graph",
            Self::Limit { .. } => "sumcheck.limit",
            Self::Length { .. } => "sumcheck.length",
            Self::Short => "sumcheck.short",
            Self::Trailing => "sumcheck.trailing",
            Self::Number => "sumcheck.number",
            Self::Sumcheck(_) => "sumcheck.sum",
            Self::Lookup => "sumcheck.lookup",
            Self::Relation(_) => "sumcheck.relation",
            Self::Opening(_) => "sumcheck.opening",
            Self::Value(_) => "sumcheck.value",
            Self::Key(_) => "sumcheck.malformed-key",
        }
    }
}
