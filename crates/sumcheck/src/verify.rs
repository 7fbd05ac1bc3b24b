//! The verifier: reads a proof and believes nothing in it.
//!
//! Invariant: accepts exactly one encoding of a proof; work and memory are bounded by the statement, whatever the bytes.

use crate::{
    Equation, Error, Form, begin,
    claims::{self, Claim},
    field::{Base, Ext},
    fractions,
    key::{Key, small_weights},
    multilinear::{equality, equality_at, integers_at, rows_at},
    prove::bias_at,
    reveal, rounds,
    statement::{Factor, Matrix, Number, Relation, Rescale, Shape, Source, Statement},
    stream::{Receiver, Transcript},
    witness::padded,
};
use alloc::vec::Vec;
use alloy_primitives::B256;
use interlace_tensor::Program;

/// Verifies a proof of form [`Form::Succinct`]: that the key's program gives `outputs` for `inputs`.
///
/// # Errors
/// `sumcheck.*`: why it does not hold.
pub fn verify(key: &Key, context: B256, inputs: &[u8], outputs: &[u8], proof: &[u8]) -> Result<(), Error> {
    Check::new(key, inputs)?.verify(context, outputs, proof)
}

/// What a proof of form [`Form::Succinct`] for these inputs would have to prove; what checking it takes is known before.
#[derive(Debug)]
pub struct Check<'a> {
    key: &'a Key,
    statement: Statement,
    inputs: &'a [u8],
}

impl<'a> Check<'a> {
    /// Of a batch of `inputs` through the key's program.
    ///
    /// # Errors
    /// `sumcheck.length` for inputs that are no whole number of the program's, `sumcheck.limit` for too many.
    pub fn new(key: &'a Key, inputs: &'a [u8]) -> Result<Self, Error> {
        let statement = Statement::new(&key.graph, &key.small, batch(key.graph.input.data_bytes(), inputs)?)?;
        Ok(Self { key, statement, inputs })
    }

    /// Inputs of the batch.
    #[must_use]
    pub const fn batch(&self) -> usize {
        self.statement.batch
    }

    /// Units of work of checking any proof of it, each some 20 nanoseconds; what follows from the lengths of what is given is
    /// not among them.
    ///
    /// # Errors
    /// `sumcheck.graph` when the last nodes are no graph.
    pub fn work(&self) -> Result<u64, Error> {
        self.statement.work()
    }

    /// Verifies a proof that the outputs are these.
    ///
    /// # Errors
    /// `sumcheck.*`: why it does not hold.
    pub fn verify(&self, context: B256, outputs: &[u8], proof: &[u8]) -> Result<(), Error> {
        let Self { key, statement, inputs } = self;
        let transcript = begin(key.program(), Form::Succinct, context, statement, inputs, outputs);
        let (mut receiver, claims) = check(statement, transcript, inputs, outputs, proof)?;
        if !claims.matrices.is_empty() {
            claims::verify(&mut receiver, key.root, statement.log_weights, &claims.matrices)?;
        }
        if receiver.is_empty() { Ok(()) } else { Err(Error::Trailing) }
    }
}

/// Verifies a proof of form [`Form::WithProgram`], for whom the program's weights are at hand.
///
/// # Errors
/// `sumcheck.*`: why it does not hold.
pub fn verify_with_program(
    program: &Program,
    context: B256,
    inputs: &[u8],
    outputs: &[u8],
    proof: &[u8],
) -> Result<(), Error> {
    let batch = batch(program.input_type().data_bytes(), inputs)?;
    let statement = Statement::new(program.graph(), &small_weights(program)?, batch)?;
    let transcript = begin(program.id(), Form::WithProgram, context, &statement, inputs, outputs);
    let (receiver, claims) = check(&statement, transcript, inputs, outputs, proof)?;
    for (claim, matrix) in claims.matrices.iter().zip(&claims.of) {
        let weights: Vec<i8> = program.weights()[matrix.span.clone()].iter().map(|byte| byte.cast_signed()).collect();
        let (depth, channels) = claim.point.split_at(matrix.log_depth);
        let rows = rows_at(&weights, matrix.channels, &equality(channels));
        let value = rows.iter().zip(equality(depth)).fold(Ext::ZERO, |sum, (&row, weight)| sum + row * weight);
        if value != claim.value {
            return Err(Error::Opening("a matrix has another value"));
        }
    }
    if receiver.is_empty() { Ok(()) } else { Err(Error::Trailing) }
}

