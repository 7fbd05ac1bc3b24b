//! How a chain comes back from its data directory: from a checkpoint and the log, or from the log alone.
//!
//! ```text
//! records that led to the checkpoint's state    blocks and edits are taken, states are not made
//! the checkpoint                                  the chain must be where it says
//! records behind it                               what blocks changed is made to the state, and roots are compared
//! ```
//! Invariant: no block is executed again, but for those of a dump. Every state root behind the checkpoint is compared with its block's header,
//! the checkpoint's with the manifest and the header; blocks before it must follow each other.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use interlace_state::MemoryState;
use interlace_state::checkpoint::Manifest;

use crate::chain::{Chain, lock};
use crate::controls::Amendment;
use crate::delta;
use crate::error::ChainError;
use crate::genesis::GenesisBlock;
use crate::journal::{BACK, BLOCK, BackEntry, BlockEntry, EDIT, EditEntry, LOAD, bad, decode};
use crate::store::{Slot, StoredBlock};

/// A chain on its way back.
#[derive(Debug)]
pub(crate) struct Restore {
    /// The checkpoint, until the records that led to it have been taken.
    ahead: Option<Manifest>,
    /// Whether the checkpoint's state has been loaded; else it is made from the log, and compared.
    loads: bool,
    /// Bytes of records behind the checkpoint.
    pub(crate) behind: u64,
    /// Whether there is a dump behind it.
    pub(crate) dumped: bool,
}

impl Restore {
    /// With `loads`, the state is that of `checkpoint`.
    pub(crate) fn new(checkpoint: Option<Manifest>, loads: bool) -> Self {
        Self { ahead: checkpoint, loads, behind: 0, dumped: false }
    }

    /// Takes record `number` of the log.
    pub(crate) fn take(&mut self, chain: &Chain, number: u64, record: &[u8]) -> Result<(), ChainError> {
        let Some((kind, rlp)) = record.split_first() else { return Err(bad("an empty record")) };
        if let Some(manifest) = self.ahead {
            if number >= manifest.mark {
                self.arrive(chain)?;
            } else if self.loads {
                return chain.restore_before(*kind, rlp);
            }
        }
        self.behind += record.len() as u64;
        self.dumped |= *kind == LOAD;
        let state = chain.state();
        state.logged(number + 1);
        chain.restore(&state, *kind, rlp)
    }

    /// All records that led to the checkpoint have been taken.
    pub(crate) fn arrive(&mut self, chain: &Chain) -> Result<(), ChainError> {
        let Some(manifest) = self.ahead.take() else { return Ok(()) };
        let Manifest { mark, block, edits, hash, root, .. } = manifest;
        let head = chain.head();
        let edited = lock(&chain.controls.amendments).iter().filter(|edit| edit.number == block).count() as u64;
        if (head.number(), head.hash, edited) != (block, hash, edits) {
            return Err(bad(format!(
                "after {mark} records it is at block {} ({}) with {edited} edits, the checkpoint at block {block} ({hash}) with {edits}",
                head.number(),
                head.hash
            )));
        }
        // An edited block's header does not tell the root of its state.
        let made = if self.loads { head.header.state_root } else { chain.state().root() };
        if made != root && !(self.loads && edits > 0) {
            return Err(bad(format!("the checkpoint's state root is {root}, that of the chain is {made} there")));
        }
        if self.loads { chain.stand_on(&manifest) } else { Ok(()) }
    }
}

impl Chain {
    /// Is the genesis of `document` again, and keeps all states.
    pub(crate) fn begin_again(&self, document: &str) -> Result<(), ChainError> {
        let GenesisBlock { state, .. } = GenesisBlock::from_json(document)?;
        let mut store = self.store_mut();
        let first = store.first();
        store.truncate(first);
        store.head_mut().state = state.latest();
        drop(store);
        *lock(&self.controls.origin) = state.latest();
        lock(&self.controls.amendments).clear();
        if let Some(developer) = self.orderer.developer() {
            developer.unsettle(0);
        }
        self.replace_state(state.clone());
        state.keep(None);
        Ok(())
    }

