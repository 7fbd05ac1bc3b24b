//! Python's view of a node: start, stop, ask, add namespaces, follow blocks.
//!
//! Invariant: no transaction is touched by Python on its way; Python sees requests as bytes, and blocks after their commit. A running node
//! owns its threads and ends them all in `stop`.
//! What it does not do: it decides no defaults; `interlace.chain` fills in every field of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, Bytes, U256};
use interlace_chain::pool::{Order, PoolConfig};
use interlace_chain::{
    Chain, ChainError, DataDir, DevGenesis, DevOrderer, Durability, Event, ExecutionConfig, ForkPoint, GenesisBlock,
    Miner, Mining, genesis_of_dump,
};
use interlace_executor::MAX_THREADS;
use interlace_primitives::Fork;
use interlace_rpc::{Accounts, ConsoleListener, Guard, Limits, Namespace, Rpc, RpcError, Server, ServerConfig};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::border::{CoreError, attach, enter};
use crate::predictor::{self, LessonTuple, WeightTuple};
use crate::progress::Progress;
use crate::vm;

/// Calls into one namespace's Python code at the same time.
const NAMESPACE_CALLS: usize = 8;
/// How long a call waits for its turn.
const NAMESPACE_WAIT: Duration = Duration::from_secs(30);
/// How long stopping waits for requests that still run.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Genesis document; without it `dev` describes one.
    genesis: Option<String>,
    dev: Dev,
    /// Folder that the chain lives in; without it, memory.
    data_dir: Option<PathBuf>,
    /// `process` or `power`.
    durability: String,
    /// Blocks behind the newest one whose states are kept; without it, all.
    history: Option<u64>,
    /// Bytes by which the log grows between checkpoints; those of the newest checkpoint if they are more.
    checkpoint_bytes: u64,
    /// Leave accounts and slots in the checkpoint's tables, and hold so many bytes of those that are only read.
    read_bytes: Option<usize>,
    /// The chain that this one goes on after, instead of from a genesis.
    remote: Option<Remote>,
    /// `instant`, `manual`, or milliseconds between blocks.
    mining: MiningMode,
    beneficiary: Address,
    gas_limit: Option<u64>,
    /// `fees` or `fifo`.
    order: String,
    /// What the chain's clock shows at the start; without it, the time.
    start: Option<u64>,
    auto_impersonate: bool,
    /// Threads that execute a block; without it, as many as there are cores.
    threads: Option<usize>,
    /// `history`, `none`, or `given`.
    predictor: String,
    /// `analysed` or `plain`.
    vm: String,
    server: Option<Listen>,
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dev {
    chain_id: u64,
    fork: String,
    gas_limit: u64,
    balances: Vec<(Address, U256)>,
    deployments: Vec<(Address, Bytes, U256)>,
    timestamp: u64,
    base_fee_wei: Option<u64>,
    /// Whether programs can be stored, registered and run.
    instructions: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remote {
    url: String,
    /// The newest one, if it is not given.
    block: Option<u64>,
    /// Rules, instead of the remote's.
    fork: Option<String>,
    /// Folder in which what was read is kept.
    cache: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MiningMode {
    Every(u64),
    Named(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listen {
    address: SocketAddr,
    allowed_hosts: Vec<String>,
    allowed_origins: Vec<String>,
}

impl Config {
    /// The genesis document; a dump brings its own.
    fn document(&self, dump: Option<&[u8]>) -> Result<String, CoreError> {
        if let Some(dump) = dump {
            return genesis_of_dump(dump).map_err(|error| chain_error(&error));
        }
        if let Some(text) = &self.genesis {
            return Ok(text.clone());
        }
        let fork = fork_named(&self.dev.fork)?;
        let deployments = self.dev.deployments.iter().cloned();
        let genesis = DevGenesis {
            chain_id: self.dev.chain_id,
            fork,
            balances: self.dev.balances.clone(),
            gas_limit: self.dev.gas_limit,
            deployments: deployments.map(|(address, initcode, value)| (address, initcode, value).into()).collect(),
            timestamp: self.dev.timestamp,
            base_fee_wei: self.dev.base_fee_wei,
            ada: self.dev.instructions,
        };
        Ok(genesis.document().to_string())
    }

    fn execution(&self) -> Result<ExecutionConfig, CoreError> {
        let wrong = |threads: &usize| *threads == 0 || *threads > MAX_THREADS;
        if let Some(threads) = self.threads.filter(wrong) {
            return Err(CoreError::new("chain.bad-config", format_args!("{threads} threads, of 1 to {MAX_THREADS}")));
        }
        let (predictor, vm) = (predictor::named(&self.predictor)?, vm::named(&self.vm)?);
        Ok(ExecutionConfig { threads: self.threads, predictor, vm })
    }

    fn mining(&self) -> Result<Mining, CoreError> {
        match &self.mining {
            MiningMode::Every(ms) if *ms > 0 => Ok(Mining::Interval(Duration::from_millis(*ms))),
            MiningMode::Named(name) if name == "instant" => Ok(Mining::Instant),
            MiningMode::Named(name) if name == "manual" => Ok(Mining::Manual),
            _ => Err(CoreError::new("chain.bad-config", "mining is instant, manual or a positive number of ms")),
        }
    }
}

impl Config {
    fn data_dir(&self) -> Result<Option<DataDir>, CoreError> {
        let durability = match self.durability.as_str() {
            "process" => Durability::Process,
            "power" => Durability::Power,
            other => {
                return Err(CoreError::new(
                    "chain.bad-config",
                    format_args!("durability {other:?} is neither process nor power"),
                ));
            }
        };
        let open = |folder: &PathBuf| {
            let data = DataDir::open(folder, durability).map_err(|error| chain_error(&error))?;
            let data = data.checkpoint_after(self.checkpoint_bytes);
            Ok(match self.read_bytes {
                Some(bytes) => data.in_tables(bytes),
                None => data,
            })
        };
        self.data_dir.as_ref().map(open).transpose()
    }

    /// What the chain begins with: a fork at its remote's block, anything else at its genesis.
    fn first_block(&self, dump: Option<&[u8]>, data: Option<&DataDir>) -> Result<GenesisBlock, CoreError> {
        let Some(Remote { url, block, fork, cache }) = &self.remote else {
            let asked = self.document(dump)?;
            let document = data.map_or_else(|| Ok(asked.clone()), |data| data.document(&asked));
            return document.and_then(|text| GenesisBlock::from_json(&text)).map_err(|error| chain_error(&error));
        };
        let point = ForkPoint {
            url: url.clone(),
            block: *block,
            rules: fork.as_deref().map(fork_named).transpose()?,
            balances: self.dev.balances.clone(),
            cache: cache.clone(),
        };
        GenesisBlock::forked(point).map_err(|error| chain_error(&error))
    }

    fn orderer(&self, first: &GenesisBlock) -> Result<DevOrderer, CoreError> {
        let mut orderer = DevOrderer::new(self.mining()?, self.beneficiary, self.gas_limit);
        // The clock of a fork goes on from the block that it follows.
        let start = self.start.or_else(|| self.remote.as_ref().map(|_| first.header.timestamp));
        if let Some(timestamp) = start {
            orderer = orderer.starting_at(timestamp);
        }
        Ok(if self.auto_impersonate { orderer.impersonating_all() } else { orderer })
    }

    fn pool(&self) -> Result<PoolConfig, CoreError> {
        let order = match self.order.as_str() {
            "fees" => Order::Fees,
            "fifo" => Order::Arrival,
            other => {
                return Err(CoreError::new(
                    "chain.bad-config",
                    format_args!("order {other:?} is neither fees nor fifo"),
                ));
            }
        };
        Ok(PoolConfig { order, ..PoolConfig::default() })
    }
}

fn fork_named(name: &str) -> Result<Fork, CoreError> {
    Fork::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Fork::ALL.iter().map(|fork| fork.name()).collect();
        CoreError::new("chain.bad-config", format_args!("fork {name:?} is none of {}", known.join(", ")))
    })
}

fn chain_error(error: &ChainError) -> CoreError {
    CoreError::new(error.code(), error)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a running node owns.
struct Running {
    runtime: Runtime,
    server: Option<Server>,
    miner: Arc<Miner>,
    rpc: Arc<Rpc>,
    chain: Arc<Chain>,
}

impl Running {
    fn start(
        config: &Config,
        keys: &[[u8; 32]],
        dump: Option<&[u8]>,
        progress: &Progress,
    ) -> Result<(Self, Arc<Chain>), CoreError> {
        config.limits.check().map_err(|error| CoreError::new("chain.bad-config", error))?;
        let execution = config.execution()?;
        let data = config.data_dir()?;
        let first = config.first_block(dump, data.as_ref())?;
        first.state.keep(config.history);
        let orderer = Box::new(config.orderer(&first)?);
        let chain = match data {
            None => Chain::new(first, orderer, config.pool()?),
            Some(data) => {
                let pool = config.pool()?;
                let tell = |phase, done, all| progress.tell(phase, done, all);
                let opened = Chain::open(data, first, orderer, pool, &tell);
                opened.map_err(|error| chain_error(&error))?
            }
        };
        let chain = Arc::new(chain.executing(execution));
        if let (Some(_), Ok(developer), head @ 1..) = (config.start, chain.developer(), chain.head().number()) {
            // A clock that was set for genesis goes on from the newest block.
            developer.reset_at(chain.block(head).map_or(0, |block| block.header.timestamp));
        }
        if chain.forked_at().is_some() {
            // The remote's block has transactions that are not held here; the newest block is one of this chain's own.
            chain.produce().map_err(|error| chain_error(&error))?;
        }
        if let Some(dump) = dump {
            chain.load(dump).map_err(|error| chain_error(&error))?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.limits.workers())
            .max_blocking_threads(config.limits.threads())
            .thread_name("interlace-io")
            .enable_all()
            .build()
            .map_err(|error| CoreError::new("chain.start", error))?;
        let accounts = Accounts::new(keys).map_err(|error| CoreError::new("chain.bad-key", error))?;
        let miner = Arc::new(Miner::start(Arc::clone(&chain)).map_err(|error| chain_error(&error))?);
        let rpc = Rpc::new(Arc::clone(&chain), Some(Arc::clone(&miner)), accounts).with_limits(config.limits);
        let rpc = Arc::new(rpc);
        let mut running = Self { runtime, server: None, miner, rpc, chain: Arc::clone(&chain) };
        if let Some(listen) = &config.server
            && let Err(error) = running.listen(listen)
        {
            running.stop();
            return Err(error);
        }
        Ok((running, chain))
    }

    fn listen(&mut self, listen: &Listen) -> Result<(), CoreError> {
        let mut config = ServerConfig::new(listen.address);
        config.guard = Guard { hosts: listen.allowed_hosts.clone(), origins: listen.allowed_origins.clone() };
        config.limits = self.rpc.limits();
        let server = self.runtime.block_on(Server::start(Arc::clone(&self.rpc), config));
        let server = server.map_err(|error| {
            let code = if error.kind() == std::io::ErrorKind::AddrInUse { "chain.port-in-use" } else { "chain.start" };
            CoreError::new(code, format_args!("{}: {error}", listen.address))
        })?;
        self.server = Some(server);
        Ok(())
    }

    fn stop(self) {
        if let Some(server) = self.server {
            self.runtime.block_on(server.stop());
        }
        self.miner.stop();
        self.rpc.clear_namespaces();
        self.runtime.shutdown_timeout(STOP_TIMEOUT);
        self.chain.close();
    }
}

/// A node inside this process.
#[pyclass(frozen, module = "interlace._core")]
struct Node {
    running: Mutex<Option<Running>>,
    rpc: Arc<Rpc>,
    chain: Arc<Chain>,
    handle: tokio::runtime::Handle,
    address: Option<SocketAddr>,
}

#[pymethods]
impl Node {
    /// Starts a node as the JSON `config` says; `keys` are those of the developer accounts. With a `dump`, genesis and chain are the
    /// dump's. `progress` is told of what a data directory takes.
    #[new]
    #[pyo3(signature = (config, keys, dump = None, progress = None))]
    fn new(
        py: Python<'_>,
        config: &str,
        keys: Vec<[u8; 32]>,
        dump: Option<&[u8]>,
        progress: Option<PyRef<'_, Progress>>,
    ) -> PyResult<Self> {
        let progress = progress.map(|progress| progress.clone()).unwrap_or_default();
        enter(py, || {
            let config: Config =
                serde_json::from_str(config).map_err(|error| CoreError::new("chain.bad-config", error))?;
            let (running, chain) = Running::start(&config, &keys, dump, &progress)?;
            Ok(Self {
                rpc: Arc::clone(&running.rpc),
                handle: running.runtime.handle().clone(),
                address: running.server.as_ref().map(Server::address),
                chain,
                running: Mutex::new(Some(running)),
            })
        })
    }

    /// Host and port it listens on; `None` without a server.
    #[getter]
    fn address(&self) -> Option<(String, u16)> {
        self.address.map(|address| (address.ip().to_string(), address.port()))
    }

    /// Chain id.
    #[getter]
    fn chain_id(&self) -> u64 {
        self.chain.spec().chain_id()
    }

    /// Answers one JSON-RPC body; empty when it holds only notifications.
    fn request<'py>(&self, py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let answer = enter(py, || {
            if lock(&self.running).is_none() {
                return Err(CoreError::new("chain.stopped", "the node is not running"));
            }
            Ok(self.rpc.handle(body).unwrap_or_default())
        })?;
        Ok(PyBytes::new(py, &answer))
    }

    /// Executes and commits a block given as RLP.
    fn import_block(&self, py: Python<'_>, rlp: &[u8]) -> PyResult<u64> {
        enter(py, || Ok(self.chain.import(rlp).map_err(|error| chain_error(&error))?.number()))
    }

    /// As `import_block`, with what is said to be the block's access list as RLP. Gives the number, and what is wrong with the list: code and words.
    fn follow_block(
        &self,
        py: Python<'_>,
        rlp: &[u8],
        access_list: &[u8],
    ) -> PyResult<(u64, Option<(&'static str, String)>)> {
        enter(py, || {
            let (block, verdict) = self.chain.import_listed(rlp, access_list).map_err(|error| chain_error(&error))?;
            Ok((block.number(), verdict.err().map(|error| (error.code(), error.to_string()))))
        })
    }

    /// What the predictor may learn from, since this was last asked.
    fn take_lessons<'py>(&self, py: Python<'py>) -> PyResult<Vec<LessonTuple<'py>>> {
        predictor::lessons(py, || Ok(self.chain.take_lessons()))
    }

    /// What the predictor says from now on.
    fn give_weights(&self, py: Python<'_>, weights: Vec<WeightTuple>) -> PyResult<()> {
        enter(py, || {
            self.chain.give_weights(predictor::weights(weights)?);
            Ok(())
        })
    }

    /// The whole chain as bytes.
    fn dump_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let dump = enter(py, || self.chain.dump().map_err(|error| chain_error(&error)))?;
        Ok(PyBytes::new(py, &dump))
    }

    /// Puts the chain of a dump in this one's place.
    fn load_state(&self, py: Python<'_>, dump: &[u8]) -> PyResult<()> {
        enter(py, || self.chain.load(dump).map_err(|error| chain_error(&error)))
    }

    /// Makes `dispatch(method, params)` answer `name_*`; it returns (is result, JSON text).
    fn add_namespace(&self, py: Python<'_>, name: &str, dispatch: Py<PyAny>) -> PyResult<()> {
        let namespace = Arc::new(PyNamespace { dispatch, turn: Turn::default() });
        enter(py, || {
            self.rpc
                .add_namespace(name, namespace)
                .map_err(|error| CoreError::new("chain.bad-namespace", error.message))
        })
    }

    /// A stream of the blocks committed from now on.
    fn blocks(&self) -> BlockStream {
        BlockStream {
            events: Mutex::new(self.chain.subscribe()),
            handle: self.handle.clone(),
            chain: Arc::clone(&self.chain),
            dropped: Mutex::new(0),
        }
    }

    /// A stream of the lines that contracts write with console.log from now on.
    fn console(&self) -> ConsoleStream {
        ConsoleStream { listener: Mutex::new(ConsoleListener::new(Arc::clone(&self.rpc))), handle: self.handle.clone() }
    }

    /// Ends server, miner and threads; a second call does nothing.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        enter(py, || {
            let running = lock(&self.running).take();
            if let Some(running) = running {
                running.stop();
            }
            Ok(())
        })
    }
}

