//! Shapes, units of work and the place of each node's weights: all a pure function of the graph.
//!
//! Weights are laid out in node order without gaps: a matrix or kernel (i8), its bias (i32 little-endian), per-channel
//! multipliers (i32 little-endian), a table (256 i8). Nothing in the weights says where anything is.
//!
//! Invariant: a planned graph is within every limit, each operand has the type its operator takes, and the spans of
//! the nodes partition the weights.

use crate::{
    Error, Graph, Multiplier, Op, Pads, Window, limits,
    tensor::{DType, TensorType},
};
use alloc::{vec, vec::Vec};
use core::ops::Range;

/// What the graph says about each value and node.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Type of each value; one more than there are nodes.
    pub(crate) types: Vec<TensorType>,
    /// Bytes of weights of each node.
    pub(crate) spans: Vec<Range<usize>>,
    /// Units of work of each node.
    pub(crate) units: Vec<u64>,
}

impl Plan {
    /// Plans `graph`.
    pub(crate) fn new(graph: &Graph) -> Result<Self, Error> {
        let mut plan = Self { types: vec![graph.input.clone()], spans: Vec::new(), units: Vec::new() };
        bounded("elements of the input", graph.input.elements(), limits::MAX_ELEMENTS)?;
        let (mut elements, mut weights, mut units) = (graph.input.elements(), 0u64, 0u64);
        for (node, entry) in graph.nodes.iter().enumerate() {
            let operands: Vec<&TensorType> = entry.operands.iter().map(|&v| &plan.types[usize::from(v)]).collect();
            if let Some(before) = usize::from(entry.operands[0]).checked_sub(1)
                && let Some(why) = as_one(&entry.op, &graph.nodes[before].op)
            {
                return Err(Error::NotMinimal { node, why });
            }
            let ty = result_type(node, &entry.op, &operands)?;
            bounded("elements of a value", ty.elements(), limits::MAX_ELEMENTS)?;
            elements += ty.elements();
            bounded("elements of all values", elements, limits::MAX_TOTAL_ELEMENTS)?;
            let end = weights + weight_bytes(&entry.op, operands[0], &ty);
            bounded("weights bytes", end, limits::MAX_WEIGHTS_BYTES)?;
            let cost = units_of_node(&entry.op, operands[0], &ty);
            units = units.saturating_add(cost);
            bounded("units", units, limits::MAX_UNITS)?;
            plan.spans.push(weights as usize..end as usize);
            plan.units.push(cost);
            plan.types.push(ty);
            weights = end;
        }
        Ok(plan)
    }

    /// Units of work of the whole graph.
    pub(crate) fn total_units(&self) -> u64 {
        self.units.iter().sum()
    }

    /// Bytes of weights the graph takes.
    pub(crate) fn weights_bytes(&self) -> usize {
        self.spans.last().map_or(0, |span| span.end)
    }

    pub(crate) fn output(&self) -> &TensorType {
        &self.types[self.types.len() - 1]
    }
}

const fn bounded(what: &'static str, value: u64, max: u64) -> Result<(), Error> {
    if value > max { Err(Error::Limit { what, value, max }) } else { Ok(()) }
}

/// Why `op` on what `before` moved is one movement, if it is.
const fn as_one(op: &Op, before: &Op) -> Option<&'static str> {
    match (op, before) {
        (Op::Reshape { .. }, Op::Reshape { .. }) => Some("a reshape of a reshape is one reshape"),
        (Op::Transpose { .. }, Op::Transpose { .. }) => Some("a transpose of a transpose is one transpose"),
        (Op::Slice { axis, .. }, Op::Slice { axis: other, .. }) if *axis == *other => {
            Some("a slice of a slice of the same axis is one slice")
        }
        _ => None,
    }
}

