//! Operators and the bytes of their attributes.
//!
//! Layout is row-major with channels last: a matrix is `[rows, columns]`, an image is `[height, width, channels]`.
//! A batch is never an axis of a program: a program maps one input to one output, runs are batched outside it.
//!
//! Invariant: [`Op::encode`] and [`Op::decode`] are inverse to each other, and decode accepts only attributes in range.

use crate::{Error, limits, reader::Reader};
use alloc::vec::Vec;

/// A sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows it covers.
    pub height: u16,
    /// Columns it covers.
    pub width: u16,
    /// Rows from one position to the next.
    pub stride_height: u16,
    /// Columns from one position to the next.
    pub stride_width: u16,
}

/// Rows and columns around an image: zeros for a convolution, absent for a maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pads {
    /// Rows above.
    pub top: u16,
    /// Columns to the left.
    pub left: u16,
    /// Rows below.
    pub bottom: u16,
    /// Columns to the right.
    pub right: u16,
}

/// Factor of a requantisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplier {
    /// The same for all channels.
    Tensor(u32),
    /// One per channel, in the weights.
    Channel,
}

/// What a node computes. `x`, `a`, `b` are its operands; see docs/integer-programs.md for the exact arithmetic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `[m, k] i8 -> [m, outputs] i32` (or `[k] -> [outputs]`): `x · w + bias`.
    MatMul {
        /// Columns of the weights.
        outputs: u32,
    },
    /// `[h, w, c] i8 -> [h', w', outputs] i32`: convolution plus bias, zero padding.
    Conv2d {
        /// Kernel and stride.
        window: Window,
        /// Zero padding.
        pads: Pads,
        /// Output channels.
        outputs: u32,
    },
    /// `a + b`, i32.
    AddI32,
    /// `clamp((a * multipliers[0] + b * multipliers[1] + 2^(shift-1)) >> shift, lo, hi)`, i8.
    AddI8 {
        /// Factors of `a` and `b`.
        multipliers: [u32; 2],
        /// Right shift, 1..=62.
        shift: u8,
        /// Smallest result.
        lo: i8,
        /// Largest result.
        hi: i8,
    },
    /// `clamp((x * multiplier + 2^(shift-1)) >> shift, lo, hi)`, i32 -> i8.
    Requantise {
        /// Factor, per tensor or per channel.
        multiplier: Multiplier,
        /// Right shift, 1..=62.
        shift: u8,
        /// Smallest result.
        lo: i8,
        /// Largest result.
        hi: i8,
    },
    /// `table[x + 128]`, i8 -> i8.
    Table,
    /// `min(max(x, lo), hi)`, i8 -> i8; `lo = 0, hi = 127` is ReLU.
    Clamp {
        /// Smallest result.
        lo: i8,
        /// Largest result.
        hi: i8,
    },
    /// Largest element under the window, i8; padding does not take part.
    MaxPool {
        /// Window and stride.
        window: Window,
        /// Padding.
        pads: Pads,
    },
    /// Mean under the window, rounded half up, i8; no padding.
    AveragePool {
        /// Window and stride.
        window: Window,
    },
    /// The same elements in another shape.
    Reshape {
        /// The new shape.
        dims: Vec<u32>,
    },
    /// `[.., n] -> [.., 1] i32`: index of the largest element on the last axis, the lowest of equals.
    ArgMax,
    /// `[m, k] i8, [k, n] i8 -> [m, n] i32`: `a · b`, of two values; with a further first axis, as many products.
    Multiply {
        /// `b` is `[n, k]`.
        transposed: bool,
    },
    /// `[.., n] i8 -> [.., n] i8`: each element's share of its row, in 127ths, by a table of weights.
    Softmax {
        /// Row `i` of the last two axes, which are equal, sees its first `i + 1` elements; the others get 0.
        causal: bool,
    },
    /// `[.., n] i8 -> [.., n] i32`: deviation from the row's mean in 4096ths of its standard deviation.
    Normalise,
    /// `[.., n] -> [.., count] i32`: indices of the largest elements, largest first, the lowest of equals first.
    TopK {
        /// How many.
        count: u32,
    },
    /// The axes in another order.
    Transpose {
        /// The operand's axis that becomes each axis of the result.
        order: Vec<u8>,
    },
    /// Some neighbours along one axis.
    Slice {
        /// The axis.
        axis: u8,
        /// The first.
        start: u32,
        /// How many.
        length: u32,
    },
}

