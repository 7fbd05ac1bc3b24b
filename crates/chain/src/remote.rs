//! Another chain's state after one block, read over JSON-RPC when it is needed.
//!
//! Invariant: every question about state names the block by its hash (EIP-1898), so that no answer is of another block; what is
//! no answer to the question is an error. Texts of errors and `Debug` name the host alone: the rest of a URL may hold a key.
//! Sources: execution-apis (`eth`), EIP-1898, RFC 9110 10.2.3 (`Retry-After`), EIP-1474 (-32005, limit exceeded).
//! Bounds: [`MAX_REMOTE_BYTES`], [`TRIES`], [`REQUEST_TIMEOUT`], [`MAX_PAUSE`].
//! What it does not do: it proves nothing (the remote is believed) and keeps nothing; `interlace_state` remembers what was read, and
//! `fork_cache` keeps it on disk.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use interlace_state::{Base, BaseAccount, BaseError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Bytes of one answer.
pub const MAX_REMOTE_BYTES: u64 = 32 << 20;
/// How often a request is sent before it has failed.
pub const TRIES: u32 = 5;
/// How long one try may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest pause before the next try, whatever the remote asks for.
pub const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Parts of a URL that are shorter than this are no secrets.
const MIN_SECRET_CHARS: usize = 5;

/// A block of a chain that answers JSON-RPC.
pub struct RemoteChain {
    agent: ureq::Agent,
    /// May hold a key: never shown.
    url: String,
    host: String,
    /// Whether several questions may share a request; found out by asking.
    batches: AtomicBool,
    chain_id: u64,
    header: Header,
    hash: B256,
}

impl fmt::Debug for RemoteChain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("RemoteChain");
        shown.field("host", &self.host).field("chain_id", &self.chain_id).field("block", &self.header.number);
        shown.finish_non_exhaustive()
    }
}

/// The error with which a remote answered a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// Its number.
    pub code: i64,
    /// Its text, or nothing of it where that holds part of the URL.
    pub message: String,
    /// Its data, where that is hex: what a revert returned.
    pub data: Option<Value>,
}

/// Why a try gave nothing.
enum Failure {
    /// It may go better after a pause, which the remote may have named.
    Again(String, Option<Duration>),
    Final(String),
}

impl RemoteChain {
    /// Asks the chain at `url` who it is, and for block `number` or its newest one.
    ///
    /// # Errors
    /// When the URL is none, nobody answers, or the block is not there or does not hash to what the remote calls it.
    pub fn connect(url: &str, number: Option<u64>) -> Result<Self, BaseError> {
        let unusable = || BaseError("the URL of the chain to fork is no http or https URL".into());
        let parsed: ureq::http::Uri = url.parse().map_err(|_| unusable())?;
        let host = match (parsed.scheme_str(), parsed.host()) {
            (Some("http" | "https"), Some(host)) => host.to_owned(),
            _ => return Err(unusable()),
        };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        let mut remote = Self {
            agent: config.new_agent(),
            url: url.to_owned(),
            host,
            batches: AtomicBool::new(true),
            chain_id: 0,
            header: Header::default(),
            hash: B256::ZERO,
        };
        remote.chain_id = remote.one::<U64>("eth_chainId", json!([]))?.to();
        let tag = number.map_or_else(|| json!("latest"), |number| json!(format!("{number:#x}")));
        let (header, hash) = remote.block(&tag)?;
        if number.is_some_and(|number| number != header.number) {
            return Err(remote.said("eth_getBlockByNumber", "it is another block"));
        }
        if header.hash_slow() != hash {
            return Err(remote.said("eth_getBlockByNumber", "the header has fields that are not known here"));
        }
        (remote.header, remote.hash) = (header, hash);
        Ok(remote)
    }

