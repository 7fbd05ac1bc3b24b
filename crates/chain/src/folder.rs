//! A data directory looked at from outside: what it holds, whether it holds together, and its checkpoint written anew.
//!
//! Invariant: [`stats`] and [`check`] change nothing; what a start would cut or rewrite stays in memory.
//! What it does not do: it starts no chain that others can use.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::B256;
use alloy_rlp::Decodable;
use interlace_state::StorageError;
use interlace_state::checkpoint::{CheckpointStats, Checkpoints, Manifest};
use interlace_state::log::{Durability, Log, MAX_FILE_BYTES};
use interlace_state::vfs::{Overlay, Vfs};

use crate::chain::Chain;
use crate::dev::{DevOrderer, Mining};
use crate::error::ChainError;
use crate::genesis::GenesisBlock;
use crate::journal::{BACK, BLOCK, BackEntry, DataDir, EDIT, LOAD, bad, decode};
use crate::pool::PoolConfig;

/// What takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accounts of a checkpoint are loaded.
    Load,
    /// Bytes of the log are read.
    Log,
    /// Accounts of a checkpoint, or blocks, are written.
    Write,
}

/// Told how much of how much is done of something; answers whether to go on.
pub type Progress<'a> = &'a (dyn Fn(Phase, u64, u64) -> bool + Sync);

/// What a data directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderStats {
    /// Hash of the genesis block.
    pub genesis: B256,
    /// Files of the log.
    pub log_files: u64,
    /// Their bytes.
    pub log_bytes: u64,
    /// Bytes at its end that a crash tore, and that a start will cut off.
    pub torn_bytes: u64,
    /// Records of blocks, those included that the chain went back from.
    pub blocks: u64,
    /// Records of edits by hand.
    pub edits: u64,
    /// Records of ways back.
    pub reverts: u64,
    /// Records of dumps that were loaded.
    pub loads: u64,
    /// Number of the newest block; none known after a dump, until a block follows.
    pub head: Option<u64>,
    /// The deepest way back, in blocks below the highest block that there had been: who keeps as many states can follow all ways back.
    pub deepest_revert: u64,
    /// The checkpoint that counts.
    pub checkpoint: Option<Manifest>,
    /// Bytes of its tables.
    pub checkpoint_bytes: u64,
    /// Bytes of the history, in which a chain that keeps all states has the older ones.
    pub history_bytes: u64,
    /// Records of the log behind it, or all.
    pub records_behind: u64,
    /// Places of the manifest that hold what is none; one after a crash.
    pub torn_manifests: usize,
}

/// What a check found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Number of the newest block.
    pub head: u64,
    /// Its hash.
    pub hash: B256,
    /// Root of the newest state.
    pub root: B256,
    /// Accounts and contracts of the checkpoint were loaded, and their roots compared.
    pub checkpoint: bool,
}

fn genesis(vfs: &Arc<dyn Vfs>) -> Result<(DataDir, GenesisBlock), ChainError> {
    let data = DataDir::on(Arc::clone(vfs), Durability::Process, MAX_FILE_BYTES).checkpoint_after(u64::MAX);
    let document = data.stored()?;
    let document = document.ok_or_else(|| bad("it holds no genesis.json, so no chain was ever started in it"))?;
    Ok((data, GenesisBlock::from_json(&document)?))
}

/// Looks at a data directory: every record's and table's checksum is compared, and no state is made.
///
/// # Errors
/// `Storage` for damage, with file and place; `Journal` for a folder that is none; `Storage` with `Stopped` if `progress` says so.
pub fn stats(vfs: Arc<dyn Vfs>, progress: Progress<'_>) -> Result<FolderStats, ChainError> {
    let vfs: Arc<dyn Vfs> = Arc::new(Overlay::new(vfs));
    let (_, first) = genesis(&vfs)?;
    scan(&vfs, first.header.hash_slow(), first.header.number, progress)
}

fn scan(vfs: &Arc<dyn Vfs>, identity: B256, first: u64, progress: Progress<'_>) -> Result<FolderStats, ChainError> {
    let mut stats = FolderStats { genesis: identity, head: Some(first), ..FolderStats::default() };
    let checkpoints = Checkpoints::open(Arc::clone(vfs), identity)?;
    stats.checkpoint = checkpoints.newest().copied();
    stats.torn_manifests = checkpoints.torn();
    checkpoints.verify(&|done, all| progress(Phase::Load, done, all))?;
    (stats.checkpoint_bytes, stats.history_bytes) = checkpoints.bytes()?;
    let mark = stats.checkpoint.map_or(0, |manifest| manifest.mark);
    stats.log_bytes = Log::bytes(vfs.as_ref())?;
    let all = stats.log_bytes;
    let (mut read, mut highest) = (0, first);
    let take = |number: u64, record: &[u8]| {
        read += record.len() as u64;
        if !progress(Phase::Log, read, all) {
            return Err(stopped());
        }
        stats.records_behind += u64::from(number >= mark);
        stats.take(record, &mut highest)
    };
    let log = Log::open(Arc::clone(vfs), identity, Durability::Process, MAX_FILE_BYTES, take)?;
    (stats.log_files, stats.torn_bytes) = (log.files(), log.cut());
    Ok(stats)
}

