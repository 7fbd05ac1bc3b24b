//! The one error enum of the crate; each variant carries the offending values and has a stable code.
//!
//! Invariant: `code()` never changes for a mistake once released; docs/errors/program.md lists every code.

use crate::tensor::{DType, TensorType};
use alloc::vec::Vec;
use alloy_primitives::B256;

/// Why bytes are not a program or a tensor, or why a program does not take an input.
///
/// Nodes are counted from 0; value 0 is the program's input and value `n + 1` is the result of node `n`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The byte string ends inside a field.
    #[error("{what} needs {need} bytes at offset {offset}, {have} remain")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// Its size.
        need: usize,
        /// What is left.
        have: usize,
    },
    /// The first four bytes are not `ILTP`.
    #[error("a program starts with ILTP, not {0:02x?}")]
    Magic([u8; 4]),
    /// A version of the semantics that this code does not know.
    #[error("semantics version {0} is not known, 1 is")]
    Semantics(u16),
    /// The header's units are not those of the graph.
    #[error("the header states {stated} units, the graph takes {computed}")]
    Units {
        /// From the header.
        stated: u64,
        /// From the graph.
        computed: u64,
    },
    /// The header's root is not that of the weights.
    #[error("the header states weights root {stated}, the weights have {computed}")]
    WeightsRoot {
        /// From the header.
        stated: B256,
        /// From the weights.
        computed: B256,
    },
    /// The weights are longer or shorter than the header or the graph says.
    #[error("{what}: expected {expected} bytes of weights, got {got}")]
    WeightsLength {
        /// Which two numbers disagree.
        what: &'static str,
        /// What should be.
        expected: u64,
        /// What is.
        got: u64,
    },
    /// Bytes after the end of a graph.
    #[error("{0} bytes follow the graph")]
    TrailingBytes(usize),
    /// A number over a documented bound.
    #[error("{what} is {value}, the limit is {max}")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The bound.
        max: u64,
    },
    /// A data type byte that is neither 1 (i8) nor 2 (i32).
    #[error("data type {0} is neither 1 (i8) nor 2 (i32)")]
    DType(u8),
    /// A tensor of no axes, or an axis of extent zero.
    #[error("{what}: rank and every dimension must be at least 1")]
    Dimension {
        /// Where.
        what: &'static str,
    },
    /// An operator byte with no meaning in this version.
    #[error("node {node}: operator {code} is not known")]
    Operator {
        /// The node.
        node: usize,
        /// The byte.
        code: u8,
    },
    /// An operand that is not an earlier value.
    #[error("node {node}: operand {operand} is not an earlier value")]
    Operand {
        /// The node.
        node: usize,
        /// The value it names.
        operand: u16,
    },
    /// A graph whose nodes are not the depth-first post-order from the last node: unused, or out of place.
    #[error("node {node} is unused or out of order: nodes must be listed as the output needs them")]
    Order {
        /// The first node out of place.
        node: usize,
    },
    /// An operand of a shape that the operator does not take.
    #[error("node {node} ({op}) does not take shape {dims:?}: {why}")]
    Shape {
        /// The node.
        node: usize,
        /// The operator.
        op: &'static str,
        /// The operand's shape.
        dims: Vec<u32>,
        /// The rule.
        why: &'static str,
    },
    /// An operand of a data type that the operator does not take.
    #[error("node {node} ({op}) does not take {dtype}")]
    OperandType {
        /// The node.
        node: usize,
        /// The operator.
        op: &'static str,
        /// The operand's type.
        dtype: DType,
    },
    /// An attribute outside its range.
    #[error("node {node}: {name} is {value}, {rule}")]
    Attribute {
        /// The node.
        node: usize,
        /// The attribute.
        name: &'static str,
        /// Its value.
        value: i64,
        /// Its range.
        rule: &'static str,
    },
    /// A node that does nothing, or has a shorter form.
    #[error("node {node}: {why}")]
    NotMinimal {
        /// The node.
        node: usize,
        /// The shorter form.
        why: &'static str,
    },
    /// An accumulator that some input could push out of i32.
    #[error("node {node}, channel {channel}: an accumulator can reach {bound}, over 2147483647")]
    Overflow {
        /// The node.
        node: usize,
        /// The output channel (index on the last axis).
        channel: usize,
        /// The largest magnitude it can reach.
        bound: u64,
    },
    /// A multiplier that is not positive.
    #[error("node {node}, channel {channel}: multiplier {value} is not in 1..=2147483647")]
    Multiplier {
        /// The node.
        node: usize,
        /// The output channel.
        channel: usize,
        /// The value.
        value: i64,
    },
    /// Weights of a softmax that give its largest element nothing.
    #[error("node {node}: the first entry of a softmax's table, for the largest element, must be at least 1")]
    SoftmaxTable {
        /// The node.
        node: usize,
    },
    /// A kernel path that this machine does not have, or an unknown name.
    #[error("kernel path {0} is not available on this machine")]
    Path(alloc::string::String),
    /// The first four bytes are not `ILTV`.
    #[error("a tensor starts with ILTV, not {0:02x?}")]
    TensorMagic([u8; 4]),
    /// A tensor's data type byte that is neither 1 (i8) nor 2 (i32).
    #[error("data type {0} is neither 1 (i8) nor 2 (i32)")]
    TensorDType(u8),
    /// A tensor axis of extent zero.
    #[error("axis {axis} of the tensor has extent 0")]
    TensorDimension {
        /// The axis.
        axis: usize,
    },
    /// A tensor over a bound.
    #[error("the tensor's {what} is {value}, the limit is {max}")]
    TensorLimit {
        /// What is bounded.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The bound.
        max: u64,
    },
    /// A tensor whose length is not what its header says.
    #[error("the tensor must be {expected} bytes long, it is {got}")]
    TensorLength {
        /// From its header.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// A tensor of another type or shape than the program takes.
    #[error("the program takes {expected}, not {got}")]
    TensorMismatch {
        /// What the program takes.
        expected: TensorType,
        /// What was given.
        got: TensorType,
    },
    /// A batch whose length is not a whole number of inputs.
    #[error("a batch is a whole number of inputs of {item} bytes, not {got} bytes")]
    BatchLength {
        /// Bytes of one input.
        item: usize,
        /// Bytes given.
        got: usize,
    },
}

