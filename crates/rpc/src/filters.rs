//! Logs by question, and filters that remember where they were read.
//!
//! Invariant: at most [`MAX_FILTERS`] filters exist; one that is not read for [`FILTER_LIFETIME`] expires. A filter costs a block number:
//! what changed is found again when it is read, so that filters queue nothing (but the hashes of [`MAX_HELD`] transactions that wait
//! behind a gap). Logs of blocks that were taken back since are told of with `removed: true`, if they were told of before; a filter that
//! missed more of them than the chain keeps is gone. No lock is held while an answer is looked for, so a long search keeps nobody waiting.
//! Source: execution-apis (eth_getLogs, eth_newFilter ...); geth eth/filters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::Log;
use interlace_chain::{LogQuery, MAX_LOG_BYTES, MAX_LOGS, News, Seen, StoredBlock};
use serde::Deserialize;
use serde_json::Value;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::shapes;
use crate::wire::{Params, Reply, reply};

/// Filters at one time.
pub const MAX_FILTERS: usize = 4_096;
/// How long a filter lives unread.
pub const FILTER_LIFETIME: Duration = Duration::from_secs(300);
/// Addresses, or topics of one position, in one question.
pub(crate) const MAX_OPTIONS: usize = 1_024;
/// Addresses and topics in all filters.
pub(crate) const MAX_FILTER_OPTIONS: usize = 1 << 19;
/// Transactions behind a gap that a filter of pending transactions remembers.
pub(crate) const MAX_HELD: usize = 1_024;

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("eth_getLogs", get_logs),
    ("eth_newFilter", |rpc, params| new_filter(rpc, Kind::Logs(Arc::new(params.get::<LogFilter>(0)?.checked()?)))),
    ("eth_newBlockFilter", |rpc, _| new_filter(rpc, Kind::Blocks)),
    ("eth_newPendingTransactionFilter", |rpc, _| {
        new_filter(rpc, Kind::Pending(rpc.chain().admitted_since(None).1, Vec::new()))
    }),
    ("eth_getFilterChanges", changes),
    ("eth_getFilterLogs", filter_logs),
    ("eth_uninstallFilter", |rpc, params| {
        let id: String = params.get(0)?;
        reply(&rpc.filters.lock().remove(&id).is_some())
    }),
];

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// A question about logs as it comes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogFilter {
    from_block: Option<BlockNumberOrTag>,
    to_block: Option<BlockNumberOrTag>,
    block_hash: Option<B256>,
    address: Option<OneOrMany<Address>>,
    topics: Option<Vec<Option<OneOrMany<Option<B256>>>>>,
}

impl LogFilter {
    /// What is looked for, without where.
    ///
    /// # Errors
    /// -32602 for more than four topics, -32005 for more options than the bound.
    pub(crate) fn query(&self) -> Result<LogQuery, RpcError> {
        let addresses = self.address.clone().map(OneOrMany::into_vec).unwrap_or_default();
        let given = self.topics.clone().unwrap_or_default();
        if given.len() > 4 {
            return Err(RpcError::invalid_params("exceed max topics"));
        }
        let topics: Vec<Vec<B256>> = given
            .into_iter()
            .map(|position| {
                let options = position.map(OneOrMany::into_vec).unwrap_or_default();
                // A null among the options stands for anything.
                options.into_iter().collect::<Option<Vec<B256>>>().unwrap_or_default()
            })
            .collect();
        if addresses.len() > MAX_OPTIONS || topics.iter().any(|options| options.len() > MAX_OPTIONS) {
            return Err(RpcError::limit(format!("more than {MAX_OPTIONS} addresses or topics of one position")));
        }
        Ok(LogQuery { addresses, topics })
    }

    fn checked(self) -> Result<Self, RpcError> {
        self.query()?;
        if self.block_hash.is_some() && (self.from_block.is_some() || self.to_block.is_some()) {
            return Err(RpcError::invalid_params(
                "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
            ));
        }
        Ok(self)
    }

    /// First and last block.
    fn range(&self, rpc: &Rpc) -> Result<(u64, u64), RpcError> {
        let unknown = || RpcError::refused("unknown block");
        if let Some(hash) = self.block_hash {
            let number = rpc.chain().number_of(&hash).ok_or_else(unknown)?;
            return Ok((number, number));
        }
        let head = rpc.chain().head().number();
        let number = |tag: BlockNumberOrTag| match tag {
            BlockNumberOrTag::Number(number) => Ok(number),
            other => rpc.number_of(BlockId::Number(other)).ok_or_else(unknown),
        };
        let from = number(self.from_block.unwrap_or_default())?;
        let to = number(self.to_block.unwrap_or_default())?;
        if from > to {
            return Err(RpcError::invalid_params("invalid block range params"));
        }
        interlace_chain::LogQuery::check_range(from, to.min(head).max(from))?;
        Ok((from, to))
    }
}