/// Type of the result of `op`; refuses operands that `op` does not take.
fn result_type(node: usize, op: &Op, operands: &[&TensorType]) -> Result<TensorType, Error> {
    let x = operands[0];
    let bad_shape = |why| Err(Error::Shape { node, op: op.name(), dims: x.dims.clone(), why });
    let takes = match op {
        Op::AddI32 | Op::Requantise { .. } => Some(DType::I32),
        Op::Reshape { .. } | Op::ArgMax | Op::TopK { .. } | Op::Transpose { .. } | Op::Slice { .. } => None,
        _ => Some(DType::I8),
    };
    if let Some(wrong) = operands.iter().find(|ty| takes.is_some_and(|dtype| dtype != ty.dtype)) {
        return Err(Error::OperandType { node, op: op.name(), dtype: wrong.dtype });
    }
    let dims = match op {
        Op::MatMul { outputs } => match x.dims.as_slice() {
            [_] => vec![*outputs],
            [rows, _] => vec![*rows, *outputs],
            _ => return bad_shape("a matrix has one or two axes"),
        },
        Op::Conv2d { window, pads, outputs } => {
            let [height, width, _] = image(node, op, x)?;
            let [height, width] = positions(node, op, x, [height, width], *window, *pads)?;
            vec![height, width, *outputs]
        }
        Op::MaxPool { window, pads } => {
            let [height, width, channels] = image(node, op, x)?;
            let [height, width] = positions(node, op, x, [height, width], *window, *pads)?;
            vec![height, width, channels]
        }
        Op::AveragePool { window } => {
            let [height, width, channels] = image(node, op, x)?;
            let [height, width] = positions(node, op, x, [height, width], *window, Pads::default())?;
            vec![height, width, channels]
        }
        Op::AddI32 | Op::AddI8 { .. } if operands[1].dims != x.dims => {
            return bad_shape("both operands of an addition have one shape");
        }
        Op::AddI32 | Op::AddI8 { .. } | Op::Requantise { .. } | Op::Table | Op::Clamp { .. } => x.dims.clone(),
        Op::Reshape { dims } if *dims == x.dims => {
            return Err(Error::NotMinimal { node, why: "the reshape keeps the shape" });
        }
        Op::Reshape { dims } => {
            let reshaped = TensorType { dtype: x.dtype, dims: dims.clone() };
            if reshaped.elements() != x.elements() {
                return bad_shape("a reshape keeps the number of elements");
            }
            reshaped.dims
        }
        Op::ArgMax => row_of(x, 1),
        Op::TopK { count } if *count as usize > x.channels() => return bad_shape("a row has fewer elements"),
        Op::TopK { count } => row_of(x, *count),
        Op::Multiply { transposed } => match product_dims(&x.dims, &operands[1].dims, *transposed) {
            Some(dims) => dims,
            None => return bad_shape("a product is of [m, k] and [k, n], or of as many of each"),
        },
        Op::Softmax { causal: true } if !matches!(x.dims.as_slice(), [.., rows, columns] if rows == columns) => {
            return bad_shape("where later elements are not seen, the last two axes are equal");
        }
        Op::Normalise if x.channels() > limits::MAX_NORMALISED as usize => {
            return bad_shape("a row that is normalised has at most 4096 elements");
        }
        Op::Softmax { .. } | Op::Normalise => x.dims.clone(),
        Op::Transpose { order } if order.len() != x.dims.len() => {
            return bad_shape("the order names another number of axes");
        }
        Op::Transpose { order } => order.iter().map(|&axis| x.dims[usize::from(axis)]).collect(),
        Op::Slice { axis, start, length } => {
            let mut dims = x.dims.clone();
            match dims.get_mut(usize::from(*axis)) {
                None => return bad_shape("there is no such axis"),
                Some(extent) if *length == *extent && *start == 0 => {
                    return Err(Error::NotMinimal { node, why: "the slice keeps the whole axis" });
                }
                Some(extent) if start.checked_add(*length).is_none_or(|end| end > *extent) => {
                    return bad_shape("the slice passes the end of the axis");
                }
                Some(extent) => *extent = *length,
            }
            dims
        }
    };
    let dtype = match op {
        Op::MatMul { .. } | Op::Conv2d { .. } | Op::Multiply { .. } | Op::AddI32 => DType::I32,
        Op::ArgMax | Op::TopK { .. } | Op::Normalise => DType::I32,
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice { .. } => x.dtype,
        _ => DType::I8,
    };
    Ok(TensorType { dtype, dims })
}

/// The operand's shape with rows of `length`.
fn row_of(x: &TensorType, length: u32) -> Vec<u32> {
    [&x.dims[..x.dims.len() - 1], &[length]].concat()
}

/// Shape of the product of two values; none if they have none.
fn product_dims(a: &[u32], b: &[u32], transposed: bool) -> Option<Vec<u32>> {
    let (count, [m, k]) = (&a[..a.len().checked_sub(2)?], *a.last_chunk::<2>()?);
    let (inner, n) = match *b.last_chunk::<2>()? {
        [n, k] if transposed => (k, n),
        [k, n] => (k, n),
    };
    let fits = inner == k && a.len() <= 3 && b[..b.len() - 2] == *count;
    fits.then(|| [count, &[m, n]].concat())
}

