//! What a developer changes by hand: snapshots, accounts, the pool's rules, and taking blocks back.
//!
//! Invariant: each control asks for a developer's orderer first and works under the production lock; what is refused changed nothing.
//! Taking blocks back restores state, pool rules, base fee and, for snapshots, clock and settings, and drops what waits.
//! Edits of accounts change the newest state without a block; they are journalled, so that a dump can make them again.
//! Sources: Hardhat, Anvil and Ganache, whose tools call these.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use interlace_primitives::Fork;
use interlace_primitives::fees::{MAX_GAS_LIMIT, MIN_GAS_LIMIT};
use interlace_state::Snapshot;
use interlace_stf::{Account, AccountChange, Attributes, BlockBuilder, Changes, EvmError, Overlay, StateReader};

use crate::chain::{Chain, Event, lock};
use crate::dev::{DevMark, DevOrderer};
use crate::error::ChainError;
use crate::fork::Forked;
use crate::news::{Reverted, Reverts};
use crate::pool::{Order, PoolTransaction};
use crate::production::Building;

/// Snapshots that a developer may hold.
pub const MAX_SNAPSHOTS: usize = 4_096;
/// Blocks that one reorganisation may replace.
pub const MAX_REORG: u64 = 1_024;
/// Transactions that one reorganisation may bring.
pub const MAX_REORG_TRANSACTIONS: usize = 16_384;

/// What is to be true of an account; what is `None` or not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountEdit {
    /// Balance in wei.
    pub balance_wei: Option<U256>,
    /// Next nonce.
    pub nonce: Option<u64>,
    /// Code; empty is none.
    pub code: Option<Bytes>,
    /// Slots with their values.
    pub storage: BTreeMap<U256, U256>,
}

/// A transaction of a reorganisation.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The transaction.
    pub transaction: PoolTransaction,
    /// Index of its block among the new ones.
    pub block: u64,
}

/// An edit of the state after block `number`.
#[derive(Clone, Debug)]
pub(crate) struct Amendment {
    pub(crate) number: u64,
    pub(crate) changes: Changes,
}

#[derive(Clone, Debug)]
struct Mark {
    state: Snapshot,
    settings: DevMark,
    /// How many amendments there were.
    amendments: usize,
}

/// What a chain keeps for its developer.
#[derive(Debug)]
pub(crate) struct Controls {
    snapshots: Mutex<Vec<Mark>>,
    /// Every edit since genesis that still holds, oldest first; grows with the state that they made.
    pub(crate) amendments: Mutex<Vec<Amendment>>,
    pub(crate) reverts: Reverts,
    /// State of the first block before any edit.
    pub(crate) origin: Mutex<Snapshot>,
    /// The genesis document, where there is one.
    pub(crate) document: Option<String>,
    /// Where the chain was forked from, if it was.
    pub(crate) forked: Option<Mutex<Forked>>,
    /// Counts reorganisations, so that no block comes back under the hash that was removed.
    reorganisations: Mutex<u64>,
    /// Tells this chain from others and from itself before a reset.
    instance: Mutex<B256>,
}

impl Controls {
    pub(crate) fn new(document: Option<String>, forked: Option<Forked>, origin: Snapshot) -> Self {
        Self {
            snapshots: Mutex::default(),
            amendments: Mutex::default(),
            reverts: Reverts::default(),
            origin: Mutex::new(origin),
            document,
            forked: forked.map(Mutex::new),
            reorganisations: Mutex::default(),
            instance: Mutex::new(instance()),
        }
    }

    pub(crate) fn forget_snapshots(&self) {
        lock(&self.snapshots).clear();
    }

    pub(crate) fn renew_instance(&self) {
        *lock(&self.instance) = instance();
    }
}

impl Chain {
    /// The developer's controls.
    ///
    /// # Errors
    /// `Developer` on a chain whose order is not a developer's.
    pub fn developer(&self) -> Result<&DevOrderer, ChainError> {
        self.orderer.developer().ok_or_else(|| ChainError::Developer("this is no developer chain".into()))
    }

