//! Turns: how many requests of one kind run at the same time, so that one kind cannot keep another waiting.
//!
//! Four lanes: *light* for what a handful of look-ups answers, *write* for what waits for a block, *heavy* for what executes or searches,
//! *own* for methods of namespaces that a user added. More heavy requests at once than twice the cores would only share the cores among
//! more threads, and a light one would then wait for all of them.
//!
//! Invariant: what is not known to be light or a write is heavy, so that a new method is on the safe side; a batch is heavy. A request waits
//! for its turn for a bounded time and is then refused, having done nothing.
//! What it does not do: it decides nothing about a request but its lane; a wrong guess costs waiting, never a wrong answer.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::dispatch;
use crate::error::RpcError;
use crate::limits::Limits;

/// Light requests at one time.
pub(crate) const MAX_LIGHT: usize = 32;
/// Requests at one time that make, or may make, a block.
pub(crate) const MAX_WRITES: usize = 64;
/// Requests at one time for namespaces that a user added.
pub(crate) const MAX_OWN: usize = 16;
/// A body above this size is not looked into: reading it is work enough.
const MAX_GLANCE_BYTES: usize = 64 * 1024;

const LIGHT: &[&str] = &[
    "eth_accounts",
    "eth_blobBaseFee",
    "eth_blockNumber",
    "eth_chainId",
    "eth_coinbase",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockTransactionCountByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_getUncleByBlockHashAndIndex",
    "eth_getUncleByBlockNumberAndIndex",
    "eth_getUncleCountByBlockHash",
    "eth_getUncleCountByBlockNumber",
    "eth_hashrate",
    "eth_maxPriorityFeePerGas",
    "eth_mining",
    "eth_newBlockFilter",
    "eth_newFilter",
    "eth_newPendingTransactionFilter",
    "eth_protocolVersion",
    "eth_requestAccounts",
    "eth_subscribe",
    "eth_syncing",
    "eth_uninstallFilter",
    "eth_unsubscribe",
    "net_listening",
    "net_peerCount",
    "net_version",
    "txpool_status",
    "web3_clientVersion",
];

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Light,
    Write,
    Heavy,
    Own,
}

impl Lane {
    /// Its name in docs/limits.md.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Write => "write",
            Self::Heavy => "heavy",
            Self::Own => "own",
        }
    }
}

/// The lane of a body.
pub(crate) fn lane(body: &[u8]) -> Lane {
    #[derive(Deserialize)]
    struct Glance<'a> {
        #[serde(borrow)]
        method: std::borrow::Cow<'a, str>,
        #[serde(borrow, default)]
        params: Option<&'a RawValue>,
    }
    let batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if batch || body.len() > MAX_GLANCE_BYTES {
        return Lane::Heavy;
    }
    // What is no request is refused without work.
    let Ok(glance) = serde_json::from_slice::<Glance<'_>>(body) else { return Lane::Light };
    let method = &*glance.method;
    let usual = lane_of(method);
    if usual == Lane::Light && method != "eth_getTransactionCount" {
        // The pending block is executed when it is asked for.
        let pending = glance.params.is_some_and(|params| params.get().contains("pending"));
        return if pending { Lane::Heavy } else { Lane::Light };
    }
    usual
}

/// The lane of a method, whatever it is asked.
pub(crate) fn lane_of(method: &str) -> Lane {
    if LIGHT.contains(&method) {
        return Lane::Light;
    }
    match method.split_once('_') {
        Some(("evm" | "hardhat" | "anvil" | "tenderly", _)) => Lane::Write,
        Some(("eth", "sendRawTransaction" | "sendTransaction" | "sendRawTransactionSync" | "sendTransactionSync")) => {
            Lane::Write
        }
        Some((namespace, _)) if dispatch::is_reserved(namespace) => Lane::Heavy,
        Some(_) => Lane::Own,
        None => Lane::Light,
    }
}

/// The turns of all lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    light: Arc<Semaphore>,
    write: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    own: Arc<Semaphore>,
    patience: Duration,
}

impl Lanes {
    pub(crate) fn new(limits: &Limits) -> Self {
        let turns = |number| Arc::new(Semaphore::new(number));
        Self {
            light: turns(MAX_LIGHT),
            write: turns(MAX_WRITES),
            heavy: turns(limits.heavy()),
            own: turns(MAX_OWN),
            patience: limits.turn_timeout(),
        }
    }

    /// Waits for a turn; it ends when the permit is dropped.
    ///
    /// # Errors
    /// -32005 when there was none in time.
    pub(crate) async fn turn(&self, lane: Lane) -> Result<OwnedSemaphorePermit, RpcError> {
        let turns = match lane {
            Lane::Light => &self.light,
            Lane::Write => &self.write,
            Lane::Heavy => &self.heavy,
            Lane::Own => &self.own,
        };
        if let Ok(permit) = Arc::clone(turns).try_acquire_owned() {
            return Ok(permit);
        }
        match tokio::time::timeout(self.patience, Arc::clone(turns).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(RpcError::limit(format!(
                "the node is busy: no turn within {} ms; try again",
                self.patience.as_millis()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_known_before_a_request_is_read() {
        let of = |method: &str, params: &str| {
            lane(format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#).as_bytes())
        };
        assert_eq!(of("eth_blockNumber", "[]"), Lane::Light);
        assert_eq!(of("eth_getBalance", r#"["0x0","latest"]"#), Lane::Light);
        assert_eq!(of("eth_getBalance", r#"["0x0","pending"]"#), Lane::Heavy);
        assert_eq!(of("eth_call", "[]"), Lane::Heavy);
        assert_eq!(of("debug_somethingNew", "[]"), Lane::Heavy);
        assert_eq!(of("eth_sendRawTransaction", "[]"), Lane::Write);
        assert_eq!(of("anvil_mine", "[]"), Lane::Write);
        assert_eq!(of("game_score", "[]"), Lane::Own);
        assert_eq!(lane(br#" [{"method":"eth_chainId"}]"#), Lane::Heavy);
        assert_eq!(lane(b"no json"), Lane::Light);
        assert_eq!(lane(&vec![b' '; MAX_GLANCE_BYTES + 1]), Lane::Heavy);
    }

    #[test]
    fn light_methods_exist() {
        let methods = dispatch::methods();
        assert_eq!(LIGHT.iter().filter(|name| !methods.contains(name)).count(), 0);
    }
}