fn batch(item: usize, inputs: &[u8]) -> Result<usize, Error> {
    if inputs.len().is_multiple_of(item) {
        Ok(inputs.len() / item)
    } else {
        Err(Error::Length { what: "inputs", expected: inputs.len().next_multiple_of(item), got: inputs.len() })
    }
}

#[derive(Debug, Default)]
struct Claims<'a> {
    committed: Vec<Claim>,
    matrices: Vec<Claim>,
    of: Vec<&'a Matrix>,
}

struct Verifier<'a> {
    statement: &'a Statement,
    inputs: &'a [u8],
    claims: Claims<'a>,
}

/// Everything but the openings of the matrices.
fn check<'a, 'b>(
    statement: &'a Statement,
    transcript: Transcript,
    inputs: &'a [u8],
    outputs: &[u8],
    proof: &'b [u8],
) -> Result<(Receiver<'b>, Claims<'a>), Error> {
    let mut receiver = Receiver::new(transcript, proof);
    let root = B256::from_slice(receiver.bytes(32)?);
    let payload = receiver.bytes(reveal::len(statement))?;
    if reveal::outputs(statement, payload)? != outputs {
        return Err(Error::Value("outputs"));
    }
    let mut verifier = Verifier { statement, inputs, claims: Claims::default() };
    verifier.relations(&mut receiver)?;
    if let Source::Column { column, offset } = statement.sources[statement.revealed] {
        let point = receiver.transcript.challenges(statement.columns[column].shape.log());
        let value = reveal::value_at(statement, payload, &equality(&point)) - Ext::from_i64(offset);
        verifier.claims.committed.push(Claim { offset: statement.columns[column].offset, point, value });
    }
    claims::verify(&mut receiver, root, statement.log_committed, &verifier.claims.committed)?;
    Ok((receiver, verifier.claims))
}

impl<'a> Verifier<'a> {
    fn relations(&mut self, receiver: &mut Receiver<'_>) -> Result<(), Error> {
        let bytes = self.statement.bytes.as_ref();
        let byte_counts = bytes.map(|_| counts(receiver)).transpose()?;
        let mut lookup_counts = Vec::new();
        for relation in &self.statement.relations {
            if matches!(relation, Relation::Lookup { .. }) {
                lookup_counts.push(counts(receiver)?);
            }
        }
        let (at, pair) = (receiver.transcript.challenge(), receiver.transcript.challenge());
        if let (Some(bytes), Some(counts)) = (bytes, byte_counts) {
            let (sum, point, below) = fractions::verify(receiver, bytes.len().ilog2() as usize)?;
            let table = counts.into_iter().zip((0..256).map(Ext::from_i64));
            fractions::agrees(sum, table, at)?;
            self.claims.committed.push(Claim { offset: bytes.start, point, value: at - below });
        }
        let mut lookup_counts = lookup_counts.into_iter();
        for relation in &self.statement.relations {
            match relation {
                Relation::MatMul { x, bias, matrix, column } => {
                    self.matmul(receiver, *x, bias, &self.statement.matrices[*matrix], *column)?;
                }
                Relation::Add { a, b, column } => {
                    let point = receiver.transcript.challenges(self.statement.columns[*column].shape.log());
                    let sum = self.column(receiver, *column, &point)?;
                    let (a, b) = (self.value(receiver, *a, &point)?, self.value(receiver, *b, &point)?);
                    if a + b != sum {
                        return Err(Error::Relation("a sum"));
                    }
                }
                Relation::Rescale(rescale) => self.rescale(receiver, rescale)?,
                Relation::Lookup { x, column, table } => {
                    let log = self.statement.columns[*column].shape.log();
                    let (sum, point, below) = fractions::verify(receiver, log)?;
                    let print = |x: i64, y: i8| Ext::from_i64(x) + pair * Base::from_i64(y.into());
                    let entries = table.iter().zip(-128..).map(|(&y, x)| print(x, y));
                    let counts = lookup_counts.next().unwrap_or_default();
                    fractions::agrees(sum, counts.into_iter().zip(entries), at)?;
                    let x = self.value(receiver, *x, &point)?;
                    let y = self.column(receiver, *column, &point)?;
                    if at - x - pair * y != below {
                        return Err(Error::Lookup);
                    }
                }
            }
        }
        Ok(())
    }

