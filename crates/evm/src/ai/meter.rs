//! Gas of the instructions, and accounts looked at for it.
//!
//! Invariant: gas is taken before the work that it pays for; an account that cannot be paid for is not looked at.
//! Source: EIP-2929 for accounts; the other constants are measured, see docs/performance.md.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY};
use revm::Database;
use revm::bytecode::Bytecode;
use revm::context_interface::context::ContextError;
use revm::context_interface::journaled_state::JournalLoadError;
use revm::context_interface::{ContextTr, JournalTr};

use super::Stop;

/// Whatever is asked of a program.
pub(super) const INFER_BASE: u64 = 3_000;
/// Units of work for a unit of gas.
pub(super) const UNITS_PER_GAS: u64 = 16;
/// Bytes of weights that are brought together for a unit of gas.
pub(super) const WEIGHTS_PER_GAS: u64 = 16;
/// For 32 bytes of input or output.
pub(super) const WORD: u64 = 3;
/// Whatever graph is run once.
pub(super) const EVAL_BASE: u64 = 3_000;
/// Reading and preparing a node of it.
pub(super) const EVAL_NODE: u64 = 32;
/// A registration.
pub(super) const REGISTER_BASE: u64 = 20_000;
/// Bytes of weights that are proved for a unit of gas.
pub(super) const PROVED_PER_GAS: u64 = 4;
/// A key that is made.
pub(super) const KEY_BASE: u64 = 40_000;
/// A value that a key's commitment has: its part in encoding and hashing.
pub(super) const KEY_WEIGHT: u64 = 14;
/// A proof that is checked.
pub(super) const SUMCHECK_BASE: u64 = 3_000;
/// Bytes given with a proof for a unit of gas: each is hashed twice.
pub(super) const GIVEN_PER_GAS: u64 = 4;
/// A byte of a key: reading it, and what its nodes state.
pub(super) const KEY_BYTE: u64 = 8;
/// Storing a chunk.
pub(super) const STORE_BASE: u64 = 5_000;
/// An account that comes to be.
pub(super) const NEW_ACCOUNT: u64 = 25_000;
/// A byte that is stored.
pub(super) const STORED_BYTE: u64 = 16;

const COLD: u64 = 2_600;
const WARM: u64 = 100;

/// What is left to be spent.
#[derive(Debug)]
pub(super) struct Meter(u64);

impl Meter {
    pub(super) const fn new(limit: u64) -> Self {
        Self(limit)
    }

    pub(super) const fn left(&self) -> u64 {
        self.0
    }

    pub(super) fn charge(&mut self, gas: u64) -> Result<(), Stop> {
        self.0 = self.0.checked_sub(gas).ok_or(Stop::OutOfGas)?;
        Ok(())
    }

    /// For `bytes` that go in or out.
    pub(super) fn words(&mut self, bytes: usize) -> Result<(), Stop> {
        self.charge((bytes as u64).div_ceil(32) * WORD)
    }

    /// The hash of the code at `address`; none if there is none. Charged as a look at an account.
    pub(super) fn look<CTX: ContextTr>(&mut self, context: &mut CTX, address: Address) -> Result<Option<B256>, Stop> {
        let unpaid = self.0 < COLD;
        let loaded = match context.journal_mut().load_account_info_skip_cold_load(address, false, unpaid) {
            Ok(loaded) => loaded,
            Err(JournalLoadError::ColdLoadSkipped) => return Err(Stop::OutOfGas),
            Err(JournalLoadError::DBError(error)) => return Err(unread(context, error)),
        };
        let (hash, cost) = (loaded.code_hash, if loaded.is_cold { COLD } else { WARM });
        self.charge(cost)?;
        Ok(Some(hash).filter(|hash| *hash != KECCAK256_EMPTY))
    }
}

/// What was put at `address`, which was looked at and has code.
///
/// An address follows from a hash and is nobody's: only these instructions can have put code there, but for a genesis file or who may change a
/// state at will. None if it is no code of theirs.
pub(super) fn read<CTX: ContextTr>(context: &mut CTX, address: Address) -> Result<Option<Bytes>, Stop> {
    let code = match context.journal_mut().load_account_with_code(address) {
        Ok(loaded) => loaded.info.code.as_ref().map(Bytecode::original_bytes),
        Err(error) => return Err(unread(context, error)),
    };
    Ok(code.filter(|code| code.first() == Some(&0)).map(|code| code.slice(1..)))
}

fn unread<CTX: ContextTr>(context: &mut CTX, error: <CTX::Db as Database>::Error) -> Stop {
    *context.error() = Err(ContextError::Db(error));
    Stop::State
}