fn image(node: usize, op: &Op, x: &TensorType) -> Result<[u32; 3], Error> {
    <[u32; 3]>::try_from(x.dims.as_slice()).map_err(|_| Error::Shape {
        node,
        op: op.name(),
        dims: x.dims.clone(),
        why: "an image has three axes: height, width, channels",
    })
}

/// Positions of a window over an image: floor((extent + padding - window) / stride) + 1 on each axis.
fn positions(
    node: usize,
    op: &Op,
    x: &TensorType,
    extent: [u32; 2],
    window: Window,
    pads: Pads,
) -> Result<[u32; 2], Error> {
    let along = |extent: u32, before: u16, after: u16, window: u16, stride: u16| {
        let padded = extent + u32::from(before) + u32::from(after);
        padded.checked_sub(window.into()).map(|room| room / u32::from(stride) + 1)
    };
    let height = along(extent[0], pads.top, pads.bottom, window.height, window.stride_height);
    let width = along(extent[1], pads.left, pads.right, window.width, window.stride_width);
    height.zip(width).map(|(height, width)| [height, width]).ok_or_else(|| Error::Shape {
        node,
        op: op.name(),
        dims: x.dims.clone(),
        why: "the window is larger than the padded image",
    })
}

/// Elements of `x` that one output of a matmul or convolution reads.
pub(crate) fn depth(op: &Op, x: &TensorType) -> u64 {
    match op {
        Op::Conv2d { window, .. } => u64::from(window.height) * u64::from(window.width) * x.channels() as u64,
        _ => x.channels() as u64,
    }
}

fn weight_bytes(op: &Op, x: &TensorType, result: &TensorType) -> u64 {
    let channels = result.channels() as u64;
    match op {
        Op::MatMul { .. } | Op::Conv2d { .. } => depth(op, x) * channels + 4 * channels,
        Op::Requantise { multiplier: Multiplier::Channel, .. } => 4 * channels,
        Op::Table => 256,
        Op::Softmax { .. } => 512,
        _ => 0,
    }
}

/// Units of work of one node: one unit is one multiply-accumulate of i8 in a wide matrix product.
///
/// The factors bound time, also for thin shapes: on the machine they were measured on, no operator takes longer per unit
/// than a multiply-accumulate takes on the scalar path (benches/tensor_units.py). They are part of the semantics: a
/// change is a new semantics version. docs/integer-programs.md has the table.
#[must_use]
pub fn units_of_node(op: &Op, x: &TensorType, result: &TensorType) -> u64 {
    const NODE: u64 = 128;
    let (out, channels) = (result.elements(), result.channels() as u64);
    let rows = out / channels;
    let area = |window: &Window| u64::from(window.height) * u64::from(window.width);
    let product = depth(op, x) * channels.next_multiple_of(16) + 4 * channels + 16;
    let work = match op {
        Op::MatMul { .. } => rows.saturating_mul(product),
        Op::Conv2d { window, .. } => rows.saturating_mul(product + 32 + 16 * u64::from(window.height)),
        Op::AddI32 | Op::AddI8 { .. } | Op::Requantise { .. } => 8 * out,
        Op::Table | Op::Reshape { .. } => 4 * out,
        Op::Clamp { .. } => out,
        Op::MaxPool { window, .. } => rows * (48 + 8 * area(window)) + out * (area(window) + 2),
        Op::AveragePool { window } => rows * (48 + 8 * area(window)) + out * (2 * area(window) + 12),
        Op::ArgMax => 8 * x.elements(),
        Op::Multiply { .. } => {
            let matrices = if let [count, _, _] = result.dims.as_slice() { u64::from(*count) } else { 1 };
            rows.saturating_mul(product) + matrices.saturating_mul(8 * depth(op, x) * channels.next_multiple_of(16))
        }
        Op::Softmax { .. } => 24 * out + 64 * rows,
        Op::Normalise => 40 * out + 128 * rows,
        Op::TopK { count } => 32 * x.elements() + 8 * out * u64::from(count.ilog2()),
        Op::Transpose { .. } => 16 * out,
        Op::Slice { .. } => 16 * out,
    };
    NODE.saturating_add(work)
}
