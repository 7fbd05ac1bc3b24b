//! What a verifier needs of a program: its manifest, its small weights, and a commitment to its matrices.
//!
//! A key is a pure function of the program, so who has the program can check that a key is its own ([`ProverKey::new`]
//! makes it); who has only the key trusts that somebody did, and need not hold the matrices.
//!
//! ```text
//! "ILSK" ‖ manifest ‖ small weights of each node, in order ‖ root of the matrices' commitment (32)
//! ```
//!
//! Invariant: one byte string for each program that these proofs cover.

use crate::{Error, commitment::Committed, field::Base, statement::Statement};
use alloc::{borrow::ToOwned, vec, vec::Vec};
use alloy_primitives::{B256, keccak256};
use interlace_tensor::{Graph, Manifest, Multiplier, Op, Program};

const MAGIC: [u8; 4] = *b"ILSK";

/// A verifier's key.
#[derive(Debug)]
pub struct Key {
    pub(crate) graph: Graph,
    pub(crate) small: Vec<Vec<u8>>,
    pub(crate) root: B256,
    program: B256,
    manifest: Vec<u8>,
}

impl Key {
    /// The id of its program.
    #[must_use]
    pub const fn program(&self) -> B256 {
        self.program
    }

    /// The key of a program, made from its weights; nothing is kept to prove with.
    ///
    /// # Errors
    /// As of [`ProverKey::new`].
    pub fn of(program: &Program) -> Result<Self, Error> {
        ProverKey::new(program).map(|prover| prover.key)
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [&MAGIC, self.manifest.as_slice(), &self.small.concat(), self.root.as_slice()].concat()
    }

    /// Reads a key.
    ///
    /// # Errors
    /// `sumcheck.malformed-key` when the bytes are not a key; `sumcheck.program` when no program of this graph can be proved.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let bad = |why: &str| Error::Key(why.to_owned());
        let body = bytes.strip_prefix(&MAGIC).ok_or_else(|| bad("it does not begin with ILSK"))?;
        let (manifest, end) = Manifest::decode(body)?;
        let graph = manifest.graph().clone();
        let mut rest = &body[end..];
        let mut small = Vec::with_capacity(graph.nodes.len());
        for len in small_lengths(&graph)? {
            let (weights, after) = rest.split_at_checked(len).ok_or_else(|| bad("it ends too early"))?;
            small.push(weights.to_vec());
            rest = after;
        }
        let root = <[u8; 32]>::try_from(rest).map_err(|_| bad("a root of 32 bytes stands at its end"))?;
        Statement::new(&graph, &small, 1)?;
        let manifest = body[..end].to_vec();
        Ok(Self { graph, small, root: root.into(), program: keccak256(&manifest), manifest })
    }
}

/// A program, its key, and its committed matrices: what proofs are made with.
#[derive(Debug)]
pub struct ProverKey {
    pub(crate) key: Key,
    pub(crate) weights: Vec<u8>,
    pub(crate) matrices: Committed,
}

impl ProverKey {
    /// Commits to the matrices of `program`.
    ///
    /// # Errors
    /// `sumcheck.program` when these proofs do not cover it, `sumcheck.limit` when it is too large.
    pub fn new(program: &Program) -> Result<Self, Error> {
        let graph = program.graph().clone();
        let small = small_weights(program)?;
        let statement = Statement::new(&graph, &small, 1)?;
        let matrices = Committed::new(padded(&statement, program.weights()));
        let (manifest, root) = (program.manifest().to_vec(), matrices.root());
        let key = Key { graph, small, root, program: program.id(), manifest };
        Ok(Self { key, weights: program.weights().to_vec(), matrices })
    }

    /// The verifier's key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }
}

/// How many values the commitment to the matrices of a program with this graph has: what making its key takes is in
/// proportion.
///
/// # Errors
/// `sumcheck.graph` when the graph is not one.
pub fn padded_weights(graph: &Graph) -> Result<u64, Error> {
    let (types, _) = graph.layout()?;
    let nodes = graph.nodes.iter().zip(&types[1..]);
    let matrices = nodes.filter(|(node, _)| matches!(node.op, Op::MatMul { .. }));
    let padded = matrices.map(|(node, result)| {
        let depth = types[usize::from(node.operands[0])].channels() as u64;
        depth.next_power_of_two() * (result.channels() as u64).next_power_of_two()
    });
    Ok(padded.fold(0, u64::saturating_add).max(2).next_power_of_two())
}

/// All matrices at their places.
fn padded(statement: &Statement, weights: &[u8]) -> Vec<Base> {
    let mut values = vec![Base::ZERO; 1 << statement.log_weights];
    for matrix in &statement.matrices {
        let rows = weights[matrix.span.clone()].chunks_exact(matrix.channels);
        for (row, place) in rows.zip(values[matrix.offset..].chunks_exact_mut(1 << matrix.log_channels)) {
            place.iter_mut().zip(row).for_each(|(to, &from)| *to = Base::from_i64(from.cast_signed().into()));
        }
    }
    values
}

/// The weights of each node that are not a matrix.
pub(crate) fn small_weights(program: &Program) -> Result<Vec<Vec<u8>>, Error> {
    let (_, spans) = program.graph().layout()?;
    let lengths = small_lengths(program.graph())?;
    Ok(spans.iter().zip(lengths).map(|(span, len)| program.weights()[span.end - len..span.end].to_vec()).collect())
}

fn small_lengths(graph: &Graph) -> Result<Vec<usize>, Error> {
    let (types, _) = graph.layout()?;
    let len = |(node, types): (&interlace_tensor::Node, &interlace_tensor::TensorType)| match node.op {
        Op::MatMul { .. } | Op::Requantise { multiplier: Multiplier::Channel, .. } => 4 * types.channels(),
        Op::Table => 256,
        _ => 0,
    };
    Ok(graph.nodes.iter().zip(&types[1..]).map(len).collect())
}
