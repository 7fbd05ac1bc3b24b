//! Programs as a part of the machine: weights and programs are put into the state once, and every contract can have them run.
//!
//! ```text
//!   STORE(chunk)                  the chunk lies at an address that follows from its hash, as code behind one 0x00
//!   REGISTER(manifest, leaves)    the program is validated, and its manifest lies at an address that follows from its id
//!   INFER(id, input)              the program runs; gas follows from its shapes, and is charged before
//!   EVAL(graph, weights, input)   a graph that is nowhere stored runs once
//!   SUMCHECK_KEY(id)              the hash of the key that proofs of a registered program are checked with
//!   SUMCHECK_VERIFY(proof, ...)   a proof is checked; nothing is looked at but what is given
//! ```
//! What lies there begins with 0x00, a STOP, so nothing can change or destroy it: an id names the same program for ever.
//!
//! Invariant: gas, output and reverts are functions of the state and the input, never of what a cache holds; every account that is looked at is
//! loaded through the journal, so it is in access lists and read logs. Nothing but gas is taken from who calls wrongly, and the
//! reason is told as Solidity's `Error(string)`, after a stable code.
//! Source: docs/ai-instructions.md; `spec/instructions.py` implements it a second time.
//! What it does not do: value. A call that brings some is refused.

#[cfg(feature = "std")]
mod cache;
mod eval;
mod infer;
mod meter;
mod register;
mod store;
mod sumcheck;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256, Bytes, address, keccak256};
use interlace_tensor::Error as ProgramError;
use revm::context_interface::ContextTr;
use revm::interpreter::{CallInputs, Gas, InstructionResult, InterpreterResult};

#[cfg(feature = "std")]
pub(crate) use self::cache::ProgramCache;
#[cfg(feature = "std")]
pub use self::cache::{MAX_CACHED_PROGRAMS, MAX_PROGRAM_CACHE_BYTES, ProgramStats};
use self::meter::Meter;

/// Runs a program: `id (32 bytes) ‖ input`.
pub const INFER: Address = address!("0x00000000000000000000000000000000000a1001");
/// Registers a program: `manifest ‖ leaves`.
pub const REGISTER: Address = address!("0x00000000000000000000000000000000000a1002");
/// Stores a chunk of weights: its bytes.
pub const STORE: Address = address!("0x00000000000000000000000000000000000a1003");
/// Runs a graph that is brought along: `graph ‖ weights ‖ input`.
pub const EVAL: Address = address!("0x00000000000000000000000000000000000a1004");
/// Tells the hash of a registered program's key: its `id`.
pub const SUMCHECK_KEY: Address = address!("0x00000000000000000000000000000000000a1005");
/// Checks a proof: `context ‖ lengths of key, inputs, outputs (4 bytes each) ‖ key ‖ inputs ‖ outputs ‖ proof`.
pub const SUMCHECK_VERIFY: Address = address!("0x00000000000000000000000000000000000a1006");

/// All of them.
pub(crate) const INSTRUCTIONS: [Address; 6] = [INFER, REGISTER, STORE, EVAL, SUMCHECK_KEY, SUMCHECK_VERIFY];

/// Where a chunk of weights lies, by the hash of its code.
#[must_use]
pub fn chunk_address(leaf: B256) -> Address {
    derived(b"interlace.chunk", leaf)
}

/// Where a program's manifest and leaves lie.
#[must_use]
pub fn program_address(id: B256) -> Address {
    derived(b"interlace.program", id)
}

fn derived(kind: &[u8], hash: B256) -> Address {
    Address::from_word(keccak256([kind, hash.as_slice()].concat()))
}

/// Where programs that ran are kept; without the feature `std`, and where whoever reads a state keeps nothing, nowhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs(#[cfg(feature = "std")] Option<Arc<ProgramCache>>);

#[cfg(feature = "std")]
impl Programs {
    pub(crate) const fn new(cache: Option<Arc<ProgramCache>>) -> Self {
        Self(cache)
    }

    fn get(&self, address: Address, code_hash: B256) -> Option<Arc<infer::Ready>> {
        self.0.as_ref()?.get(address, code_hash)
    }

    fn keep(&self, address: Address, code_hash: B256, ready: &Arc<infer::Ready>) {
        self.0.iter().for_each(|cache| cache.keep(address, code_hash, ready));
    }
}

#[cfg(not(feature = "std"))]
#[allow(clippy::unused_self, clippy::missing_const_for_fn)]
impl Programs {
    fn get(&self, _: Address, _: B256) -> Option<Arc<infer::Ready>> {
        None
    }

    fn keep(&self, _: Address, _: B256, _: &Arc<infer::Ready>) {}
}

/// Why an instruction ends without a result.
#[derive(Debug)]
enum Stop {
    OutOfGas,
    /// A change inside a static call.
    Static,
    /// Wrong use: a code, and what is wrong.
    Refused(&'static str, String),
    /// The state could not be read; the context has the error.
    State,
}

impl From<ProgramError> for Stop {
    fn from(error: ProgramError) -> Self {
        Self::Refused(error.code(), format!("{error}"))
    }
}

/// What `inputs` asks of one of the instructions; none if it calls something else.
pub(crate) fn run<CTX: ContextTr>(
    context: &mut CTX,
    inputs: &CallInputs,
    programs: &Programs,
) -> Option<InterpreterResult> {
    let instruction = inputs.bytecode_address;
    if !INSTRUCTIONS.contains(&instruction) {
        return None;
    }
    let mut meter = Meter::new(inputs.gas_limit);
    let input = inputs.input.as_bytes(context).to_vec();
    let result = if !inputs.value.get().is_zero() {
        Err(Stop::Refused("instruction.value", "it takes no value".into()))
    } else if instruction == INFER {
        infer::infer(context, &mut meter, &input, programs)
    } else if instruction == EVAL {
        eval::eval(&mut meter, &input)
    } else if instruction == SUMCHECK_KEY {
        sumcheck::key(context, &mut meter, &input)
    } else if instruction == SUMCHECK_VERIFY {
        sumcheck::verify(&mut meter, &input)
    } else if instruction == REGISTER {
        register::register(context, &mut meter, &input, inputs.is_static)
    } else {
        store::store(context, &mut meter, &input, inputs.is_static)
    };
    let mut gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir);
    gas.tracker_mut().set_remaining(meter.left());
    let (result, output) = match result {
        Ok(output) => (InstructionResult::Return, Bytes::from(output)),
        Err(Stop::Refused(code, what)) => (InstructionResult::Revert, reason(&format!("{code}: {what}"))),
        Err(Stop::OutOfGas) => (InstructionResult::PrecompileOOG, Bytes::new()),
        Err(Stop::Static) => (InstructionResult::StateChangeDuringStaticCall, Bytes::new()),
        Err(Stop::State) => (InstructionResult::FatalExternalError, Bytes::new()),
    };
    if result.is_halt() {
        gas.spend_all();
    }
    Some(InterpreterResult::new(result, output, gas))
}

/// `Error(string)` as Solidity encodes it.
fn reason(text: &str) -> Bytes {
    let length = text.len();
    let mut data = Vec::with_capacity(4 + 64 + length.next_multiple_of(32));
    data.extend([0x08, 0xc3, 0x79, 0xa0]);
    data.extend(B256::from(alloy_primitives::U256::from(32)));
    data.extend(B256::from(alloy_primitives::U256::from(length)));
    data.extend(text.as_bytes());
    data.resize(4 + 64 + length.next_multiple_of(32), 0);
    data.into()
}
