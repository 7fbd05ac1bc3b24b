//! Blocks executed again from bytes: a state, the header it belongs to, and the blocks that follow.
//!
//! Invariant: what comes back was checked in full: the state against the parent's state root, then every block against
//! its parent and its own header, state root included.
//! What it does not do: it downloads nothing and keeps nothing; block hashes before the parent are zero to BLOCKHASH.

use std::collections::BTreeMap;

use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256};
use interlace_primitives::{ChainSpec, SpecError};
use interlace_stf::{
    Block, BlockError, BlockOutput, Changes, Header, Mismatch, StateRoots, alloc_changes, decode_block, decode_header,
    recover_senders, run, validate_header,
};

use crate::error::StateError;
use crate::memory::MemoryState;
use crate::snapshot::Snapshot;

/// Why blocks could not be executed again.
#[derive(Debug, thiserror::Error)]
pub enum ReexecuteError {
    /// The accounts are not a genesis file's `alloc` object.
    #[error("accounts are not valid JSON of the expected shape: {0}")]
    Accounts(String),
    /// The chain's configuration cannot be followed.
    #[error(transparent)]
    Config(#[from] SpecError),
    /// The parent's header does not decode.
    #[error("parent header: {0}")]
    Parent(String),
    /// The accounts are not the state after the parent.
    #[error("accounts have state root {accounts}, the parent header says {parent}")]
    ParentState {
        /// Root of the accounts.
        accounts: B256,
        /// Root in the parent's header.
        parent: B256,
    },
    /// A block does not decode.
    #[error("block {index}: {reason}")]
    Encoding {
        /// Position in the list.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// A block is not valid.
    #[error("block {index}: {error}")]
    Block {
        /// Position in the list.
        index: usize,
        /// Why.
        error: BlockError<StateError>,
    },
}

impl ReexecuteError {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Accounts(_) => "engine.accounts-json",
            Self::Config(error) => error.code(),
            Self::Parent(_) => "engine.header-rlp",
            Self::ParentState { .. } => "engine.parent-state",
            Self::Encoding { .. } => "engine.block-rlp",
            Self::Block { error, .. } => error.code(),
        }
    }
}

/// Executes `blocks` (RLP each), the first a child of `parent` (RLP of a header), on the accounts of `alloc` (a genesis
/// file's object of that name), under the rules of `config` (a genesis file's object of that name).
///
/// # Errors
/// The first thing that does not decode or does not hold.
pub fn reexecute(
    alloc: &str,
    config: &str,
    parent: &[u8],
    blocks: &[Vec<u8>],
) -> Result<Vec<BlockOutput>, ReexecuteError> {
    let spec = ChainSpec::from_json(config)?;
    let alloc: BTreeMap<Address, GenesisAccount> =
        serde_json::from_str(alloc).map_err(|error| ReexecuteError::Accounts(error.to_string()))?;
    let mut parent = decode_header(parent).map_err(ReexecuteError::Parent)?;
    let state = MemoryState::new(parent.number, alloc_changes(&alloc), |_| parent.hash_slow());
    if state.root() != parent.state_root {
        return Err(ReexecuteError::ParentState { accounts: state.root(), parent: parent.state_root });
    }
    let mut outputs = Vec::with_capacity(blocks.len());
    for (index, rlp) in blocks.iter().enumerate() {
        let block = decode_block(rlp).map_err(|reason| ReexecuteError::Encoding { index, reason })?;
        let output =
            import_block(&spec, &parent, &block, &state).map_err(|error| ReexecuteError::Block { index, error })?;
        outputs.push(output);
        parent = block.header;
    }
    Ok(outputs)
}

/// Executes `block`, a child of `parent`, on the newest state, checks it in full, state root included, and commits it.
///
/// # Errors
/// The first rule that the block breaks; the state then is as before.
pub fn import_block(
    spec: &ChainSpec,
    parent: &Header,
    block: &Block,
    state: &MemoryState,
) -> Result<BlockOutput, BlockError<StateError>> {
    import_block_with(spec, parent, block, state, |senders, latest, roots| {
        run(spec, block, senders, latest, Some(roots))
    })
}

/// As [`import_block`], where `execute` executes the block: it is told the senders, the state, and who gives the state root after changes.
///
/// # Errors
/// As [`import_block`].
pub fn import_block_with(
    spec: &ChainSpec,
    parent: &Header,
    block: &Block,
    state: &MemoryState,
    execute: impl FnOnce(&[Address], &Snapshot, StateRoots<'_, StateError>) -> Result<BlockOutput, BlockError<StateError>>,
) -> Result<BlockOutput, BlockError<StateError>> {
    let header = &block.header;
    validate_header(spec, parent, header)?;
    let fork = spec.fork_at(header.number, header.timestamp);
    let senders = recover_senders(block, fork).map_err(|(index, error)| {
        let hash = block.body.transactions.get(index).map(|tx| *tx.tx_hash()).unwrap_or_default();
        BlockError::Transaction { index, hash, error: Box::new(error) }
    })?;
    let mut roots = |changes: &Changes| state.root_after(changes);
    let mut output = execute(&senders, &state.latest(), &mut roots)?;
    output.verify(header)?;
    let staged = state.stage(output.changes.clone()).map_err(BlockError::State)?;
    if staged.root() != header.state_root {
        let (header, executed) = (format!("{:?}", header.state_root), format!("{:?}", staged.root()));
        return Err(Mismatch { field: "stateRoot", header, executed }.into());
    }
    output.header.state_root = staged.root();
    state.commit(header.number, header.hash_slow(), staged).map_err(BlockError::State)?;
    Ok(output)
}
