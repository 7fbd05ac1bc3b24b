//! The developer's controls, under the names that Hardhat's, Anvil's and Ganache's clients call.
//!
//! Invariant: the dispatcher asks for a developer's orderer before any method of these tables; on a network each is refused -32000
//! with "this is no developer chain". What is refused changed nothing.
//! Sources: the names and shapes of Ganache (evm_), Hardhat (hardhat_; NomicFoundation/edr) and Anvil (anvil_; foundry-rs/foundry).
//! Where two of them answer differently, each prefix answers as the program it comes from: `anvil_` null, `hardhat_` and `evm_` true.

mod accounts;
mod history;
mod info;
mod mining;
mod time;

pub(crate) use accounts::{MAX_ADDRESSES, MAX_TOKEN_SLOTS};
pub(crate) use mining::{MAX_DETAILED, MAX_MINE};

use interlace_chain::DevOrderer;
use serde::Deserialize;
use serde_json::Value;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::wire::{Params, Reply, reply};

/// All methods that need a developer's orderer.
pub(crate) const TABLES: &[&[(&str, Method)]] =
    &[accounts::METHODS, history::METHODS, info::METHODS, mining::METHODS, time::METHODS];

fn dev(rpc: &Rpc) -> Result<&DevOrderer, RpcError> {
    Ok(rpc.chain().developer()?)
}

/// What Anvil answers when something is done.
fn null() -> Reply {
    reply(&Value::Null)
}

/// What Hardhat and Ganache answer when something is done.
fn yes() -> Reply {
    reply(&true)
}

/// A number as these tools send it: JSON number, hex or decimal text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    fn value(&self) -> Result<u64, RpcError> {
        let text = match self {
            Self::Plain(value) => return Ok(*value),
            Self::Text(text) => text,
        };
        let value = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        value.map_err(|_| {
            RpcError::invalid_params(format!("{:?} is no 64-bit number", text.chars().take(40).collect::<String>()))
        })
    }
}

fn number(params: &Params<'_>, index: usize) -> Result<Option<u64>, RpcError> {
    params.optional::<Number>(index)?.map(|number| number.value()).transpose()
}

fn required(params: &Params<'_>, index: usize) -> Result<u64, RpcError> {
    number(params, index)?
        .ok_or_else(|| RpcError::invalid_params(format!("missing value for required argument {index}")))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use alloy_consensus::Header;
    use alloy_primitives::{Address, B256, U256};
    use interlace_chain::api::{BlockPlan, Finality, Orderer};
    use interlace_chain::pool::PoolConfig;
    use interlace_chain::{Chain, ChainError, DevGenesis, GenesisBlock};
    use interlace_primitives::Fork;
    use serde_json::{Value, json};

    use super::TABLES;
    use crate::accounts::Accounts;
    use crate::dispatch::Rpc;

    /// An orderer as a network has one: it makes blocks, and no developer has a say in it.
    #[derive(Debug)]
    struct Network;

    impl Orderer for Network {
        fn propose(&self, parent: &Header) -> Result<BlockPlan, ChainError> {
            let (timestamp, gas_limit) = (parent.timestamp + 1, parent.gas_limit);
            Ok(BlockPlan { timestamp, gas_limit, ..BlockPlan::default() })
        }

        fn preview(&self, parent: &Header) -> Result<BlockPlan, ChainError> {
            self.propose(parent)
        }

        fn verify(&self, _: &Header, _: &Header) -> Result<(), ChainError> {
            Ok(())
        }

        fn certify(&self, _: &Header, _: B256) -> Result<(), ChainError> {
            Ok(())
        }

        fn finalised(&self, _: u64, _: B256) {}

        fn finality(&self, head: u64) -> Finality {
            Finality { safe: head, finalised: head }
        }
    }

    pub(crate) fn network() -> Rpc {
        let genesis = DevGenesis {
            chain_id: 7,
            fork: Fork::Osaka,
            balances: vec![(Address::repeat_byte(1), U256::from(9))],
            gas_limit: 30_000_000,
            deployments: Vec::new(),
            timestamp: 0,
            base_fee_wei: None,
            ada: false,
        };
        let genesis = GenesisBlock::from_json(&genesis.document().to_string()).unwrap();
        let chain = Chain::new(genesis, Box::new(Network), PoolConfig::default());
        Rpc::new(Arc::new(chain), None, Accounts::default())
    }

    fn ask(rpc: &Rpc, method: &str, params: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        serde_json::from_slice(&rpc.handle(body.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_network_refuses_every_control_whatever_its_parameters() {
        let rpc = network();
        rpc.chain().produce().unwrap();
        let head = rpc.chain().head().hash;
        let ours = TABLES.iter().copied().flatten().map(|(name, _)| *name);
        let names: Vec<&str> = ours.chain(["eth_sendUnsignedTransaction"]).collect();
        assert!(names.len() > 80);
        let address = Address::repeat_byte(1);
        for name in &names {
            for params in
                [json!([]), json!([address, "0x1"]), json!(["0x1"]), json!([true]), json!([{ "from": address }])]
            {
                let error = &ask(&rpc, name, &params)["error"];
                assert_eq!(
                    (&error["code"], &error["message"]),
                    (&json!(-32000), &json!("this is no developer chain")),
                    "{name}"
                );
            }
        }
        assert_eq!(rpc.chain().head().hash, head);
        assert_eq!(ask(&rpc, "eth_getBalance", &json!([address, "latest"]))["result"], json!("0x9"));
        // It has its own name alone.
        let version = concat!("interlace/v", env!("CARGO_PKG_VERSION"));
        assert_eq!(ask(&rpc, "web3_clientVersion", &json!([]))["result"], json!(version));
        // No impersonation by the ordinary method either.
        let refused = ask(&rpc, "eth_sendTransaction", &json!([{ "from": address, "to": address }]));
        assert_eq!(refused["error"]["message"], json!(format!("unknown account {address}")));
    }

    #[test]
    fn no_name_stands_in_two_tables() {
        let mut names: Vec<&str> = TABLES.iter().copied().flatten().map(|(name, _)| *name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
