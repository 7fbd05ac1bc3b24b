//! The graph: an input type and a list of nodes, each with one result.
//!
//! Values are numbered: 0 is the input, `n + 1` the result of node `n`; the last node's result is the output.
//!
//! Invariant: one byte string per graph. Nodes stand in depth-first post-order from the output (operands in their
//! order), hence each is used, each operand is earlier, and there is one place for every node. The two operands of an
//! addition are in ascending order, because addition commutes.

use crate::{
    Error, limits,
    op::{Op, dims},
    reader::Reader,
    tensor::{DType, TensorType},
};
use alloc::{vec, vec::Vec};

/// One operation and the values it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// The values it reads: one, or two for additions and for products of values.
    pub operands: Vec<u16>,
}

/// A static graph, without its weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// Type and shape of value 0.
    pub input: TensorType,
    /// The operations, in canonical order.
    pub nodes: Vec<Node>,
}

impl Graph {
    /// The bytes of the graph: what follows the header in a manifest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.input.dtype as u8, self.input.dims.len() as u8];
        out.extend(self.input.dims.iter().flat_map(|dim| dim.to_be_bytes()));
        out.extend((self.nodes.len() as u16).to_be_bytes());
        for node in &self.nodes {
            out.push(node.op.code());
            out.extend(node.operands.iter().flat_map(|operand| operand.to_be_bytes()));
            node.op.encode(&mut out);
        }
        out
    }

    /// Reads a graph that starts at `offset` of `bytes`; returns it with the offset after it.
    ///
    /// # Errors
    /// `program.*`, when the bytes are not a canonical graph. Shapes and weights are checked later.
    pub fn decode(bytes: &[u8], offset: usize) -> Result<(Self, usize), Error> {
        let mut r = Reader::at(bytes, offset);
        let code = r.u8("input data type")?;
        let dtype = DType::from_code(code).ok_or(Error::DType(code))?;
        let input = TensorType { dtype, dims: dims(&mut r, "input")? };
        let count = r.u16("node count")?;
        if !(1..=limits::MAX_NODES).contains(&count) {
            return Err(Error::Limit { what: "node count", value: count.into(), max: limits::MAX_NODES.into() });
        }
        let nodes = (0..usize::from(count)).map(|node| decode_node(node, &mut r)).collect::<Result<Vec<_>, _>>()?;
        check_order(&nodes)?;
        Ok((Self { input, nodes }, r.pos()))
    }
}

fn decode_node(node: usize, r: &mut Reader<'_>) -> Result<Node, Error> {
    let code = r.u8("operator")?;
    let arity = Op::arity(code).ok_or(Error::Operator { node, code })?;
    let operands = (0..arity).map(|_| r.u16("operand")).collect::<Result<Vec<_>, _>>()?;
    if let Some(&operand) = operands.iter().find(|&&operand| usize::from(operand) > node) {
        return Err(Error::Operand { node, operand });
    }
    if Op::commutes(code) && !operands.is_sorted() {
        return Err(Error::NotMinimal { node, why: "the operands of an addition are in ascending order" });
    }
    Ok(Node { op: Op::decode(code, node, r)?, operands })
}

/// Walks from the last node, operands first, and compares the order of completion with the order of the list.
/// Every operand is earlier than its node, so the walk ends.
fn check_order(nodes: &[Node]) -> Result<(), Error> {
    let mut done = 0usize;
    let mut path = vec![nodes.len().saturating_sub(1)];
    while let Some(&node) = path.last() {
        // Nodes complete in ascending order or the walk fails, so "done" is a prefix of the list.
        let pending = nodes[node].operands.iter().find(|&&operand| usize::from(operand) > done);
        if let Some(&operand) = pending {
            path.push(usize::from(operand) - 1);
            continue;
        }
        if node != done {
            return Err(Error::Order { node: done });
        }
        done += 1;
        path.pop();
    }
    if done == nodes.len() { Ok(()) } else { Err(Error::Order { node: done }) }
}
