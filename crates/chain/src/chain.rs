//! The chain: head, pool and state held together, and everything that changes them.
//!
//! Invariant: blocks are committed one at a time, as `production` says; readers never wait for that. A reader learns of a block only
//! through `store`, after its state, receipts and indexes are complete. Lock order: production, pool, store, state, controls.
//! With a log (`journal`), a block is durable before any reader learns of it; without one, a stopped chain is gone.
//! What it does not do: networking, any decision on order or time ([`Orderer`]), and
//! what a developer changes by hand (`controls`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY};
use alloy_rlp::Encodable;
use interlace_primitives::fees::next_base_fee;
use interlace_primitives::{ChainSpec, Fork};
use interlace_state::log::Log;
use interlace_state::{MemoryState, Snapshot, StateError};
use interlace_stf::{Account, StateReader};
use tokio::sync::broadcast;

use crate::api::{Finality, Orderer};
use crate::controls::Controls;
use crate::dev::{DevOrderer, Mining};
use crate::engine::Engine;
use crate::error::ChainError;
use crate::genesis::GenesisBlock;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::news::Reverted;
use crate::pool::{Pool, PoolConfig, PoolRules, PoolStatus, PoolTransaction, SenderState, Waiting};
use crate::production::{Building, Production};
use crate::recent::Recent;
use crate::store::{Slot, Store, StoredBlock};

/// Events that a subscriber may lag behind before it misses some.
pub const EVENT_CAPACITY: usize = 1_024;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block was committed.
    Block(Arc<StoredBlock>),
    /// Transactions were admitted to the pool.
    Pending(Arc<[B256]>),
    /// The developer took blocks back.
    Reverted(Arc<Reverted>),
}

/// The pool with the rules of the moment.
#[derive(Debug)]
pub(crate) struct Waitroom {
    pub(crate) pool: Pool,
    pub(crate) rules: PoolRules,
    pub(crate) base_fee: u64,
}

/// A chain.
#[derive(Debug)]
pub struct Chain {
    pub(crate) spec: ChainSpec,
    pub(crate) orderer: Box<dyn Orderer>,
    pub(crate) engine: Engine,
    /// Replaced as a whole when a dump is loaded; under `production`.
    state: RwLock<MemoryState>,
    store: RwLock<Store>,
    waitroom: Mutex<Waitroom>,
    pub(crate) production: Production,
    events: broadcast::Sender<Event>,
    metrics: Metrics,
    pub(crate) controls: Controls,
    recent: Mutex<Recent>,
    /// Where everything that changes the chain is written first.
    pub(crate) log: Option<Arc<Log>>,
    /// Who writes checkpoints, where there is a log.
    pub(crate) keeper: Option<Keeper>,
}

impl Waitroom {
    /// The rules for what follows `head`.
    pub(crate) fn renew(&mut self, chain: &Chain, head: &Header) {
        (self.rules, self.base_fee) = room_after(&chain.spec, chain.orderer.as_ref(), head);
    }
}

