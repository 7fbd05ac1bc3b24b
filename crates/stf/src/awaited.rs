//! Blocks that begin before their parent has a hash, because the state root that it needs is still being computed.
//!
//! Invariant: such a block is the one that would have been made later. Whoever needs the hash gets it from the reader, which waits for it:
//! `BLOCKHASH`, the slot in which the history contract has it (EIP-2935), and the header.
//! What it does not do: where the history contract is not the one that the EIP gives, or keeps what it is told elsewhere, a block must wait.

use alloy_eips::eip2935::{HISTORY_SERVE_WINDOW, HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use interlace_evm::{AccountChange, StateReader};
use interlace_primitives::{ChainSpec, Fork};

use crate::output::BlockOutput;

/// The hash of a parent that is not there yet, and where it will be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwaitedHash {
    parent: u64,
    /// Whether the history contract is told of it, and in which slot it then has it.
    stores: bool,
    slot: Option<U256>,
}

impl AwaitedHash {
    /// That of block `parent`, for a block with `timestamp` on `state`; `None` if that block must wait for it before its first transaction.
    ///
    /// # Errors
    /// The reader's.
    pub fn of<R: StateReader>(
        spec: &ChainSpec,
        parent: u64,
        timestamp: u64,
        state: &R,
    ) -> Result<Option<Self>, R::Error> {
        if spec.fork_at(parent.saturating_add(1), timestamp) < Fork::Prague {
            return Ok(Some(Self { parent, stores: false, slot: None }));
        }
        let account = state.account(HISTORY_STORAGE_ADDRESS)?.unwrap_or_default();
        if account.code_hash == KECCAK256_EMPTY {
            return Ok(Some(Self { parent, stores: true, slot: None }));
        }
        let slot = Some(U256::from(parent % HISTORY_SERVE_WINDOW as u64));
        Ok((account.code_hash == keccak256(&HISTORY_STORAGE_CODE)).then_some(Self { parent, stores: true, slot }))
    }

    /// The slot that the reader below such a block answers with the hash, if there is one: it is written before the first transaction.
    #[must_use]
    pub fn slot(&self) -> Option<(Address, U256)> {
        self.slot.map(|slot| (HISTORY_STORAGE_ADDRESS, slot))
    }

    /// Puts the hash where it belongs.
    pub(crate) fn settle<R: StateReader>(&self, output: &mut BlockOutput, state: &R) -> Result<(), R::Error> {
        let hash: B256 = state.block_hash(self.parent)?;
        output.header.parent_hash = hash;
        if let Some(accesses) = output.accesses.as_mut().filter(|_| self.stores) {
            accesses.begin_with(HISTORY_STORAGE_ADDRESS, self.slot.map(|slot| (slot, hash.into())));
        }
        let Some((address, slot)) = self.slot() else { return Ok(()) };
        let info = state.account(address)?;
        let untouched = || AccountChange { info, ..AccountChange::default() };
        output.changes.accounts.entry(address).or_insert_with(untouched).storage.insert(slot, hash.into());
        Ok(())
    }
}
