//! The border between a chain and whatever puts its blocks in order.
//!
//! For each block the chain asks [`Orderer::propose`] what the next block shall carry besides transactions, builds and executes it,
//! then asks [`Orderer::verify`] (also for blocks that others built) whether it may follow its parent, then [`Orderer::certify`] once
//! its own execution agrees with the header, commits it, and reports it with [`Orderer::finalised`].
//!
//! Invariant: an orderer decides order, time and finality only; it never changes what a block does. `certify` is asked
//! only after execution, so a slow executor delays an answer and never turns it into a refusal.

use core::fmt::Debug;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes};

use crate::dev::DevOrderer;
use crate::error::ChainError;

/// What a block carries besides its transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockPlan {
    /// Unix seconds; later than the parent's.
    pub timestamp: u64,
    /// Who gets the tips.
    pub beneficiary: Address,
    /// Gas of the block.
    pub gas_limit: u64,
    /// What `PREVRANDAO` answers.
    pub prev_randao: B256,
    /// At most 32 bytes.
    pub extra_data: Bytes,
    /// EIP-4788.
    pub parent_beacon_block_root: B256,
    /// EIP-4895.
    pub withdrawals: Vec<Withdrawal>,
    /// Base fee in wei instead of the one that follows from the parent: developer chains only, no other chain takes such a block.
    pub base_fee_wei: Option<u64>,
}

/// How far a chain is settled; block numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finality {
    /// Would need a fault of a part of the orderers to be undone.
    pub safe: u64,
    /// Will not be undone.
    pub finalised: u64,
}

/// Puts blocks in order: a developer's clock, or consensus among nodes.
pub trait Orderer: Debug + Send + Sync {
    /// What the block after `parent` shall carry. Its state root may not be there yet, and so neither its hash.
    ///
    /// # Errors
    /// When no block may follow now.
    fn propose(&self, parent: &Header) -> Result<BlockPlan, ChainError>;

    /// What [`Self::propose`] would answer now, without using anything up.
    ///
    /// # Errors
    /// As [`Self::propose`].
    fn preview(&self, parent: &Header) -> Result<BlockPlan, ChainError>;

    /// Whether a block with this header may follow `parent`, before it is executed.
    ///
    /// # Errors
    /// [`ChainError::Block`] with the rule that it breaks.
    fn verify(&self, parent: &Header, header: &Header) -> Result<(), ChainError>;

    /// Agrees to a block that this node executed with the results that its header states.
    ///
    /// # Errors
    /// When another block of this height was agreed to.
    fn certify(&self, header: &Header, hash: B256) -> Result<(), ChainError>;

    /// The block is committed.
    fn finalised(&self, number: u64, hash: B256);

    /// How far a chain with this head is settled.
    fn finality(&self, head: u64) -> Finality;

    /// The developer's controls; `None` on every network, where final is final.
    fn developer(&self) -> Option<&DevOrderer> {
        None
    }
}
