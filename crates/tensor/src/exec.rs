//! Running a program: node by node over a batch of inputs, in buffers that are kept between runs.
//!
//! A batch is only an outer repetition: a matmul sees `batch * m` rows, a pool sees `batch` images. Convolutions are
//! matrix products over gathered windows, gathered for at most [`BLOCK`] positions at a time.
//!
//! Invariant: the result for an input does not depend on its batch, on the path or on the number of threads.

use crate::{
    Error, Graph, Multiplier, Op, Pads, Path, Program,
    elementwise::{self, Sweep},
    kernel::{self, Checked, Dense},
    plan::Plan,
    rows,
    tensor::{DType, Data, Tensor, read_elements, read_i32, write_i32},
};
use alloc::{boxed::Box, vec, vec::Vec};

/// Rows of one matrix product; their widened form stays in the second cache.
const BLOCK: usize = 64;
/// Bytes of those rows, unless one row alone has more: bounds the memory of very deep products.
const BLOCK_BYTES: usize = 1 << 21;
/// Bytes of values that one chunk of a batch may take.
const CHUNK_VALUE_BYTES: usize = 1 << 20;

/// A node's weights in the form its kernel reads.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// The node has no weights.
    Nothing,
    /// Matmul or convolution.
    Dense(Dense),
    /// Per-channel requantisation.
    Multipliers(Vec<i32>),
    /// Table.
    Table(Box<[i8; 256]>),
    /// Weights of a softmax.
    Shares(Box<[u16; 256]>),
}

impl Prepared {
    pub(crate) const fn memory_bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Dense(dense) => dense.memory_bytes(),
            Self::Multipliers(values) => values.len() * 4,
            Self::Table(table) => table.len(),
            Self::Shares(table) => 2 * table.len(),
        }
    }

    /// The weights of all nodes; the plan's spans lie in `weights`.
    pub(crate) fn all(graph: &Graph, plan: &Plan, weights: &[u8], best: Path) -> Vec<Self> {
        let nodes = graph.nodes.iter().zip(&plan.spans).zip(&plan.types[1..]);
        nodes
            .map(|((node, span), ty)| {
                let span = &weights[span.clone()];
                match node.op {
                    Op::MatMul { .. } | Op::Conv2d { .. } => {
                        let (matrix, bias) = span.split_at(span.len() - 4 * ty.channels());
                        Self::Dense(Dense::new(matrix, read_i32(bias), best))
                    }
                    Op::Requantise { multiplier: Multiplier::Channel, .. } => Self::Multipliers(read_i32(span)),
                    Op::Table => {
                        let mut table = Box::new([0i8; 256]);
                        table.iter_mut().zip(span).for_each(|(to, from)| *to = from.cast_signed());
                        Self::Table(table)
                    }
                    Op::Softmax { .. } => {
                        let mut table = Box::new([0u16; 256]);
                        let words = span.as_chunks().0.iter();
                        table.iter_mut().zip(words).for_each(|(to, from)| *to = u16::from_le_bytes(*from));
                        Self::Shares(table)
                    }
                    _ => Self::Nothing,
                }
            })
            .collect()
    }
}

/// Buffers of a run, kept to be used again.
#[derive(Debug, Default)]
pub struct Scratch {
    values: Vec<Data>,
    columns: Vec<i8>,
    words: Vec<i32>,
    matrix: Vec<u8>,
}

impl Scratch {
    /// The values of the run before, of which the output was taken.
    pub(crate) fn into_values(mut self, output: &Data) -> impl Iterator<Item = Data> {
        if let Some(last) = self.values.last_mut() {
            *last = output.clone();
        }
        self.values.into_iter()
    }
}

impl Program {
    /// Runs the program on the fastest path.
    ///
    /// # Errors
    /// `tensor.mismatch` when `input` is not of the type the program takes.
    pub fn run(&self, input: &Tensor) -> Result<Tensor, Error> {
        self.run_on(Path::best(), input, &mut Scratch::default())
    }