    // ---- snapshots and taking blocks back

    /// Remembers the present block, state, clock and settings, and returns a number to come back by.
    ///
    /// # Errors
    /// `Developer` on a network, `Bound` above [`MAX_SNAPSHOTS`].
    pub fn snapshot(&self) -> Result<u64, ChainError> {
        let settings = self.developer()?.mark();
        let _alone = self.produce_alone();
        let mut snapshots = lock(&self.controls.snapshots);
        if snapshots.len() >= MAX_SNAPSHOTS {
            return Err(ChainError::Bound(format!("{MAX_SNAPSHOTS} snapshots are held; revert to one of them")));
        }
        let amendments = lock(&self.controls.amendments).len();
        snapshots.push(Mark { state: self.store().head().state.clone(), settings, amendments });
        Ok(snapshots.len() as u64)
    }

    /// The snapshots that are held: number, block, its hash.
    #[must_use]
    pub fn snapshots(&self) -> Vec<(u64, u64, B256)> {
        let snapshots = lock(&self.controls.snapshots);
        (1..).zip(snapshots.iter()).map(|(id, mark)| (id, mark.state.number(), mark.state.hash())).collect()
    }

    /// Goes back to a snapshot, which is used up with all later ones; false when there is no such snapshot.
    /// Transactions that wait are dropped.
    ///
    /// # Errors
    /// `Developer` on a network, `State` if the snapshot's state is gone; nothing changed then.
    pub fn revert(&self, snapshot: u64) -> Result<bool, ChainError> {
        let developer = self.developer()?;
        let alone = self.produce_alone();
        let index = usize::try_from(snapshot).unwrap_or(usize::MAX).wrapping_sub(1);
        let Some(mark) = lock(&self.controls.snapshots).get(index).cloned() else { return Ok(false) };
        self.rewind(&alone, &mark.state, mark.amendments, false, || developer.restore(mark.settings))?;
        lock(&self.controls.snapshots).truncate(index);
        Ok(true)
    }

    /// Drops the newest `depth` blocks, and the snapshots taken on them. Clock and settings stay.
    ///
    /// # Errors
    /// `Developer` on a network and for more blocks than there are.
    pub fn rollback(&self, depth: u64) -> Result<(), ChainError> {
        self.developer()?;
        let alone = self.produce_alone();
        let number = self.below(depth, "rollback")?;
        self.rewind_to(&alone, number, false)
    }

    /// Replaces the newest `depth` blocks by as many with the given transactions and no others.
    ///
    /// The new blocks are tried before the old ones go. Their hashes differ from those of the old ones even where they are empty:
    /// their extra data numbers the reorganisation.
    ///
    /// # Errors
    /// `Developer` on a network, for more blocks than there are, for a transaction of a block outside them and for one that cannot
    /// run, which is named; `Bound` above [`MAX_REORG`] blocks. Nothing changed then.
    pub fn reorg(&self, depth: u64, transactions: &[Replay]) -> Result<(), ChainError> {
        self.developer()?;
        if depth > MAX_REORG || transactions.len() > MAX_REORG_TRANSACTIONS {
            let asked = format!("{depth} blocks with {} transactions", transactions.len());
            return Err(ChainError::Bound(format!(
                "a reorganisation of {asked}; at most {MAX_REORG} and {MAX_REORG_TRANSACTIONS}"
            )));
        }
        if let Some(outside) = transactions.iter().find(|replay| replay.block >= depth) {
            return Err(ChainError::Developer(format!(
                "block {} of a transaction is not below the depth {depth} of the reorganisation",
                outside.block
            )));
        }
        let alone = self.produce_alone();
        let number = self.below(depth, "reorg")?;
        if depth == 0 {
            return Ok(());
        }
        let mut blocks = vec![Vec::new(); usize::try_from(depth).unwrap_or_default()];
        for replay in transactions {
            if let Some(block) = usize::try_from(replay.block).ok().and_then(|index| blocks.get_mut(index)) {
                block.push(Arc::new(replay.transaction.clone()));
            }
        }
        let unknown = || ChainError::Unknown(format!("no block {number}"));
        let common = self.block(number).ok_or_else(unknown)?.header.clone();
        self.rehearse(common, self.state_at(number).ok_or_else(unknown)?, &blocks)?;
        let serial = {
            let mut count = lock(&self.controls.reorganisations);
            *count += 1;
            *count
        };
        self.rewind_to(&alone, number, true)?;
        for transactions in blocks {
            self.produce_exactly(&alone, transactions, format!("reorganisation {serial}").into_bytes().into())?;
        }
        Ok(())
    }

