//! What a proof of a program is about: committed columns, relations between them, and what is in the open.
//!
//! All that a batch computes is laid out in tables of 2^a rows and 2^b channels: a row for each row of each input, padded
//! with zero inputs; weights are padded with zeros. Padding is computed like everything else, so relations hold on it.
//!
//! | node | committed | relation |
//! |---|---|---|
//! | matmul | its accumulators | sumcheck over the depth |
//! | add_i32 | its sums | linear, at a random point |
//! | requantise, add_i8 | y, the remainder, what is clamped away, all in bytes | an equation over the integers for each element |
//! | table, clamp | its results | look-up of pairs |
//!
//! The input, and the value that the last of these nodes returns, are in the open; what comes after that value (argmax,
//! top_k and movements) the verifier computes. Before the first node the input may be reshaped.
//!
//! Invariant: a statement is a pure function of graph, small weights and batch; no equation in it can wrap around the
//! field's order when every committed byte is one.

use crate::{Error, field::ORDER};
use alloc::{vec, vec::Vec};
use core::ops::Range;
use interlace_tensor::{Graph, Multiplier, Node, Op, TensorType};

/// Inputs in one proof.
pub const MAX_BATCH: usize = 1 << 12;
/// Committed values of one proof, and padded weights, as powers of two.
pub const MAX_LOG: usize = 23;

/// A table's extent, as powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) channels: usize,
}

impl Shape {
    pub(crate) const fn log(self) -> usize {
        self.rows + self.channels
    }

    /// Elements.
    pub(crate) const fn len(self) -> usize {
        1 << self.log()
    }
}

/// Where the elements of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the open: the inputs, by this value's shape.
    Input,
    /// Committed, less an offset.
    Column { column: usize, offset: i64 },
}

/// A committed table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) shape: Shape,
    /// Where it begins among all committed values: a multiple of its length.
    pub(crate) offset: usize,
    byte: bool,
}

/// Bytes, the lowest first, that make a number of less than 2^bits. If the highest has fewer than eight bits, it is
/// also committed shifted up to eight: both are bytes only if it has no more.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    pub(crate) bytes: Vec<usize>,
    pub(crate) shifted: Option<(usize, u32)>,
}

/// Multiplier of a term.
#[derive(Debug, Clone)]
pub(crate) enum Factor {
    All(u32),
    Channels(Vec<i32>),
}

#[derive(Debug, Clone)]
pub(crate) enum Relation {
    MatMul { x: usize, bias: Vec<i32>, matrix: usize, column: usize },
    Add { a: usize, b: usize, column: usize },
    Rescale(Rescale),
    Lookup { x: usize, column: usize, table: [i8; 256] },
}

/// Σ factor · value + 2^(shift-1) = 2^shift · (y + over - under) + rest, where over = 0 unless y = hi, and under = 0
/// unless y = lo.
#[derive(Debug, Clone)]
pub(crate) struct Rescale {
    pub(crate) terms: Vec<(Factor, usize)>,
    pub(crate) shift: u32,
    pub(crate) lo: i64,
    pub(crate) hi: i64,
    /// y - lo.
    pub(crate) column: usize,
    /// hi - y, where that is not a byte already.
    pub(crate) above: Option<usize>,
    pub(crate) rest: Number,
    pub(crate) over: Number,
    pub(crate) under: Number,
}

/// A matrix of weights among all of them, padded to powers of two.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    /// Its bytes among the program's weights.
    pub(crate) span: Range<usize>,
    pub(crate) channels: usize,
    pub(crate) log_depth: usize,
    pub(crate) log_channels: usize,
    pub(crate) offset: usize,
}

#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) types: Vec<TensorType>,
    pub(crate) log_batch: usize,
    pub(crate) batch: usize,
    pub(crate) sources: Vec<Source>,
    pub(crate) columns: Vec<Column>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) matrices: Vec<Matrix>,
    /// Where all byte columns lie together.
    pub(crate) bytes: Option<Range<usize>>,
    pub(crate) log_committed: usize,
    pub(crate) log_weights: usize,
    /// The value in the open.
    pub(crate) revealed: usize,
    /// What the verifier computes from it.
    pub(crate) tail: Option<Graph>,
}

impl Statement {
    /// `small` has the weights of every node that are not a matrix: biases, multipliers, tables.
    pub(crate) fn new(graph: &Graph, small: &[Vec<u8>], batch: usize) -> Result<Self, Error> {
        if !(1..=MAX_BATCH).contains(&batch) {
            return Err(Error::Limit { what: "inputs of a batch", value: batch as u64, max: MAX_BATCH as u64 });
        }
        let (types, spans) = graph.layout()?;
        let revealed = first_of_tail(graph);
        let mut statement = Self {
            log_batch: log(batch),
            batch,
            sources: vec![Source::Input],
            columns: Vec::new(),
            relations: Vec::new(),
            matrices: Vec::new(),
            bytes: None,
            log_committed: 0,
            log_weights: 0,
            revealed,
            tail: tail(graph, &types, revealed),
            types,
        };
        for (node, entry) in graph.nodes[..revealed].iter().enumerate() {
            let weights = small.get(node).map_or(&[][..], Vec::as_slice);
            let source = statement.node(node, entry, weights, spans[node].start)?;
            statement.sources.push(source);
        }
        if statement.relations.is_empty() {
            return Err(refused(revealed.saturating_sub(1), graph, "there is nothing before it to be proved"));
        }
        statement.place()?;
        Ok(statement)
    }