impl Op {
    /// The operator's byte.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::MatMul { .. } => 1,
            Self::Conv2d { .. } => 2,
            Self::AddI32 => 3,
            Self::AddI8 { .. } => 4,
            Self::Requantise { .. } => 5,
            Self::Table => 6,
            Self::Clamp { .. } => 7,
            Self::MaxPool { .. } => 8,
            Self::AveragePool { .. } => 9,
            Self::Reshape { .. } => 10,
            Self::ArgMax => 11,
            Self::Multiply { .. } => 12,
            Self::Softmax { .. } => 13,
            Self::Normalise => 14,
            Self::TopK { .. } => 15,
            Self::Transpose { .. } => 16,
            Self::Slice { .. } => 17,
        }
    }

    /// The operator's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MatMul { .. } => "matmul",
            Self::Conv2d { .. } => "conv2d",
            Self::AddI32 => "add_i32",
            Self::AddI8 { .. } => "add_i8",
            Self::Requantise { .. } => "requantise",
            Self::Table => "table",
            Self::Clamp { .. } => "clamp",
            Self::MaxPool { .. } => "max_pool",
            Self::AveragePool { .. } => "average_pool",
            Self::Reshape { .. } => "reshape",
            Self::ArgMax => "argmax",
            Self::Multiply { .. } => "multiply",
            Self::Softmax { .. } => "softmax",
            Self::Normalise => "normalise",
            Self::TopK { .. } => "top_k",
            Self::Transpose { .. } => "transpose",
            Self::Slice { .. } => "slice",
        }
    }

    /// Number of operands of the operator with byte `code`; `None` if there is no such operator.
    pub(crate) const fn arity(code: u8) -> Option<usize> {
        match code {
            3 | 4 | 12 => Some(2),
            1 | 2 | 5..=11 | 13..=17 => Some(1),
            _ => None,
        }
    }

    /// Whether the order of the operands of the operator with byte `code` makes no difference.
    pub(crate) const fn commutes(code: u8) -> bool {
        matches!(code, 3 | 4)
    }

    /// Appends the attributes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::MatMul { outputs } => out.extend(outputs.to_be_bytes()),
            Self::Conv2d { window, pads, outputs } => {
                window.encode(out);
                pads.encode(out);
                out.extend(outputs.to_be_bytes());
            }
            Self::AddI8 { multipliers, shift, lo, hi } => {
                out.extend(multipliers.iter().flat_map(|m| m.to_be_bytes()));
                out.extend([*shift, lo.cast_unsigned(), hi.cast_unsigned()]);
            }
            Self::Requantise { multiplier, shift, lo, hi } => {
                out.extend([*shift, lo.cast_unsigned(), hi.cast_unsigned()]);
                match multiplier {
                    Multiplier::Tensor(value) => {
                        out.push(0);
                        out.extend(value.to_be_bytes());
                    }
                    Multiplier::Channel => out.push(1),
                }
            }
            Self::Clamp { lo, hi } => out.extend([lo.cast_unsigned(), hi.cast_unsigned()]),
            Self::MaxPool { window, pads } => {
                window.encode(out);
                pads.encode(out);
            }
            Self::AveragePool { window } => window.encode(out),
            Self::Reshape { dims } => {
                out.push(dims.len() as u8);
                out.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
            }
            Self::Multiply { transposed: flag } | Self::Softmax { causal: flag } => out.push(u8::from(*flag)),
            Self::TopK { count } => out.extend(count.to_be_bytes()),
            Self::Transpose { order } => {
                out.push(order.len() as u8);
                out.extend(order);
            }
            Self::Slice { axis, start, length } => {
                out.push(*axis);
                out.extend(start.to_be_bytes());
                out.extend(length.to_be_bytes());
            }
            Self::AddI32 | Self::Table | Self::ArgMax | Self::Normalise => {}
        }
    }

    /// Reads the attributes of operator `code` of node `node`.
    pub(crate) fn decode(code: u8, node: usize, r: &mut Reader<'_>) -> Result<Self, Error> {
        match code {
            1 => Ok(Self::MatMul { outputs: channels(node, r)? }),
            2 => {
                let window = Window::decode(node, r)?;
                let pads = Pads::decode(node, window, r)?;
                Ok(Self::Conv2d { window, pads, outputs: channels(node, r)? })
            }
            3 => Ok(Self::AddI32),
            4 => {
                let multipliers = [multiplier(node, r)?, multiplier(node, r)?];
                let (shift, lo, hi) = rescale(node, r)?;
                Ok(Self::AddI8 { multipliers, shift, lo, hi })
            }
            5 => {
                let (shift, lo, hi) = rescale(node, r)?;
                let multiplier = match r.u8("multiplier kind")? {
                    0 => Multiplier::Tensor(multiplier(node, r)?),
                    1 => Multiplier::Channel,
                    kind => return Err(attribute(node, "multiplier kind", kind.into(), "0 (tensor) or 1 (channel)")),
                };
                Ok(Self::Requantise { multiplier, shift, lo, hi })
            }
            6 => Ok(Self::Table),
            7 => {
                let (lo, hi) = range(node, r)?;
                if (lo, hi) == (i8::MIN, i8::MAX) {
                    return Err(Error::NotMinimal { node, why: "a clamp to -128..=127 changes nothing" });
                }
                Ok(Self::Clamp { lo, hi })
            }
            8 => {
                let window = Window::decode(node, r)?;
                Ok(Self::MaxPool { window, pads: Pads::decode(node, window, r)? })
            }
            9 => Ok(Self::AveragePool { window: Window::decode(node, r)? }),
            10 => Ok(Self::Reshape { dims: dims(r, "reshape")? }),
            11 => Ok(Self::ArgMax),
            12 => Ok(Self::Multiply { transposed: flag(node, r, "transposed")? }),
            13 => Ok(Self::Softmax { causal: flag(node, r, "causal")? }),
            14 => Ok(Self::Normalise),
            15 => match r.u32("count")? {
                1 => Err(Error::NotMinimal { node, why: "the largest alone is an argmax" }),
                count @ 2..=limits::MAX_DIM => Ok(Self::TopK { count }),
                count => Err(attribute(node, "count", count.into(), "2..=1048576")),
            },
            16 => Ok(Self::Transpose { order: order(node, r)? }),
            17 => {
                let (axis, start) = (r.u8("axis")?, r.u32("start")?);
                match r.u32("length")? {
                    0 => Err(attribute(node, "length", 0, "at least 1")),
                    length => Ok(Self::Slice { axis, start, length }),
                }
            }
            _ => Err(Error::Operator { node, code }),
        }
    }
}

