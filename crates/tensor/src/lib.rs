//! The integer model graph: canonical bytes, int8 kernels, static units of work; no_std.
//!
//! Why Rust: the inner loops run once per multiply-accumulate (about 0.05 ns each with AVX2, some 2,000 times the
//! speed of plain Python), and block execution must call a program without an interpreter.
//!
//! A *program* is a static graph of i8 and i32 tensors plus its weights, in one byte string. Every value it computes
//! is an integer, every rounding is stated, so two machines never disagree about an answer. The format and the
//! semantics are in `docs/integer-programs.md`; `spec/tensor.py` is a further implementation of both.
//!
//! ```text
//! bytes -> Graph::decode -> plan (shapes, units, weights) -> proof (no accumulator overflows) -> Program -> run
//! ```
//!
//! Invariant: a [`Program`] exists only if its bytes are canonical, its header is true, and no accumulator of it can
//! leave i32 for any input; all kernel paths return the same bits.
//!
//! What it does not do: no floating point, no training, no data-dependent work, no I/O.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod elementwise;
mod error;
mod exec;
mod graph;
mod kernel;
pub mod limits;
mod op;
mod plan;
mod program;
mod proof;
mod reader;
mod rows;
mod tensor;
mod trace;
mod weights;

pub use error::Error;
pub use exec::Scratch;
pub use graph::{Graph, Node};
pub use kernel::{MAX_PRODUCT_DEPTH, MAX_ROW_WEIGHT, Path, product, row_sums};
pub use op::{Multiplier, Op, Pads, Window};
pub use plan::units_of_node;
pub use program::{Cost, HEADER_BYTES, Manifest, Program, SEMANTICS};
pub use tensor::{DType, Data, Tensor, TensorType};
pub use trace::{TILE_BYTES, Trace};
pub use weights::{CHUNK_BYTES, chunk_count, leaf, root_of_leaves, weights_root};
