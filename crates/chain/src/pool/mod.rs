//! The transaction pool: what waits for a block, by sender and nonce.
//!
//! A transaction is *pending* when every nonce between the account's and its own waits too, else *queued*. A block takes pending
//! transactions by effective tip, each sender's in nonce order; equal tips by arrival ([`Order`] may say: all by arrival).
//!
//! Invariant: `by_hash`, `by_price` and the senders' maps hold the same transactions; the bounds of [`PoolConfig`] hold
//! after every call. What it does not do: it reads no state by itself (callers bring the sender's account) and never gossips.

mod rules;
mod transaction;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};

pub use rules::{GAS_CAP, PoolRules, SenderState, intrinsic_gas};
pub use transaction::{MAX_BLOB_TRANSACTION_BYTES, MAX_TRANSACTION_BYTES, PoolTransaction, decode_batch};

use crate::error::ChainError;

/// Bounds of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Transactions in all.
    pub max_transactions: usize,
    /// Transactions of one sender.
    pub max_per_sender: usize,
    /// How far a nonce may be ahead of its account's.
    pub max_nonce_gap: u64,
    /// Encoded bytes in all, blobs not counted.
    pub max_bytes: usize,
    /// Blob transactions in all; each may hold a megabyte.
    pub max_blob_transactions: usize,
    /// Which transactions a block takes first.
    pub order: Order,
}

/// Which transactions a block takes first; each sender's always in nonce order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that tip most, equal ones by arrival.
    #[default]
    Fees,
    /// Those that came first.
    Arrival,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_transactions: 65_536,
            max_per_sender: 16_384,
            max_nonce_gap: 16_384,
            max_bytes: 256 * 1024 * 1024,
            max_blob_transactions: 256,
            order: Order::Fees,
        }
    }
}

#[derive(Debug, Default)]
struct Sender {
    /// Next nonce of the account at the head.
    nonce: u64,
    waiting: BTreeMap<u64, Arc<Entry>>,
    /// Σ cost of `waiting`, in wei, modulo 2^256.
    cost: U256,
}

impl Sender {
    /// The nonce after the run that starts at the account's.
    fn next_nonce(&self) -> u64 {
        let run = self.waiting.keys().filter(|nonce| **nonce >= self.nonce);
        self.nonce + run.zip(self.nonce..).take_while(|(nonce, expected)| *nonce == expected).count() as u64
    }

    /// What the transactions below `nonce` may cost, in wei.
    fn cost_before(&self, nonce: u64) -> U256 {
        if self.waiting.last_key_value().is_none_or(|(last, _)| *last < nonce) {
            return self.cost;
        }
        self.waiting.range(..nonce).fold(U256::ZERO, |sum, (_, entry)| sum.saturating_add(entry.transaction.cost()))
    }
}

#[derive(Debug)]
struct Entry {
    transaction: Arc<PoolTransaction>,
    arrival: u64,
}

impl Entry {
    /// Place in the eviction order: the lowest fee cap goes first, among equals the newest.
    fn price(&self) -> (u128, core::cmp::Reverse<u64>, B256) {
        (self.transaction.max_fee(), core::cmp::Reverse(self.arrival), self.transaction.hash)
    }
}

/// How many wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Executable now.
    pub pending: usize,
    /// Behind a nonce gap.
    pub queued: usize,
}

/// All waiting transactions of one kind, by sender and nonce.
pub type Waiting = BTreeMap<Address, BTreeMap<u64, Arc<PoolTransaction>>>;

