//! Bounds on programs and tensors; a decoder refuses anything larger before it allocates.
//!
//! Invariant: no run of an accepted program allocates more than a small multiple of [`MAX_TOTAL_ELEMENTS`] * 4 bytes.

/// Nodes in one graph.
pub const MAX_NODES: u16 = 1_024;
/// Axes of a tensor inside a graph.
pub const MAX_GRAPH_RANK: u8 = 4;
/// Axes of a tensor on the wire.
pub const MAX_TENSOR_RANK: u8 = 8;
/// Extent of one axis.
pub const MAX_DIM: u32 = 1 << 20;
/// Elements of one tensor.
pub const MAX_ELEMENTS: u64 = 1 << 24;
/// Elements of all values of one graph together.
pub const MAX_TOTAL_ELEMENTS: u64 = 1 << 25;
/// Bytes of weights of one program.
pub const MAX_WEIGHTS_BYTES: u64 = 1 << 26;
/// Units of work of one program.
pub const MAX_UNITS: u64 = 1 << 40;
/// Elements of a row that is normalised: squares of its sums have 64 bits.
pub const MAX_NORMALISED: u32 = 4_096;
/// Height or width of a window, its stride, or a padding.
pub const MAX_WINDOW: u16 = 1_024;