    pub(crate) fn shape(&self, value: usize) -> Shape {
        let dims = &self.types[value].dims;
        let (rows, channels) = dims.split_at(dims.len() - 1);
        let rows = rows.iter().map(|&dim| dim as usize).product::<usize>();
        Shape { rows: self.log_batch + log(rows), channels: log(channels[0] as usize) }
    }

    fn node(&mut self, node: usize, entry: &Node, weights: &[u8], start: usize) -> Result<Source, Error> {
        let shape = self.shape(node + 1);
        let operand = |index: usize| usize::from(entry.operands[index]);
        let source = |column| Source::Column { column, offset: 0 };
        let no = |why| Err(Error::Program { node, op: entry.op.name(), why });
        match &entry.op {
            Op::MatMul { .. } => {
                let (depth, channels) = (self.types[operand(0)].channels(), self.types[node + 1].channels());
                let column = self.column(shape, false);
                self.matrices.push(Matrix {
                    span: start..start + depth * channels,
                    channels,
                    log_depth: log(depth),
                    log_channels: log(channels),
                    offset: 0,
                });
                let matrix = self.matrices.len() - 1;
                self.relations.push(Relation::MatMul { x: operand(0), bias: words(weights), matrix, column });
                Ok(source(column))
            }
            Op::AddI32 => {
                let column = self.column(shape, false);
                self.relations.push(Relation::Add { a: operand(0), b: operand(1), column });
                Ok(source(column))
            }
            Op::Requantise { multiplier, shift, lo, hi } => {
                let factor = match multiplier {
                    Multiplier::Tensor(value) => Factor::All(*value),
                    Multiplier::Channel => Factor::Channels(words(weights)),
                };
                let largest = factor.largest() << 31;
                self.rescale(node, shape, vec![(factor, operand(0))], largest, (*shift, *lo, *hi))
            }
            Op::AddI8 { multipliers, shift, lo, hi } => {
                let terms = vec![(Factor::All(multipliers[0]), operand(0)), (Factor::All(multipliers[1]), operand(1))];
                let largest = (u128::from(multipliers[0]) + u128::from(multipliers[1])) << 7;
                self.rescale(node, shape, terms, largest, (*shift, *lo, *hi))
            }
            Op::Table => {
                let mut table = [0; 256];
                table.iter_mut().zip(weights).for_each(|(to, from)| *to = from.cast_signed());
                Ok(source(self.lookup(shape, operand(0), table)))
            }
            Op::Clamp { lo, hi } => {
                let mut table = [0; 256];
                table.iter_mut().zip(i8::MIN..=i8::MAX).for_each(|(to, x)| *to = x.clamp(*lo, *hi));
                Ok(source(self.lookup(shape, operand(0), table)))
            }
            Op::Reshape { .. } if self.sources[operand(0)] == Source::Input => Ok(Source::Input),
            Op::Reshape { .. } => no("only the input and the last values can be reshaped"),
            _ => no("these proofs cover matmul, add, requantise, table, clamp, and argmax and movements at the end"),
        }
    }

    fn lookup(&mut self, shape: Shape, x: usize, table: [i8; 256]) -> usize {
        let column = self.column(shape, false);
        self.relations.push(Relation::Lookup { x, column, table });
        column
    }

    fn rescale(
        &mut self,
        node: usize,
        shape: Shape,
        terms: Vec<(Factor, usize)>,
        largest: u128,
        (shift, lo, hi): (u8, i8, i8),
    ) -> Result<Source, Error> {
        let half = 1_u128 << (shift - 1);
        // What clamping can take away: the largest quotient, and the way from there to the other end of i8.
        let clamped = ((largest + half) >> shift) + 256;
        let bits = u128::BITS - clamped.leading_zeros();
        // Both sides of the equation, were every byte the worst one.
        let reach = (1_u128 << (u32::from(shift) + bits)) + (256_u128 << shift) + (1 << shift) + largest + half;
        if reach >= u128::from(ORDER) {
            let why = "multiplier and shift are so large that the equation could wrap around the field";
            return Err(Error::Program { node, op: if terms.len() == 1 { "requantise" } else { "add_i8" }, why });
        }
        let column = self.column(shape, true);
        let above = (i16::from(hi) - i16::from(lo) < 255).then(|| self.column(shape, true));
        let rescale = Rescale {
            terms,
            shift: shift.into(),
            lo: lo.into(),
            hi: hi.into(),
            column,
            above,
            rest: self.number(shape, shift.into()),
            over: self.number(shape, bits),
            under: self.number(shape, bits),
        };
        self.relations.push(Relation::Rescale(rescale));
        Ok(Source::Column { column, offset: lo.into() })
    }