    /// Takes a record that led to the checkpoint.
    fn restore_before(&self, kind: u8, rlp: &[u8]) -> Result<(), ChainError> {
        match kind {
            BLOCK => {
                let (block, _, settled) = decode::<BlockEntry>(rlp)?.restore()?;
                self.follows(&block)?;
                // The checkpoint's, until it is known which version it is.
                let state = self.state().latest();
                self.take_block(Slot { block: Arc::new(block), state }, settled);
            }
            EDIT => {
                let EditEntry { accounts, codes } = decode(rlp)?;
                self.take_edit(delta::join(accounts, codes));
            }
            BACK => {
                let BackEntry { number, edits } = decode(rlp)?;
                let amendments = lock(&self.controls.amendments);
                let edited = amendments.iter().filter(|edit| edit.number == number).count() as u64;
                drop(amendments);
                if self.block(number).is_none() || edits > edited {
                    return Err(bad(format!("the chain went back to block {number}, which it does not have")));
                }
                self.take_back(number, usize::try_from(edits).unwrap_or_default());
            }
            LOAD => return Err(bad("a checkpoint of a chain that loaded a dump")),
            other => return Err(bad(format!("a record of kind {other}"))),
        }
        Ok(())
    }

    /// Gives every block the version of the checkpoint's state that is its own.
    fn stand_on(&self, manifest: &Manifest) -> Result<(), ChainError> {
        let state = self.state();
        let mut store = self.store_mut();
        let amendments = lock(&self.controls.amendments);
        let mut edits = amendments.iter().peekable();
        let mut earlier: Vec<(u64, B256, B256)> = Vec::new();
        for block in store.blocks() {
            let number = block.number();
            earlier.push((number, block.hash, block.header.state_root));
            // An edited block has as many more states; what their roots were is not in the log.
            while edits.next_if(|edit| edit.number == number).is_some() {
                earlier.push((number, block.hash, B256::ZERO));
            }
        }
        // The last one is the checkpoint's.
        earlier.pop();
        if earlier.len() as u64 != manifest.position {
            let (found, position) = (earlier.len(), manifest.position);
            return Err(bad(format!("{found} states led to the checkpoint's, which says that there were {position}")));
        }
        state.precede(earlier)?;
        for slot in store.slots_mut() {
            slot.state = state.at(slot.block.number())?;
        }
        *lock(&self.controls.origin) = state.at(store.first())?;
        Ok(())
    }

    /// Takes a record behind the checkpoint.
    fn restore(&self, state: &MemoryState, kind: u8, rlp: &[u8]) -> Result<(), ChainError> {
        match kind {
            BLOCK => {
                let (block, delta, settled) = decode::<BlockEntry>(rlp)?.restore()?;
                self.follows(&block)?;
                let number = block.number();
                let staged = state.stage(delta)?;
                if staged.root() != block.header.state_root {
                    let (root, stated) = (staged.root(), block.header.state_root);
                    let detail = format!("the state root after block {number} is {root}, its header says {stated}");
                    return Err(bad(detail));
                }
                let state = state.commit(number, block.hash, staged)?;
                self.take_block(Slot { block: Arc::new(block), state }, settled);
            }
            EDIT => {
                let EditEntry { accounts, codes } = decode(rlp)?;
                let changes = delta::join(accounts, codes);
                let edited = state.amend(changes.clone())?;
                self.take_edit(changes);
                self.store_mut().head_mut().state = edited;
            }
            BACK => {
                let BackEntry { number, edits } = decode(rlp)?;
                let unknown =
                    || bad(format!("the chain went back to block {number} with {edits} edits, which it does not have"));
                let edits = usize::try_from(edits).map_err(|_| unknown())?;
                let before = state.at_edit(number, edits).ok_or_else(unknown)?;
                state.restore(&before)?;
                self.take_back(number, edits);
                self.store_mut().head_mut().state = before;
            }
            LOAD => {
                let dump: Bytes = decode(rlp)?;
                self.load_in(&self.produce_alone(), &dump)?;
            }
            other => return Err(bad(format!("a record of kind {other}"))),
        }
        Ok(())
    }

    fn follows(&self, block: &StoredBlock) -> Result<(), ChainError> {
        let (head, number) = (self.head(), block.number());
        if block.header.parent_hash == head.hash && number == head.number() + 1 {
            return Ok(());
        }
        Err(bad(format!("block {number} does not follow block {}", head.number())))
    }

    fn take_block(&self, slot: Slot, settled: bool) {
        let number = slot.block.number();
        self.store_mut().push(slot);
        if let Some(developer) = self.orderer.developer().filter(|_| settled) {
            developer.settle(number);
        }
    }

    fn take_edit(&self, changes: interlace_stf::Changes) {
        let number = self.head().number();
        lock(&self.controls.amendments).push(Amendment { number, changes });
    }

    fn take_back(&self, number: u64, edits: usize) {
        self.store_mut().truncate(number);
        let mut amendments = lock(&self.controls.amendments);
        let kept = amendments.partition_point(|edit| edit.number < number) + edits;
        amendments.truncate(kept);
        drop(amendments);
        if let Some(developer) = self.orderer.developer() {
            developer.unsettle(number);
        }
    }
}