    /// What is said of a column at `point`.
    fn column(&mut self, receiver: &mut Receiver<'_>, column: usize, point: &[Ext]) -> Result<Ext, Error> {
        let value = receiver.one()?;
        let offset = self.statement.columns[column].offset;
        self.claims.committed.push(Claim { offset, point: point.to_vec(), value });
        Ok(value)
    }

    /// A value at `point`: said if it is committed, else computed from the inputs.
    fn value(&mut self, receiver: &mut Receiver<'_>, value: usize, point: &[Ext]) -> Result<Ext, Error> {
        match self.statement.sources[value] {
            Source::Column { column, offset } => Ok(self.column(receiver, column, point)? + Ext::from_i64(offset)),
            Source::Input => {
                let elements = padded(self.statement, value, self.inputs);
                Ok(integers_at(elements.into_iter().map(i64::from), &equality(point)))
            }
        }
    }

    fn matmul(
        &mut self,
        receiver: &mut Receiver<'_>,
        x: usize,
        bias: &[i32],
        matrix: &'a Matrix,
        column: usize,
    ) -> Result<(), Error> {
        let shape = self.statement.columns[column].shape;
        let point = receiver.transcript.challenges(shape.log());
        let (row_point, channel_point) = point.split_at(shape.rows);
        let sum = self.column(receiver, column, &point)? - bias_at(bias, &equality(channel_point));
        let (depth_point, end) = rounds::verify(receiver, matrix.log_depth, 2, sum)?;
        let right = receiver.one()?;
        let left = self.value(receiver, x, &[row_point, depth_point.as_slice()].concat())?;
        if left * right != end {
            return Err(Error::Sumcheck("a product"));
        }
        let point = [depth_point.as_slice(), channel_point].concat();
        self.claims.matrices.push(Claim { offset: matrix.offset, point, value: right });
        self.claims.of.push(matrix);
        Ok(())
    }

    fn rescale(&mut self, receiver: &mut Receiver<'_>, rescale: &Rescale) -> Result<(), Error> {
        let shape = self.statement.columns[rescale.column].shape;
        let point = receiver.transcript.challenges(shape.log());
        let equation = Equation::new(rescale, receiver.transcript.challenge());
        let (end_point, end) = rounds::verify(receiver, shape.log(), 3, Ext::ZERO)?;
        let y = self.column(receiver, rescale.column, &end_point)?;
        if let Some(above) = rescale.above {
            let above = self.column(receiver, above, &end_point)?;
            if y + above != Ext::from_i64(rescale.hi - rescale.lo) {
                return Err(Error::Relation("an element is out of its range"));
            }
        }
        let rest = self.number(receiver, &rescale.rest, &end_point)?;
        let over = self.number(receiver, &rescale.over, &end_point)?;
        let under = self.number(receiver, &rescale.under, &end_point)?;
        let mut sum = Ext::ZERO;
        for (factor, value) in &rescale.terms {
            sum += self.value(receiver, *value, &end_point)? * factor_at(factor, shape, &end_point);
        }
        let y = y + Ext::from_i64(rescale.lo);
        if equality_at(&point, &end_point) * equation.at(sum, y, over, under, rest) != end {
            return Err(Error::Sumcheck("a rescaling"));
        }
        Ok(())
    }

    fn number(&mut self, receiver: &mut Receiver<'_>, number: &Number, point: &[Ext]) -> Result<Ext, Error> {
        let (mut sum, mut last) = (Ext::ZERO, Ext::ZERO);
        for (place, &column) in number.bytes.iter().enumerate() {
            last = self.column(receiver, column, point)?;
            sum += last * Base::new(1 << (8 * place));
        }
        if let Some((column, bits)) = number.shifted
            && self.column(receiver, column, point)? != last * Base::new(1 << bits)
        {
            return Err(Error::Relation("a number has too many bits"));
        }
        Ok(sum)
    }
}

fn factor_at(factor: &Factor, shape: Shape, point: &[Ext]) -> Ext {
    match factor {
        Factor::All(value) => Ext::from_i64(i64::from(*value)),
        Factor::Channels(values) => {
            integers_at(values.iter().map(|&value| value.into()), &equality(&point[shape.rows..]))
        }
    }
}

fn counts(receiver: &mut Receiver<'_>) -> Result<Vec<u32>, Error> {
    Ok(receiver.bytes(4 * 256)?.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
}
