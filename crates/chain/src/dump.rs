//! A developer's chain as a file: what is needed to make every block, receipt and state of it again, and nothing that follows from it.
//!
//! ```text
//! 8 bytes   "ILCHAIN" and a zero
//! 4 bytes   version, big-endian: 1
//! 32 bytes  keccak-256 of all that follows
//! the rest  zlib of an RLP list:
//!             the genesis document (JSON text)
//!             the blocks after genesis, oldest first, each as its RLP
//!             the edits by hand, oldest first: [number of the block they were made on,
//!               [[address, [[nonce, balance, code hash]] or [], wiped, [[slot, value] ...]] ...], [code ...]]
//! ```
//! Invariant: loading executes every block again and compares its header's hashes and state root, so that receipts, logs and every
//! state follow from blocks and edits; senders are recovered from signatures, or read from stand-ins for them. A chain changes only
//! after all of a dump held. Decoding never panics and never unpacks more than [`MAX_DUMP_BYTES`].
//! What it does not do: clock, settings, snapshots, impersonation and what waits are not in it. Other nodes' dumps are refused.

use std::io::{Read, Write};
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use interlace_state::{MemoryState, Snapshot};
use interlace_stf::{Block, Changes, decode_block, recover_sender, run, unsigned_sender};
use rayon::prelude::*;

use crate::chain::{Chain, Event, genesis_block, lock};
use crate::controls::Amendment;
use crate::delta::{self, AccountDelta};
use crate::error::ChainError;
use crate::genesis::GenesisBlock;
use crate::import::stored;
use crate::news::Reverted;
use crate::production::Building;
use crate::store::{Slot, Store, StoredBlock};

/// Bytes that a dump may have unpacked.
pub const MAX_DUMP_BYTES: u64 = 1 << 30;
const MAGIC: &[u8; 8] = b"ILCHAIN\0";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 8 + 4 + 32;

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct Contents {
    document: String,
    blocks: Vec<Bytes>,
    edits: Vec<Edit>,
}

#[derive(Debug, RlpEncodable, RlpDecodable)]
struct Edit {
    number: u64,
    accounts: Vec<AccountDelta>,
    codes: Vec<Bytes>,
}

fn bad(detail: impl core::fmt::Display) -> ChainError {
    ChainError::Dump(format!("no dump of this chain: {detail}"))
}

impl From<&Amendment> for Edit {
    fn from(amendment: &Amendment) -> Self {
        let (accounts, codes) = delta::split(&amendment.changes);
        Self { number: amendment.number, accounts, codes }
    }
}

impl From<Edit> for Amendment {
    fn from(edit: Edit) -> Self {
        Self { number: edit.number, changes: delta::join(edit.accounts, edit.codes) }
    }
}

impl Contents {
    fn pack(&self) -> Result<Vec<u8>, ChainError> {
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
        let packed = packer.write_all(&alloy_rlp::encode(self)).and_then(|()| packer.finish());
        let packed = packed.map_err(|error| ChainError::Dump(format!("the dump cannot be packed: {error}")))?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + packed.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(keccak256(&packed).as_slice());
        bytes.extend_from_slice(&packed);
        Ok(bytes)
    }

    fn unpack(bytes: &[u8]) -> Result<Self, ChainError> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            let foreign = bytes.starts_with(&[0x1f, 0x8b]) || bytes.trim_ascii_start().starts_with(b"{");
            return Err(bad(if foreign {
                "it looks like one of anvil's, which are not supported; its accounts can be set by hand"
            } else {
                "it does not begin with ILCHAIN"
            }));
        };
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(|| bad("it is cut off"))?;
        let version = u32::from_be_bytes(*version);
        if version != VERSION {
            return Err(bad(format!("its version is {version}, this program reads version {VERSION}")));
        }
        let (hash, packed) = rest.split_first_chunk::<32>().ok_or_else(|| bad("it is cut off"))?;
        if keccak256(packed) != B256::from(hash) {
            return Err(bad("its contents do not have the hash that it states: it is damaged"));
        }
        let mut rlp = Vec::new();
        let mut unpacker = ZlibDecoder::new(packed);
        let unpacked = unpacker.by_ref().take(MAX_DUMP_BYTES + 1).read_to_end(&mut rlp);
        unpacked.map_err(|error| bad(format!("it cannot be unpacked: {error}")))?;
        if rlp.len() as u64 > MAX_DUMP_BYTES {
            return Err(bad(format!("it has more than {MAX_DUMP_BYTES} bytes")));
        }
        if unpacker.total_in() != packed.len() as u64 {
            return Err(bad("something follows its contents"));
        }
        let mut rest = rlp.as_slice();
        let contents = Self::decode(&mut rest).map_err(|error| bad(format!("rlp: {error}")))?;
        if !rest.is_empty() {
            return Err(bad(format!("{} bytes too many", rest.len())));
        }
        if !contents.edits.iter().flat_map(|edit| &edit.accounts).all(AccountDelta::is_single) {
            return Err(bad("an edit gives an account twice"));
        }
        if !contents.edits.is_sorted_by_key(|edit| edit.number) {
            return Err(bad("its edits are not in order"));
        }
        if let Some(edit) = contents.edits.last().filter(|edit| edit.number > contents.blocks.len() as u64) {
            return Err(bad(format!("an edit of block {}, which it does not hold", edit.number)));
        }
        Ok(contents)
    }
}

