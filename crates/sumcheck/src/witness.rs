//! All committed values of a batch: the program run on padded tables, with every quotient and remainder kept.
//!
//! Invariant: for honest weights the relations of the statement hold on every element, padding included; the last value
//! is bit for bit that of the program.

use crate::{
    field::Base,
    key::ProverKey,
    statement::{Number, Relation, Rescale, Shape, Source, Statement},
};
use alloc::{vec, vec::Vec};
use interlace_tensor::DType;

#[derive(Debug)]
pub(crate) struct Witness {
    /// Elements of each value, padded; those of reshaped inputs too.
    pub(crate) values: Vec<Vec<i32>>,
    /// Everything that is committed.
    pub(crate) committed: Vec<Base>,
}

impl Witness {
    /// `inputs` follow each other without headers.
    pub(crate) fn new(statement: &Statement, key: &ProverKey, inputs: &[u8]) -> Self {
        let mut witness = Self { values: Vec::new(), committed: vec![Base::ZERO; 1 << statement.log_committed] };
        let mut relations = statement.relations.iter();
        for (value, source) in statement.sources.iter().enumerate() {
            let elements = match source {
                Source::Input => padded(statement, value, inputs),
                Source::Column { .. } => match relations.next() {
                    Some(relation) => witness.relation(statement, key, relation),
                    None => Vec::new(),
                },
            };
            witness.values.push(elements);
        }
        witness
    }

    fn relation(&mut self, statement: &Statement, key: &ProverKey, relation: &Relation) -> Vec<i32> {
        let (column, elements) = match relation {
            Relation::MatMul { x, bias, matrix, column } => {
                let matrix = &statement.matrices[*matrix];
                let weights = &key.weights[matrix.span.clone()];
                let shape = statement.columns[*column].shape;
                let depth = 1 << statement.shape(*x).channels;
                (*column, product(&self.values[*x], depth, weights, bias, shape))
            }
            Relation::Add { a, b, column } => {
                let sums = self.values[*a].iter().zip(&self.values[*b]).map(|(a, b)| a.wrapping_add(*b));
                (*column, sums.collect())
            }
            Relation::Lookup { x, column, table } => {
                (*column, self.values[*x].iter().map(|&x| i32::from(table[index(x)])).collect())
            }
            Relation::Rescale(rescale) => return self.rescale(statement, rescale),
        };
        let offset = statement.columns[column].offset;
        for (to, &from) in self.committed[offset..].iter_mut().zip(&elements) {
            *to = Base::from_i64(from.into());
        }
        elements
    }

    fn rescale(&mut self, statement: &Statement, rescale: &Rescale) -> Vec<i32> {
        let shape = statement.columns[rescale.column].shape;
        let mask = (1 << shape.channels) - 1;
        let mut results = Vec::with_capacity(shape.len());
        for element in 0..shape.len() {
            let sum = rescale.terms.iter().fold(1_i64 << (rescale.shift - 1), |sum, (factor, value)| {
                sum.wrapping_add(factor.at(element & mask).wrapping_mul(self.values[*value][element].into()))
            });
            let quotient = sum >> rescale.shift;
            let y = quotient.clamp(rescale.lo, rescale.hi);
            results.push(y as i32);
            let mut set = |column: usize, byte: i64| {
                self.committed[statement.columns[column].offset + element] = Base::new(byte.unsigned_abs());
            };
            set(rescale.column, y - rescale.lo);
            if let Some(above) = rescale.above {
                set(above, rescale.hi - y);
            }
            let mut number = |number: &Number, value: i64| {
                for (place, &column) in number.bytes.iter().enumerate() {
                    set(column, value >> (8 * place) & 0xff);
                }
                if let Some((column, bits)) = number.shifted {
                    set(column, (value >> (8 * (number.bytes.len() - 1)) & 0xff) << bits);
                }
            };
            number(&rescale.rest, sum - (quotient << rescale.shift));
            number(&rescale.over, (quotient - y).max(0));
            number(&rescale.under, (y - quotient).max(0));
        }
        results
    }
}

/// Place of an i8 in a table.
pub(crate) const fn index(x: i32) -> usize {
    (x + 128) as usize & 0xff
}

/// The inputs as a table of the value's shape, which may be another than the program's own.
pub(crate) fn padded(statement: &Statement, value: usize, inputs: &[u8]) -> Vec<i32> {
    let ty = &statement.types[value];
    let shape = statement.shape(value);
    let rows_of_one = 1 << (shape.rows - statement.log_batch);
    let mut table = vec![0; shape.len()];
    for (input, bytes) in inputs.chunks_exact(ty.data_bytes()).enumerate() {
        for (row, bytes) in bytes.chunks_exact(ty.channels() * ty.dtype.bytes()).enumerate() {
            let place = &mut table[(input * rows_of_one + row) << shape.channels..];
            match ty.dtype {
                DType::I8 => place.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from.cast_signed().into()),
                DType::I32 => {
                    place.iter_mut().zip(bytes.as_chunks().0).for_each(|(to, from)| *to = i32::from_le_bytes(*from));
                }
            }
        }
    }
    table
}

/// Products of padded rows by a matrix that is not padded.
fn product(x: &[i32], depth: usize, weights: &[u8], bias: &[i32], shape: Shape) -> Vec<i32> {
    let channels = bias.len();
    let mut out = vec![0; shape.len()];
    for (row, out) in x.chunks_exact(depth).zip(out.chunks_exact_mut(1 << shape.channels)) {
        let out = &mut out[..channels];
        out.copy_from_slice(bias);
        for (&x, weights) in row.iter().zip(weights.chunks_exact(channels)) {
            for (out, &weight) in out.iter_mut().zip(weights) {
                *out = out.wrapping_add(x.wrapping_mul(weight.cast_signed().into()));
            }
        }
    }
    out
}