fn get_logs(rpc: &Rpc, params: &Params<'_>) -> Reply {
    reply(&asked(rpc, &params.get(0)?)?)
}

/// The logs that a question as it comes asks for, as values.
pub(crate) fn logs_between(rpc: &Rpc, filter: Value) -> Result<Vec<Value>, RpcError> {
    let filter = LogFilter::deserialize(filter).map_err(|error| RpcError::invalid_params(error.to_string()))?;
    let found = asked(rpc, &filter)?;
    found.iter().map(|log| serde_json::to_value(log).map_err(|error| RpcError::internal(error.to_string()))).collect()
}

fn asked(rpc: &Rpc, filter: &LogFilter) -> Result<Vec<Log>, RpcError> {
    // A filter may wait for blocks to come; a question cannot.
    let head = rpc.chain().head().number();
    if matches!(filter.to_block, Some(BlockNumberOrTag::Number(to)) if to > head) {
        filter.clone().checked()?.range(rpc)?;
        return Err(RpcError::invalid_params("block range extends beyond current head block"));
    }
    logs_of(rpc, filter)
}

/// All logs that `filter` asks for.
fn logs_of(rpc: &Rpc, filter: &LogFilter) -> Result<Vec<Log>, RpcError> {
    let filter = filter.clone().checked()?;
    let (from, to) = filter.range(rpc)?;
    logs_in(rpc, &filter.query()?, from, to.min(rpc.chain().head().number()))
}

/// Looks through `blocks` and gives the logs, and the last block that was looked at if that was not the last one: the search ends early at
/// [`MAX_LOGS`] logs, at [`MAX_LOG_BYTES`] of their data, and when its time is up, but not before its first block is done.
fn search(rpc: &Rpc, query: &LogQuery, blocks: impl Iterator<Item = Arc<StoredBlock>>) -> (Vec<Log>, Option<u64>) {
    let deadline = rpc.deadline();
    let (mut found, mut bytes): (Vec<Log>, usize) = (Vec::new(), 0);
    let mut blocks = blocks.peekable();
    while let Some(block) = blocks.next() {
        for place in query.find(&block) {
            let Some(log) = shapes::log(&block, place) else { continue };
            bytes += log.data().data.len();
            found.push(log);
        }
        let full = found.len() > MAX_LOGS || bytes > MAX_LOG_BYTES;
        let number = block.number();
        if blocks.peek().is_some() && (full || (number % 64 == 0 && deadline.is_past())) {
            return (found, Some(number));
        }
    }
    (found, None)
}

