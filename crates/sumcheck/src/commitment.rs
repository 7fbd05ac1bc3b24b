//! A commitment to a multilinear polynomial with values in the base field, and its opening at one random point.
//!
//! The values are a matrix; each row is encoded (its polynomial's values at four times as many points), and the columns
//! of the encoded matrix are the leaves of a Merkle tree. To open, the prover sends the rows' combination by the point's
//! weights; the verifier encodes it and compares it with the same combination of columns drawn at random.
//!
//! Source: Ligero (Ames, Hazay, Ishai, Venkitasubramaniam 2017); that a random tensor combines rows as well as random
//! numbers do up to half the distance: Diamond and Gruen 2024. The point must be random and drawn after the root is
//! known: here it always is the point of a sumcheck.
//!
//! Invariant: a matrix that is further than (1 - 1/4) / 2 of its columns from every encoded one passes all of
//! [`QUERIES`] columns with probability 0.625^148 < 2^-100; from a nearer one only its one encoded matrix is opened.

use crate::{
    Error,
    field::{Base, Ext},
    multilinear::equality,
    ntt::Domain,
    stream::{Receiver, Sender, read_base},
};
use alloc::{vec, vec::Vec};
use alloy_primitives::{B256, Keccak256};

/// Columns that are looked at.
pub const QUERIES: usize = 148;
/// The code has 2^2 points for each coefficient.
const LOG_BLOWUP: u32 = 2;

/// How many rows and columns a polynomial of 2^`log` values has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) log_rows: usize,
    log_columns: usize,
}

impl Extent {
    /// A proof has 8 bytes for each row and query and 16 for each column: least where rows² is 2^log / 74.
    pub(crate) const fn of(log: usize) -> Self {
        let log_rows = log.saturating_sub(6) / 2;
        Self { log_rows, log_columns: log - log_rows }
    }

    pub(crate) const fn log_leaves(self) -> u32 {
        self.log_columns as u32 + LOG_BLOWUP
    }
}

/// The encoded matrix, column by column, and the tree over its columns.
#[derive(Debug)]
pub(crate) struct Committed {
    extent: Extent,
    values: Vec<Base>,
    columns: Vec<Base>,
    /// From the leaves to the root.
    levels: Vec<Vec<B256>>,
}

impl Committed {
    /// Commits to 2^n values.
    pub(crate) fn new(values: Vec<Base>) -> Self {
        let extent = Extent::of(values.len().ilog2() as usize);
        let (rows, width) = (1 << extent.log_rows, 1 << extent.log_columns);
        let domain = Domain::new(extent.log_leaves());
        let mut columns = vec![Base::ZERO; rows * domain.len()];
        for (row, message) in values.chunks_exact(width).enumerate() {
            for (column, value) in domain.evaluate(message).into_iter().enumerate() {
                columns[column * rows + row] = value;
            }
        }
        let mut levels = vec![columns.chunks_exact(rows).map(leaf).collect::<Vec<_>>()];
        while let Some(level) = levels.last()
            && level.len() > 1
        {
            levels.push(level.chunks_exact(2).map(|pair| node(pair[0], pair[1])).collect());
        }
        Self { extent, values, columns, levels }
    }

    pub(crate) fn root(&self) -> B256 {
        self.levels.last().map_or(B256::ZERO, |level| level[0])
    }

    pub(crate) fn values(&self) -> &[Base] {
        &self.values
    }

    /// Sends the opening at `point`.
    pub(crate) fn open(&self, sender: &mut Sender, point: &[Ext]) {
        let (row_point, _) = point.split_at(self.extent.log_rows);
        let width = 1 << self.extent.log_columns;
        let mut combined = vec![Ext::ZERO; width];
        for (row, weight) in self.values.chunks_exact(width).zip(equality(row_point)) {
            combined.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * value);
        }
        sender.send(&combined);
        let rows = 1 << self.extent.log_rows;
        let mut places = drawn(&mut sender.transcript, self.extent);
        let columns: Vec<u8> = places
            .iter()
            .flat_map(|place| &self.columns[place * rows..(place + 1) * rows])
            .flat_map(|value| value.value().to_le_bytes())
            .collect();
        sender.send_bytes(&columns);
        for level in &self.levels[..self.levels.len() - 1] {
            let missing = places.iter().filter(|&&place| places.binary_search(&(place ^ 1)).is_err());
            let siblings: Vec<u8> = missing.flat_map(|place| level[place ^ 1]).collect();
            sender.send_bytes(&siblings);
            places = parents(&places);
        }
    }
}