    /// Goes back to genesis, edits of it undone, with everything as it was at the start; snapshots are dropped.
    ///
    /// # Errors
    /// `Developer` on a network.
    pub fn reset(&self) -> Result<(), ChainError> {
        let developer = self.developer()?;
        let alone = self.produce_alone();
        let origin = lock(&self.controls.origin).clone();
        self.rewind(&alone, &origin, 0, false, || developer.reset())?;
        if self.forked_at().is_some() {
            self.produce_in(&alone)?; // As at the start: the newest block of a fork is one of its own.
        }
        self.controls.forget_snapshots();
        self.controls.renew_instance();
        Ok(())
    }

    /// A value that is another one for each chain and after each reset.
    #[must_use]
    pub fn instance(&self) -> B256 {
        *lock(&self.controls.instance)
    }

    /// Number of the block that is left when `depth` are dropped.
    fn below(&self, depth: u64, what: &str) -> Result<u64, ChainError> {
        let (head, first) = (self.head().number(), self.first_number());
        head.checked_sub(depth).filter(|number| *number >= first).ok_or_else(|| {
            ChainError::Developer(format!("{what} of {depth} blocks: the chain has {} above its first", head - first))
        })
    }

    fn rewind_to(&self, alone: &Building<'_>, number: u64, reorganised: bool) -> Result<(), ChainError> {
        let unknown = || ChainError::Unknown(format!("no block {number}"));
        let state = self.state_at(number).ok_or_else(unknown)?;
        let amendments = lock(&self.controls.amendments).iter().filter(|edit| edit.number <= number).count();
        self.rewind(alone, &state, amendments, reorganised, || ())?;
        lock(&self.controls.snapshots).retain(|mark| mark.state.number() <= number);
        Ok(())
    }

    /// Makes `state` and its block the newest; `settle` restores settings, on which the pool's rules depend.
    fn rewind(
        &self,
        _alone: &Building<'_>,
        state: &Snapshot,
        amendments: usize,
        reorganised: bool,
        settle: impl FnOnce(),
    ) -> Result<(), ChainError> {
        let number = state.number();
        // What can fail is done before anything is written down.
        let back = self.state().stage_back(state)?;
        self.record_back(number, amendments)?;
        let event = {
            let mut waitroom = self.waitroom();
            let mut store = self.store_mut();
            back.map(|back| self.state().go_back(back)).transpose()?;
            settle();
            self.developer()?.unsettle(number);
            let removed = store.truncate(number);
            store.head_mut().state = state.clone();
            let head = Arc::clone(&store.head().block);
            lock(&self.controls.amendments).truncate(amendments);
            waitroom.pool.clear();
            waitroom.renew(self, &head.header);
            let event = Arc::new(Reverted::new(head, removed, reorganised));
            self.controls.reverts.push(Arc::clone(&event));
            event
        };
        self.metrics().reverts.inc();
        self.metrics().pool.set(0);
        self.metrics().head.set(i64::try_from(number).unwrap_or(i64::MAX));
        self.publish(Event::Reverted(event));
        Ok(())
    }