    /// Runs the program on `path` in the buffers of `scratch`.
    ///
    /// # Errors
    /// `tensor.mismatch` as for [`Program::run`]; `program.path` when the machine lacks `path`.
    pub fn run_on(&self, path: Path, input: &Tensor, scratch: &mut Scratch) -> Result<Tensor, Error> {
        self.load(input, scratch)?;
        self.execute(path.checked()?, 1, scratch);
        let output = core::mem::replace(&mut scratch.values[self.graph.nodes.len()], Data::I8(Vec::new()));
        Ok(Tensor::from_run(self.output_type().clone(), output))
    }

    /// Runs the program and returns the result of every node, in order.
    ///
    /// # Errors
    /// As for [`Program::run_on`].
    pub fn run_traced(&self, path: Path, input: &Tensor) -> Result<Vec<Tensor>, Error> {
        let mut scratch = Scratch::default();
        self.load(input, &mut scratch)?;
        self.execute(path.checked()?, 1, &mut scratch);
        let results = scratch.values.into_iter().zip(&self.plan.types).skip(1);
        Ok(results.map(|(data, ty)| Tensor::from_run(ty.clone(), data)).collect())
    }

    /// Runs the program on inputs that follow each other without headers (elements little-endian), and returns the
    /// outputs likewise. With the feature `std` chunks of the batch run on the threads of rayon's pool.
    ///
    /// # Errors
    /// `tensor.batch-length` when `inputs` is not a whole number of inputs; `program.path` when the machine lacks
    /// `path`.
    pub fn run_batch(&self, path: Path, inputs: &[u8]) -> Result<Vec<u8>, Error> {
        let item = self.input_type().data_bytes();
        if !inputs.len().is_multiple_of(item) {
            return Err(Error::BatchLength { item, got: inputs.len() });
        }
        let path = path.checked()?;
        let mut outputs = vec![0u8; inputs.len() / item * self.output_type().data_bytes()];
        self.run_chunks(path, inputs, &mut outputs);
        Ok(outputs)
    }

    #[cfg(feature = "std")]
    fn run_chunks(&self, path: Checked, inputs: &[u8], outputs: &mut [u8]) {
        use rayon::prelude::*;
        let batch = inputs.len() / self.input_type().data_bytes();
        let share = batch.div_ceil(rayon::current_num_threads()).max(1);
        let chunk = self.chunk_inputs().min(share);
        outputs
            .par_chunks_mut(chunk * self.output_type().data_bytes())
            .zip(inputs.par_chunks(chunk * self.input_type().data_bytes()))
            .for_each_init(Scratch::default, |scratch, (to, from)| self.run_chunk(path, from, to, scratch));
    }

    #[cfg(not(feature = "std"))]
    fn run_chunks(&self, path: Checked, inputs: &[u8], outputs: &mut [u8]) {
        let chunk = self.chunk_inputs();
        let mut scratch = Scratch::default();
        let to = outputs.chunks_mut(chunk * self.output_type().data_bytes());
        for (to, from) in to.zip(inputs.chunks(chunk * self.input_type().data_bytes())) {
            self.run_chunk(path, from, to, &mut scratch);
        }
    }

    fn run_chunk(&self, path: Checked, inputs: &[u8], outputs: &mut [u8], scratch: &mut Scratch) {
        let ty = self.input_type();
        scratch.values.resize(self.plan.types.len(), Data::I8(Vec::new()));
        scratch.values[0] = read_elements(ty.dtype, inputs);
        self.execute(path, inputs.len() / ty.data_bytes(), scratch);
        match &scratch.values[self.graph.nodes.len()] {
            Data::I8(values) => outputs.iter_mut().zip(values).for_each(|(to, from)| *to = from.cast_unsigned()),
            Data::I32(values) => write_i32(values, outputs),
        }
    }

    /// Inputs per chunk of a batch, so that its values stay in cache.
    fn chunk_inputs(&self) -> usize {
        let one: usize = self.plan.types.iter().map(|ty| ty.data_bytes()).sum();
        (CHUNK_VALUE_BYTES / one).clamp(1, 1_024)
    }

    fn load(&self, input: &Tensor, scratch: &mut Scratch) -> Result<(), Error> {
        if input.ty() != self.input_type() {
            return Err(Error::TensorMismatch { expected: self.input_type().clone(), got: input.ty().clone() });
        }
        scratch.values.resize(self.plan.types.len(), Data::I8(Vec::new()));
        scratch.values[0] = input.data().clone();
        Ok(())
    }