/// What a lock protects is changed in steps that cannot panic half way, so a poisoned lock is taken over.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chain {
    /// A chain that starts at `genesis`.
    #[must_use]
    pub fn new(genesis: GenesisBlock, orderer: Box<dyn Orderer>, pool: PoolConfig) -> Self {
        let GenesisBlock { spec, header, state, document, forked } = genesis;
        let (rules, base_fee) = room_after(&spec, orderer.as_ref(), &header);
        let controls = Controls::new(document, forked, state.latest());
        let block = genesis_block(header);
        let slot = Slot { block: Arc::new(block), state: state.latest() };
        Self {
            spec,
            orderer,
            engine: Engine::default(),
            state: RwLock::new(state),
            store: RwLock::new(Store::new(slot)),
            waitroom: Mutex::new(Waitroom { pool: Pool::new(pool), rules, base_fee }),
            production: Production::default(),
            events: broadcast::channel(EVENT_CAPACITY).0,
            metrics: Metrics::default(),
            controls,
            recent: Mutex::default(),
            log: None,
            keeper: None,
        }
    }

    pub(crate) fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn store_mut(&self) -> RwLockWriteGuard<'_, Store> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state; clones share it.
    pub(crate) fn state(&self) -> MemoryState {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace_state(&self, state: MemoryState) {
        let before = self.state();
        state.keep(before.kept());
        state.codes().choose(before.codes().chosen());
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(crate) fn waitroom(&self) -> MutexGuard<'_, Waitroom> {
        lock(&self.waitroom)
    }

    pub(crate) fn produce_alone(&self) -> Building<'_> {
        self.production.alone()
    }

    /// Rules of the chain.
    #[must_use]
    pub const fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// Counters.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// All counters and sizes as text for a Prometheus server.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let state = self.state();
        self.metrics.sized(state.sizes(), state.tiers());
        self.metrics.translated(state.codes().stats());
        self.metrics.programs(state.codes().program_stats());
        self.metrics.text()
    }

    /// Events from now on; the receiver learns how many it missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(crate) fn publish(&self, event: Event) {
        // No subscriber is no error.
        let _ = self.events.send(event);
    }

    // ---- blocks

    /// The newest block.
    #[must_use]
    pub fn head(&self) -> Arc<StoredBlock> {
        Arc::clone(&self.store().head().block)
    }

    /// The newest block and a reader of the state after it, of the same moment.
    #[must_use]
    pub fn head_with_state(&self) -> (Arc<StoredBlock>, Snapshot) {
        let store = self.store();
        let head = store.head();
        (Arc::clone(&head.block), head.state.clone())
    }

    /// Number of the first block.
    #[must_use]
    pub fn first_number(&self) -> u64 {
        self.store().first()
    }

    /// On a chain that goes on after another one's block: the number of that block.
    #[must_use]
    pub fn forked_at(&self) -> Option<u64> {
        self.state().is_partial().then(|| self.first_number())
    }

    /// Number of the first block whose transactions are held: the one after the block of another chain, on a fork.
    #[must_use]
    pub fn first_own_number(&self) -> u64 {
        self.forked_at().map_or_else(|| self.first_number(), |number| number + 1)
    }

    /// Block `number`.
    #[must_use]
    pub fn block(&self, number: u64) -> Option<Arc<StoredBlock>> {
        self.store().get(number).map(|slot| Arc::clone(&slot.block))
    }

    /// Number of the block with this hash.
    #[must_use]
    pub fn number_of(&self, hash: &B256) -> Option<u64> {
        self.store().number_of(hash)
    }

    /// Block and index of a transaction.
    #[must_use]
    pub fn transaction(&self, hash: &B256) -> Option<(Arc<StoredBlock>, usize)> {
        let store = self.store();
        let (number, index) = store.place_of(hash)?;
        Some((Arc::clone(&store.get(number)?.block), index))
    }

    /// A reader of the state after block `number`.
    #[must_use]
    pub fn state_at(&self, number: u64) -> Option<Snapshot> {
        self.store().get(number).map(|slot| slot.state.clone())
    }

    /// How far the chain is settled.
    #[must_use]
    pub fn finality(&self) -> Finality {
        self.orderer.finality(self.head().number())
    }

    /// Base fee of the next block in wei; zero before London.
    #[must_use]
    pub fn next_base_fee(&self) -> u64 {
        self.waitroom().base_fee
    }

    /// Gas limit of the next block.
    #[must_use]
    pub fn next_gas_limit(&self) -> u64 {
        self.waitroom().rules.block_gas_limit
    }

    /// Base fee of a block after `header`, in wei.
    #[must_use]
    pub fn base_fee_after(&self, header: &Header) -> u64 {
        base_fee_after(&self.spec, header)
    }

    /// Blob base fee of a block after `header`, in wei; zero before Cancun.
    #[must_use]
    pub fn blob_fee_after(&self, header: &Header) -> u128 {
        let Some(params) = self.spec.blob_params_at(header.number + 1, header.timestamp) else { return 0 };
        let excess = params.next_excess_blob_gas(
            header.excess_blob_gas.unwrap_or(0),
            header.blob_gas_used.unwrap_or(0),
            header.base_fee_per_gas.unwrap_or(0),
        );
        params.blob_fee(excess)
    }

    /// Makes a block visible whose `state` is committed; `nonces` are those of the accounts that it changed.
    pub(crate) fn commit(&self, block: StoredBlock, state: Snapshot, nonces: &[(Address, u64)]) -> Arc<StoredBlock> {
        let block = Arc::new(block);
        {
            let mut waitroom = self.waitroom();
            for (address, nonce) in nonces {
                waitroom.pool.advance(*address, *nonce);
            }
            waitroom.renew(self, &block.header);
            self.metrics.pool.set(i64::try_from(waitroom.pool.len()).unwrap_or(i64::MAX));
            self.store_mut().push(Slot { block: Arc::clone(&block), state });
        }
        self.orderer.finalised(block.number(), block.hash);
        self.metrics.head.set(i64::try_from(block.number()).unwrap_or(i64::MAX));
        self.metrics.blocks.inc();
        self.metrics.transactions.inc_by(block.transactions.len() as u64);
        self.metrics.gas.inc_by(block.header.gas_used);
        self.publish(Event::Block(Arc::clone(&block)));
        self.consider_checkpoint();
        block
    }

    // ---- pool

    /// Admits transactions, each on its own; admitted ones wait until [`Self::settle`] or the next block.
    pub fn submit(&self, transactions: Vec<Result<PoolTransaction, ChainError>>) -> Vec<Result<B256, ChainError>> {
        let mut admitted = Vec::new();
        let mut outcomes = Vec::with_capacity(transactions.len());
        {
            let mut waitroom = self.waitroom();
            // Under the lock: a commit moves pool and head together, so the accounts read here are the pool's.
            let (_, state) = self.head_with_state();
            // Where a transaction is mined on arrival, one that cannot be is refused instead of keeping its sender waiting.
            let least_fee = if self.mines_instantly() { waitroom.base_fee } else { 0 };
            for transaction in transactions {
                let outcome =
                    transaction.and_then(|transaction| self.admit(&mut waitroom, &state, transaction, least_fee));
                match &outcome {
                    Ok(hash) => {
                        admitted.push(*hash);
                        lock(&self.recent).push(*hash);
                    }
                    Err(_) => {
                        self.metrics.pool_refused.inc();
                    }
                }
                outcomes.push(outcome);
            }
            self.metrics.pool.set(i64::try_from(waitroom.pool.len()).unwrap_or(i64::MAX));
        }
        if !admitted.is_empty() {
            self.publish(Event::Pending(admitted.into()));
        }
        outcomes
    }

    fn admit(
        &self,
        room: &mut Waitroom,
        state: &Snapshot,
        tx: PoolTransaction,
        least_fee: u64,
    ) -> Result<B256, ChainError> {
        let account = state.account(tx.sender)?.unwrap_or_default();
        let sender =
            SenderState { nonce: account.nonce, balance: account.balance, has_code: has_own_code(state, &account)? };
        // A transaction that is in a block is known, not too low.
        if tx_is_committed(&self.store(), &tx) {
            return Err(ChainError::AlreadyKnown(tx.hash));
        }
        if tx.max_fee() < u128::from(least_fee) {
            return Err(ChainError::FeeCapTooLow { address: tx.sender, max_fee: tx.max_fee(), base_fee: least_fee });
        }
        Ok(room.pool.add(tx, &room.rules, sender)?.hash)
    }

    /// A transaction that waits.
    #[must_use]
    pub fn waiting(&self, hash: &B256) -> Option<Arc<PoolTransaction>> {
        self.waitroom().pool.get(hash)
    }

    /// Transactions that were admitted since an earlier call answered this number, and the number for the next call. `None` asks for the
    /// number alone.
    #[must_use]
    pub fn admitted_since(&self, number: Option<u64>) -> (Vec<B256>, u64) {
        let recent = lock(&self.recent);
        (number.map_or_else(Vec::new, |number| recent.since(number)), recent.next())
    }

    /// For each transaction whether it is pending, or only waits behind a gap; `None` for one that does not wait.
    #[must_use]
    pub fn standing(&self, hashes: &[B256]) -> Vec<Option<bool>> {
        self.waitroom().pool.standing(hashes)
    }

    /// Bytes and number of the transactions that wait, blobs not counted.
    #[must_use]
    pub fn pool_size(&self) -> (usize, usize) {
        let waitroom = self.waitroom();
        (waitroom.pool.bytes(), waitroom.pool.len())
    }

    /// The nonce after all pending transactions of `address`.
    ///
    /// # Errors
    /// `State`.
    pub fn pending_nonce(&self, address: Address) -> Result<u64, ChainError> {
        if let Some(nonce) = self.waitroom().pool.next_nonce(address) {
            return Ok(nonce);
        }
        let (_, state) = self.head_with_state();
        Ok(state.account(address)?.map_or(0, |account| account.nonce))
    }

    /// How many wait.
    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        self.waitroom().pool.status()
    }

    /// Everything that waits: pending and queued.
    #[must_use]
    pub fn pool_content(&self) -> (Waiting, Waiting) {
        self.waitroom().pool.content()
    }

    /// On a chain that mines instantly: makes blocks until nothing is ready. Callers that arrive together share blocks.
    ///
    /// # Errors
    /// What making a block refuses.
    pub fn settle(&self) -> Result<(), ChainError> {
        let instant = self.mines_instantly();
        while instant && self.has_ready() {
            let alone = self.produce_alone();
            // Whoever held the lock before may have mined what was ready.
            if self.has_ready() && self.produce_in(&alone)?.transactions.is_empty() {
                return Ok(()); // Nothing that waits fits; the next change of the head decides again.
            }
        }
        Ok(())
    }

    fn mines_instantly(&self) -> bool {
        self.orderer.developer().is_some_and(|developer| developer.mining() == Mining::Instant)
    }

    fn has_ready(&self) -> bool {
        let waitroom = self.waitroom();
        waitroom.pool.has_ready(waitroom.base_fee)
    }
}

