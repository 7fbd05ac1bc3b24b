//! Logs by question, and filters that remember where they were read.
//!
//! Invariant: at most [`MAX_FILTERS`] filters exist; one that is not read for [`FILTER_LIFETIME`] expires. A filter costs a block number:
//! what changed is found again when it is read, so that filters queue nothing. Logs of blocks that were taken back since are told of
//! with `removed: true`, if they were told of before; a filter that missed more of them than the chain keeps is gone.
//! Source: execution-apis (eth_getLogs, eth_newFilter ...); geth eth/filters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::Log;
use interlace_chain::{LogQuery, MAX_LOGS, MAX_REMOVED_LOGS, News, Seen, StoredBlock};
use serde::Deserialize;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::shapes;
use crate::wire::{Params, Reply, reply};

/// Filters at one time.
pub const MAX_FILTERS: usize = 4_096;
/// How long a filter lives unread.
pub const FILTER_LIFETIME: Duration = Duration::from_secs(300);
/// Addresses, or topics of one position, in one question.
const MAX_OPTIONS: usize = 1_024;
/// Hashes that a filter of pending transactions answers at once.
const MAX_PENDING: usize = 65_536;

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("eth_getLogs", |rpc, params| reply(&logs_of(rpc, &params.get(0)?)?)),
    ("eth_newFilter", |rpc, params| new_filter(rpc, Kind::Logs(Box::new(params.get::<LogFilter>(0)?.checked()?)))),
    ("eth_newBlockFilter", |rpc, _| new_filter(rpc, Kind::Blocks)),
    ("eth_newPendingTransactionFilter", |rpc, _| new_filter(rpc, Kind::Pending(Vec::new()))),
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
        interlace_chain::LogQuery::check_range(from, to.min(head).max(from.min(to)))?;
        if from > to {
            return Err(RpcError::invalid_params("invalid block range params"));
        }
        Ok((from, to.min(head)))
    }
}

impl LogFilter {
    /// The logs that are gone, then those that are new.
    ///
    /// # Errors
    /// -32005 above the bound.
    fn changes(&self, news: &News) -> Result<Vec<Log>, RpcError> {
        let query = self.query()?;
        let number = |tag: Option<BlockNumberOrTag>| match tag {
            Some(BlockNumberOrTag::Number(number)) => Some(number),
            _ => None,
        };
        let (first, last) = (number(self.from_block).unwrap_or(0), number(self.to_block).unwrap_or(u64::MAX));
        let asked = |block: &&Arc<StoredBlock>| (first..=last).contains(&block.number());
        let mut found = Vec::new();
        for block in news.removed.iter().filter(asked) {
            found.extend(query.find(block).into_iter().filter_map(|place| shapes::removed_log(block, place)));
        }
        for block in news.blocks.iter().filter(asked) {
            found.extend(query.find(block).into_iter().filter_map(|place| shapes::log(block, place)));
            if found.len() > MAX_REMOVED_LOGS + MAX_LOGS {
                return Err(too_many());
            }
        }
        Ok(found)
    }
}

fn too_many() -> RpcError {
    RpcError::limit(format!("query returned more than {MAX_LOGS} results; narrow the block range"))
}

/// All logs that `filter` asks for.
fn logs_of(rpc: &Rpc, filter: &LogFilter) -> Result<Vec<Log>, RpcError> {
    let filter = filter.clone().checked()?;
    let (from, to) = filter.range(rpc)?;
    logs_in(rpc, &filter.query()?, from, to)
}

fn logs_in(rpc: &Rpc, query: &LogQuery, from: u64, to: u64) -> Result<Vec<Log>, RpcError> {
    let mut found = Vec::new();
    for number in from..=to {
        let Some(block) = rpc.chain().block(number) else { break };
        found.extend(query.find(&block).into_iter().filter_map(|place| shapes::log(&block, place)));
        if found.len() > MAX_LOGS {
            return Err(too_many());
        }
    }
    Ok(found)
}

#[derive(Debug)]
enum Kind {
    Logs(Box<LogFilter>),
    Blocks,
    /// Hashes that waited when it was read last.
    Pending(Vec<B256>),
}

#[derive(Debug)]
struct Installed {
    kind: Kind,
    /// How far it was answered.
    seen: Seen,
    read: Instant,
}

/// The filters of all clients.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<HashMap<String, Installed>>, AtomicU64);

impl Filters {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Installed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_filter(rpc: &Rpc, kind: Kind) -> Reply {
    let mut installed = rpc.filters.lock();
    let now = Instant::now();
    installed.retain(|_, filter| now.duration_since(filter.read) < FILTER_LIFETIME);
    if installed.len() >= MAX_FILTERS {
        return Err(RpcError::limit(format!("{MAX_FILTERS} filters are installed")));
    }
    let id = format!("{:#x}", rpc.filters.1.fetch_add(1, Ordering::Relaxed) + 1);
    installed.insert(id.clone(), Installed { kind, seen: rpc.chain().seen(), read: now });
    reply(&id)
}

fn not_found() -> RpcError {
    RpcError::refused("filter not found")
}

fn changes(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let id: String = params.get(0)?;
    let mut installed = rpc.filters.lock();
    let filter = installed.get_mut(&id).ok_or_else(not_found)?;
    if filter.read.elapsed() >= FILTER_LIFETIME {
        installed.remove(&id);
        return Err(not_found());
    }
    // More was taken back than is remembered: the client has to ask anew rather than miss a removed log.
    let Some(news) = rpc.chain().news(filter.seen) else {
        installed.remove(&id);
        return Err(not_found());
    };
    let answer = match &mut filter.kind {
        Kind::Blocks => reply(&news.blocks.iter().map(|block| block.hash).collect::<Vec<_>>())?,
        Kind::Logs(question) => reply(&question.changes(&news)?)?,
        Kind::Pending(known) => {
            let (pending, _) = rpc.chain().pool_content();
            let now: Vec<B256> =
                pending.values().flat_map(|of| of.values().map(|tx| tx.hash)).take(MAX_PENDING).collect();
            // What was mined since the last reading was pending in between.
            let mined = news.blocks.iter().flat_map(|block| block.transactions.iter().map(|tx| *tx.tx_hash()));
            let mut fresh: Vec<B256> = mined.chain(now.iter().copied()).filter(|hash| !known.contains(hash)).collect();
            fresh.truncate(MAX_PENDING);
            *known = now;
            reply(&fresh)?
        }
    };
    filter.seen = news.seen;
    filter.read = Instant::now();
    Ok(answer)
}

fn filter_logs(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let id: String = params.get(0)?;
    let question = match rpc.filters.lock().get_mut(&id) {
        Some(Installed { kind: Kind::Logs(question), read, .. }) => {
            *read = Instant::now();
            question.clone()
        }
        _ => return Err(not_found()),
    };
    reply(&logs_of(rpc, &question)?)
}