    /// Chain id of the remote.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Header of the block.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Hash of the block.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// Asks the remote a question of its own: `params` as they stand.
    ///
    /// # Errors
    /// When it does not answer; what it answers may be an error too.
    pub fn ask(&self, method: &str, params: &Value) -> Result<Result<Value, RemoteError>, BaseError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let outcome = self.patiently(|| outcome_of(self.post(&body)?).map_err(|failure| named(failure, method)))?;
        Ok(outcome.map_err(|error| {
            let secret = self.parts().any(|part| error.message.contains(part));
            let message = if secret { format!("{}: it refused {method}", self.host) } else { error.message };
            RemoteError { message, ..error }
        }))
    }

    /// What of the URL may be a secret.
    fn parts(&self) -> impl Iterator<Item = &str> {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let around = rest.split(&self.host as &str);
        around
            .flat_map(|part| part.split(['/', '?', '&', '=', ':', '@', '#']))
            .filter(|part| part.len() >= MIN_SECRET_CHARS)
    }

    fn block(&self, tag: &Value) -> Result<(Header, B256), BaseError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let block: Value = self.one(METHOD, json!([tag, false]))?;
        if block.is_null() {
            return Err(self.said(METHOD, "there is no such block"));
        }
        let hash = self.read(METHOD, block.get("hash").cloned().unwrap_or_default())?;
        Ok((self.read(METHOD, block)?, hash))
    }

    fn said(&self, method: &str, what: &str) -> BaseError {
        BaseError(format!("{}: answer to {method}: {what}", self.host))
    }

    fn read<T: DeserializeOwned>(&self, method: &str, value: Value) -> Result<T, BaseError> {
        serde_json::from_value(value).map_err(|_| self.said(method, "not of the shape that the method has"))
    }

    fn at(&self) -> Value {
        json!({ "blockHash": self.hash })
    }

    fn one<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, BaseError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let value = self.patiently(|| result_of(self.post(&body)?).map_err(|failure| named(failure, method)))?;
        self.read(method, value)
    }

    /// The results of several questions, in one request if the remote takes batches.
    fn all(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>, BaseError> {
        if self.batches.load(Ordering::Relaxed) {
            let numbered = calls.iter().enumerate();
            let body = numbered.map(
                |(id, (method, params))| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }),
            );
            let body = Value::Array(body.collect());
            let answered = self.patiently(|| match self.post(&body)? {
                Value::Array(answers) if answers.len() == calls.len() => in_order(answers, calls).map(Some),
                // One error for the whole batch: a limit is waited for, anything else means that batches are not taken.
                other => match result_of(other) {
                    Err(again @ Failure::Again(..)) => Err(again),
                    _ => Ok(None),
                },
            })?;
            if let Some(values) = answered {
                return Ok(values);
            }
            self.batches.store(false, Ordering::Relaxed);
        }
        calls.iter().map(|(method, params)| self.one(method, params.clone())).collect()
    }

    fn patiently<T>(&self, attempt: impl Fn() -> Result<T, Failure>) -> Result<T, BaseError> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Failure::Final(text)) => return Err(BaseError(format!("{}: {text}", self.host))),
                Err(Failure::Again(text, _)) if tries == TRIES => {
                    return Err(BaseError(format!("{}: {text}, {TRIES} times", self.host)));
                }
                Err(Failure::Again(_, asked)) => std::thread::sleep(asked.unwrap_or(pause).min(MAX_PAUSE)),
            }
            tries += 1;
            pause *= 2;
        }
    }

    fn post(&self, body: &Value) -> Result<Value, Failure> {
        let sent = self.agent.post(&self.url).header("content-type", "application/json").send(body.to_string());
        let mut answer = sent.map_err(|error| failed(&error))?;
        let status = answer.status().as_u16();
        if matches!(status, 429 | 502 | 503 | 504) {
            let seconds =
                answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(Failure::Again(format!("HTTP status {status}"), seconds.map(Duration::from_secs)));
        }
        let bytes =
            answer.body_mut().with_config().limit(MAX_REMOTE_BYTES).read_to_vec().map_err(|error| failed(&error))?;
        // Nodes answer a refused request with an error object under a status such as 400 too.
        serde_json::from_slice(&bytes)
            .map_err(|_| Failure::Final(format!("HTTP status {status}, and the answer is no JSON")))
    }
}

