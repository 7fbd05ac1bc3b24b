//! The prover: runs a batch and writes the proof of its answers.
//!
//! Order of the messages: root of the committed values, the value in the open, multiplicities; look-ups of bytes, then
//! one proof for each relation, in the order of the nodes; the claims on the committed values; those on the matrices.
//!
//! Invariant: every proof that is returned verifies; the same inputs and context give the same bytes.

use crate::{
    Error, Form, begin,
    claims::{self, Claim},
    commitment::Committed,
    field::{Base, Ext},
    fractions,
    key::ProverKey,
    multilinear::{columns_at, equality, integers_at, rows_at, value_at},
    reveal, rounds,
    statement::{Factor, Matrix, Number, Relation, Rescale, Source, Statement},
    stream::Sender,
    witness::{Witness, index},
};
use alloc::{vec, vec::Vec};
use alloy_primitives::B256;

/// A batch's answers, and the proof of them.
#[derive(Debug)]
pub struct Proved {
    /// Outputs that follow each other without headers.
    pub outputs: Vec<u8>,
    /// The proof.
    pub proof: Vec<u8>,
}

/// Runs `inputs`, which follow each other without headers, and proves the answers. `context` is what the proof is bound
/// to beyond them: the hash of a claim, say.
///
/// # Errors
/// `sumcheck.length` when the inputs are not a whole number of inputs, `sumcheck.limit` when they are too many.
pub fn prove(key: &ProverKey, form: Form, context: B256, inputs: &[u8]) -> Result<Proved, Error> {
    let item = key.key.graph.input.data_bytes();
    if !inputs.len().is_multiple_of(item) {
        return Err(Error::Length { what: "inputs", expected: inputs.len().next_multiple_of(item), got: inputs.len() });
    }
    let statement = Statement::new(&key.key.graph, &key.key.small, inputs.len() / item)?;
    let witness = Witness::new(&statement, key, inputs);
    write(key, form, context, inputs, &statement, &witness)
}

/// Writes the proof of what `witness` says.
pub(crate) fn write(
    key: &ProverKey,
    form: Form,
    context: B256,
    inputs: &[u8],
    statement: &Statement,
    witness: &Witness,
) -> Result<Proved, Error> {
    let payload = reveal::encode(statement, &witness.values[statement.revealed]);
    let outputs = reveal::outputs(statement, &payload)?;
    let committed = Committed::new(witness.committed.clone());
    let mut sender = Sender::new(begin(key.key.program(), form, context, statement, inputs, &outputs));
    sender.send_bytes(committed.root().as_slice());
    sender.send_bytes(&payload);
    let prover = Prover { statement, witness, weights: &key.weights };
    let claims = prover.relations(&mut sender);
    claims::prove(&mut sender, &committed, &claims.committed);
    if form == Form::Succinct && !claims.matrices.is_empty() {
        claims::prove(&mut sender, &key.matrices, &claims.matrices);
    }
    Ok(Proved { outputs, proof: sender.bytes })
}

#[derive(Debug, Default)]
struct Claims {
    committed: Vec<Claim>,
    matrices: Vec<Claim>,
}

struct Prover<'a> {
    statement: &'a Statement,
    witness: &'a Witness,
    weights: &'a [u8],
}