/// The pool.
#[derive(Debug, Default)]
pub struct Pool {
    config: PoolConfig,
    senders: HashMap<Address, Sender>,
    by_hash: HashMap<B256, Arc<Entry>>,
    by_price: BTreeSet<(u128, core::cmp::Reverse<u64>, B256)>,
    /// Senders whose next nonce waits.
    runnable: HashSet<Address>,
    bytes: usize,
    blobs: usize,
    arrivals: u64,
    evicted: u64,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Adds `transaction`, whose sender's account at the head is `account`.
    ///
    /// # Errors
    /// The rule or the bound that it breaks; the pool is unchanged then.
    pub fn add(
        &mut self,
        transaction: PoolTransaction,
        rules: &PoolRules,
        account: SenderState,
    ) -> Result<Arc<PoolTransaction>, ChainError> {
        if self.by_hash.contains_key(&transaction.hash) {
            return Err(ChainError::AlreadyKnown(transaction.hash));
        }
        rules.check(&transaction)?;
        let nonce = transaction.nonce();
        let sender = self.senders.get(&transaction.sender);
        // Everything below this nonce must be paid as well before this one can run.
        let before = sender.map_or(U256::ZERO, |sender| sender.cost_before(nonce));
        PoolRules::check_sender(&transaction, account, before)?;
        if nonce - account.nonce > self.config.max_nonce_gap {
            return Err(ChainError::NonceTooHigh { next: account.nonce, nonce, gap: self.config.max_nonce_gap });
        }
        let replaced = sender.and_then(|sender| sender.waiting.get(&nonce)).map(|entry| Arc::clone(&entry.transaction));
        if let Some(old) = &replaced {
            check_replacement(old, &transaction)?;
        } else if sender.map_or(0, |sender| sender.waiting.len()) >= self.config.max_per_sender {
            return Err(ChainError::AccountLimit { address: transaction.sender, limit: self.config.max_per_sender });
        }
        self.make_room(&transaction, replaced.as_deref())?;
        if let Some(old) = replaced {
            self.remove(&old.hash);
        }
        Ok(self.insert(transaction, account.nonce))
    }

    fn insert(&mut self, transaction: PoolTransaction, account_nonce: u64) -> Arc<PoolTransaction> {
        self.arrivals += 1;
        let transaction = Arc::new(transaction);
        let entry = Arc::new(Entry { transaction: Arc::clone(&transaction), arrival: self.arrivals });
        self.bytes += transaction.size;
        self.blobs += usize::from(transaction.sidecar.is_some());
        self.by_price.insert(entry.price());
        self.by_hash.insert(transaction.hash, Arc::clone(&entry));
        let sender = self.senders.entry(transaction.sender).or_default();
        sender.nonce = account_nonce;
        sender.cost = sender.cost.wrapping_add(transaction.cost());
        sender.waiting.insert(transaction.nonce(), entry);
        self.note_runnable(transaction.sender);
        transaction
    }

    /// Evicts what is cheaper than `new` until it fits.
    fn make_room(&mut self, new: &PoolTransaction, replaced: Option<&PoolTransaction>) -> Result<(), ChainError> {
        let blob = new.sidecar.is_some();
        let freed_blob = replaced.is_some_and(|old| old.sidecar.is_some());
        if blob && !freed_blob && self.blobs >= self.config.max_blob_transactions {
            return Err(ChainError::Blob(format!("{} blob transactions wait already", self.blobs)));
        }
        if replaced.is_some() {
            return Ok(());
        }
        while self.by_hash.len() >= self.config.max_transactions || self.bytes + new.size > self.config.max_bytes {
            let Some((cheapest, _, hash)) = self.by_price.first().copied() else { break };
            if cheapest >= new.max_fee() {
                return Err(ChainError::Underpriced { cheapest, max_fee: new.max_fee() });
            }
            self.remove(&hash);
            self.evicted += 1;
        }
        Ok(())
    }

    /// Takes a transaction out; what follows it in nonce order stays, queued.
    pub fn remove(&mut self, hash: &B256) -> Option<Arc<PoolTransaction>> {
        let entry = self.by_hash.remove(hash)?;
        self.by_price.remove(&entry.price());
        self.bytes -= entry.transaction.size;
        self.blobs -= usize::from(entry.transaction.sidecar.is_some());
        let address = entry.transaction.sender;
        if let Some(sender) = self.senders.get_mut(&address) {
            sender.waiting.remove(&entry.transaction.nonce());
            sender.cost = sender.cost.wrapping_sub(entry.transaction.cost());
        }
        self.note_runnable(address);
        Some(Arc::clone(&entry.transaction))
    }