/// The library's own texts may hold the URL, so none of them is used.
fn failed(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(_) => Failure::Again("no answer in time".into(), None),
        ureq::Error::Io(error) => Failure::Again(format!("the connection failed ({})", error.kind()), None),
        ureq::Error::ConnectionFailed => Failure::Again("the connection failed".into(), None),
        ureq::Error::HostNotFound => Failure::Final("no such host".into()),
        ureq::Error::BodyExceedsLimit(limit) => Failure::Final(format!("an answer of more than {limit} bytes")),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => Failure::Final("TLS failed".into()),
        _ => Failure::Final("the request failed".into()),
    }
}

fn named(failure: Failure, method: &str) -> Failure {
    match failure {
        Failure::Again(text, pause) => Failure::Again(format!("{method}: {text}"), pause),
        Failure::Final(text) => Failure::Final(format!("{method}: {text}")),
    }
}

/// The result in a JSON-RPC answer. The text of an error is the remote's own and may repeat the URL, so only its code is told.
fn result_of(answer: Value) -> Result<Value, Failure> {
    outcome_of(answer)?.map_err(|error| Failure::Final(format!("JSON-RPC error {}", error.code)))
}

/// The result or the error in a JSON-RPC answer; that a limit is met is no answer.
fn outcome_of(answer: Value) -> Result<Result<Value, RemoteError>, Failure> {
    let Value::Object(mut fields) = answer else { return Err(Failure::Final("the answer is no JSON-RPC".into())) };
    if let Some(error) = fields.get("error").filter(|error| !error.is_null()) {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        if matches!(code, -32005 | 429) {
            return Err(Failure::Again(format!("JSON-RPC error {code}"), None));
        }
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        let data = error.get("data").filter(|data| data.as_str().is_some_and(|text| text.starts_with("0x"))).cloned();
        return Ok(Err(RemoteError { code, message, data }));
    }
    let result = fields.remove("result");
    result.map(Ok).ok_or_else(|| Failure::Final("the answer has neither result nor error".into()))
}

fn in_order(answers: Vec<Value>, calls: &[(&str, Value)]) -> Result<Vec<Value>, Failure> {
    let mut values = vec![None; calls.len()];
    for answer in answers {
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok());
        let place = id.and_then(|id| values.get_mut(id).zip(calls.get(id)));
        let (place, (method, _)) = place.ok_or_else(|| Failure::Final("a batch's answer has an unknown id".into()))?;
        *place = Some(result_of(answer).map_err(|failure| named(failure, method))?);
    }
    let values: Option<Vec<Value>> = values.into_iter().collect();
    values.ok_or_else(|| Failure::Final("a batch's answer has an id twice".into()))
}

impl Base for RemoteChain {
    fn account(&self, address: Address) -> Result<BaseAccount, BaseError> {
        let params = json!([address, self.at()]);
        let methods = ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"];
        let values = self.all(&methods.map(|method| (method, params.clone())))?;
        let [balance, nonce, code] =
            <[Value; 3]>::try_from(values).map_err(|_| self.said(methods[0], "not as many answers as questions"))?;
        let code: Bytes = self.read(methods[2], code)?;
        Ok(BaseAccount {
            balance: self.read(methods[0], balance)?,
            nonce: self.read::<U64>(methods[1], nonce)?.to(),
            code,
        })
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, BaseError> {
        self.one("eth_getStorageAt", json!([address, B256::from(slot), self.at()]))
    }

    fn block_hash(&self, number: u64) -> Result<B256, BaseError> {
        let (header, hash) = self.block(&json!(format!("{number:#x}")))?;
        if header.number != number {
            return Err(self.said("eth_getBlockByNumber", "it is another block"));
        }
        Ok(hash)
    }
}