/// Reads the opening of the polynomial of 2^n values under `root` at `point` of n numbers, and returns its value.
pub(crate) fn verify(receiver: &mut Receiver<'_>, root: B256, point: &[Ext]) -> Result<Ext, Error> {
    let extent = Extent::of(point.len());
    let (row_point, column_point) = point.split_at(extent.log_rows);
    let combined = receiver.receive(1 << extent.log_columns)?;
    let mut places = drawn(&mut receiver.transcript, extent);
    let width = 8 << extent.log_rows;
    let columns = receiver.bytes(places.len() * width)?;
    let weights = equality(row_point);
    let domain = Domain::new(extent.log_leaves());
    let halves: (Vec<Base>, Vec<Base>) = combined.iter().map(|value| (value.0, value.1)).unzip();
    let (low, high) = (domain.evaluate(&halves.0), domain.evaluate(&halves.1));
    let mut hashes = Vec::with_capacity(places.len());
    for (&place, column) in places.iter().zip(columns.chunks_exact(width)) {
        let mut sum = Ext::ZERO;
        for (bytes, &weight) in column.chunks_exact(8).zip(&weights) {
            sum += weight * read_base(bytes)?;
        }
        if sum != Ext(low[place], high[place]) {
            return Err(Error::Opening("a column does not agree with the rows' combination"));
        }
        hashes.push(leaf_of_bytes(column));
    }
    for _ in 0..extent.log_leaves() {
        let missing = places.iter().filter(|&&place| places.binary_search(&(place ^ 1)).is_err()).count();
        let mut siblings = receiver.bytes(missing * 32)?.chunks_exact(32).map(B256::from_slice);
        let mut next = Vec::with_capacity(places.len());
        let mut index = 0;
        while index < places.len() {
            let (place, hash) = (places[index], hashes[index]);
            let paired = places.get(index + 1) == Some(&(place ^ 1)) && place & 1 == 0;
            let other = if paired { hashes[index + 1] } else { siblings.next().unwrap_or_default() };
            next.push(if place & 1 == 0 { node(hash, other) } else { node(other, hash) });
            index += if paired { 2 } else { 1 };
        }
        (places, hashes) = (parents(&places), next);
    }
    if hashes.first() != Some(&root) {
        return Err(Error::Opening("a column is not under the root"));
    }
    let weights = equality(column_point);
    Ok(combined.iter().zip(weights).fold(Ext::ZERO, |sum, (&value, weight)| sum + value * weight))
}

/// Places of the columns to look at, ascending, each once.
fn drawn(transcript: &mut crate::stream::Transcript, extent: Extent) -> Vec<usize> {
    let mut places = transcript.indices(QUERIES, extent.log_leaves());
    places.sort_unstable();
    places.dedup();
    places
}

fn parents(places: &[usize]) -> Vec<usize> {
    let mut parents: Vec<usize> = places.iter().map(|place| place / 2).collect();
    parents.dedup();
    parents
}

fn leaf(column: &[Base]) -> B256 {
    let bytes: Vec<u8> = column.iter().flat_map(|value| value.value().to_le_bytes()).collect();
    leaf_of_bytes(&bytes)
}

fn leaf_of_bytes(column: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([0]);
    hasher.update(column);
    hasher.finalize()
}

fn node(left: B256, right: B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Transcript;

    fn judged(committed: &Committed, root: B256) -> Result<Ext, Error> {
        let transcript = || {
            let mut transcript = Transcript::new(b"test");
            transcript.absorb(root.as_slice());
            transcript
        };
        let mut sender = Sender::new(transcript());
        let point = sender.transcript.challenges(10);
        committed.open(&mut sender, &point);
        let mut receiver = Receiver::new(transcript(), &sender.bytes);
        let point = receiver.transcript.challenges(10);
        verify(&mut receiver, root, &point)
    }

    fn values(seed: u64) -> Vec<Base> {
        (0..1024).map(|index| Base::new(index * index + seed)).collect()
    }

    #[test]
    fn what_is_committed_is_opened() {
        let honest = Committed::new(values(1));
        assert!(judged(&honest, honest.root()).is_ok());
    }

    /// One value is another when it is opened, with the columns and the tree of before.
    #[test]
    fn another_polynomial_is_not_opened() {
        let honest = Committed::new(values(1));
        let root = honest.root();
        let mut other = values(1);
        other[700] = other[700] + Base::ONE;
        let liar = Committed { values: other.clone(), ..honest };
        assert!(matches!(judged(&liar, root), Err(Error::Opening(_))));
        assert!(matches!(judged(&Committed::new(other), root), Err(Error::Opening(_))));
    }
}