    fn column(&mut self, shape: Shape, byte: bool) -> usize {
        self.columns.push(Column { shape, offset: 0, byte });
        self.columns.len() - 1
    }

    fn number(&mut self, shape: Shape, bits: u32) -> Number {
        let bytes = (0..bits.div_ceil(8)).map(|_| self.column(shape, true)).collect();
        let shifted = (!bits.is_multiple_of(8)).then(|| (self.column(shape, true), 8 - bits % 8));
        Number { bytes, shifted }
    }

    /// Gives every column and matrix its place: the longest first, so that each begins at a multiple of its length.
    fn place(&mut self) -> Result<(), Error> {
        let mut bytes: Vec<usize> = (0..self.columns.len()).filter(|&column| self.columns[column].byte).collect();
        bytes.sort_by_key(|&column| core::cmp::Reverse(self.columns[column].shape.log()));
        let mut section = 0;
        for &column in &bytes {
            self.columns[column].offset = section;
            section += self.columns[column].shape.len();
        }
        // (length, column, or none for all bytes together)
        let plain = (0..self.columns.len()).filter(|&column| !self.columns[column].byte);
        let mut blocks: Vec<(usize, Option<usize>)> =
            plain.map(|column| (self.columns[column].shape.len(), Some(column))).collect();
        if section != 0 {
            blocks.push((section.next_power_of_two(), None));
        }
        blocks.sort_by_key(|&(len, _)| core::cmp::Reverse(len));
        let mut end = 0;
        for (len, block) in blocks {
            match block {
                Some(column) => self.columns[column].offset = end,
                None => {
                    bytes.iter().for_each(|&column| self.columns[column].offset += end);
                    self.bytes = Some(end..end + len);
                }
            }
            end += len;
        }
        self.log_committed = bounded("committed values", end)?;
        let mut order: Vec<usize> = (0..self.matrices.len()).collect();
        order.sort_by_key(|&matrix| core::cmp::Reverse(self.matrices[matrix].log()));
        let mut end = 0;
        for matrix in order {
            self.matrices[matrix].offset = end;
            end += 1 << self.matrices[matrix].log();
        }
        self.log_weights = bounded("padded weights", end)?;
        Ok(())
    }
}

impl Matrix {
    pub(crate) const fn log(&self) -> usize {
        self.log_depth + self.log_channels
    }
}

impl Factor {
    fn largest(&self) -> u128 {
        match self {
            Self::All(value) => u128::from(*value),
            Self::Channels(values) => values.iter().map(|value| u128::from(value.unsigned_abs())).max().unwrap_or(0),
        }
    }

    /// The factor of a channel; those of padding are zero, or the one that all have.
    pub(crate) fn at(&self, channel: usize) -> i64 {
        match self {
            Self::All(value) => i64::from(*value),
            Self::Channels(values) => values.get(channel).copied().unwrap_or(0).into(),
        }
    }
}

fn bounded(what: &'static str, len: usize) -> Result<usize, Error> {
    let log = log(len.max(2));
    if log > MAX_LOG {
        return Err(Error::Limit { what, value: len as u64, max: 1 << MAX_LOG });
    }
    Ok(log)
}

/// The least power of two that is not below `count`.
pub(crate) const fn log(count: usize) -> usize {
    count.next_power_of_two().ilog2() as usize
}

pub(crate) fn words(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word)).collect()
}

const fn is_tail(op: &Op) -> bool {
    matches!(
        op,
        Op::ArgMax | Op::TopK { .. } | Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice { .. } | Op::Normalise
    )
}

/// The value after which only nodes follow that take the one before them and have no weights.
fn first_of_tail(graph: &Graph) -> usize {
    let chained = |node: usize| is_tail(&graph.nodes[node].op) && graph.nodes[node].operands == [node as u16];
    let mut value = graph.nodes.len();
    while value > 0 && chained(value - 1) {
        value -= 1;
    }
    value
}

fn tail(graph: &Graph, types: &[TensorType], revealed: usize) -> Option<Graph> {
    let nodes = graph.nodes[revealed..].iter().enumerate();
    let nodes: Vec<Node> =
        nodes.map(|(index, node)| Node { op: node.op.clone(), operands: vec![index as u16] }).collect();
    (!nodes.is_empty()).then(|| Graph { input: types[revealed].clone(), nodes })
}

fn refused(node: usize, graph: &Graph, why: &'static str) -> Error {
    Error::Program { node, op: graph.nodes.get(node).map_or("input", |entry| entry.op.name()), why }
}
