//! EVAL: a graph that the caller brings along runs once, on weights and an input that it brings too.
//!
//! For contracts that compose their own: a product, a softmax, the largest of many. Nothing is stored, nothing is looked at.
//!
//! Invariant: a graph is held to what a registered program is held to; gas follows from its shapes, and is charged before.

use alloc::format;
use alloc::vec::Vec;

use interlace_tensor::{Graph, Program};

use super::Stop;
use super::infer::run;
use super::meter::{EVAL_BASE, EVAL_NODE, Meter, PROVED_PER_GAS, UNITS_PER_GAS};

/// Runs the graph that `input` begins with on the elements that it ends with; the weights are between.
pub(super) fn eval(meter: &mut Meter, input: &[u8]) -> Result<Vec<u8>, Stop> {
    meter.charge(EVAL_BASE)?;
    meter.words(input.len())?;
    let (graph, end) = Graph::decode(input, 0)?;
    meter.charge(graph.nodes.len() as u64 * EVAL_NODE)?;
    let cost = graph.cost()?;
    meter.words(cost.output_bytes)?;
    meter.charge(cost.units.div_ceil(UNITS_PER_GAS))?;
    meter.charge((cost.weights_bytes as u64).div_ceil(PROVED_PER_GAS))?;
    let (graph, rest) = input.split_at(end);
    if rest.len() != cost.weights_bytes + cost.input_bytes {
        let (given, weights, takes) = (rest.len(), cost.weights_bytes, cost.input_bytes);
        let what = format!("{given} bytes behind the graph, of {weights} of weights and {takes} of input");
        return Err(Stop::Refused("instruction.input", what));
    }
    let (weights, elements) = rest.split_at(cost.weights_bytes);
    run(&Program::assemble(graph, weights)?, elements)
}
