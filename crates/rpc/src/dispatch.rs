//! From a body of bytes to its answer.
//!
//! Invariant: one request's fault never reaches another: each runs under `catch_unwind`, and a panic is answered -32603. Transactions
//! of one batch are decoded and recovered together on all cores, then admitted in order.
//! What it does not do: transport. The HTTP server, WebSocket sessions and Python call the same [`Rpc::handle`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Instant;

use alloy_primitives::hex;
use interlace_chain::pool::{PoolTransaction, decode_batch};
use interlace_chain::{Chain, ChainError, Miner};
use serde_json::value::RawValue;

use tokio::sync::broadcast;

use crate::accounts::Accounts;
use crate::error::RpcError;
use crate::filters::Filters;
use crate::limits::Limits;
use crate::session::Session;
use crate::shapes;
use crate::wire::{Body, Params, Reply, Request, answer, reply};
use crate::{build, call, console, developer, filters, forward, lanes, raw, read, send, simulate, trace};

/// Requests in one batch.
pub const MAX_BATCH: usize = 1_000;
/// Bytes of one answer; a batch whose answers exceed it gets an error for each request that is left.
pub const MAX_ANSWER_BYTES: usize = 128 * 1024 * 1024;
/// Namespaces that a user may add.
pub(crate) const MAX_NAMESPACES: usize = 64;
/// Namespaces that are ours.
const RESERVED: [&str; 20] = [
    "admin",
    "anvil",
    "debug",
    "dev",
    "engine",
    "erigon",
    "eth",
    "evm",
    "hardhat",
    "interlace",
    "miner",
    "net",
    "ots",
    "personal",
    "rpc",
    "tenderly",
    "testing",
    "trace",
    "txpool",
    "web3",
];

/// Whether a namespace is ours.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// A method of ours.
pub(crate) type Method = fn(&Rpc, &Params<'_>) -> Reply;

/// Methods that a user adds; all begin with the namespace's name and an underscore.
pub trait Namespace: Send + Sync {
    /// Answers `name_method`; `params` is what the request holds, or nothing.
    ///
    /// # Errors
    /// -32601 for an unknown method, else what the user's code says.
    fn call(&self, method: &str, params: Option<&str>) -> Result<String, RpcError>;
}

static METHODS: LazyLock<HashMap<&'static str, Method>> = LazyLock::new(|| {
    [read::METHODS, raw::METHODS, call::METHODS, send::METHODS, filters::METHODS]
        .into_iter()
        .chain([simulate::METHODS])
        .chain(trace::METHODS)
        .flatten()
        .copied()
        .collect()
});

/// Methods that only a developer's chain answers.
static DEVELOPER: LazyLock<HashMap<&'static str, Method>> = LazyLock::new(|| {
    developer::TABLES.iter().copied().chain([build::METHODS, console::METHODS]).flatten().copied().collect()
});

/// A moment after which work is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn is_past(self) -> bool {
        Instant::now() >= self.0
    }

    pub(crate) const fn instant(self) -> Instant {
        self.0
    }
}

/// Names of all methods that are built in, ascending.
#[must_use]
pub fn methods() -> Vec<&'static str> {
    let mut names: Vec<&str> =
        METHODS.keys().chain(DEVELOPER.keys()).copied().chain(["eth_subscribe", "eth_unsubscribe"]).collect();
    names.sort_unstable();
    names
}

/// All methods that are built in, ascending: name, where it is answered, and the lane in which it waits for its turn.
#[must_use]
pub fn method_table() -> Vec<(&'static str, &'static str, &'static str)> {
    let place = |name: &str| match name {
        "eth_subscribe" | "eth_unsubscribe" => "over a WebSocket",
        _ if DEVELOPER.contains_key(name) => "on a developer's chain",
        _ => "everywhere",
    };
    methods().into_iter().map(|name| (name, place(name), lanes::lane_of(name).name())).collect()
}

/// The JSON-RPC face of a chain.
pub struct Rpc {
    chain: Arc<Chain>,
    miner: Option<Arc<Miner>>,
    pub(crate) accounts: Accounts,
    pub(crate) filters: Filters,
    namespaces: RwLock<BTreeMap<String, Arc<dyn Namespace>>>,
    pub(crate) limits: Limits,
    /// What calls write to the console.
    pub(crate) console: broadcast::Sender<console::Lines>,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

impl Rpc {
    /// The face of `chain`; `miner` is told when the mining mode changes.
    #[must_use]
    pub fn new(chain: Arc<Chain>, miner: Option<Arc<Miner>>, accounts: Accounts) -> Self {
        let (filters, namespaces, limits) = (Filters::default(), RwLock::default(), Limits::default());
        let (console, _) = broadcast::channel(console::MAX_LINES);
        Self { chain, miner, accounts, filters, namespaces, limits, console }
    }

    /// The same with other bounds.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The bounds in force.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// When a call or search that begins now has to end.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline(Instant::now() + self.limits.call_timeout())
    }