fn logs_in(rpc: &Rpc, query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, RpcError> {
    rpc.check_own(from)?;
    let blocks = (from..=to).map_while(|number| rpc.chain().block(number));
    let (found, reached) = search(rpc, query, blocks);
    let bytes: usize = found.iter().map(|log| log.data().data.len()).sum();
    if found.len() > MAX_LOGS {
        return Err(RpcError::limit(format!("query returned more than {MAX_LOGS} results; narrow the block range")));
    }
    if bytes > MAX_LOG_BYTES {
        return Err(RpcError::limit(format!(
            "query returned more than {MAX_LOG_BYTES} bytes of data; narrow the block range"
        )));
    }
    if let Some(reached) = reached {
        return Err(RpcError::timeout(format!("query exceeded its time at block {reached}; narrow the block range")));
    }
    Ok(found)
}

#[derive(Clone, Debug)]
enum Kind {
    Logs(Arc<LogFilter>),
    Blocks,
    /// Number of the first admitted transaction that was not looked at, and those that were queued then.
    Pending(u64, Vec<B256>),
}

#[derive(Debug)]
struct Installed {
    kind: Kind,
    /// How far it was answered.
    seen: Seen,
    read: Instant,
    /// Addresses and topics that it holds.
    options: usize,
}

/// The filters of all clients.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<HashMap<String, Installed>>, AtomicU64);

impl Filters {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Installed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what a filter has not answered yet, so that no lock is held while the answer is looked for.
    fn take(&self, id: &str) -> Result<(Kind, Seen), RpcError> {
        let mut installed = self.lock();
        let filter = installed.get_mut(id).ok_or_else(not_found)?;
        if filter.read.elapsed() >= FILTER_LIFETIME {
            installed.remove(id);
            return Err(not_found());
        }
        filter.read = Instant::now();
        Ok((filter.kind.clone(), filter.seen))
    }

    /// Notes what was answered.
    fn put(&self, id: &str, kind: Kind, seen: Seen) {
        if let Some(filter) = self.lock().get_mut(id) {
            filter.kind = kind;
            filter.seen = seen;
            filter.read = Instant::now();
        }
    }
}

fn new_filter(rpc: &Rpc, kind: Kind) -> Reply {
    let options = if let Kind::Logs(question) = &kind { question.query()?.options() } else { 0 };
    let seen = rpc.chain().seen();
    let mut installed = rpc.filters.lock();
    let now = Instant::now();
    installed.retain(|_, filter| now.duration_since(filter.read) < FILTER_LIFETIME);
    if installed.len() >= MAX_FILTERS {
        return Err(RpcError::limit(format!("{MAX_FILTERS} filters are installed")));
    }
    if installed.values().map(|filter| filter.options).sum::<usize>() + options > MAX_FILTER_OPTIONS {
        return Err(RpcError::limit(format!("more than {MAX_FILTER_OPTIONS} addresses and topics in all filters")));
    }
    let id = format!("{:#x}", rpc.filters.1.fetch_add(1, Ordering::Relaxed) + 1);
    installed.insert(id.clone(), Installed { kind, seen, read: now, options });
    reply(&id)
}

fn not_found() -> RpcError {
    RpcError::refused("filter not found")
}

/// What is new since the last reading. A filter that was not read for long answers in parts: each reading goes on where the one before ended.
fn changes(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let id: String = params.get(0)?;
    let (kind, seen) = rpc.filters.take(&id)?;
    // More was taken back than is remembered: the client has to ask anew rather than miss a removed log.
    let Some(news) = rpc.chain().news(seen) else {
        rpc.filters.lock().remove(&id);
        return Err(not_found());
    };
    let mut seen = news.seen;
    let (answer, kind) = match kind {
        Kind::Blocks => (reply(&news.blocks.iter().map(|block| block.hash).collect::<Vec<_>>())?, kind),
        Kind::Logs(question) => {
            let (logs, reached) = question.changes(rpc, news)?;
            seen = reached.map_or(seen, |number| seen.up_to(number));
            (reply(&logs)?, Kind::Logs(question))
        }
        Kind::Pending(since, mut candidates) => {
            let (fresh, since) = rpc.chain().admitted_since(Some(since));
            candidates.extend(fresh);
            let standing = rpc.chain().standing(&candidates);
            let mut held = Vec::new();
            let mut answered = Vec::new();
            for (hash, standing) in candidates.into_iter().zip(standing) {
                match standing {
                    Some(true) => answered.push(hash),
                    // It becomes pending when the gap before it is closed.
                    Some(false) if held.len() < MAX_HELD => held.push(hash),
                    Some(false) => {}
                    // What was mined meanwhile was pending in between.
                    None if rpc.chain().transaction(&hash).is_some() => answered.push(hash),
                    None => {}
                }
            }
            (reply(&answered)?, Kind::Pending(since, held))
        }
    };
    rpc.filters.put(&id, kind, seen);
    Ok(answer)
}

impl LogFilter {
    /// The logs that are gone, then those that are new, and the last block that was looked at if that was not the newest.
    fn changes(&self, rpc: &Rpc, news: News) -> Result<(Vec<Log>, Option<u64>), RpcError> {
        let query = self.query()?;
        let number = |tag: Option<BlockNumberOrTag>| match tag {
            Some(BlockNumberOrTag::Number(number)) => Some(number),
            _ => None,
        };
        let (first, last) = (number(self.from_block).unwrap_or(0), number(self.to_block).unwrap_or(u64::MAX));
        let asked = |block: &Arc<StoredBlock>| (first..=last).contains(&block.number());
        let mut found = Vec::new();
        for block in news.removed.iter().filter(|block| asked(block)) {
            found.extend(query.find(block).into_iter().filter_map(|place| shapes::removed_log(block, place)));
        }
        let (fresh, reached) = search(rpc, &query, news.blocks.into_iter().filter(asked));
        found.extend(fresh);
        Ok((found, reached))
    }
}

fn filter_logs(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let id: String = params.get(0)?;
    match rpc.filters.take(&id)?.0 {
        Kind::Logs(question) => reply(&logs_of(rpc, &question)?),
        _ => Err(not_found()),
    }
}