impl Error {
    /// The stable code of this mistake.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "program.truncated",
            Self::Magic(_) => "program.magic",
            Self::Semantics(_) => "program.semantics",
            Self::Units { .. } => "program.units",
            Self::WeightsRoot { .. } => "program.weights-root",
            Self::WeightsLength { .. } => "program.weights-length",
            Self::TrailingBytes(_) => "program.trailing-bytes",
            Self::Limit { .. } => "program.limit",
            Self::DType(_) => "program.dtype",
            Self::Dimension { .. } => "program.dimension",
            Self::Operator { .. } => "program.operator",
            Self::Operand { .. } => "program.operand",
            Self::Order { .. } => "program.order",
            Self::Shape { .. } => "program.shape",
            Self::OperandType { .. } => "program.operand-type",
            Self::Attribute { .. } => "program.attribute",
            Self::NotMinimal { .. } => "program.not-minimal",
            Self::Overflow { .. } => "program.overflow",
            Self::Multiplier { .. } => "program.multiplier",
            Self::SoftmaxTable { .. } => "program.table",
            Self::Path(_) => "program.path",
            Self::TensorMagic(_) => "tensor.magic",
            Self::TensorDType(_) => "tensor.dtype",
            Self::TensorDimension { .. } => "tensor.dimension",
            Self::TensorLimit { .. } => "tensor.limit",
            Self::TensorLength { .. } => "tensor.length",
            Self::TensorMismatch { .. } => "tensor.mismatch",
            Self::BatchLength { .. } => "tensor.batch-length",
        }
    }
}