    /// Computes all values from value 0, which holds `batch` inputs.
    fn execute(&self, path: Checked, batch: usize, scratch: &mut Scratch) {
        let Scratch { values, columns, words, matrix: factor } = scratch;
        for (node, entry) in self.graph.nodes.iter().enumerate() {
            let (before, after) = values.split_at_mut(node + 1);
            let x = &before[usize::from(entry.operands[0])];
            let other = entry.operands.get(1).map_or(x, |&value| &before[usize::from(value)]);
            let out = &mut after[0];
            let ty = &self.plan.types[node + 1];
            resize(out, ty.dtype, batch * ty.len());
            if let (Prepared::Dense(dense), Data::I8(x), Data::I32(out)) = (&self.prepared[node], x, &mut *out) {
                let matrix = &self.weights[self.plan.spans[node].clone()][..dense.depth * dense.channels];
                let sweep = self.sweep(node);
                let block_rows = (BLOCK_BYTES / dense.depth).clamp(1, BLOCK);
                for (block, out) in out.chunks_mut(block_rows * dense.channels).enumerate() {
                    let start = block * block_rows;
                    let rows = start..start + out.len() / dense.channels;
                    let x = match sweep {
                        Some(sweep) => {
                            columns.resize(rows.len() * dense.depth, 0);
                            sweep.gather(x, rows, columns);
                            columns.as_slice()
                        }
                        None => &x[rows.start * dense.depth..rows.end * dense.depth],
                    };
                    kernel::multiply(path, dense, matrix, x, out, words);
                }
            } else if let (&Op::Multiply { transposed }, Data::I8(a), Data::I8(b), Data::I32(out)) =
                (&entry.op, x, other, &mut *out)
            {
                let depth = self.plan.types[usize::from(entry.operands[0])].channels();
                let shape = Shape { rows: ty.dims[ty.dims.len() - 2] as usize, depth, channels: ty.channels() };
                multiply_values(path, shape, transposed, [a, b], out, factor, words);
            } else {
                self.element_node(node, x, other, out);
            }
        }
    }

    /// The nodes that are not matrix products. Types agree by the plan; no pair that it refuses gets here.
    fn element_node(&self, node: usize, x: &Data, other: &Data, out: &mut Data) {
        let ty = &self.plan.types[usize::from(self.graph.nodes[node].operands[0])];
        let channels = ty.channels();
        match (&self.graph.nodes[node].op, x, out) {
            (Op::Reshape { .. }, Data::I8(x), Data::I8(out)) => out.copy_from_slice(x),
            (Op::Reshape { .. }, Data::I32(x), Data::I32(out)) => out.copy_from_slice(x),
            (Op::ArgMax, Data::I8(x), Data::I32(out)) => elementwise::argmax_i8(x, channels, out),
            (Op::ArgMax, Data::I32(x), Data::I32(out)) => elementwise::argmax_i32(x, channels, out),
            (Op::TopK { count }, Data::I8(x), Data::I32(out)) => rows::top_k(x, channels, *count as usize, out),
            (Op::TopK { count }, Data::I32(x), Data::I32(out)) => rows::top_k(x, channels, *count as usize, out),
            (Op::Normalise, Data::I8(x), Data::I32(out)) => rows::normalise(x, channels, out),
            (Op::Softmax { causal }, Data::I8(x), Data::I8(out)) => {
                if let Prepared::Shares(weights) = &self.prepared[node] {
                    rows::softmax(x, channels, *causal, weights, out);
                }
            }
            (Op::Transpose { order }, Data::I8(x), Data::I8(out)) => rows::transpose(x, &ty.dims, order, out),
            (Op::Transpose { order }, Data::I32(x), Data::I32(out)) => rows::transpose(x, &ty.dims, order, out),
            (&Op::Slice { axis, start, length }, Data::I8(x), Data::I8(out)) => {
                rows::slice(x, &ty.dims, axis, start, length, out);
            }
            (&Op::Slice { axis, start, length }, Data::I32(x), Data::I32(out)) => {
                rows::slice(x, &ty.dims, axis, start, length, out);
            }
            (Op::AddI32, Data::I32(x), Data::I32(out)) => {
                if let Data::I32(other) = other {
                    elementwise::add_i32(x, other, out);
                }
            }
            (&Op::AddI8 { multipliers, shift, lo, hi }, Data::I8(x), Data::I8(out)) => {
                if let Data::I8(other) = other {
                    elementwise::add_i8(x, other, multipliers, shift, lo, hi, out);
                }
            }
            (&Op::Requantise { multiplier, shift, lo, hi }, Data::I32(x), Data::I8(out)) => {
                match (multiplier, &self.prepared[node]) {
                    (Multiplier::Tensor(value), _) => elementwise::requantise(x, value.into(), shift, lo, hi, out),
                    (_, Prepared::Multipliers(values)) => {
                        elementwise::requantise_channels(x, values, shift, lo, hi, out);
                    }
                    _ => {}
                }
            }
            (&Op::Clamp { lo, hi }, Data::I8(x), Data::I8(out)) => elementwise::clamp(x, lo, hi, out),
            (Op::Table, Data::I8(x), Data::I8(out)) => {
                if let Prepared::Table(table) = &self.prepared[node] {
                    elementwise::table(x, table, out);
                }
            }
            (Op::MaxPool { .. }, Data::I8(x), Data::I8(out)) => {
                if let Some(sweep) = self.sweep(node) {
                    sweep.max_pool(x, out);
                }
            }
            (Op::AveragePool { .. }, Data::I8(x), Data::I8(out)) => {
                if let Some(sweep) = self.sweep(node) {
                    sweep.average_pool(x, out);
                }
            }
            _ => {}
        }
    }