/// The genesis document in a dump, to start a chain from that the dump can be loaded into.
///
/// # Errors
/// [`ChainError::Dump`] when `dump` is none.
pub fn genesis_of_dump(dump: &[u8]) -> Result<String, ChainError> {
    Contents::unpack(dump).map(|contents| contents.document)
}

/// A chain to be put in another one's place.
pub(crate) struct Replacement {
    pub(crate) store: Store,
    pub(crate) state: MemoryState,
    pub(crate) origin: Snapshot,
    pub(crate) amendments: Vec<Amendment>,
}

impl Chain {
    /// The whole chain as bytes; see the head of this file.
    ///
    /// # Errors
    /// `Developer` on a network, `Dump` where no genesis document begins the chain.
    pub fn dump(&self) -> Result<Vec<u8>, ChainError> {
        self.developer()?;
        let no_document =
            || ChainError::Dump("this chain begins with no genesis document, so it cannot be dumped".into());
        let document = self.controls.document.clone().ok_or_else(no_document)?;
        let (blocks, edits) = {
            let _alone = self.produce_alone();
            let store = self.store();
            let blocks: Vec<Arc<StoredBlock>> = store.blocks().skip(1).cloned().collect();
            let edits = lock(&self.controls.amendments).iter().map(Edit::from).collect();
            (blocks, edits)
        };
        let blocks = blocks.par_iter().map(|block| alloy_rlp::encode(block.to_consensus()).into()).collect();
        Contents { document, blocks, edits }.pack()
    }

    /// Puts the chain of a dump in this one's place. It must have the same genesis.
    ///
    /// Snapshots and what waits are dropped, clock and settings stay. Subscribers learn of the old blocks' logs as removed and of the
    /// new head.
    ///
    /// # Errors
    /// `Developer` on a network, `Dump` with what does not hold; nothing changed then.
    pub fn load(&self, dump: &[u8]) -> Result<(), ChainError> {
        self.developer()?;
        if self.forked_at().is_some() {
            return Err(bad("this chain goes on after another one's block, which no dump holds"));
        }
        let rebuilt = self.rebuild(Contents::unpack(dump)?)?;
        let alone = self.produce_alone();
        self.record_load(dump)?;
        self.replace(&alone, rebuilt, || ());
        Ok(())
    }

    /// Loads a dump that was loaded before.
    pub(crate) fn load_in(&self, alone: &Building<'_>, dump: &[u8]) -> Result<(), ChainError> {
        let rebuilt = self.rebuild(Contents::unpack(dump)?)?;
        self.replace(alone, rebuilt, || ());
        Ok(())
    }

    /// Puts another chain of the same rules in this one's place; `settle` changes settings, on which the pool's rules depend.
    pub(crate) fn replace(&self, _alone: &Building<'_>, by: Replacement, settle: impl FnOnce()) {
        let Replacement { store, state, origin, amendments } = by;
        let head = Arc::clone(&store.head().block);
        let event = {
            let mut waitroom = self.waitroom();
            let mut current = self.store_mut();
            let before = core::mem::replace(&mut *current, store);
            self.replace_state(state);
            settle();
            *lock(&self.controls.origin) = origin;
            *lock(&self.controls.amendments) = amendments;
            self.controls.forget_snapshots();
            waitroom.pool.clear();
            waitroom.renew(self, &head.header);
            let removed = before.blocks().skip(1).cloned().collect();
            // Read again from genesis on: what both chains have in common is told of as removed and as new.
            let first = current.blocks().next().map_or_else(|| Arc::clone(&head), Arc::clone);
            self.controls.reverts.push(Arc::new(Reverted::new(first, removed, true)));
            let removed = before.blocks().skip(1).cloned().collect();
            Arc::new(Reverted::new(Arc::clone(&head), removed, false))
        };
        self.metrics().pool.set(0);
        self.metrics().head.set(i64::try_from(head.number()).unwrap_or(i64::MAX));
        self.publish(Event::Reverted(event));
    }

