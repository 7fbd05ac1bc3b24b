//! What a chain writes to its log, and how it comes back from it.
//!
//! ```text
//! 1 block    RLP of the block, senders, receipts, and what it changed of the state
//! 2 edit     what a developer changed by hand after a block
//! 3 back     the block that the chain went back to, and how many edits of it still held
//! 4 load     a dump that took the chain's place
//! ```
//! Each record is its kind, one byte, and RLP. The chain is what comes of the records in order, from genesis on.
//!
//! Invariant: a record is durable before anything of it can be seen. How the chain comes back from them is in `restore`.
//! What it does not do: what waits in the pool, clock, settings and snapshots are not in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use alloy_consensus::{Eip658Value, Receipt, ReceiptEnvelope, ReceiptWithBloom, TxType};
use alloy_primitives::{Address, B256, Bytes, Log as EventLog};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use interlace_state::checkpoint::{Checkpoints, History, Manifest};
use interlace_state::log::{Durability, Log, MAX_FILE_BYTES};
use interlace_state::vfs::{Disk, Vfs, read_all, replace};
use interlace_state::{Staged, StateError, StorageError};
use interlace_stf::{Changes, decode_block};
use serde_json::Value;

use crate::api::Orderer;
use crate::chain::{Chain, lock};
use crate::delta::{self, AccountDelta};
use crate::error::ChainError;
use crate::folder::{Phase, Progress, stopped};
use crate::genesis::GenesisBlock;
use crate::keeper::{ARCHIVE_WINDOW, Keeper, MIN_CHECKPOINT_BYTES};
use crate::pool::PoolConfig;
use crate::restore::Restore;
use crate::store::{StoredBlock, StoredReceipt};

/// The file with the genesis document.
const GENESIS: &str = "genesis.json";
/// Most bytes of a genesis document in a data directory.
pub const MAX_GENESIS_BYTES: u64 = 1 << 30;
pub(crate) const BLOCK: u8 = 1;
pub(crate) const EDIT: u8 = 2;
pub(crate) const BACK: u8 = 3;
pub(crate) const LOAD: u8 = 4;

#[derive(RlpEncodable, RlpDecodable)]
pub(crate) struct BlockEntry {
    block: Bytes,
    senders: Vec<Address>,
    receipts: Vec<ReceiptEntry>,
    accounts: Vec<AccountDelta>,
    codes: Vec<Bytes>,
    /// Whether someone else made it, and it stands for good.
    settled: bool,
}

/// A receipt without its bloom, which its logs give.
#[derive(RlpEncodable, RlpDecodable)]
struct ReceiptEntry {
    kind: u8,
    /// One byte, or the state root that receipts had before Byzantium.
    outcome: Bytes,
    cumulative_gas: u64,
    logs: Vec<EventLog>,
    gas_used: u64,
    /// The contract that was created, if one was.
    created: Vec<Address>,
    console: bool,
}

#[derive(RlpEncodable, RlpDecodable)]
pub(crate) struct EditEntry {
    pub(crate) accounts: Vec<AccountDelta>,
    pub(crate) codes: Vec<Bytes>,
}

#[derive(RlpEncodable, RlpDecodable)]
pub(crate) struct BackEntry {
    pub(crate) number: u64,
    pub(crate) edits: u64,
}

pub(crate) fn bad(detail: impl core::fmt::Display) -> ChainError {
    ChainError::Journal(format!("the data directory's log contradicts itself: {detail}"))
}

fn encode(kind: u8, entry: &impl Encodable) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entry.length() + 1);
    bytes.push(kind);
    entry.encode(&mut bytes);
    bytes
}

pub(crate) fn decode<T: Decodable>(mut rlp: &[u8]) -> Result<T, ChainError> {
    let entry = T::decode(&mut rlp).map_err(|error| bad(format!("rlp: {error}")))?;
    if rlp.is_empty() { Ok(entry) } else { Err(bad(format!("{} bytes too many", rlp.len()))) }
}

impl From<&StoredReceipt> for ReceiptEntry {
    fn from(receipt: &StoredReceipt) -> Self {
        let envelope = &receipt.envelope;
        let outcome = match envelope.as_receipt().map(|receipt| receipt.status) {
            Some(Eip658Value::PostState(root)) => root.to_vec(),
            _ => vec![u8::from(envelope.status())],
        };
        Self {
            kind: envelope.tx_type() as u8,
            outcome: outcome.into(),
            cumulative_gas: envelope.cumulative_gas_used(),
            logs: envelope.logs().to_vec(),
            gas_used: receipt.gas_used,
            created: receipt.created.into_iter().collect(),
            console: receipt.console,
        }
    }
}

