//! The container: manifest (header and graph) and weights in one byte string.
//!
//! Manifest, big-endian: magic `ILTP` (0..4), semantics u16 (4..6), units u64 (6..14), weights root (14..46), weights
//! length u32 (46..50), graph. The program's id is the keccak256 of the manifest; the manifest commits to the weights.
//!
//! Invariant: one byte string per program. Everything the header states is recomputed and must be equal.

use crate::{
    Error, Graph, Path,
    exec::Prepared,
    plan::Plan,
    proof,
    reader::Reader,
    tensor::{TensorType, hash},
    weights::{root_of_leaves, weights_root},
};
use alloc::vec::Vec;
use alloy_primitives::B256;

/// Version of the semantics this crate implements.
pub const SEMANTICS: u16 = 1;
/// Bytes of a manifest before its graph.
pub const HEADER_BYTES: usize = 50;
/// What a node takes in memory beside its weights, about.
const NODE_BYTES: usize = 512;
const MAGIC: [u8; 4] = *b"ILTP";

/// What stands before the weights: true as far as it can be told without them.
#[derive(Debug)]
pub struct Manifest {
    graph: Graph,
    plan: Plan,
    root: B256,
    length: u64,
}

impl Manifest {
    /// Reads the manifest with which `bytes` begin, and gives where it ends.
    ///
    /// # Errors
    /// `program.*`, when it is not canonical, or states other units or another length of the weights than its graph takes.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), Error> {
        let mut r = Reader::at(bytes, 0);
        let magic = r.bytes::<4>("magic")?;
        if magic != MAGIC {
            return Err(Error::Magic(magic));
        }
        let semantics = r.u16("semantics")?;
        if semantics != SEMANTICS {
            return Err(Error::Semantics(semantics));
        }
        let stated_units = r.u64("units")?;
        let root = B256::from(r.bytes::<32>("weights root")?);
        let length = u64::from(r.u32("weights length")?);
        let (graph, end) = Graph::decode(bytes, HEADER_BYTES)?;
        let plan = Plan::new(&graph)?;
        let computed = plan.total_units();
        if stated_units != computed {
            return Err(Error::Units { stated: stated_units, computed });
        }
        lengths_agree("weights the graph takes, and stated length", plan.weights_bytes() as u64, length)?;
        Ok((Self { graph, plan, root, length }, end))
    }

    /// The graph.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Units of work of one run.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.plan.total_units()
    }

    /// Bytes of the weights.
    #[must_use]
    pub const fn weights_bytes(&self) -> usize {
        self.length as usize
    }

    /// Bytes of an input's elements, and of an output's.
    #[must_use]
    pub fn data_bytes(&self) -> (usize, usize) {
        (self.graph.input.data_bytes(), self.plan.output().data_bytes())
    }

    /// The program with this manifest, whose bytes are `manifest`, and with weights that lie elsewhere in chunks: `leaves` are believed to be
    /// the hashes of theirs.
    ///
    /// # Errors
    /// `program.*`, as [`Program::from_bytes`].
    pub fn with_chunks(self, manifest: &[u8], leaves: Vec<B256>, weights: Vec<u8>) -> Result<Program, Error> {
        self.check_length(&weights)?;
        let root = root_of_leaves(leaves);
        self.check_root(root)?;
        Program::prepare(self.graph, self.plan, manifest.to_vec(), weights, root)
    }

    fn check_length(&self, weights: &[u8]) -> Result<(), Error> {
        lengths_agree("stated length, and bytes after the manifest", self.length, weights.len() as u64)
    }

    fn check_root(&self, computed: B256) -> Result<(), Error> {
        if self.root == computed { Ok(()) } else { Err(Error::WeightsRoot { stated: self.root, computed }) }
    }
}

/// What a graph takes, gives and costs, which is known before its weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of an input's elements.
    pub input_bytes: usize,
    /// Bytes of an output's elements.
    pub output_bytes: usize,
    /// Bytes of its weights.
    pub weights_bytes: usize,
    /// Units of work of one run.
    pub units: u64,
}

impl Graph {
    /// The type of each value, the input's first, and the place of each node's weights.
    ///
    /// # Errors
    /// `program.*`, when shapes do not fit or a limit is exceeded.
    pub fn layout(&self) -> Result<(Vec<TensorType>, Vec<core::ops::Range<usize>>), Error> {
        let plan = Plan::new(self)?;
        Ok((plan.types, plan.spans))
    }