/// Code other than an EIP-7702 delegation.
fn has_own_code(state: &Snapshot, account: &Account) -> Result<bool, StateError> {
    if account.code_hash == KECCAK256_EMPTY {
        return Ok(false);
    }
    Ok(!state.code(account.code_hash)?.starts_with(&[0xef, 0x01, 0x00]))
}

fn tx_is_committed(store: &Store, tx: &PoolTransaction) -> bool {
    store.place_of(&tx.hash).is_some()
}

/// The block of a genesis header.
pub(crate) fn genesis_block(header: Header) -> StoredBlock {
    let hash = header.hash_slow();
    let withdrawals = header.withdrawals_root.map(|_| alloy_eips::eip4895::Withdrawals::default());
    let mut block = StoredBlock {
        header,
        hash,
        transactions: Vec::new(),
        senders: Vec::new(),
        receipts: Vec::new(),
        ommers: Vec::new(),
        withdrawals,
        size: 0,
    };
    block.size = block.to_consensus().length();
    block
}

/// Rules and base fee for the block after `head`, with what a developer chose for it.
fn room_after(spec: &ChainSpec, orderer: &dyn Orderer, head: &Header) -> (PoolRules, u64) {
    let mut rules = rules_after(spec, head);
    let mut base_fee = base_fee_after(spec, head);
    if let Some((chosen_fee, chosen_gas, min_gas_price)) = orderer.developer().map(DevOrderer::chosen) {
        rules.block_gas_limit = chosen_gas.unwrap_or(rules.block_gas_limit);
        rules.min_gas_price = min_gas_price;
        base_fee = chosen_fee.unwrap_or(base_fee);
    }
    (rules, base_fee)
}

/// The rules that a transaction of the block after `head` must satisfy. Its time is not known yet, so a fork that
/// begins exactly with that block is met one block late by the pool, never by execution.
fn rules_after(spec: &ChainSpec, head: &Header) -> PoolRules {
    let number = head.number.saturating_add(1);
    let timestamp = head.timestamp.saturating_add(1);
    let fork = spec.fork_at(number, timestamp);
    let max_blobs = spec.blob_params_at(number, timestamp).map_or(0, |blobs| blobs.max_per_transaction);
    PoolRules { chain_id: spec.chain_id(), block_gas_limit: head.gas_limit, fork, max_blobs, min_gas_price: 0 }
}

/// Base fee of the block after `head`, in wei.
pub(crate) fn base_fee_after(spec: &ChainSpec, head: &Header) -> u64 {
    match head.base_fee_per_gas {
        Some(fee) => next_base_fee(head.gas_used, head.gas_limit, fee),
        None if spec.is_active(Fork::London, head.number.saturating_add(1), head.timestamp) => 1_000_000_000,
        None => 0,
    }
}