    /// The movement of a node's window; `None` for nodes without one.
    fn sweep(&self, node: usize) -> Option<Sweep> {
        let entry = &self.graph.nodes[node];
        let (window, pads) = match entry.op {
            Op::Conv2d { window, pads, .. } | Op::MaxPool { window, pads } => (window, pads),
            Op::AveragePool { window } => (window, Pads::default()),
            _ => return None,
        };
        let image = &self.plan.types[usize::from(entry.operands[0])].dims;
        let result = &self.plan.types[node + 1].dims;
        Some(Sweep {
            height: image[0] as usize,
            width: image[1] as usize,
            channels: image[2] as usize,
            out_height: result[0] as usize,
            out_width: result[1] as usize,
            window,
            pads,
        })
    }
}

/// Extents of one product.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    depth: usize,
    channels: usize,
}

/// Products of as many pairs of matrices as there are. `factor` and `words` are scratch.
fn multiply_values(
    path: Checked,
    shape: Shape,
    transposed: bool,
    [a, b]: [&[i8]; 2],
    out: &mut [i32],
    factor: &mut Vec<u8>,
    words: &mut Vec<i32>,
) {
    let Shape { rows, depth, channels } = shape;
    let block_rows = (BLOCK_BYTES / depth).clamp(1, BLOCK);
    let pairs = a.chunks_exact(rows * depth).zip(b.chunks_exact(depth * channels));
    for ((a, b), out) in pairs.zip(out.chunks_exact_mut(rows * channels)) {
        factor.clear();
        if transposed {
            let column = |step: usize| b[step..].iter().step_by(depth);
            factor.extend((0..depth).flat_map(column).map(|&value| value.cast_unsigned()));
        } else {
            factor.extend(b.iter().map(|&value| value.cast_unsigned()));
        }
        let dense = Dense::new(factor, vec![0; channels], path.path());
        for (a, out) in a.chunks(block_rows * depth).zip(out.chunks_mut(block_rows * channels)) {
            kernel::multiply(path, &dense, factor, a, out, words);
        }
    }
}

/// Gives `data` the type and length of a result; old elements may stay, every kernel writes all of them.
fn resize(data: &mut Data, dtype: DType, len: usize) {
    match (&mut *data, dtype) {
        (Data::I8(values), DType::I8) => values.resize(len, 0),
        (Data::I32(values), DType::I32) => values.resize(len, 0),
        (_, DType::I8) => *data = Data::I8(vec![0; len]),
        (_, DType::I32) => *data = Data::I32(vec![0; len]),
    }
}
