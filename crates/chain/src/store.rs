//! Committed blocks by number and hash, transactions by hash.
//!
//! Invariant: one chain: block `n + 1` names block `n` as its parent; the indexes name exactly what `blocks` holds. Finding a
//! transaction and its receipt costs the same in a block of one and of ten thousand. All of it is in memory; `journal` restores it.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_consensus::{BlockBody, Header, ReceiptEnvelope, Transaction};
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256};
use interlace_state::Snapshot;
use interlace_stf::Transaction as Envelope;

/// A transaction's receipt with what is derived from its place in the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReceipt {
    /// What the receipts root commits to.
    pub envelope: ReceiptEnvelope,
    /// Gas of this transaction alone.
    pub gas_used: u64,
    /// Contract that a creation made.
    pub created: Option<Address>,
    /// Index in the block of its first log.
    pub first_log: u64,
    /// Whether it may have written to the console.
    pub console: bool,
}

/// A committed block with everything derived from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Header.
    pub header: Header,
    /// Its hash.
    pub hash: B256,
    /// Transactions, without blobs.
    pub transactions: Vec<Envelope>,
    /// Who signed each.
    pub senders: Vec<Address>,
    /// What each did.
    pub receipts: Vec<StoredReceipt>,
    /// Uncles, on chains before the merge.
    pub ommers: Vec<Header>,
    /// Withdrawals, since Shanghai.
    pub withdrawals: Option<Withdrawals>,
    /// Length of its RLP in bytes.
    pub size: usize,
}

impl StoredBlock {
    /// Number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.header.number
    }

    /// The block as its RLP holds it.
    #[must_use]
    pub fn to_consensus(&self) -> interlace_stf::Block {
        let body = BlockBody {
            transactions: self.transactions.clone(),
            ommers: self.ommers.clone(),
            withdrawals: self.withdrawals.clone(),
        };
        interlace_stf::Block { header: self.header.clone(), body }
    }

    /// What transaction `index` paid per gas, in wei.
    #[must_use]
    pub fn gas_price(&self, index: usize) -> u128 {
        self.transactions.get(index).map_or(0, |tx| tx.effective_gas_price(self.header.base_fee_per_gas))
    }
}

/// A committed block and the state after it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) block: Arc<StoredBlock>,
    pub(crate) state: Snapshot,
}

/// The blocks of a chain.
#[derive(Debug, Default)]
pub(crate) struct Store {
    slots: Vec<Slot>,
    first: u64,
    numbers: HashMap<B256, u64>,
    places: HashMap<B256, (u64, usize)>,
}

impl Store {
    pub(crate) fn new(genesis: Slot) -> Self {
        let mut store = Self { first: genesis.block.number(), ..Self::default() };
        store.push(genesis);
        store
    }

    pub(crate) fn push(&mut self, slot: Slot) {
        let number = slot.block.number();
        self.numbers.insert(slot.block.hash, number);
        for (index, transaction) in slot.block.transactions.iter().enumerate() {
            self.places.insert(*transaction.tx_hash(), (number, index));
        }
        self.slots.push(slot);
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The newest block; a store is never empty.
    pub(crate) fn head(&self) -> &Slot {
        &self.slots[self.slots.len() - 1]
    }

    pub(crate) fn head_mut(&mut self) -> &mut Slot {
        let last = self.slots.len() - 1;
        &mut self.slots[last]
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub(crate) fn number_of(&self, hash: &B256) -> Option<u64> {
        self.numbers.get(hash).copied()
    }

    pub(crate) fn place_of(&self, transaction: &B256) -> Option<(u64, usize)> {
        self.places.get(transaction).copied()
    }

    /// Drops every block after `number` and gives them, oldest first.
    pub(crate) fn truncate(&mut self, number: u64) -> Vec<Arc<StoredBlock>> {
        let mut removed = Vec::new();
        while self.slots.len() > 1 && self.head().block.number() > number {
            let Some(slot) = self.slots.pop() else { break };
            self.numbers.remove(&slot.block.hash);
            for transaction in &slot.block.transactions {
                self.places.remove(transaction.tx_hash());
            }
            removed.push(slot.block);
        }
        removed.reverse();
        removed
    }

    pub(crate) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    /// All blocks, oldest first.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Arc<StoredBlock>> {
        self.slots.iter().map(|slot| &slot.block)
    }
}