impl Prover<'_> {
    fn relations(&self, sender: &mut Sender) -> Claims {
        let mut claims = Claims::default();
        if let Some(bytes) = &self.statement.bytes {
            let mut counts = [0_u32; 256];
            // Every one is a byte, by construction.
            for value in &self.witness.committed[bytes.clone()] {
                counts[value.value() as usize & 0xff] += 1;
            }
            send_counts(sender, &counts);
        }
        for relation in &self.statement.relations {
            if let Relation::Lookup { x, .. } = relation {
                let mut counts = [0_u32; 256];
                self.witness.values[*x].iter().for_each(|&x| counts[index(x)] += 1);
                send_counts(sender, &counts);
            }
        }
        let (at, pair) = (sender.transcript.challenge(), sender.transcript.challenge());
        if let Some(bytes) = &self.statement.bytes {
            let values = &self.witness.committed[bytes.clone()];
            let (point, value) = fractions::prove(sender, values.iter().map(|&value| at - value.into()).collect());
            claims.committed.push(Claim { offset: bytes.start, point, value: at - value });
        }
        for relation in &self.statement.relations {
            match relation {
                Relation::MatMul { x, matrix, column, .. } => {
                    self.matmul(sender, &mut claims, *x, &self.statement.matrices[*matrix], *column);
                }
                Relation::Add { a, b, column } => {
                    let point = sender.transcript.challenges(self.statement.columns[*column].shape.log());
                    let weights = equality(&point);
                    self.claim_column(sender, &mut claims, *column, &point, &weights);
                    self.claim_value(sender, &mut claims, *a, &point, &weights);
                    self.claim_value(sender, &mut claims, *b, &point, &weights);
                }
                Relation::Rescale(rescale) => self.rescale(sender, &mut claims, rescale),
                Relation::Lookup { x, column, .. } => {
                    let offset = self.statement.columns[*column].offset;
                    let results = &self.witness.committed[offset..];
                    let pairs = self.witness.values[*x].iter().zip(results);
                    let (point, _) = fractions::prove(
                        sender,
                        pairs.map(|(&x, &y)| at - Ext::from_i64(x.into()) - pair * y).collect(),
                    );
                    let weights = equality(&point);
                    self.claim_value(sender, &mut claims, *x, &point, &weights);
                    self.claim_column(sender, &mut claims, *column, &point, &weights);
                }
            }
        }
        if let Source::Column { column, .. } = self.statement.sources[self.statement.revealed] {
            // The verifier knows the value: nothing is sent.
            let point = sender.transcript.challenges(self.statement.columns[column].shape.log());
            let value = self.column_at(column, &equality(&point));
            claims.committed.push(Claim { offset: self.statement.columns[column].offset, point, value });
        }
        claims
    }

    fn column(&self, column: usize) -> &[Base] {
        let column = &self.statement.columns[column];
        &self.witness.committed[column.offset..column.offset + column.shape.len()]
    }

    fn column_at(&self, column: usize, weights: &[Ext]) -> Ext {
        value_at(self.column(column), weights)
    }

    fn claim_column(&self, sender: &mut Sender, claims: &mut Claims, column: usize, point: &[Ext], weights: &[Ext]) {
        let value = self.column_at(column, weights);
        sender.send(&[value]);
        let offset = self.statement.columns[column].offset;
        claims.committed.push(Claim { offset, point: point.to_vec(), value });
    }

    /// Claims what is committed; what is in the open the verifier evaluates.
    fn claim_value(&self, sender: &mut Sender, claims: &mut Claims, value: usize, point: &[Ext], weights: &[Ext]) {
        if let Source::Column { column, .. } = self.statement.sources[value] {
            self.claim_column(sender, claims, column, point, weights);
        }
    }

    fn matmul(&self, sender: &mut Sender, claims: &mut Claims, x: usize, matrix: &Matrix, column: usize) {
        let shape = self.statement.columns[column].shape;
        let point = sender.transcript.challenges(shape.log());
        let (row_point, channel_point) = point.split_at(shape.rows);
        let (row_weights, channel_weights) = (equality(row_point), equality(channel_point));
        // The column's value from its rows: a product of two tables of weights would be as large as the column.
        let width = 1 << shape.channels;
        let rows = self.column(column).chunks_exact(width).zip(&row_weights);
        let value = rows.fold(Ext::ZERO, |sum, (row, &weight)| sum + value_at(row, &channel_weights) * weight);
        sender.send(&[value]);
        claims.committed.push(Claim { offset: self.statement.columns[column].offset, point: point.clone(), value });
        let depth = 1 << matrix.log_depth;
        let elements: Vec<i8> = self.witness.values[x].iter().map(|&x| x as i8).collect();
        let left = columns_at(&elements, depth, &row_weights);
        let mut right = rows_at(&signed(&self.weights[matrix.span.clone()]), matrix.channels, &channel_weights);
        right.resize(depth, Ext::ZERO);
        let mut tables = [left, right];
        let depth_point = rounds::prove(sender, &mut tables, 2, |tables| tables[0] * tables[1]);
        let [left, right] = tables.map(|table| table[0]);
        sender.send(&[right]);
        claims.matrices.push(Claim {
            offset: matrix.offset,
            point: [&depth_point, channel_point].concat(),
            value: right,
        });
        if let Source::Column { column, offset } = self.statement.sources[x] {
            let value = left - Ext::from_i64(offset);
            sender.send(&[value]);
            let point = [row_point, depth_point.as_slice()].concat();
            claims.committed.push(Claim { offset: self.statement.columns[column].offset, point, value });
        }
    }

    fn rescale(&self, sender: &mut Sender, claims: &mut Claims, rescale: &Rescale) {
        let shape = self.statement.columns[rescale.column].shape;
        let point = sender.transcript.challenges(shape.log());
        let mix = sender.transcript.challenge();
        let channels = 1 << shape.channels;
        let mut tables = vec![
            equality(&point),
            self.column(rescale.column).iter().map(|&y| Ext::from(y) + Ext::from_i64(rescale.lo)).collect(),
            self.number(&rescale.over, shape.len()),
            self.number(&rescale.under, shape.len()),
            self.number(&rescale.rest, shape.len()),
        ];
        let mut factors = Vec::with_capacity(rescale.terms.len());
        for (factor, value) in &rescale.terms {
            tables.push(self.witness.values[*value].iter().map(|&x| Ext::from_i64(x.into())).collect());
            factors.push(match factor {
                Factor::All(value) => Err(Base::new((*value).into())),
                Factor::Channels(_) => {
                    Ok((0..shape.len()).map(|index| Ext::from_i64(factor.at(index % channels))).collect::<Vec<_>>())
                }
            });
        }
        let terms = rescale.terms.len();
        // Tables of factors stand behind those of values.
        let mut plan = Vec::with_capacity(terms);
        for factor in factors {
            plan.push(match factor {
                Err(value) => Err(value),
                Ok(table) => {
                    tables.push(table);
                    Ok(tables.len() - 1)
                }
            });
        }
        let equation = crate::Equation::new(rescale, mix);
        let end = rounds::prove(sender, &mut tables, 3, |tables| {
            let sum = plan.iter().enumerate().fold(Ext::ZERO, |sum, (term, factor)| {
                sum + match *factor {
                    Ok(table) => tables[table] * tables[5 + term],
                    Err(value) => tables[5 + term] * value,
                }
            });
            tables[0] * equation.at(sum, tables[1], tables[2], tables[3], tables[4])
        });
        let weights = equality(&end);
        for column in rescale.committed() {
            self.claim_column(sender, claims, column, &end, &weights);
        }
        for (_, value) in &rescale.terms {
            self.claim_value(sender, claims, *value, &end, &weights);
        }
    }

    fn number(&self, number: &Number, len: usize) -> Vec<Ext> {
        let mut sums = vec![Base::ZERO; len];
        for (place, &column) in number.bytes.iter().enumerate() {
            let unit = Base::new(1 << (8 * place));
            sums.iter_mut().zip(self.column(column)).for_each(|(sum, &byte)| *sum = *sum + byte * unit);
        }
        sums.into_iter().map(Ext::from).collect()
    }
}

fn send_counts(sender: &mut Sender, counts: &[u32; 256]) {
    let bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
    sender.send_bytes(&bytes);
}

fn signed(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|byte| byte.cast_signed()).collect()
}

/// Value at a point of a bias that stands in every row.
pub(crate) fn bias_at(bias: &[i32], channel_weights: &[Ext]) -> Ext {
    integers_at(bias.iter().map(|&bias| bias.into()), channel_weights)
}