/// Blocks as they are committed.
#[pyclass(frozen, module = "interlace._core")]
struct BlockStream {
    events: Mutex<Receiver<Event>>,
    handle: tokio::runtime::Handle,
    chain: Arc<Chain>,
    dropped: Mutex<u64>,
}

#[pymethods]
impl BlockStream {
    /// Number of the next block, waiting at most `timeout_ms`; `None` when there was none in time.
    fn next(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<u64>> {
        enter(py, || {
            let deadline = Instant::now() + Duration::from_millis(timeout_ms.min(60_000));
            let mut events = lock(&self.events);
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let event = self.handle.block_on(async { tokio::time::timeout(left, events.recv()).await });
                match event {
                    Ok(Ok(Event::Block(block))) => return Ok(Some(block.number())),
                    Ok(Ok(_)) => {}
                    Ok(Err(RecvError::Lagged(missed))) => {
                        *lock(&self.dropped) += missed;
                        self.chain.metrics().notifications_dropped.inc_by(missed);
                    }
                    Ok(Err(RecvError::Closed)) | Err(_) => return Ok(None),
                }
            }
        })
    }

    /// Events that were missed because the reader was too slow.
    #[getter]
    fn dropped(&self) -> u64 {
        *lock(&self.dropped)
    }
}

/// Lines of console.log as they are written.
#[pyclass(frozen, module = "interlace._core")]
struct ConsoleStream {
    listener: Mutex<ConsoleListener>,
    handle: tokio::runtime::Handle,
}

