//! Random valid programs from a seed, for the tests.
//!
//! Shapes, attributes and weights are drawn so that a program is valid by construction: a chain of nodes with
//! residual additions to earlier values of the chain, which keeps the canonical order.
#![allow(dead_code, unreachable_pub, missing_docs, missing_debug_implementations, clippy::unwrap_used, clippy::panic)]

use interlace_tensor::{DType, Data, Graph, Multiplier, Node, Op, Pads, Program, Tensor, TensorType, Window};

/// splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn i8(&mut self) -> i8 {
        // One in four is an extreme: that is where widths are too small, if they are.
        match self.below(8) {
            0 => -128,
            1 => 127,
            _ => self.next() as i8,
        }
    }
}

/// A tensor of type `ty` with random elements.
pub fn random_tensor(rng: &mut Rng, ty: &TensorType) -> Tensor {
    let len = ty.elements() as usize;
    let data = match ty.dtype {
        DType::I8 => Data::I8((0..len).map(|_| rng.i8()).collect()),
        DType::I32 => Data::I32((0..len).map(|_| rng.next() as i32).collect()),
    };
    Tensor::new(ty.dims.clone(), data).unwrap()
}

struct Builder {
    rng: Rng,
    types: Vec<TensorType>,
    nodes: Vec<Node>,
    weights: Vec<u8>,
}

impl Builder {
    fn last(&self) -> (u16, TensorType) {
        let value = self.types.len() - 1;
        (value as u16, self.types[value].clone())
    }

    fn push(&mut self, op: Op, operands: Vec<u16>, dtype: DType, dims: Vec<u32>) {
        self.nodes.push(Node { op, operands });
        self.types.push(TensorType { dtype, dims });
    }

    fn dense_weights(&mut self, depth: u64, channels: u32) {
        for _ in 0..depth * u64::from(channels) {
            let weight = self.rng.i8();
            self.weights.push(weight.cast_unsigned());
        }
        for _ in 0..channels {
            let bias = self.rng.below(1 << 21) as i32 - (1 << 20);
            self.weights.extend(bias.to_le_bytes());
        }
    }

    fn window(&mut self, height: u32, width: u32) -> Window {
        let mut up_to = |max: u32| self.rng.below(max.into()) as u16 + 1;
        Window {
            height: up_to(height.min(4)),
            width: up_to(width.min(4)),
            stride_height: up_to(3),
            stride_width: up_to(3),
        }
    }

    fn pads(&mut self, window: Window) -> Pads {
        let mut below = |extent: u16| self.rng.below(extent.into()) as u16;
        Pads {
            top: below(window.height),
            left: below(window.width),
            bottom: below(window.height),
            right: below(window.width),
        }
    }

    fn range(&mut self) -> (i8, i8) {
        match self.rng.below(3) {
            0 => (0, 127),
            1 => (-128, 127),
            _ => {
                let lo = self.rng.below(200) as i16 - 128;
                (lo as i8, (lo + 1 + self.rng.below(54) as i16) as i8)
            }
        }
    }

    fn step_i32(&mut self) {
        let (value, ty) = self.last();
        let channels = ty.dims[ty.dims.len() - 1];
        let (lo, hi) = self.range();
        let shift = self.rng.below(62) as u8 + 1;
        let multiplier = if channels > 1 && self.rng.below(2) == 0 {
            for channel in 0..channels {
                let multiplier = (self.rng.below(0x7fff_fffe) as u32 | 1) ^ u32::from(channel == 0) << 1;
                self.weights.extend(multiplier.max(1).to_le_bytes());
            }
            Multiplier::Channel
        } else {
            Multiplier::Tensor(self.rng.below(0x7fff_ffff) as u32 + 1)
        };
        self.push(Op::Requantise { multiplier, shift, lo, hi }, vec![value], DType::I8, ty.dims);
    }

    fn step_i8(&mut self) {
        let (value, ty) = self.last();
        let dims = ty.dims.clone();
        if self.rng.below(3) == 0 {
            return self.step_between();
        }
        match (self.rng.below(8), dims.as_slice()) {
            (0 | 1, &[height, width, channels]) => {
                let window = self.window(height, width);
                let (pads, outputs) = (self.pads(window), self.rng.below(20) as u32 + 1);
                let result = sweep(&[height, width], window, pads, outputs);
                self.dense_weights(u64::from(window.height) * u64::from(window.width) * u64::from(channels), outputs);
                self.push(Op::Conv2d { window, pads, outputs }, vec![value], DType::I32, result);
            }
            (2, &[height, width, channels]) => {
                let window = self.window(height, width);
                let pads = self.pads(window);
                let result = sweep(&[height, width], window, pads, channels);
                self.push(Op::MaxPool { window, pads }, vec![value], DType::I8, result);
            }
            (3, &[height, width, channels]) => {
                let window = self.window(height, width);
                let result = sweep(&[height, width], window, Pads::default(), channels);
                self.push(Op::AveragePool { window }, vec![value], DType::I8, result);
            }
            (0..=3, &[.., depth]) if dims.len() < 3 => {
                let outputs = self.rng.below(40) as u32 + 1;
                self.dense_weights(depth.into(), outputs);
                let result = [&dims[..dims.len() - 1], &[outputs]].concat();
                self.push(Op::MatMul { outputs }, vec![value], DType::I32, result);
            }
            (4, _) => {
                self.weights.extend((0..256).map(|_| self.rng.next() as u8));
                self.push(Op::Table, vec![value], DType::I8, dims);
            }
            (5, _) => self.push(Op::Clamp { lo: 0, hi: 127 }, vec![value], DType::I8, dims),
            (6, &[height, width, channels]) => {
                let flat = vec![height * width * channels];
                self.push(Op::Reshape { dims: flat.clone() }, vec![value], DType::I8, flat);
            }
            _ => {
                // The residual addition, to the latest earlier value of this type, or to itself.
                let other = (0..value).rev().find(|&other| self.types[usize::from(other)] == ty).unwrap_or(value);
                let multipliers = [self.rng.below(1 << 31).max(1) as u32, self.rng.below(1 << 20) as u32 + 1];
                let (lo, hi) = self.range();
                let op = Op::AddI8 { multipliers, shift: self.rng.below(62) as u8 + 1, lo, hi };
                self.push(op, vec![other, value], DType::I8, dims);
            }
        }
    }
}