    /// Runs blocks on `parent` and the state after it, `below`, and keeps nothing.
    pub(crate) fn rehearse(
        &self,
        mut parent: Header,
        below: Snapshot,
        blocks: &[Vec<Arc<PoolTransaction>>],
    ) -> Result<(), ChainError> {
        let mut state = Layers { overlay: Overlay::new(below.clone()), below };
        for transactions in blocks {
            let plan = self.orderer.preview(&parent)?;
            let attributes = Attributes {
                timestamp: plan.timestamp,
                beneficiary: plan.beneficiary,
                gas_limit: plan.gas_limit,
                prev_randao: plan.prev_randao,
                base_fee_wei: plan.base_fee_wei,
                ..Attributes::default()
            };
            let invalid = |reason: String| ChainError::Block { number: parent.number + 1, reason };
            let mut builder = BlockBuilder::new(&self.spec, &parent, attributes, &state)
                .map_err(|error| invalid(error.to_string()))?;
            for transaction in transactions {
                match builder.push(&transaction.envelope, transaction.sender) {
                    Ok(_) => {}
                    Err(EvmError::State(error)) => return Err(error.into()),
                    Err(error) => {
                        let (hash, number) = (transaction.hash, parent.number + 1);
                        return Err(ChainError::Developer(format!("transaction {hash} in block {number}: {error}")));
                    }
                }
            }
            let output = builder.finish().map_err(|error| invalid(error.to_string()))?;
            if !output.receipts_root_known {
                return Err(invalid("blocks before Byzantium are imported, not built".into()));
            }
            parent = output.header;
            state.overlay.apply(output.changes);
        }
        Ok(())
    }

    // ---- accounts

    /// Edits an account between blocks: `latest` shows it at once, the next block's root commits to it. `edit` gets the account as
    /// it is.
    ///
    /// # Errors
    /// `Developer` on a network, what `edit` refuses, `State`.
    pub fn amend(
        &self,
        address: Address,
        edit: impl FnOnce(&Account) -> Result<AccountEdit, ChainError>,
    ) -> Result<(), ChainError> {
        self.developer()?;
        let alone = self.produce_alone();
        let (_, state) = self.head_with_state();
        let before = state.account(address)?.unwrap_or_default();
        let changes = changes_of([(address, before, edit(&before)?)]);
        self.put(&alone, changes)
    }

    /// Sets the balance of an account between blocks.
    ///
    /// # Errors
    /// As [`Self::amend`].
    pub fn set_balance(&self, address: Address, wei: U256) -> Result<(), ChainError> {
        self.amend(address, |_| Ok(AccountEdit { balance_wei: Some(wei), ..AccountEdit::default() }))
    }

    fn put(&self, _alone: &Building<'_>, changes: Changes) -> Result<(), ChainError> {
        let nonces: Vec<(Address, u64)> =
            changes.accounts.iter().map(|(at, change)| (*at, change.info.map_or(0, |info| info.nonce))).collect();
        self.record_edit(&changes)?;
        let mut waitroom = self.waitroom();
        let mut store = self.store_mut();
        let number = store.head().block.number();
        let state = self.state().amend(changes.clone())?;
        store.head_mut().state = state;
        lock(&self.controls.amendments).push(Amendment { number, changes });
        for (address, nonce) in nonces {
            waitroom.pool.advance(address, nonce);
        }
        Ok(())
    }

    // ---- rules of the next blocks

    /// Sets the base fee of the next block in wei.
    ///
    /// # Errors
    /// `Developer` on a network and before London.
    pub fn set_next_base_fee(&self, wei: u64) -> Result<(), ChainError> {
        let developer = self.developer()?;
        if self.before_london() {
            return Err(ChainError::Developer("a block has a base fee from London on; this chain is before it".into()));
        }
        self.rule(|| developer.set_next_base_fee(wei));
        Ok(())
    }