impl ReceiptEntry {
    fn restore(self, first_log: u64) -> Result<StoredReceipt, ChainError> {
        let status = match self.outcome.as_ref() {
            [flag @ (0 | 1)] => Eip658Value::Eip658(*flag == 1),
            root => Eip658Value::PostState(B256::try_from(root).map_err(|_| bad("a receipt without an outcome"))?),
        };
        let kind = TxType::try_from(self.kind).map_err(|error| bad(format!("a receipt: {error}")))?;
        let receipt = Receipt { status, cumulative_gas_used: self.cumulative_gas, logs: self.logs };
        Ok(StoredReceipt {
            envelope: ReceiptEnvelope::from_typed(kind, ReceiptWithBloom::from(receipt)),
            gas_used: self.gas_used,
            created: self.created.first().copied(),
            first_log,
            console: self.console,
        })
    }
}

impl BlockEntry {
    /// The block, what it changed, and whether it stands for good.
    pub(crate) fn restore(self) -> Result<(StoredBlock, Changes, bool), ChainError> {
        let block = decode_block(&self.block).map_err(|reason| bad(format!("a block: {reason}")))?;
        let transactions = block.body.transactions;
        if self.senders.len() != transactions.len() || self.receipts.len() != transactions.len() {
            return Err(bad(format!("block {} has another number of receipts", block.header.number)));
        }
        let mut first_log = 0;
        let restore = |entry: ReceiptEntry| {
            let receipt = entry.restore(first_log)?;
            first_log += receipt.envelope.logs().len() as u64;
            Ok(receipt)
        };
        let receipts = self.receipts.into_iter().map(restore).collect::<Result<_, ChainError>>()?;
        let stored = StoredBlock {
            hash: block.header.hash_slow(),
            header: block.header,
            transactions,
            senders: self.senders,
            receipts,
            ommers: block.body.ommers,
            withdrawals: block.body.withdrawals,
            size: self.block.len(),
        };
        Ok((stored, delta::join(self.accounts, self.codes), self.settled))
    }
}

/// The folder that a chain lives in, for this process alone.
#[derive(Debug)]
pub struct DataDir {
    vfs: Arc<dyn Vfs>,
    durability: Durability,
    file_bytes: u64,
    checkpoint_bytes: u64,
    log_alone: bool,
    /// Bytes of what is only read that are held, if the state stays in the checkpoint's tables.
    read_bytes: Option<usize>,
    /// Blocks before the newest one whose states stay in memory, if all are kept.
    in_memory: u64,
}

impl DataDir {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    /// `Storage` while another process has it, and for what the system refuses.
    pub fn open(folder: &Path, durability: Durability) -> Result<Self, ChainError> {
        Ok(Self::on(Arc::new(Disk::open(folder)?), durability, MAX_FILE_BYTES))
    }

    /// A folder on any disk; the log begins a new file after `file_bytes`.
    #[must_use]
    pub fn on(vfs: Arc<dyn Vfs>, durability: Durability, file_bytes: u64) -> Self {
        let (checkpoint_bytes, in_memory) = (MIN_CHECKPOINT_BYTES, ARCHIVE_WINDOW);
        Self { vfs, durability, file_bytes, checkpoint_bytes, log_alone: false, read_bytes: None, in_memory }
    }

    /// Of a chain that keeps all states, holds those of so many blocks before the newest one in memory even if they are on disk.
    #[must_use]
    pub const fn archive_window(mut self, blocks: u64) -> Self {
        self.in_memory = blocks;
        self
    }

    /// Writes checkpoints whenever the log has grown by so many bytes, and by as many as the last one has.
    #[must_use]
    pub const fn checkpoint_after(mut self, bytes: u64) -> Self {
        self.checkpoint_bytes = bytes;
        self
    }

    /// Leaves accounts and slots in the checkpoint's tables, if there is one, and holds so many bytes of those that are only read.
    #[must_use]
    pub const fn in_tables(mut self, bytes: usize) -> Self {
        self.read_bytes = Some(bytes);
        self
    }

    /// Makes every state again from the log, as if there were no checkpoint.
    #[must_use]
    pub(crate) const fn without_checkpoint(mut self) -> Self {
        self.log_alone = true;
        self
    }

