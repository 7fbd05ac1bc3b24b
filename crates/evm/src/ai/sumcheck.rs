//! SUMCHECK_KEY and SUMCHECK_VERIFY: proofs of registered programs, checked while a block is executed.
//!
//! ```text
//!   SUMCHECK_KEY(id)                      the hash of the key that the program's own weights give
//!   SUMCHECK_VERIFY(context, key, ...)    a proof holds, and for which program and key it does; or it reverts and says why
//! ```
//! A key says which matrices a proof is about. The first instruction makes it from the weights that the chain has, so nobody is believed
//! that a key is a program's; the second looks at nothing but its input.
//!
//! Invariant: gas follows from lengths and from what the key states, and is charged before the work that it pays for.
//! Source: docs/sumcheck.md; `spec/instructions.py` implements both a second time.
//! What it does not do: nothing is stored, and nothing kept in memory.

use alloc::format;
use alloc::vec::Vec;

use alloy_primitives::{B256, U256, keccak256};
use interlace_sumcheck::{Check, Error, Key, padded_weights};
use interlace_tensor::TensorType;
use revm::context_interface::ContextTr;

use super::meter::{GIVEN_PER_GAS, KEY_BASE, KEY_BYTE, KEY_WEIGHT, Meter, SUMCHECK_BASE, WEIGHTS_PER_GAS, read};
use super::register::{Parts, chunks, look_at, weights};
use super::{Stop, program_address};

/// Context, and the lengths of key, inputs and outputs.
const HEAD: usize = 32 + 3 * 4;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error.code(), format!("{error}"))
    }
}

/// The hash of the key of the program with the id `input`, then of what stands before the elements of its inputs and of its outputs on
/// the wire.
pub(super) fn key<CTX: ContextTr>(context: &mut CTX, meter: &mut Meter, input: &[u8]) -> Result<Vec<u8>, Stop> {
    meter.charge(KEY_BASE)?;
    let Ok(id) = B256::try_from(input) else {
        return Err(Stop::Refused("instruction.input", format!("{} bytes, of an id of 32", input.len())));
    };
    let unregistered = || Stop::Refused("instruction.unregistered", format!("program {id} is not registered"));
    let address = program_address(id);
    meter.look(context, address)?.ok_or_else(unregistered)?;
    let stored = read(context, address)?.ok_or_else(unregistered)?;
    let Parts { decoded, manifest, leaves } = Parts::of(&stored)?;
    if keccak256(manifest) != id {
        return Err(unregistered());
    }
    meter.charge((decoded.weights_bytes() as u64).div_ceil(WEIGHTS_PER_GAS))?;
    meter.charge(padded_weights(decoded.graph())?.saturating_mul(KEY_WEIGHT))?;
    let chunks = chunks(&leaves);
    look_at(context, meter, &chunks)?;
    let weights = weights(context, &chunks, decoded.weights_bytes())?;
    let program = decoded.with_chunks(manifest, leaves, weights)?;
    let header = |ty: &TensorType| keccak256(ty.header());
    let key = keccak256(Key::of(&program)?.encode());
    Ok([key, header(program.input_type()), header(program.output_type())].concat())
}

/// Checks `context ‖ three lengths ‖ key ‖ inputs ‖ outputs ‖ proof`, and returns program id, key hash and how many inputs there are.
pub(super) fn verify(meter: &mut Meter, input: &[u8]) -> Result<Vec<u8>, Stop> {
    meter.charge(SUMCHECK_BASE)?;
    meter.charge((input.len() as u64).div_ceil(GIVEN_PER_GAS))?;
    let given = Given::of(input).ok_or_else(|| {
        let what = format!("{} bytes, of {HEAD} of context and lengths, and what they announce", input.len());
        Stop::Refused("instruction.input", what)
    })?;
    meter.charge(given.key.len() as u64 * KEY_BYTE)?;
    let key = Key::decode(given.key)?;
    let check = Check::new(&key, given.inputs)?;
    meter.charge(check.work()?)?;
    check.verify(given.context, given.outputs, given.proof)?;
    let batch = B256::from(U256::from(check.batch()));
    Ok([key.program(), keccak256(given.key), batch].concat())
}

/// What a call gives.
struct Given<'a> {
    context: B256,
    key: &'a [u8],
    inputs: &'a [u8],
    outputs: &'a [u8],
    proof: &'a [u8],
}

impl<'a> Given<'a> {
    fn of(input: &'a [u8]) -> Option<Self> {
        let (context, rest) = input.split_first_chunk::<32>()?;
        let (lengths, rest) = rest.split_first_chunk::<12>()?;
        let length = |place: usize| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|byte| lengths[4 * place + byte]);
            u32::from_be_bytes([a, b, c, d]) as usize
        };
        let (key, rest) = rest.split_at_checked(length(0))?;
        let (inputs, rest) = rest.split_at_checked(length(1))?;
        let (outputs, proof) = rest.split_at_checked(length(2))?;
        Some(Self { context: (*context).into(), key, inputs, outputs, proof })
    }
}