    /// Sets the gas limit of all following blocks.
    ///
    /// # Errors
    /// `Developer` on a network and outside of what a header may say.
    pub fn set_gas_limit(&self, gas: u64) -> Result<(), ChainError> {
        let developer = self.developer()?;
        if !(MIN_GAS_LIMIT..=MAX_GAS_LIMIT).contains(&gas) {
            return Err(ChainError::Developer(format!(
                "a block's gas limit of {gas} is not between {MIN_GAS_LIMIT} and {MAX_GAS_LIMIT}"
            )));
        }
        self.rule(|| developer.set_gas_limit(gas));
        Ok(())
    }

    /// Sets the least gas price that the pool takes.
    ///
    /// # Errors
    /// `Developer` on a network and from London on, where the base fee is the least price.
    pub fn set_min_gas_price(&self, wei: u128) -> Result<(), ChainError> {
        let developer = self.developer()?;
        if !self.before_london() {
            return Err(ChainError::Developer(
                "from London on the base fee is the least gas price; set that of the next block instead".into(),
            ));
        }
        self.rule(|| developer.set_min_gas_price(wei));
        Ok(())
    }

    fn before_london(&self) -> bool {
        let head = self.head();
        !self.spec.is_active(Fork::London, head.number().saturating_add(1), head.header.timestamp.saturating_add(1))
    }

    /// Changes a setting and the pool's rules with it.
    fn rule(&self, set: impl FnOnce()) {
        let _alone = self.produce_alone();
        let mut waitroom = self.waitroom();
        set();
        let head = self.head();
        waitroom.renew(self, &head.header);
    }

    // ---- pool

    /// Drops everything that waits.
    ///
    /// # Errors
    /// `Developer` on a network.
    pub fn clear_pool(&self) -> Result<(), ChainError> {
        self.developer()?;
        self.waitroom().pool.clear();
        self.metrics().pool.set(0);
        Ok(())
    }

    /// Drops one transaction that waits; false when it does not.
    ///
    /// # Errors
    /// `Developer` on a network.
    pub fn drop_transaction(&self, hash: &B256) -> Result<bool, ChainError> {
        self.developer()?;
        Ok(self.waitroom().pool.remove(hash).is_some())
    }

    /// Drops what waits of `address` and says how many transactions that were.
    ///
    /// # Errors
    /// `Developer` on a network.
    pub fn drop_sender(&self, address: Address) -> Result<usize, ChainError> {
        self.developer()?;
        Ok(self.waitroom().pool.remove_sender(address))
    }

    /// Which transactions a block takes first.
    #[must_use]
    pub fn order(&self) -> Order {
        self.waitroom().pool.order()
    }
}

/// Unlike every other one of this machine; it protects nothing.
fn instance() -> B256 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    keccak256(format!("{time} {} {count}", std::process::id()))
}

/// A state that grows by the blocks of a rehearsal; of those, no hash is known.
struct Layers {
    overlay: Overlay<Snapshot>,
    below: Snapshot,
}

impl StateReader for Layers {
    type Error = interlace_state::StateError;

    fn account(&self, address: Address) -> Result<Option<Account>, Self::Error> {
        self.overlay.account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        self.overlay.storage(address, slot)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, Self::Error> {
        self.overlay.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, Self::Error> {
        self.below.block_hash(number)
    }
}

/// What edits of accounts change in the state.
fn changes_of(edits: impl IntoIterator<Item = (Address, Account, AccountEdit)>) -> Changes {
    let mut changes = Changes::default();
    for (address, mut account, edit) in edits {
        account.balance = edit.balance_wei.unwrap_or(account.balance);
        account.nonce = edit.nonce.unwrap_or(account.nonce);
        if let Some(code) = edit.code {
            account.code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
            if !code.is_empty() {
                changes.codes.insert(account.code_hash, code);
            }
        }
        // An account that nothing is left of does not exist; one with storage does, although Ethereum knows no such account.
        let exists = !account.is_empty() || edit.storage.values().any(|value| !value.is_zero());
        let change = AccountChange { info: exists.then_some(account), wiped: false, storage: edit.storage };
        changes.accounts.insert(address, change);
    }
    changes
}