pub(crate) fn stopped() -> ChainError {
    StorageError::Stopped("it was interrupted".into()).into()
}

impl FolderStats {
    fn take(&mut self, record: &[u8], highest: &mut u64) -> Result<(), ChainError> {
        let Some((kind, rlp)) = record.split_first() else { return Err(bad("an empty record")) };
        match *kind {
            BLOCK => {
                self.blocks += 1;
                let number = number_of(rlp).map_err(|error| bad(format!("a block: {error}")))?;
                (self.head, *highest) = (Some(number), number.max(*highest));
            }
            EDIT => self.edits += 1,
            BACK => {
                self.reverts += 1;
                let BackEntry { number, .. } = decode(rlp)?;
                self.deepest_revert = self.deepest_revert.max(highest.saturating_sub(number));
                self.head = Some(number);
            }
            LOAD => (self.loads, self.head) = (self.loads + 1, None),
            other => return Err(bad(format!("a record of kind {other}"))),
        }
        Ok(())
    }
}

/// The number of the block of a record, whose other parts are not looked at.
fn number_of(mut rlp: &[u8]) -> alloy_rlp::Result<u64> {
    let list = alloy_rlp::Header::decode(&mut rlp)?;
    let mut block = if list.list { alloy_rlp::Header::decode_bytes(&mut rlp, false)? } else { rlp };
    alloy_rlp::Header::decode(&mut block)?;
    Header::decode(&mut block).map(|header| header.number)
}

/// Reads a whole data directory, makes every state again from genesis on, and compares every root; the checkpoint is loaded as well.
///
/// # Errors
/// As [`stats`]; `Journal` for roots that differ.
pub fn check(vfs: Arc<dyn Vfs>, progress: Progress<'_>) -> Result<Checked, ChainError> {
    let vfs: Arc<dyn Vfs> = Arc::new(Overlay::new(vfs));
    let (data, first) = genesis(&vfs)?;
    let identity = first.header.hash_slow();
    let stats = scan(&vfs, identity, first.header.number, progress)?;
    let checkpoints = Checkpoints::open(Arc::clone(&vfs), identity)?;
    if checkpoints.newest().is_some() {
        checkpoints.load(&|done, all| progress(Phase::Load, done, all))?;
    }
    // As many states as the log's ways back need.
    first.state.keep(if stats.loads == 0 { Some(stats.deepest_revert) } else { None });
    let chain = Chain::open(data.without_checkpoint(), first, orderer(), PoolConfig::default(), progress)?;
    let head = chain.head();
    let (root, checkpoint) = (chain.state().root(), stats.checkpoint.is_some());
    Ok(Checked { head: head.number(), hash: head.hash, root, checkpoint })
}

/// Gives the RLP of every block of a data directory's chain to `sink`, oldest first and without genesis, and says how many there are.
///
/// # Errors
/// As [`stats`], and whatever `sink` says.
pub fn export(
    vfs: Arc<dyn Vfs>,
    mut sink: impl FnMut(&[u8]) -> Result<(), ChainError>,
    progress: Progress<'_>,
) -> Result<u64, ChainError> {
    let vfs: Arc<dyn Vfs> = Arc::new(Overlay::new(vfs));
    let (data, first) = genesis(&vfs)?;
    let stats = scan(&vfs, first.header.hash_slow(), first.header.number, progress)?;
    first.state.keep(if stats.loads == 0 { Some(stats.deepest_revert) } else { None });
    let chain = Chain::open(data, first, orderer(), PoolConfig::default(), progress)?;
    let (start, end) = (chain.first_number() + 1, chain.head().number());
    let blocks = (start..=end).filter_map(|number| chain.block(number));
    for block in blocks {
        sink(&alloy_rlp::encode(block.to_consensus()))?;
        if !progress(Phase::Write, block.number() - start, end - start) {
            return Err(stopped());
        }
    }
    Ok(end + 1 - start)
}

/// Starts the chain of a data directory as one that keeps the states of `history` blocks behind the newest one, or all, and writes a checkpoint;
/// `None` if the one that is there is as new, or a dump was loaded into the chain.
///
/// # Errors
/// As [`stats`].
pub fn compact(
    vfs: Arc<dyn Vfs>,
    history: Option<u64>,
    progress: Progress<'_>,
) -> Result<Option<CheckpointStats>, ChainError> {
    let (data, first) = genesis(&vfs)?;
    first.state.keep(history);
    let chain = Chain::open(data, first, orderer(), PoolConfig::default(), progress)?;
    let stats = chain.checkpoint(&|done, all| progress(Phase::Write, done, all));
    chain.close();
    stats
}

/// No block is made, so whatever it says of time and order is not used.
fn orderer() -> Box<DevOrderer> {
    Box::new(DevOrderer::new(Mining::Manual, alloy_primitives::Address::ZERO, None))
}
