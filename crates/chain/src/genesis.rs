//! Block zero: from geth's genesis document, and from constructors that run in place.
//!
//! Invariant: a document without our extension gives exactly geth's block hash and state root. Deployments of the key `interlace` run
//! after `alloc` is in place, in the order given, in the genesis block's own environment; one that fails fails the genesis.
//! Source: geth core/genesis.go (`toBlock`, `hashAlloc`), EIP-1559, 4895, 4788, 4844, 7685 for the header's fields.
//! What it does not do: nothing of a document is guessed; an unknown fork is refused by `ChainSpec`.

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_genesis::Genesis;
use alloy_primitives::{Address, B256, Bytes, U256, address, bytes};
use interlace_primitives::{ChainSpec, Fork};
use interlace_state::MemoryState;
use interlace_stf::{BlockEnv, alloc_changes, deploy, genesis_header, system_contracts};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::ChainError;
use crate::fork::Forked;

/// Gas limit of a document that names none (geth's `params.GenesisGasLimit`).
const DEFAULT_GAS_LIMIT: u64 = 4_712_388;

/// The proxy through which foundry and others deploy with CREATE2: same address and code on every chain, Ethereum's included
/// (Arachnid/deterministic-deployment-proxy). Tools that compute an address by it expect it to be there.
pub(crate) const CREATE2_DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
const CREATE2_DEPLOYER_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// A contract whose constructor runs at genesis.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Where it will live.
    pub address: Address,
    /// Initcode, constructor arguments appended.
    pub initcode: Bytes,
    /// Wei that it starts with, created for it.
    #[serde(default)]
    pub value: U256,
}

impl Deployment {
    fn to_stf(&self) -> interlace_stf::Deployment {
        interlace_stf::Deployment { address: self.address, initcode: self.initcode.clone(), value_wei: self.value }
    }
}

