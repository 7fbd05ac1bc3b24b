//! INFER: a registered program runs.
//!
//! Invariant: one that is kept in memory and one that is made from the state cost and answer the same; see [`super::Programs`].

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};
use interlace_tensor::{DType, Manifest, Program, Tensor};
use revm::context_interface::ContextTr;

use super::meter::{INFER_BASE, Meter, UNITS_PER_GAS, WEIGHTS_PER_GAS, read};
use super::register::{Chunk, Parts, chunks, look_at, weights};
use super::{Programs, Stop, program_address};

/// A program that can run, and what it costs before it does.
#[derive(Debug)]
pub(super) struct Ready {
    price: Price,
    chunks: Vec<Chunk>,
    program: Program,
}

impl Ready {
    /// One whose weights lie nowhere.
    #[cfg(test)]
    pub(super) fn unplaced(program: Program) -> Self {
        Self { price: Price { takes: 0, gives: 0, units: 0, weights: 0 }, chunks: Vec::new(), program }
    }

    /// Bytes that it takes in memory.
    #[cfg(feature = "std")]
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.chunks.len() * size_of::<Chunk>() + self.program.memory_bytes()
    }
}

/// What gas follows from.
#[derive(Clone, Copy, Debug)]
struct Price {
    /// Bytes of input.
    takes: usize,
    /// Bytes of output.
    gives: usize,
    units: u64,
    weights: u64,
}

impl Price {
    fn of(manifest: &Manifest) -> Self {
        let (takes, gives) = manifest.data_bytes();
        Self { takes, gives, units: manifest.units(), weights: manifest.weights_bytes() as u64 }
    }

    /// Takes what running costs but for looks, and then the input.
    fn charge(&self, meter: &mut Meter, elements: &[u8]) -> Result<(), Stop> {
        meter.words(self.takes)?;
        meter.words(self.gives)?;
        meter.charge(self.units.div_ceil(UNITS_PER_GAS))?;
        meter.charge(self.weights.div_ceil(WEIGHTS_PER_GAS))?;
        if elements.len() != self.takes {
            let what = format!("{} bytes of input, of {}", elements.len(), self.takes);
            return Err(Stop::Refused("instruction.input", what));
        }
        Ok(())
    }
}

/// Runs the program whose id `input` begins with on the elements behind it, and returns the elements of its output: one byte for each of 8 bits,
/// four, the highest first, for each of 32.
pub(super) fn infer<CTX: ContextTr>(
    context: &mut CTX,
    meter: &mut Meter,
    input: &[u8],
    programs: &Programs,
) -> Result<Vec<u8>, Stop> {
    meter.charge(INFER_BASE)?;
    let Some((id, elements)) = input.split_first_chunk::<32>() else {
        return Err(Stop::Refused("instruction.input", format!("{} bytes, of an id and an input", input.len())));
    };
    let id = B256::from(*id);
    let unregistered = || Stop::Refused("instruction.unregistered", format!("program {id} is not registered"));
    let address = program_address(id);
    let code_hash = meter.look(context, address)?.ok_or_else(unregistered)?;
    if let Some(ready) = programs.get(address, code_hash) {
        ready.price.charge(meter, elements)?;
        look_at(context, meter, &ready.chunks)?;
        return run(&ready.program, elements);
    }
    let stored = read(context, address)?.ok_or_else(unregistered)?;
    let Parts { decoded, manifest, leaves } = Parts::of(&stored)?;
    if keccak256(manifest) != id {
        return Err(unregistered());
    }
    let price = Price::of(&decoded);
    price.charge(meter, elements)?;
    let chunks = chunks(&leaves);
    look_at(context, meter, &chunks)?;
    let weights = weights(context, &chunks, decoded.weights_bytes())?;
    let program = decoded.with_chunks(manifest, leaves, weights)?;
    let ready = Arc::new(Ready { price, chunks, program });
    programs.keep(address, code_hash, &ready);
    run(&ready.program, elements)
}

/// Runs `program` on elements as they come and go here.
pub(super) fn run(program: &Program, elements: &[u8]) -> Result<Vec<u8>, Stop> {
    let input = program.input_type();
    let data = turned(input.dtype, elements.to_vec());
    let tensor = Tensor::from_elements(input.clone(), &data)?;
    let output = program.run(&tensor)?;
    Ok(turned(program.output_type().dtype, output.elements()))
}

/// The tensor's elements have their lowest byte first.
fn turned(dtype: DType, mut elements: Vec<u8>) -> Vec<u8> {
    if dtype == DType::I32 {
        elements.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    }
    elements
}