    /// Takes all transactions of `address` out and says how many there were.
    pub fn remove_sender(&mut self, address: Address) -> usize {
        let waiting = self.senders.get(&address).into_iter().flat_map(|sender| sender.waiting.values());
        let hashes: Vec<B256> = waiting.map(|entry| entry.transaction.hash).collect();
        hashes.iter().filter(|hash| self.remove(hash).is_some()).count()
    }

    /// Which transactions a block takes first.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.config.order
    }

    /// Tells the pool the account's next nonce after a block; used nonces leave the pool.
    pub fn advance(&mut self, address: Address, nonce: u64) {
        let Some(sender) = self.senders.get_mut(&address) else { return };
        sender.nonce = nonce;
        let used: Vec<B256> = sender.waiting.range(..nonce).map(|(_, entry)| entry.transaction.hash).collect();
        for hash in used {
            self.remove(&hash);
        }
        self.note_runnable(address);
    }

    fn note_runnable(&mut self, address: Address) {
        let Some(sender) = self.senders.get(&address) else { return };
        if sender.waiting.is_empty() {
            self.senders.remove(&address);
            self.runnable.remove(&address);
        } else if sender.waiting.contains_key(&sender.nonce) {
            self.runnable.insert(address);
        } else {
            self.runnable.remove(&address);
        }
    }

    /// Empties the pool.
    pub fn clear(&mut self) {
        let kept = Self { config: self.config, evicted: self.evicted, arrivals: self.arrivals, ..Self::default() };
        *self = kept;
    }

    /// The transactions for a block of this base fee, best first.
    #[must_use]
    pub fn best(&self, base_fee: u64) -> Best {
        self.best_after(base_fee, |_| None)
    }

    /// As [`Self::best`], where `nonce` knows of some senders that all before it of theirs is in a block.
    #[must_use]
    pub fn best_after(&self, base_fee: u64, nonce: impl Fn(&Address) -> Option<u64>) -> Best {
        let mut best = Best { base_fee, order: self.config.order, heap: BinaryHeap::new(), chains: HashMap::new() };
        // Made in one step: a heap that grows by what is rare first moves most of what comes after.
        let mut firsts = Vec::with_capacity(self.runnable.len());
        for address in &self.runnable {
            let Some(sender) = self.senders.get(address) else { continue };
            let first = nonce(address).unwrap_or(sender.nonce);
            let run = sender.waiting.range(first..).zip(first..);
            let mut run = run.take_while(|((nonce, _), expected)| *nonce == expected).map(|((_, entry), _)| entry);
            firsts.extend(run.next().and_then(|entry| best.candidate(entry)));
            // Most senders have one.
            if let Some(second) = run.next() {
                let rest: Vec<Arc<Entry>> = core::iter::once(second).chain(run).map(Arc::clone).collect();
                best.chains.insert(*address, rest.into_iter());
            }
        }
        best.heap = firsts.into();
        best
    }

    /// Whether a block of this base fee would take anything.
    #[must_use]
    pub fn has_ready(&self, base_fee: u64) -> bool {
        self.runnable.iter().any(|address| {
            self.senders
                .get(address)
                .and_then(|sender| sender.waiting.get(&sender.nonce))
                .is_some_and(|entry| entry.transaction.effective_tip(base_fee).is_some())
        })
    }

    /// The transaction with this hash.
    #[must_use]
    pub fn get(&self, hash: &B256) -> Option<Arc<PoolTransaction>> {
        self.by_hash.get(hash).map(|entry| Arc::clone(&entry.transaction))
    }

    /// The nonce after the pending transactions of `address`; `None` when it has none here.
    #[must_use]
    pub fn next_nonce(&self, address: Address) -> Option<u64> {
        let sender = self.senders.get(&address)?;
        Some(sender.next_nonce())
    }

    /// For each transaction whether it is pending; `None` for one that does not wait here.
    #[must_use]
    pub fn standing(&self, hashes: &[B256]) -> Vec<Option<bool>> {
        let mut next: HashMap<Address, u64> = HashMap::new();
        let of = |hash: &B256| {
            let transaction = &self.by_hash.get(hash)?.transaction;
            let sender = transaction.sender;
            let next = *next.entry(sender).or_insert_with(|| self.next_nonce(sender).unwrap_or(0));
            Some(transaction.nonce() < next)
        };
        hashes.iter().map(of).collect()
    }

    /// Bytes that wait, blobs not counted.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Pending and queued transactions.
    #[must_use]
    pub fn content(&self) -> (Waiting, Waiting) {
        let (mut pending, mut queued) = (Waiting::new(), Waiting::new());
        for (address, sender) in &self.senders {
            let next = sender.next_nonce();
            for (nonce, entry) in &sender.waiting {
                let side = if *nonce < next { &mut pending } else { &mut queued };
                side.entry(*address).or_default().insert(*nonce, Arc::clone(&entry.transaction));
            }
        }
        (pending, queued)
    }

    /// How many wait.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let pending = self.senders.values().map(|sender| sender.waiting.range(..sender.next_nonce()).count()).sum();
        PoolStatus { pending, queued: self.by_hash.len() - pending }
    }

    /// Transactions that wait, of either kind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Transactions that left for better paying ones since the start.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// Both fees must rise by a tenth, and a blob fee with them.
