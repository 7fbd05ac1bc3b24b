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