impl Window {
    fn encode(&self, out: &mut Vec<u8>) {
        let fields = [self.height, self.width, self.stride_height, self.stride_width];
        out.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
    }

    fn decode(node: usize, r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut extent = |name| {
            let value = r.u16(name)?;
            match value {
                1..=limits::MAX_WINDOW => Ok(value),
                _ => Err(attribute(node, name, value.into(), "1..=1024")),
            }
        };
        Ok(Self {
            height: extent("window height")?,
            width: extent("window width")?,
            stride_height: extent("stride height")?,
            stride_width: extent("stride width")?,
        })
    }
}

impl Pads {
    fn encode(&self, out: &mut Vec<u8>) {
        let fields = [self.top, self.left, self.bottom, self.right];
        out.extend(fields.iter().flat_map(|field| field.to_be_bytes()));
    }

    /// A padding must be smaller than the window, so that every window covers at least one element.
    fn decode(node: usize, window: Window, r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut pad = |name, extent: u16| {
            let value = r.u16(name)?;
            if value < extent {
                Ok(value)
            } else {
                Err(attribute(node, name, value.into(), "must be smaller than the window"))
            }
        };
        Ok(Self {
            top: pad("top padding", window.height)?,
            left: pad("left padding", window.width)?,
            bottom: pad("bottom padding", window.height)?,
            right: pad("right padding", window.width)?,
        })
    }
}