    /// The chain behind it.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    pub(crate) fn mining_changed(&self) {
        if let Some(miner) = &self.miner {
            miner.wake();
        }
    }

    /// Adds a namespace, or replaces it.
    ///
    /// # Errors
    /// -32602 when the name is ours or malformed, -32005 above 64.
    pub fn add_namespace(&self, name: &str, namespace: Arc<dyn Namespace>) -> Result<(), RpcError> {
        let well_formed = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            && name.len() <= 32;
        if !well_formed || RESERVED.contains(&name) {
            return Err(RpcError::invalid_params(format!("namespace {name:?} is reserved or not [a-z][a-z0-9]*")));
        }
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        if namespaces.len() >= MAX_NAMESPACES && !namespaces.contains_key(name) {
            return Err(RpcError::limit(format!("{MAX_NAMESPACES} namespaces")));
        }
        namespaces.insert(name.to_owned(), namespace);
        Ok(())
    }

    /// Drops all namespaces, and with them what they hold of the user's.
    pub fn clear_namespaces(&self) {
        self.namespaces.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Answers a body; `None` when it holds only notifications.
    #[must_use]
    pub fn handle(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.handle_in(body, None)
    }

    /// As [`Self::handle`], with the subscriptions of a connection.
    pub(crate) fn handle_in(&self, body: &[u8], session: Option<&Session>) -> Option<Vec<u8>> {
        match Body::read(body, MAX_BATCH) {
            Err(error) => {
                self.chain.metrics().requests.inc();
                self.chain.metrics().request_errors.inc();
                Some(answer(None, &Err(error)))
            }
            Ok(Body::One(request)) => self.one(*request, session),
            Ok(Body::Many(requests)) => self.many(requests, session),
        }
    }

    /// Answers a body whose turn never came: each of its requests with `error`.
    pub(crate) fn refuse(&self, body: &[u8], error: &RpcError) -> Option<Vec<u8>> {
        let refused = |request: Result<Request<'_>, RpcError>| match request {
            Ok(request) => request.id.map(|id| answer(Some(id), &Err(error.clone()))),
            Err(wrong) => Some(answer(None, &Err(wrong))),
        };
        match Body::read(body, MAX_BATCH) {
            Err(wrong) => Some(answer(None, &Err(wrong))),
            Ok(Body::One(request)) => refused(*request),
            Ok(Body::Many(requests)) => {
                let all: Vec<Vec<u8>> = requests.into_iter().filter_map(refused).collect();
                let body = [b"[".as_slice(), &all.join(&b','), b"]"].concat();
                (!all.is_empty()).then_some(body)
            }
        }
    }

    fn one(&self, request: Result<Request<'_>, RpcError>, session: Option<&Session>) -> Option<Vec<u8>> {
        let (id, outcome) = match request {
            Ok(request) => (Some(request.id), self.run(&request, session)),
            Err(error) => (None, Err(error)),
        };
        self.count(&outcome);
        match id {
            Some(None) => None,
            Some(id) => Some(answer(id, &outcome)),
            None => Some(answer(None, &outcome)),
        }
    }

    fn many(&self, requests: Vec<Result<Request<'_>, RpcError>>, session: Option<&Session>) -> Option<Vec<u8>> {
        let mut decoded = decode_raw(&requests).into_iter();
        let started = Instant::now();
        let mut out = vec![b'['];
        let mut unsettled = false;
        // Answers to transactions wait for the block; everything else in the batch sees them mined.
        let mut index = 0;
        while index < requests.len() {
            let run = requests[index..].iter().take_while(|request| is_raw(request)).count();
            if run > 0 {
                let batch: Vec<_> = decoded.by_ref().take(run).collect();
                let outcomes = self.submit_raw(batch);
                unsettled = true;
                for (request, outcome) in requests[index..index + run].iter().zip(&outcomes) {
                    self.push(&mut out, request, outcome);
                }
                index += run;
                continue;
            }
            if core::mem::take(&mut unsettled) {
                self.settle();
            }
            let outcome = match &requests[index] {
                Ok(_) if out.len() > MAX_ANSWER_BYTES => Err(RpcError::too_large()),
                Ok(_) if started.elapsed() > self.limits.batch_timeout() => Err(RpcError::timeout("request timed out")),
                Ok(request) => self.run(request, session),
                Err(error) => Err(error.clone()),
            };
            self.push(&mut out, &requests[index], &outcome);
            index += 1;
        }
        if unsettled {
            self.settle();
        }
        if out.len() == 1 {
            return None;
        }
        out.push(b']');
        Some(out)
    }

    fn push(&self, out: &mut Vec<u8>, request: &Result<Request<'_>, RpcError>, outcome: &Reply) {
        self.count(outcome);
        let id = match request {
            Ok(request) if request.id.is_none() => return,
            Ok(request) => request.id,
            Err(_) => None,
        };
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(&answer(id, outcome));
    }

    fn count(&self, outcome: &Reply) {
        self.chain.metrics().requests.inc();
        if outcome.is_err() {
            self.chain.metrics().request_errors.inc();
        }
    }

    fn run(&self, request: &Request<'_>, session: Option<&Session>) -> Reply {
        let guarded = catch_unwind(AssertUnwindSafe(|| self.route(&request.method, request.params, session)));
        guarded.unwrap_or_else(|_| {
            tracing::error!(method = %request.method, "a request panicked");
            Err(RpcError::internal("internal error"))
        })
    }

    fn route(&self, method: &str, raw: Option<&RawValue>, session: Option<&Session>) -> Reply {
        if let Some(ours) = METHODS.get(method) {
            let params = Params::read(raw)?;
            return match forward::answer(self, method, &params)? {
                Some(theirs) => Ok(theirs),
                None => ours(self, &params),
            };
        }
        if let Some(theirs) = DEVELOPER.get(method) {
            self.chain.developer()?;
            return theirs(self, &Params::read(raw)?);
        }
        match (method, session) {
            ("eth_subscribe", Some(session)) => return session.subscribe(&Params::read(raw)?),
            ("eth_unsubscribe", Some(session)) => return session.unsubscribe(&Params::read(raw)?),
            ("eth_subscribe" | "eth_unsubscribe", None) => {
                return Err(RpcError::new(-32601, "notifications not supported; open a WebSocket"));
            }
            _ => {}
        }
        let Some((name, method_name)) = method.split_once('_') else { return Err(RpcError::method_not_found(method)) };
        let namespace = self.namespaces.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let namespace = namespace.ok_or_else(|| RpcError::method_not_found(method))?;
        let text = namespace.call(method_name, raw.map(RawValue::get))?;
        if text.len() > MAX_ANSWER_BYTES {
            return Err(RpcError::too_large());
        }
        RawValue::from_string(text).map_err(|error| RpcError::internal(format!("{method} gave no JSON: {error}")))
    }

    /// Admits decoded transactions; the caller settles.
    fn submit_raw(&self, batch: Vec<Result<PoolTransaction, RpcError>>) -> Vec<Reply> {
        let mut errors = BTreeMap::new();
        let mut good = Vec::with_capacity(batch.len());
        let length = batch.len();
        for (index, item) in batch.into_iter().enumerate() {
            match item {
                Ok(transaction) => good.push(Ok(transaction)),
                Err(error) => {
                    errors.insert(index, error);
                }
            }
        }
        let mut admitted = self.chain.submit(good).into_iter();
        (0..length)
            .map(|index| match errors.remove(&index) {
                Some(error) => Err(error),
                None => match admitted.next() {
                    Some(Ok(hash)) => reply(&hash),
                    Some(Err(error)) => Err(error.into()),
                    None => Err(RpcError::internal("a transaction was lost")),
                },
            })
            .collect()
    }

    /// Mines what is ready on an instant chain. A failure leaves the transactions waiting and is logged.
    pub(crate) fn settle(&self) {
        if let Err(error) = self.chain.settle() {
            tracing::error!(%error, "no block");
        }
    }

    /// The answer of GET /health.
    pub(crate) fn health(&self) -> Vec<u8> {
        shapes::health(self.chain.spec().chain_id(), &self.chain.head()).to_string().into_bytes()
    }

    /// The answer of GET /metrics.
    pub(crate) fn metrics(&self) -> String {
        self.chain.metrics_text()
    }
}