    /// What a run costs.
    ///
    /// # Errors
    /// `program.*`, when shapes do not fit or a limit is exceeded.
    pub fn cost(&self) -> Result<Cost, Error> {
        let plan = Plan::new(self)?;
        Ok(Cost {
            input_bytes: self.input.data_bytes(),
            output_bytes: plan.output().data_bytes(),
            weights_bytes: plan.weights_bytes(),
            units: plan.total_units(),
        })
    }
}

/// A valid program, ready to run.
#[derive(Debug)]
pub struct Program {
    pub(crate) graph: Graph,
    pub(crate) plan: Plan,
    pub(crate) prepared: Vec<Prepared>,
    pub(crate) weights: Vec<u8>,
    manifest: Vec<u8>,
    id: B256,
    root: B256,
}

impl Program {
    /// Reads and validates a program.
    ///
    /// # Errors
    /// `program.*`, when `bytes` are not the one encoding of a program whose accumulators stay in i32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (manifest, end) = Manifest::decode(bytes)?;
        let weights = bytes[end..].to_vec();
        manifest.check_length(&weights)?;
        let root = weights_root(&weights);
        manifest.check_root(root)?;
        Self::prepare(manifest.graph, manifest.plan, bytes[..end].to_vec(), weights, root)
    }

    /// Puts the header before the bytes of a graph and validates the whole: how programs are made.
    ///
    /// # Errors
    /// `program.*`, as for [`Program::from_bytes`].
    pub fn assemble(graph_bytes: &[u8], weights: &[u8]) -> Result<Self, Error> {
        let (graph, end) = Graph::decode(graph_bytes, 0)?;
        if end != graph_bytes.len() {
            return Err(Error::TrailingBytes(graph_bytes.len() - end));
        }
        let plan = Plan::new(&graph)?;
        lengths_agree("weights the graph takes, and given", plan.weights_bytes() as u64, weights.len() as u64)?;
        let root = weights_root(weights);
        let mut manifest = Vec::with_capacity(HEADER_BYTES + graph_bytes.len());
        manifest.extend(MAGIC);
        manifest.extend(SEMANTICS.to_be_bytes());
        manifest.extend(plan.total_units().to_be_bytes());
        manifest.extend(root.as_slice());
        manifest.extend((weights.len() as u32).to_be_bytes());
        manifest.extend(graph_bytes);
        Self::prepare(graph, plan, manifest, weights.to_vec(), root)
    }

    fn prepare(graph: Graph, plan: Plan, manifest: Vec<u8>, weights: Vec<u8>, root: B256) -> Result<Self, Error> {
        proof::prove(&graph, &plan, &weights)?;
        let prepared = Prepared::all(&graph, &plan, &weights, Path::best());
        let id = hash(&[&manifest]);
        Ok(Self { graph, plan, prepared, weights, manifest, id, root })
    }

    /// keccak256 of the manifest.
    #[must_use]
    pub const fn id(&self) -> B256 {
        self.id
    }

    /// Root over the chunks of the weights.
    #[must_use]
    pub const fn weights_root(&self) -> B256 {
        self.root
    }

    /// Units of work of one run; see [`units_of_node`](crate::units_of_node).
    #[must_use]
    pub fn units(&self) -> u64 {
        self.plan.total_units()
    }

    /// Header and graph.
    #[must_use]
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// The weights, as they stand behind the manifest.
    #[must_use]
    pub fn weights(&self) -> &[u8] {
        &self.weights
    }

    /// Bytes that it takes in memory, but for a few that do not grow.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let prepared = self.prepared.iter().map(Prepared::memory_bytes).sum::<usize>();
        self.manifest.len() + self.weights.len() + prepared + self.graph.nodes.len() * NODE_BYTES
    }

    /// Manifest and weights.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.manifest.as_slice(), &self.weights].concat()
    }

    /// The graph.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Type of the result of node `node`, and its units; `None` past the last node.
    #[must_use]
    pub fn node_info(&self, node: usize) -> Option<(&TensorType, u64)> {
        Some((self.plan.types.get(node + 1)?, *self.plan.units.get(node)?))
    }

    /// Type of each value; the first is the input's.
    pub(crate) fn types(&self) -> &[TensorType] {
        &self.plan.types
    }

    /// What the program takes.
    #[must_use]
    pub const fn input_type(&self) -> &TensorType {
        &self.graph.input
    }

    /// What the program returns.
    #[must_use]
    pub fn output_type(&self) -> &TensorType {
        self.plan.output()
    }
}

/// The plan bounds what a graph takes, so that no length needs a limit of its own.
const fn lengths_agree(what: &'static str, expected: u64, got: u64) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::WeightsLength { what, expected, got }) }
}