impl From<(Address, Bytes, U256)> for Deployment {
    fn from((address, initcode, value): (Address, Bytes, U256)) -> Self {
        Self { address, initcode, value }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extension {
    #[serde(default)]
    deployments: Vec<Deployment>,
}

/// A built genesis: rules, header, and the state it commits to.
#[derive(Debug)]
pub struct GenesisBlock {
    /// Rules of the chain.
    pub spec: ChainSpec,
    /// Header of block zero.
    pub header: Header,
    /// State with everything in place.
    pub state: MemoryState,
    /// The document that it was built from; a dump of the chain carries it. `None` where there is none to build it from again.
    pub document: Option<String>,
    /// Where it was forked from, if it was.
    pub forked: Option<Forked>,
}

fn bad(detail: impl core::fmt::Display) -> ChainError {
    ChainError::Genesis(detail.to_string())
}

impl GenesisBlock {
    /// Builds block zero from a document.
    ///
    /// # Errors
    /// [`ChainError::Genesis`] with what is wrong: no JSON, no such fork order, a constructor that fails.
    pub fn from_json(text: &str) -> Result<Self, ChainError> {
        let document: Value = serde_json::from_str(text).map_err(|error| bad(format!("no JSON: {error}")))?;
        let fields = document.as_object().ok_or_else(|| bad("a genesis is a JSON object"))?;
        for needed in ["config", "alloc"] {
            if !fields.contains_key(needed) {
                return Err(bad(format!("genesis has no {needed:?}")));
            }
        }
        let extension = match fields.get("interlace") {
            Some(value) => Extension::deserialize(value).map_err(|error| bad(format!("interlace: {error}")))?,
            None => Extension::default(),
        };
        let genesis = Genesis::deserialize(&document).map_err(bad)?;
        let built = Self::build(genesis, &extension.deployments)?;
        Ok(Self { document: Some(text.to_owned()), ..built })
    }

    fn build(mut genesis: Genesis, deployments: &[Deployment]) -> Result<Self, ChainError> {
        let spec = ChainSpec::from_config(&genesis.config).map_err(bad)?;
        check(&genesis)?;
        if genesis.gas_limit == 0 {
            genesis.gas_limit = DEFAULT_GAS_LIMIT;
        }
        let mut header = genesis_header(&spec, &genesis, B256::ZERO);
        let mut changes = alloc_changes(&genesis.alloc);
        if !deployments.is_empty() {
            // Constructors read what `alloc` holds; the chain's first state holds both, and its root is the header's.
            let alloc = MemoryState::new(0, changes.clone(), |_| B256::ZERO).latest();
            let contracts: Vec<_> = deployments.iter().map(Deployment::to_stf).collect();
            changes.merge(deploy(BlockEnv::from_header(&spec, &header), &contracts, alloc).map_err(bad)?);
        }
        let state = MemoryState::new(0, changes, |root| {
            header.state_root = root;
            header.hash_slow()
        });
        Ok(Self { spec, header, state, document: None, forked: None })
    }
}

fn check(genesis: &Genesis) -> Result<(), ChainError> {
    if let Some(number) = genesis.number.filter(|number| *number != 0) {
        return Err(bad(format!("genesis has number {number}, not 0")));
    }
    if genesis.extra_data.len() > 32 {
        return Err(bad(format!("extraData has {} bytes, at most 32", genesis.extra_data.len())));
    }
    match genesis.base_fee_per_gas {
        Some(fee) if u64::try_from(fee).is_err() => Err(bad(format!("baseFeePerGas {fee} is no 64-bit number"))),
        _ => Ok(()),
    }
}

/// What a developer's chain starts from.
#[derive(Clone, Debug)]
pub struct DevGenesis {
    /// Chain id.
    pub chain_id: u64,
    /// Version of the protocol, active from block zero.
    pub fork: Fork,
    /// Accounts and their wei.
    pub balances: Vec<(Address, U256)>,
    /// Gas limit of each block.
    pub gas_limit: u64,
    /// Contracts whose constructors run.
    pub deployments: Vec<Deployment>,
    /// Unix seconds of block zero.
    pub timestamp: u64,
    /// Base fee of block zero in wei; `None` is Ethereum's first, and any is ignored before London.
    pub base_fee_wei: Option<u64>,
    /// Whether programs can be stored, registered and run (Interlace's fork Ada), from Prague on.
    pub ada: bool,
}

impl DevGenesis {
    /// The genesis document: equal input gives equal text and so an equal genesis hash.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut alloc: BTreeMap<Address, Value> =
            self.balances.iter().map(|(address, wei)| (*address, json!({ "balance": wei }))).collect();
        for (address, code) in system_contracts(self.fork) {
            alloc.insert(address, json!({ "balance": "0x0", "nonce": "0x1", "code": code }));
        }
        if self.fork >= Fork::Petersburg {
            alloc
                .entry(CREATE2_DEPLOYER)
                .or_insert_with(|| json!({ "balance": "0x0", "nonce": "0x1", "code": CREATE2_DEPLOYER_CODE }));
        }
        let mut document = json!({
            "config": config(self.chain_id, self.fork),
            "nonce": "0x0",
            "timestamp": format!("{:#x}", self.timestamp),
            "extraData": "0x",
            "gasLimit": format!("{:#x}", self.gas_limit),
            "difficulty": if self.fork >= Fork::Paris { "0x0" } else { "0x20000" },
            "mixHash": B256::ZERO,
            "coinbase": Address::ZERO,
            "alloc": alloc,
            "interlace": { "deployments": self.deployments },
        });
        if self.ada && self.fork >= Fork::Prague {
            document["config"]["adaTime"] = json!(0);
        }
        if let Some(wei) = self.base_fee_wei.filter(|_| self.fork >= Fork::London) {
            document["baseFeePerGas"] = json!(format!("{wei:#x}"));
        }
        document
    }
}

/// geth's `config` with every version up to `fork` active from the start.
fn config(chain_id: u64, fork: Fork) -> Value {
    let blocks = [
        (Fork::Homestead, "homesteadBlock"),
        (Fork::TangerineWhistle, "eip150Block"),
        (Fork::SpuriousDragon, "eip155Block"),
        (Fork::SpuriousDragon, "eip158Block"),
        (Fork::Byzantium, "byzantiumBlock"),
        (Fork::Constantinople, "constantinopleBlock"),
        (Fork::Petersburg, "petersburgBlock"),
        (Fork::Istanbul, "istanbulBlock"),
        (Fork::Berlin, "berlinBlock"),
        (Fork::London, "londonBlock"),
        (Fork::Paris, "mergeNetsplitBlock"),
        (Fork::Shanghai, "shanghaiTime"),
        (Fork::Cancun, "cancunTime"),
        (Fork::Prague, "pragueTime"),
        (Fork::Osaka, "osakaTime"),
        (Fork::Bpo1, "bpo1Time"),
        (Fork::Bpo2, "bpo2Time"),
    ];
    let mut config = Map::new();
    config.insert("chainId".into(), json!(chain_id));
    for (since, key) in blocks {
        if fork >= since {
            config.insert(key.into(), json!(0));
        }
    }
    if fork >= Fork::Paris {
        config.insert("terminalTotalDifficulty".into(), json!(0));
    }
    Value::Object(config)
}