    pub(crate) fn stored(&self) -> Result<Option<String>, ChainError> {
        let failed = |what, reason: String| StorageError::Io { what, file: GENESIS.into(), reason };
        match read_all(self.vfs.as_ref(), GENESIS, MAX_GENESIS_BYTES) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|error| failed("read", error.to_string()))?;
                Ok(Some(text))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", error.to_string()).into()),
        }
    }

    /// The genesis document of the chain in the folder, which must be the one that is `asked` for, but for the code of its
    /// deployments: that of the chain stays when a newer release brings other code. In an empty folder it is the one asked for.
    ///
    /// # Errors
    /// `OtherGenesis` with the first difference.
    pub fn document(&self, asked: &str) -> Result<String, ChainError> {
        let Some(stored) = self.stored()? else { return Ok(asked.to_owned()) };
        let parse = |text: &str| {
            let mut document: Value =
                serde_json::from_str(text).map_err(|error| ChainError::Genesis(format!("no JSON: {error}")))?;
            let deployments = document.pointer_mut("/interlace/deployments").and_then(Value::as_array_mut);
            deployments.into_iter().flatten().for_each(|deployment| deployment["initcode"] = Value::Null);
            Ok::<_, ChainError>(document)
        };
        match difference("", &parse(&stored)?, &parse(asked)?) {
            None => Ok(stored),
            Some(difference) => Err(ChainError::OtherGenesis(difference)),
        }
    }
}

/// The first place in which two documents differ.
fn difference(path: &str, stored: &Value, asked: &Value) -> Option<String> {
    if stored == asked {
        return None;
    }
    if let (Value::Object(stored), Value::Object(asked)) = (stored, asked) {
        let keys = stored.keys().chain(asked.keys());
        return keys
            .filter_map(|key| {
                let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let null = &Value::Null;
                difference(&at, stored.get(key).unwrap_or(null), asked.get(key).unwrap_or(null))
            })
            .next();
    }
    let short = |value: &Value| {
        let text = value.to_string();
        if text.len() > 80 { "something else".to_owned() } else { text }
    };
    Some(format!("{path} is {}, not {}", short(stored), short(asked)))
}

impl Chain {
    /// The chain that lives in `data`: its checkpoint, if the states that are to be kept allow for it, and what its log holds behind that; or a
    /// new one on top of `genesis`. From now on everything that is acknowledged is in the log. `progress` is told of accounts that are
    /// loaded and of bytes of the log that are read.
    ///
    /// # Errors
    /// `Storage` for what is damaged or refused by the system, `Journal` for a log that does not fit.
    pub fn open(
        data: DataDir,
        genesis: GenesisBlock,
        orderer: Box<dyn Orderer>,
        pool: PoolConfig,
        progress: Progress<'_>,
    ) -> Result<Self, ChainError> {
        let document = genesis.document.clone();
        let document =
            document.ok_or_else(|| ChainError::Developer("a fork cannot live in a data directory".into()))?;
        let is_new = data.stored()?.is_none();
        let mut chain = Self::new(genesis, orderer, pool);
        let identity = chain.head().hash;
        let started = Instant::now();
        let checkpoints = Checkpoints::open(Arc::clone(&data.vfs), identity)?;
        if checkpoints.torn() > 1 {
            tracing::warn!("the manifest is damaged, so the whole log is read; its checkpoint is gone");
        }
        // Whoever keeps more states than the checkpoint allows for has them made again.
        let kept = chain.state().kept();
        let newest = checkpoints.newest().copied();
        let allows = |newest: &Manifest| kept.map_or(newest.history > 0, |kept| kept <= newest.window);
        let used = newest.filter(allows);
        let mut used = used.filter(|_| !data.log_alone);
        if used.is_some() {
            let tell = |done, all| progress(Phase::Load, done, all);
            chain.replace_state(match data.read_bytes {
                Some(bytes) => checkpoints.map(bytes, &tell)?,
                None => checkpoints.load(&tell)?,
            });
        }
        if kept.is_none() {
            let history = if used.is_some() { checkpoints.history()? } else { History::default() };
            chain.state().archive(history, data.in_memory);
        }
        let (log, restore) = match chain.read_log(
            &data,
            Restore::new(if data.log_alone { newest } else { used }, used.is_some()),
            progress,
        ) {
            // It kept more states once, and went back to one that would not be kept now.
            Err(ChainError::State(StateError::Expired { .. })) => {
                tracing::warn!(
                    "the log goes back further than states are kept, so all of it is read, and all states are made"
                );
                used = None;
                chain.begin_again(&document)?;
                let read = chain.read_log(&data, Restore::new(None, false), progress)?;
                chain.state().keep(kept);
                read
            }
            read => read?,
        };
        let DataDir { vfs, checkpoint_bytes, .. } = data;
        if is_new {
            // After the log, which says whether it is of this genesis, and before its first record.
            let written = replace(vfs.as_ref(), GENESIS, document.as_bytes());
            written.map_err(|error| StorageError::Io {
                what: "write",
                file: GENESIS.into(),
                reason: error.to_string(),
            })?;
        }
        let head = chain.head();
        if log.cut() > 0 {
            tracing::warn!(
                bytes = log.cut(),
                "the end of the log was torn, and cut off; nothing of it was acknowledged"
            );
        }
        let metrics = chain.metrics().checkpoint.clone();
        // Whoever does without the checkpoint, because it keeps more states, does not look at its tables either.
        let (bytes, _) = if used.is_some() { checkpoints.bytes()? } else { (0, 0) };
        let keeper = Keeper::new(checkpoints, bytes, Arc::clone(&log), metrics, checkpoint_bytes);
        keeper.logged(restore.behind);
        if restore.dumped {
            keeper.refuse();
        }
        (chain.log, chain.keeper) = (Some(log), Some(keeper));
        chain.waitroom().renew(&chain, &head.header);
        chain.metrics().head.set(i64::try_from(head.number()).unwrap_or(i64::MAX));
        let checkpoint = used.map_or(0, |used| used.block);
        tracing::info!(head = head.number(), checkpoint, seconds = started.elapsed().as_secs_f64(), "chain restored");
        Ok(chain)
    }

