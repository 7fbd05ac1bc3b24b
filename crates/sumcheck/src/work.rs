//! What verifying a proof takes at most, told from the statement alone: who is paid for it knows before it looks at the proof.
//!
//! A unit is some 20 nanoseconds of one core. Each factor is what the step takes in its worst shape; docs/sumcheck.md has
//! the table, and `crates/evm/tests/sumcheck.rs` measures it.
//!
//! Invariant: a function of graph and batch. It covers everything but hashing what is given and reading the key, which follow
//! from their lengths. A proof that ends early or does not hold costs less.

use crate::{
    Error,
    commitment::{Extent, QUERIES},
    statement::{Factor, Number, Relation, Rescale, Source, Statement},
};

/// One round of a sumcheck: two hashes and an interpolation.
const ROUND: u64 = 80;
/// One value that is said of a committed table, and its part in the opening.
const SAID: u64 = 80;
/// One corner's weight at a point, and what it is multiplied by.
const ELEMENT: u64 = 1;
/// The sum of the fractions of a table of 256.
const TABLE: u64 = 10_000;
/// One number of an encoded row, and for each level of its transform.
const ENCODED: u64 = 2;
/// One number of a column that is looked at: hashed twice, multiplied.
const LOOKED_AT: u64 = 4;
/// One step from a column to the root.
const STEP: u64 = 30;
/// Units of work of the last nodes, which the verifier runs, in one unit.
const RUN_UNITS: u64 = 16;
/// One of the last nodes, for each input.
const RUN_NODE: u64 = 32;

impl Statement {
    /// Units of work of verifying a proof for who holds the key.
    pub(crate) fn work(&self) -> Result<u64, Error> {
        let mut work = Work { statement: self, total: 0, said: 1 };
        if let Some(bytes) = &self.bytes {
            work.fractions(bytes.len().ilog2() as usize);
            work.said += 1;
        }
        self.relations.iter().for_each(|relation| work.relation(relation));
        work.elements(self.shape(self.revealed).log());
        work.opening(self.log_committed);
        work.opening(self.log_weights);
        let tail = match &self.tail {
            Some(graph) => graph.cost()?.units.div_ceil(RUN_UNITS) + graph.nodes.len() as u64 * RUN_NODE,
            None => 0,
        };
        let run = (tail + self.types[self.revealed].elements() * ELEMENT).saturating_mul(self.batch as u64);
        Ok(work.total.saturating_add(work.said * SAID).saturating_add(run))
    }
}

struct Work<'a> {
    statement: &'a Statement,
    total: u64,
    said: u64,
}

impl Work<'_> {
    const fn add(&mut self, work: u64) {
        self.total = self.total.saturating_add(work);
    }

    const fn rounds(&mut self, count: usize) {
        self.add(count as u64 * ROUND);
    }

    /// At most 2^36 of an input: 4,096 times 2^24.
    const fn elements(&mut self, log: usize) {
        self.add(ELEMENT << log);
    }

    /// The sum of 2^log fractions, layer by layer, and of the table's.
    fn fractions(&mut self, log: usize) {
        self.add(TABLE);
        self.rounds(log * log.saturating_sub(1) / 2 + 2 * log);
    }

    fn value(&mut self, value: usize) {
        match self.statement.sources[value] {
            Source::Input => self.elements(self.statement.shape(value).log()),
            Source::Column { .. } => self.said += 1,
        }
    }

    fn relation(&mut self, relation: &Relation) {
        let shape = |column: usize| self.statement.columns[column].shape;
        match relation {
            Relation::MatMul { x, matrix, column, .. } => {
                let channels = shape(*column).channels;
                self.elements(channels);
                self.rounds(self.statement.matrices[*matrix].log_depth);
                self.value(*x);
                // Of the result and of the matrix.
                self.said += 2;
            }
            Relation::Add { a, b, .. } => {
                self.value(*a);
                self.value(*b);
                self.said += 1;
            }
            Relation::Rescale(rescale) => self.rescale(rescale),
            Relation::Lookup { x, column, .. } => {
                let log = shape(*column).log();
                self.fractions(log);
                self.value(*x);
                self.said += 1;
            }
        }
    }

    fn rescale(&mut self, rescale: &Rescale) {
        let shape = self.statement.columns[rescale.column].shape;
        self.rounds(shape.log() + 1);
        let columns = |number: &Number| number.bytes.len() + usize::from(number.shifted.is_some());
        let numbers = columns(&rescale.rest) + columns(&rescale.over) + columns(&rescale.under);
        self.said += 1 + u64::from(rescale.above.is_some()) + numbers as u64;
        for (factor, value) in &rescale.terms {
            self.value(*value);
            if matches!(factor, Factor::Channels(_)) {
                self.elements(shape.channels);
            }
        }
    }

    /// All claims on a polynomial of 2^log values, and its opening.
    fn opening(&mut self, log: usize) {
        self.rounds(log);
        let extent = Extent::of(log);
        let levels = u64::from(extent.log_leaves());
        let encoded = 1_u64 << extent.log_leaves();
        let looked_at = (LOOKED_AT << extent.log_rows) + levels * STEP;
        self.add(encoded * (ENCODED + levels / 4) + QUERIES as u64 * looked_at);
    }
}