const fn attribute(node: usize, name: &'static str, value: i64, rule: &'static str) -> Error {
    Error::Attribute { node, name, value, rule }
}

fn channels(node: usize, r: &mut Reader<'_>) -> Result<u32, Error> {
    match r.u32("outputs")? {
        value @ 1..=limits::MAX_DIM => Ok(value),
        value => Err(attribute(node, "outputs", value.into(), "1..=1048576")),
    }
}

fn multiplier(node: usize, r: &mut Reader<'_>) -> Result<u32, Error> {
    match r.u32("multiplier")? {
        value @ 1..=0x7fff_ffff => Ok(value),
        value => Err(attribute(node, "multiplier", value.into(), "1..=2147483647")),
    }
}

fn rescale(node: usize, r: &mut Reader<'_>) -> Result<(u8, i8, i8), Error> {
    let shift = match r.u8("shift")? {
        value @ 1..=62 => value,
        value => return Err(attribute(node, "shift", value.into(), "1..=62")),
    };
    let (lo, hi) = range(node, r)?;
    Ok((shift, lo, hi))
}

fn flag(node: usize, r: &mut Reader<'_>, name: &'static str) -> Result<bool, Error> {
    match r.u8(name)? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(attribute(node, name, value.into(), "0 or 1")),
    }
}

/// Reads a rank and each of so many axes once, in another than their own order.
fn order(node: usize, r: &mut Reader<'_>) -> Result<Vec<u8>, Error> {
    let rank = rank(r, "transpose")?;
    let order = (0..rank).map(|_| r.u8("axis")).collect::<Result<Vec<_>, _>>()?;
    if let Some(missing) = (0..rank).find(|axis| !order.contains(axis)) {
        return Err(attribute(node, "order", missing.into(), "an axis that it lacks: each stands in it once"));
    }
    if order.is_sorted() {
        return Err(Error::NotMinimal { node, why: "the axes keep their order" });
    }
    Ok(order)
}

fn range(node: usize, r: &mut Reader<'_>) -> Result<(i8, i8), Error> {
    let (lo, hi) = (r.i8("lower bound")?, r.i8("upper bound")?);
    if lo < hi { Ok((lo, hi)) } else { Err(attribute(node, "lower bound", lo.into(), "must be below the upper bound")) }
}

fn rank(r: &mut Reader<'_>, what: &'static str) -> Result<u8, Error> {
    match r.u8("rank")? {
        0 => Err(Error::Dimension { what }),
        rank @ 1..=limits::MAX_GRAPH_RANK => Ok(rank),
        rank => Err(Error::Limit { what: "rank", value: rank.into(), max: limits::MAX_GRAPH_RANK.into() }),
    }
}

/// Reads a rank byte and that many dimensions, within the limits of a graph.
pub(crate) fn dims(r: &mut Reader<'_>, what: &'static str) -> Result<Vec<u32>, Error> {
    (0..rank(r, what)?)
        .map(|_| match r.u32("dimension")? {
            0 => Err(Error::Dimension { what }),
            dim if dim > limits::MAX_DIM => {
                Err(Error::Limit { what: "dimension", value: dim.into(), max: limits::MAX_DIM.into() })
            }
            dim => Ok(dim),
        })
        .collect()
}