    fn rebuild(&self, contents: Contents) -> Result<Replacement, ChainError> {
        let genesis = GenesisBlock::from_json(&contents.document).map_err(|error| bad(format!("genesis: {error}")))?;
        let ours = self.block(self.first_number()).map(|block| block.hash);
        let first = genesis_block(genesis.header);
        // A genesis hash does not commit to the chain id, nor to forks to come.
        if ours != Some(first.hash) || genesis.spec.chain_id() != self.spec.chain_id() {
            let (chain_id, hash) = (genesis.spec.chain_id(), first.hash);
            return Err(bad(format!(
                "it is of a chain with id {chain_id} and genesis {hash}, this one has id {} and genesis {}",
                self.spec.chain_id(),
                ours.unwrap_or_default()
            )));
        }
        if genesis.spec != self.spec {
            return Err(bad("its chain follows other forks from the same genesis on"));
        }
        let blocks = contents.blocks.par_iter().map(|rlp| self.read_block(rlp)).collect::<Result<Vec<_>, _>>()?;
        let amendments: Vec<Amendment> = contents.edits.into_iter().map(Amendment::from).collect();
        let state = genesis.state;
        let origin = state.latest();
        let mut store = Store::new(Slot { block: Arc::new(first), state: origin.clone() });
        let mut edits = amendments.iter().peekable();
        for next in blocks.into_iter().map(Some).chain([None]) {
            let parent = store.head().block.number();
            while let Some(edit) = edits.next_if(|edit| edit.number == parent) {
                check_codes(&edit.changes, store.head())?;
                store.head_mut().state = state.amend(edit.changes.clone())?;
            }
            let Some((block, senders)) = next else { break };
            let slot = self.replay(&state, store.head(), block, senders)?;
            store.push(slot);
        }
        Ok(Replacement { store, state, origin, amendments })
    }

    fn read_block(&self, rlp: &[u8]) -> Result<(Block, Vec<Address>), ChainError> {
        let block = decode_block(rlp).map_err(|reason| bad(format!("a block: {reason}")))?;
        let fork = self.spec.fork_at(block.header.number, block.header.timestamp);
        let sender = |tx| unsigned_sender(tx).map_or_else(|| recover_sender(tx, fork), Ok);
        let senders = block.body.transactions.iter().map(sender).collect::<Result<_, _>>();
        let senders = senders.map_err(|error| bad(format!("block {}: {error}", block.header.number)))?;
        Ok((block, senders))
    }

    /// Executes a block of a dump on the state after `parent`. A developer chooses base fee and gas limit, so only what follows from
    /// execution is compared, and that it follows its parent.
    fn replay(
        &self,
        state: &MemoryState,
        parent: &Slot,
        block: Block,
        senders: Vec<Address>,
    ) -> Result<Slot, ChainError> {
        let header = block.header.clone();
        let number = header.number;
        let wrong = |reason: String| bad(format!("block {number}: {reason}"));
        if header.parent_hash != parent.block.hash || number != parent.block.number() + 1 {
            return Err(wrong(format!("it does not follow block {}", parent.block.number())));
        }
        self.orderer.verify(&parent.block.header, &header).map_err(|error| wrong(error.to_string()))?;
        let output =
            run(&self.spec, &block, &senders, &parent.state, None).map_err(|error| wrong(error.to_string()))?;
        output.verify(&header).map_err(|error| wrong(error.to_string()))?;
        let mut kept = stored(block, senders, &output);
        let staged = state.stage(output.changes)?;
        if staged.root() != header.state_root {
            return Err(wrong(format!("state root is {}, its header says {}", staged.root(), header.state_root)));
        }
        kept.hash = header.hash_slow();
        kept.size = kept.to_consensus().length();
        let state = state.commit(number, kept.hash, staged)?;
        Ok(Slot { block: Arc::new(kept), state })
    }
}

/// An edit brings every code that it names, or the state below has it.
fn check_codes(changes: &Changes, below: &Slot) -> Result<(), ChainError> {
    use interlace_stf::StateReader;
    for (address, change) in &changes.accounts {
        let Some(hash) = change.info.map(|info| info.code_hash) else { continue };
        if !changes.codes.contains_key(&hash) && below.state.code(hash).is_err() {
            return Err(bad(format!("an edit of {address} names code {hash}, which nothing brings")));
        }
    }
    Ok(())
}