fn check_replacement(old: &PoolTransaction, new: &PoolTransaction) -> Result<(), ChainError> {
    use alloy_consensus::Transaction;
    let enough = |old: u128, new: u128| new >= old.saturating_add(old.div_ceil(10)).max(old.saturating_add(1));
    let blob = |tx: &PoolTransaction| tx.envelope.max_fee_per_blob_gas().unwrap_or(0);
    let blobs_rise = blob(old) == 0 || enough(blob(old), blob(new));
    if enough(old.max_fee(), new.max_fee()) && enough(old.max_tip(), new.max_tip()) && blobs_rise {
        return Ok(());
    }
    Err(ChainError::ReplacementUnderpriced(old.hash))
}

/// Pending transactions by effective tip, each sender's in nonce order.
#[derive(Debug)]
pub struct Best {
    base_fee: u64,
    order: Order,
    heap: BinaryHeap<Candidate>,
    chains: HashMap<Address, std::vec::IntoIter<Arc<Entry>>>,
}

#[derive(Debug)]
struct Candidate {
    rank: (u128, core::cmp::Reverse<u64>),
    transaction: Arc<PoolTransaction>,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl Best {
    /// These and no others, in the order given, whatever their senders' nonces.
    pub(crate) fn given(transactions: Vec<Arc<PoolTransaction>>) -> Self {
        let ranks = (0..).map(|arrival| (0, core::cmp::Reverse(arrival)));
        let heap = ranks.zip(transactions).map(|(rank, transaction)| Candidate { rank, transaction }).collect();
        Self { base_fee: 0, order: Order::Arrival, heap, chains: HashMap::new() }
    }

    fn push_next(&mut self, address: Address) {
        let next = self.chains.get_mut(&address).and_then(Iterator::next);
        self.heap.extend(next.and_then(|entry| self.candidate(&entry)));
    }

    /// A sender's next transaction; none below the base fee: it and all after it wait.
    fn candidate(&self, entry: &Entry) -> Option<Candidate> {
        let tip = entry.transaction.effective_tip(self.base_fee)?;
        let tip = if self.order == Order::Arrival { 0 } else { tip };
        Some(Candidate { rank: (tip, core::cmp::Reverse(entry.arrival)), transaction: Arc::clone(&entry.transaction) })
    }

    /// The best that is left, and not yet its successor: call [`Self::accept`] or [`Self::skip`] next.
    pub fn pop(&mut self) -> Option<Arc<PoolTransaction>> {
        self.heap.pop().map(|candidate| candidate.transaction)
    }

    /// The transaction entered the block: its sender's next one becomes a candidate.
    pub fn accept(&mut self, transaction: &PoolTransaction) {
        self.push_next(transaction.sender);
    }

    /// The transaction did not fit: nothing of its sender enters this block any more.
    pub fn skip(&mut self, transaction: &PoolTransaction) {
        self.chains.remove(&transaction.sender);
    }
}