    /// Takes the records of the log.
    fn read_log(
        &self,
        data: &DataDir,
        mut restore: Restore,
        progress: Progress<'_>,
    ) -> Result<(Arc<Log>, Restore), ChainError> {
        let identity = self.head().hash;
        let (mut read, all) = (0, Log::bytes(data.vfs.as_ref())?);
        let take = |number: u64, record: &[u8]| {
            read += record.len() as u64;
            if !progress(Phase::Log, read, all) {
                return Err(stopped());
            }
            restore.take(self, number, record)
        };
        let log = Log::open(Arc::clone(&data.vfs), identity, data.durability, data.file_bytes, take)?;
        restore.arrive(self)?;
        Ok((Arc::new(log), restore))
    }

    /// Whether the chain lives in a data directory.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        self.log.is_some()
    }

    /// Lets the data directory go. From then on nothing that changes the chain is taken; without a data directory it does nothing.
    pub fn close(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.close();
        }
        if let Some(log) = &self.log {
            log.close();
        }
    }

    // ---- writing

    /// Makes a record durable; it is called before what it tells is done, and `entry` only if there is a log.
    fn record(&self, entry: impl FnOnce() -> Vec<u8>) -> Result<(), ChainError> {
        let Some(log) = &self.log else { return Ok(()) };
        let started = Instant::now();
        // Whoever gets here holds the production lock, so nobody waits for a record that failed before.
        log.retry()?;
        let record = entry();
        let outcome = log.append(&record).and_then(|number| log.wait(number).map(|()| number));
        self.metrics().logged(started.elapsed(), log.stats());
        if let Err(error) = &outcome {
            tracing::error!(%error, "the log refused a record");
        }
        let number = outcome?;
        self.state().logged(number + 1);
        if let Some(keeper) = &self.keeper {
            keeper.logged(record.len() as u64);
        }
        Ok(())
    }

    pub(crate) fn record_block(&self, block: &StoredBlock, staged: &Staged, settled: bool) -> Result<(), ChainError> {
        self.record(|| {
            let (accounts, codes) = delta::split(staged.changes());
            let entry = BlockEntry {
                block: alloy_rlp::encode(block.to_consensus()).into(),
                senders: block.senders.clone(),
                receipts: block.receipts.iter().map(ReceiptEntry::from).collect(),
                accounts,
                codes,
                settled,
            };
            encode(BLOCK, &entry)
        })
    }

    pub(crate) fn record_edit(&self, changes: &Changes) -> Result<(), ChainError> {
        self.record(|| {
            let (accounts, codes) = delta::split(changes);
            encode(EDIT, &EditEntry { accounts, codes })
        })
    }

    /// The chain will go back to block `number` with as many of its edits as are among the first `amendments` of all.
    pub(crate) fn record_back(&self, number: u64, amendments: usize) -> Result<(), ChainError> {
        self.record(|| {
            let kept = lock(&self.controls.amendments);
            let edits = kept.iter().take(amendments).filter(|edit| edit.number == number).count() as u64;
            encode(BACK, &BackEntry { number, edits })
        })
    }

    pub(crate) fn record_load(&self, dump: &[u8]) -> Result<(), ChainError> {
        if let Some(keeper) = &self.keeper {
            keeper.refuse();
        }
        self.record(|| encode(LOAD, &dump))
    }
}
