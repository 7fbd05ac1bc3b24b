//! A chain that goes on after a block of another one.
//!
//! Invariant: such a chain follows one block of one remote, until a reset pins another; its rules and chain id never change. What is
//! refused changed nothing.
//! Source: Hardhat (`hardhat_reset` with `forking`), Anvil (`anvil_reset`).
//! What it does not do: it holds no transactions of the other chain; `interlace_rpc` asks the remote for them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::{Address, KECCAK256_EMPTY, U256, keccak256};
use interlace_primitives::{ChainSpec, Fork};
use interlace_state::{Base, MemoryState, Snapshot, StateError};
use interlace_stf::{Account, Changes, StateReader, system_contracts};

use crate::chain::{Chain, genesis_block, lock};
use crate::dump::Replacement;
use crate::error::ChainError;
use crate::fork_cache::CachedBase;
use crate::genesis::GenesisBlock;
use crate::remote::RemoteChain;
use crate::store::{Slot, Store};

/// What to go on after, and how.
#[derive(Clone)]
pub struct ForkPoint {
    /// Where the other chain answers JSON-RPC. It may hold a key and is never shown.
    pub url: String,
    /// Its block; without it, its newest one.
    pub block: Option<u64>,
    /// Rules, instead of the remote's.
    pub rules: Option<Fork>,
    /// Accounts and the wei that they get by hand.
    pub balances: Vec<(Address, U256)>,
    /// Folder in which what was read is kept, where `block` is given.
    pub cache: Option<PathBuf>,
}

impl fmt::Debug for ForkPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("ForkPoint");
        shown.field("block", &self.block).field("rules", &self.rules).field("cache", &self.cache);
        shown.finish_non_exhaustive()
    }
}

/// Where a chain was forked from.
#[derive(Clone, Debug)]
pub struct Forked {
    pub(crate) point: ForkPoint,
    pub(crate) remote: Arc<RemoteChain>,
}

impl GenesisBlock {
    /// A chain that goes on after a block of another one, with some balances set by hand. Mainnet keeps its own rules unless others are
    /// named; any other chain follows those named or the newest ones from the start.
    ///
    /// System contracts that the rules need and the remote does not have are put in place. A cache that cannot be used is done
    /// without, with a warning.
    ///
    /// # Errors
    /// [`ChainError::Remote`] when the remote is none, has no such block, or does not answer for an account that is changed.
    pub fn forked(point: ForkPoint) -> Result<Self, ChainError> {
        let remote = Arc::new(RemoteChain::connect(&point.url, point.block).map_err(ChainError::Remote)?);
        let header = remote.header().clone();
        let spec = match (point.rules, remote.chain_id()) {
            (None, 1) => ChainSpec::mainnet(),
            (rules, chain_id) => ChainSpec::dev(chain_id, rules.unwrap_or(Fork::Osaka)),
        };
        let mut base: Arc<dyn Base> = Arc::<RemoteChain>::clone(&remote);
        if let Some(folder) = point.cache.as_ref().filter(|_| point.block.is_some()) {
            match CachedBase::open(Arc::clone(&base), folder, (remote.chain_id(), header.number, remote.hash())) {
                Ok(cached) => base = Arc::new(cached),
                Err(error) => tracing::warn!(%error, "what the fork reads is not kept on disk"),
            }
        }
        let state = MemoryState::forked(header.number, remote.hash(), base);
        let view = state.latest();
        let mut changes = Changes::default();
        for (address, code) in system_contracts(spec.fork_at(header.number + 1, header.timestamp)) {
            let account = account_of(&view, address)?;
            if account.code_hash == KECCAK256_EMPTY {
                let code_hash = keccak256(&code);
                changes.codes.insert(code_hash, code);
                changes.accounts.entry(address).or_default().info = Some(Account { nonce: 1, code_hash, ..account });
            }
        }
        for (address, wei) in &point.balances {
            let account = account_of(&view, *address)?;
            changes.accounts.entry(*address).or_default().info = Some(Account { balance: *wei, ..account });
        }
        state.amend(changes)?;
        Ok(Self { spec, header, state, document: None, forked: Some(Forked { point, remote }) })
    }
}

/// The account at `address`; what fails is the remote.
fn account_of(view: &Snapshot, address: Address) -> Result<Account, ChainError> {
    match view.account(address) {
        Ok(account) => Ok(account.unwrap_or_default()),
        Err(StateError::Remote(cause)) => Err(ChainError::Remote(cause)),
        Err(error) => Err(error.into()),
    }
}

impl Chain {
    /// On a chain that goes on after another one's block: the other chain.
    #[must_use]
    pub fn remote(&self) -> Option<Arc<RemoteChain>> {
        let forked = self.controls.forked.as_ref()?;
        Some(Arc::clone(&lock(forked).remote))
    }

    /// Begins anew after another block of the chain that this one is a fork of: `block`, or its newest one, as `url` tells it, or who
    /// told it before. Clock, settings and what waits are as after [`Self::reset`].
    ///
    /// # Errors
    /// `Developer` on a network, on a chain that is no fork, and for a chain with another id; `Remote` when that one cannot be used.
    pub fn refork(&self, url: Option<String>, block: Option<u64>) -> Result<(), ChainError> {
        let developer = self.developer()?;
        let no_fork = || ChainError::Developer("this chain is no fork; begin another with the chain to fork".into());
        let forked = self.controls.forked.as_ref().ok_or_else(no_fork)?;
        let before = lock(forked).point.clone();
        let point = ForkPoint { url: url.unwrap_or_else(|| before.url.clone()), block, ..before };
        let begun = GenesisBlock::forked(point)?;
        if begun.spec != self.spec {
            return Err(ChainError::Developer(format!(
                "the chain to fork has id {}, this one has id {}: begin another chain for it",
                begun.spec.chain_id(),
                self.spec.chain_id()
            )));
        }
        // What the first block of its own reads is read now, when a remote that fails still changes nothing.
        self.rehearse(begun.header.clone(), begun.state.latest(), &[Vec::new()])?;
        let origin = begun.state.latest();
        let first = Slot { block: Arc::new(genesis_block(begun.header.clone())), state: origin.clone() };
        let store = Store::new(first);
        let alone = self.produce_alone();
        self.replace(&alone, Replacement { store, state: begun.state, origin, amendments: Vec::new() }, || {
            developer.reset_at(begun.header.timestamp);
            if let Some(next) = begun.forked {
                *lock(forked) = next;
            }
        });
        self.produce_in(&alone)?;
        self.controls.renew_instance();
        Ok(())
    }
}