#[pymethods]
impl ConsoleStream {
    /// The lines of the next execution that wrote some, waiting at most `timeout_ms`; `None` when there was none in time.
    fn next(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Vec<String>>> {
        enter(py, || {
            let most = Duration::from_millis(timeout_ms.min(60_000));
            let mut listener = lock(&self.listener);
            Ok(self.handle.block_on(async { tokio::time::timeout(most, listener.next()).await }).unwrap_or_default())
        })
    }

    /// Blocks and calls that were missed because the reader was too slow.
    #[getter]
    fn dropped(&self) -> u64 {
        lock(&self.listener).dropped()
    }
}

/// Lets [`NAMESPACE_CALLS`] callers in at once.
#[derive(Default)]
struct Turn {
    busy: Mutex<usize>,
    left: Condvar,
}

struct Slot<'a>(&'a Turn);

impl Turn {
    fn take(&self) -> Option<Slot<'_>> {
        let busy = lock(&self.busy);
        let waiting = self.left.wait_timeout_while(busy, NAMESPACE_WAIT, |busy| *busy >= NAMESPACE_CALLS);
        let (mut busy, outcome) = waiting.unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() {
            return None;
        }
        *busy += 1;
        Some(Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *lock(&self.0.busy) -= 1;
        self.0.left.notify_one();
    }
}