impl Builder {
    /// What looks at rows, multiplies values or moves them, of an i8 value.
    fn step_between(&mut self) {
        let (value, ty) = self.last();
        let dims = ty.dims.clone();
        let (rank, channels) = (dims.len(), dims[dims.len() - 1]);
        let before = self.nodes.last().map(|node| node.op.name());
        match self.rng.below(6) {
            0 if rank == 2 || rank == 3 => {
                let result = [&dims[..rank - 1], &[dims[rank - 2]]].concat();
                self.push(Op::Multiply { transposed: true }, vec![value, value], DType::I32, result);
            }
            1 if rank >= 2 && dims[rank - 2] == channels && rank <= 3 => {
                let other = (0..value).rev().find(|&other| self.types[usize::from(other)] == ty).unwrap_or(value);
                self.push(Op::Multiply { transposed: false }, vec![value, other], DType::I32, dims);
            }
            2 => {
                let square = rank >= 2 && dims[rank - 2] == channels;
                self.weights.extend((0..256u32).flat_map(|d| (u16::MAX >> (d / 16).min(15)).to_le_bytes()));
                let causal = square && self.rng.below(2) == 0;
                self.push(Op::Softmax { causal }, vec![value], DType::I8, dims);
            }
            3 => self.push(Op::Normalise, vec![value], DType::I32, dims),
            4 if rank >= 2 && before != Some("transpose") => {
                let mut order: Vec<u8> = (0..rank as u8).collect();
                order.rotate_left(1 + self.rng.below(rank as u64 - 1) as usize);
                let result = order.iter().map(|&axis| dims[usize::from(axis)]).collect();
                self.push(Op::Transpose { order }, vec![value], DType::I8, result);
            }
            _ if before != Some("slice") => {
                let axis = self.rng.below(rank as u64) as usize;
                if dims[axis] > 1 {
                    let length = self.rng.below(u64::from(dims[axis]) - 1) as u32 + 1;
                    let start = self.rng.below(u64::from(dims[axis] - length) + 1) as u32;
                    let mut result = dims;
                    result[axis] = length;
                    self.push(Op::Slice { axis: axis as u8, start, length }, vec![value], DType::I8, result);
                }
            }
            _ => {}
        }
    }
}

fn sweep(extent: &[u32; 2], window: Window, pads: Pads, channels: u32) -> Vec<u32> {
    let along = |extent: u32, before: u16, after: u16, size: u16, stride: u16| {
        (extent + u32::from(before) + u32::from(after) - u32::from(size)) / u32::from(stride) + 1
    };
    vec![
        along(extent[0], pads.top, pads.bottom, window.height, window.stride_height),
        along(extent[1], pads.left, pads.right, window.width, window.stride_width),
        channels,
    ]
}

/// Graph and weights of a random program of up to `steps` nodes.
pub fn random_parts(seed: u64, steps: u64) -> (Graph, Vec<u8>) {
    let mut rng = Rng(seed);
    let mut up_to = |n: u64| rng.below(n) as u32 + 1;
    let dims = match up_to(3) {
        1 => vec![up_to(300)],
        2 => vec![up_to(9), up_to(70)],
        _ => vec![up_to(9), up_to(9), up_to(20)],
    };
    let dtype = if up_to(10) == 1 { DType::I32 } else { DType::I8 };
    let types = vec![TensorType { dtype, dims }];
    let mut b = Builder { rng, types, nodes: Vec::new(), weights: Vec::new() };
    let steps = b.rng.below(steps) + 1;
    while (b.nodes.len() as u64) < steps {
        if b.last().1.dtype == DType::I32 { b.step_i32() } else { b.step_i8() }
    }
    if b.rng.below(4) == 0 {
        let (value, ty) = b.last();
        let (rows, channels) = (&ty.dims[..ty.dims.len() - 1], ty.dims[ty.dims.len() - 1]);
        let count = b.rng.below(channels.into()) as u32 + 1;
        let op = if count == 1 { Op::ArgMax } else { Op::TopK { count } };
        b.push(op, vec![value], DType::I32, [rows, &[count]].concat());
    }
    (Graph { input: b.types[0].clone(), nodes: b.nodes }, b.weights)
}

/// A random valid program.
pub fn random_program(seed: u64, steps: u64) -> Program {
    let (graph, weights) = random_parts(seed, steps);
    Program::assemble(&graph.encode(), &weights).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

/// A program of one matmul from `[k]` to `weights.len() / k`, all biases equal.
pub fn one_matmul(k: u32, weights: &[i8], bias: i32) -> Result<Program, interlace_tensor::Error> {
    let outputs = weights.len() as u32 / k;
    let graph = Graph {
        input: TensorType { dtype: DType::I8, dims: vec![k] },
        nodes: vec![Node { op: Op::MatMul { outputs }, operands: vec![0] }],
    };
    let mut bytes: Vec<u8> = weights.iter().map(|w| w.cast_unsigned()).collect();
    (0..outputs).for_each(|_| bytes.extend(bias.to_le_bytes()));
    Program::assemble(&graph.encode(), &bytes)
}