fn is_raw(request: &Result<Request<'_>, RpcError>) -> bool {
    request.as_ref().is_ok_and(|request| request.method == "eth_sendRawTransaction")
}

/// The bytes of an `eth_sendRawTransaction`.
pub(crate) fn raw_bytes(params: &Params<'_>) -> Result<Vec<u8>, RpcError> {
    let text: std::borrow::Cow<'_, str> = params.get::<String>(0)?.into();
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| RpcError::invalid_params("invalid argument 0: hex string without 0x prefix"))?;
    hex::decode(digits).map_err(|error| RpcError::invalid_params(format!("invalid argument 0: {error}")))
}

/// Decodes all raw transactions of a batch together.
fn decode_raw(requests: &[Result<Request<'_>, RpcError>]) -> Vec<Result<PoolTransaction, RpcError>> {
    let bytes: Vec<Result<Vec<u8>, RpcError>> = requests
        .iter()
        .filter(|request| is_raw(request))
        .filter_map(|request| request.as_ref().ok())
        .map(|request| Params::read(request.params).and_then(|params| raw_bytes(&params)))
        .collect();
    let good: Vec<Vec<u8>> = bytes.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let mut decoded = decode_batch(&good).into_iter();
    bytes
        .into_iter()
        .map(|item| {
            item?;
            let lost = || Err(ChainError::Undecodable("a transaction was lost".into()));
            Ok(decoded.next().unwrap_or_else(lost)?)
        })
        .collect()
}