/// A namespace whose methods are Python's.
struct PyNamespace {
    dispatch: Py<PyAny>,
    turn: Turn,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    message: String,
    data: Option<serde_json::Value>,
}

impl Namespace for PyNamespace {
    fn call(&self, method: &str, params: Option<&str>) -> Result<String, RpcError> {
        let busy = || RpcError::new(-32005, format!("{NAMESPACE_CALLS} calls of this namespace are running"));
        let _slot = self.turn.take().ok_or_else(busy)?;
        let answer = attach(|py| self.dispatch.call1(py, (method, params))?.extract::<(bool, String)>(py));
        let (is_result, text) = answer
            .ok_or_else(|| RpcError::internal("the interpreter is ending"))?
            .map_err(|error| RpcError::internal(format!("namespace: {error}")))?;
        if is_result {
            return Ok(text);
        }
        let error: ErrorObject =
            serde_json::from_str(&text).map_err(|error| RpcError::internal(format!("namespace: {error}")))?;
        Err(RpcError { code: error.code, message: error.message, data: error.data })
    }
}

/// All bounds that a client of a node with default settings can meet, by name.
#[pyfunction]
fn rpc_limits() -> Vec<(&'static str, u64)> {
    interlace_rpc::limits(&Limits::default())
}

/// Names of the built-in JSON-RPC methods, ascending.
#[pyfunction]
fn rpc_methods() -> Vec<&'static str> {
    interlace_rpc::methods()
}

/// The built-in JSON-RPC methods, ascending: name, where it is answered, and the lane in which it waits for its turn.
#[pyfunction]
fn rpc_method_table() -> Vec<(&'static str, &'static str, &'static str)> {
    interlace_rpc::method_table()
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(rpc_limits, m)?)?;
    m.add_function(wrap_pyfunction!(rpc_methods, m)?)?;
    m.add_function(wrap_pyfunction!(rpc_method_table, m)?)?;
    m.add_class::<Node>()?;
    m.add_class::<BlockStream>()?;
    m.add_class::<ConsoleStream>()
}
