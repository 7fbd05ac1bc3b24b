//! A chain's rules: identity, fork schedule, blob schedule and the addresses that the protocol itself uses.
//!
//! Invariant: activations never run backwards; asking for the fork at a block has exactly one answer, from number and
//! timestamp alone.
//! Source: geth's genesis `config` object (params.ChainConfig, CheckConfigForkOrder), EIP-7840 for `blobSchedule`.
//! What it does not do: it does not follow total difficulty, so the merge is found by block number; Amsterdam and later
//! are refused, not ignored.

use alloc::format;
use alloc::string::{String, ToString};

use alloy_genesis::ChainConfig;
use alloy_primitives::{Address, U256, address, uint};

use crate::fees::BlobParams;
use crate::fork::{Activation, Fork};

/// Ethereum mainnet's deposit contract (EIP-6110).
pub const MAINNET_DEPOSIT_CONTRACT: Address = address!("0x00000000219ab540356cbb839cbe05303d7705fa");
const MAINNET_PARIS_BLOCK: u64 = 15_537_394;
/// 58,750,000,000,000,000,000,000 (EIP-3675).
const MAINNET_TERMINAL_DIFFICULTY: U256 = uint!(58_750_000_000_000_000_000_000_U256);
/// EIP-7594: blobs per transaction from Osaka on.
const OSAKA_BLOBS_PER_TRANSACTION: u64 = 6;

/// A chain configuration that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The text is not a chain configuration.
    #[error("chain config is not valid JSON of the expected shape: {0}")]
    Json(String),
    /// A version begins before one it builds on.
    #[error("{later} begins at {later_at}, before {earlier} at {earlier_at}")]
    Order {
        /// The version that must begin first.
        earlier: Fork,
        /// When that one begins.
        earlier_at: Activation,
        /// The version that begins too soon.
        later: Fork,
        /// When it begins.
        later_at: Activation,
    },
    /// A version is scheduled although one it builds on is not.
    #[error("{later} is scheduled for {later_at} but {missing} is not scheduled at all")]
    Missing {
        /// The version without a schedule.
        missing: Fork,
        /// A version that builds on it.
        later: Fork,
        /// When that one begins.
        later_at: Activation,
    },
    /// `eip155Block` and `eip158Block` differ; both are Spurious Dragon here.
    #[error("eip155Block {eip155:?} differs from eip158Block {eip158:?}; Spurious Dragon is one fork here")]
    SplitSpuriousDragon {
        /// Value of `eip155Block`.
        eip155: Option<u64>,
        /// Value of `eip158Block`.
        eip158: Option<u64>,
    },
    /// A merge by total difficulty whose block number is not stated.
    #[error("terminalTotalDifficulty {0} needs mergeNetsplitBlock: forks are found by block number here")]
    MergeWithoutBlock(U256),
    /// A scheduled version that this engine does not implement.
    #[error("{field} is set, but this engine implements nothing after Osaka and its blob-parameter forks")]
    Unsupported {
        /// Field of the configuration.
        field: &'static str,
    },
    /// Ada begins before what it builds on.
    #[error("adaTime is {0}: it builds on prague, which is not in force by then")]
    AdaTooEarly(u64),
    /// A fork with blobs has no line in `blobSchedule` and no default.
    #[error("{0} is scheduled but blobSchedule has no entry for it")]
    NoBlobParams(Fork),
    /// Blob parameters that no block can satisfy.
    #[error("blobSchedule of {fork}: target {target}, max {max}, baseFeeUpdateFraction {update_fraction} cannot work")]
    BadBlobParams {
        /// The fork.
        fork: Fork,
        /// Its `target`.
        target: u64,
        /// Its `max`.
        max: u64,
        /// Its `baseFeeUpdateFraction`.
        update_fraction: u128,
    },
    /// The chain id is zero.
    #[error("chainId is 0; signatures cannot be bound to it")]
    ZeroChainId,
}

impl SpecError {
    /// Stable identifier of the mistake.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "engine.config-json",
            Self::Order { .. } => "engine.config-fork-order",
            Self::Missing { .. } | Self::AdaTooEarly(_) => "engine.config-fork-missing",
            Self::SplitSpuriousDragon { .. } => "engine.config-spurious-dragon",
            Self::MergeWithoutBlock(_) => "engine.config-merge-block",
            Self::Unsupported { .. } => "engine.config-unsupported-fork",
            Self::NoBlobParams(_) | Self::BadBlobParams { .. } => "engine.config-blobs",
            Self::ZeroChainId => "engine.config-chain-id",
        }
    }
}

/// The rules of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    chain_id: u64,
    activations: [Option<Activation>; Fork::ALL.len()],
    blobs: [Option<BlobParams>; Fork::ALL.len()],
    dao_fork_block: Option<u64>,
    /// Blocks of Muir, Arrow and Gray Glacier, which only delay the difficulty bomb.
    glacier_blocks: [Option<u64>; 3],
    deposit_contract: Address,
    /// Timestamp from which programs can be stored, registered and run.
    ada: Option<u64>,
}

impl ChainSpec {
    /// Ethereum mainnet, Frontier to BPO2, with the real activations.
    #[must_use]
    pub fn mainnet() -> Self {
        let mut spec = Self::empty(1);
        let blocks = [
            (Fork::Frontier, 0),
            (Fork::Homestead, 1_150_000),
            (Fork::TangerineWhistle, 2_463_000),
            (Fork::SpuriousDragon, 2_675_000),
            (Fork::Byzantium, 4_370_000),
            (Fork::Constantinople, 7_280_000),
            (Fork::Petersburg, 7_280_000),
            (Fork::Istanbul, 9_069_000),
            (Fork::Berlin, 12_244_000),
            (Fork::London, 12_965_000),
            (Fork::Paris, MAINNET_PARIS_BLOCK),
        ];
        for (fork, block) in blocks {
            spec.activations[fork.index()] = Some(Activation::Block(block));
        }
        let times = [
            (Fork::Shanghai, 1_681_338_455),
            (Fork::Cancun, 1_710_338_135),
            (Fork::Prague, 1_746_612_311),
            (Fork::Osaka, 1_764_798_551),
            (Fork::Bpo1, 1_765_290_071),
            (Fork::Bpo2, 1_767_747_671),
        ];
        for (fork, time) in times {
            spec.activations[fork.index()] = Some(Activation::Timestamp(time));
            spec.blobs[fork.index()] = default_blobs(fork);
        }
        spec.dao_fork_block = Some(1_920_000);
        spec.glacier_blocks = [Some(9_200_000), Some(13_773_000), Some(15_050_000)];
        spec.deposit_contract = MAINNET_DEPOSIT_CONTRACT;
        spec
    }

    /// A chain on which `fork` and everything before it is active from genesis.
    ///
    /// The deposit contract is mainnet's address, where nothing is deployed on a developer chain.
    #[must_use]
    pub fn dev(chain_id: u64, fork: Fork) -> Self {
        let mut spec = Self::empty(chain_id);
        let mut blobs = None;
        for active in Fork::ALL.into_iter().filter(|active| *active <= fork) {
            let by_time = active.is_scheduled_by_time();
            spec.activations[active.index()] =
                Some(if by_time { Activation::Timestamp(0) } else { Activation::Block(0) });
            // Mainnet has not used BPO3 to BPO5 yet: they keep the parameters of the fork before them.
            blobs = default_blobs(active).or(blobs);
            spec.blobs[active.index()] = blobs;
        }
        spec.deposit_contract = MAINNET_DEPOSIT_CONTRACT;
        spec
    }

    /// The rules that a geth genesis file's `config` object describes, given as JSON text.
    ///
    /// # Errors
    /// [`SpecError`] naming the field or the pair of forks that contradict each other.
    pub fn from_json(config: &str) -> Result<Self, SpecError> {
        let config: ChainConfig = serde_json::from_str(config).map_err(|error| SpecError::Json(error.to_string()))?;
        Self::from_config(&config)
    }

    /// The rules that a geth genesis file's `config` object describes.
    ///
    /// # Errors
    /// [`SpecError`] naming the field or the pair of forks that contradict each other.
    pub fn from_config(config: &ChainConfig) -> Result<Self, SpecError> {
        if config.chain_id == 0 {
            return Err(SpecError::ZeroChainId);
        }
        for (field, set) in [("amsterdamTime", config.amsterdam_time), ("bogotaTime", config.bogota_time)] {
            if set.is_some() {
                return Err(SpecError::Unsupported { field });
            }
        }
        let mut spec = Self::empty(config.chain_id);
        spec.activations = activations(config)?;
        spec.check_order()?;
        spec.blobs = spec.blob_schedule(config)?;
        spec.dao_fork_block = config.dao_fork_block.filter(|_| config.dao_fork_support);
        spec.glacier_blocks = [config.muir_glacier_block, config.arrow_glacier_block, config.gray_glacier_block];
        spec.deposit_contract = config.deposit_contract_address.unwrap_or(MAINNET_DEPOSIT_CONTRACT);
        let ada = config.extra_fields.get_deserialized("adaTime").transpose();
        spec.ada = ada.map_err(|error| SpecError::Json(format!("adaTime: {error}")))?;
        let runs =
            |at: u64| !matches!(spec.activation(Fork::Prague), Some(Activation::Timestamp(prague)) if prague <= at);
        if let Some(at) = spec.ada.filter(|at| runs(*at)) {
            return Err(SpecError::AdaTooEarly(at));
        }
        Ok(spec)
    }

    const fn empty(chain_id: u64) -> Self {
        Self {
            chain_id,
            activations: [None; Fork::ALL.len()],
            blobs: [None; Fork::ALL.len()],
            dao_fork_block: None,
            glacier_blocks: [None; 3],
            deposit_contract: Address::ZERO,
            ada: None,
        }
    }

    /// The same with Interlace's fork Ada from `timestamp` on, or without.
    #[must_use]
    pub const fn with_ada(mut self, timestamp: Option<u64>) -> Self {
        self.ada = timestamp;
        self
    }

    /// Whether Interlace's fork Ada is in force at `timestamp`.
    #[must_use]
    pub fn is_ada(&self, timestamp: u64) -> bool {
        self.ada.is_some_and(|from| timestamp >= from)
    }

    /// EIP-155 chain id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Block at which the DAO's balances move and whose extra data is fixed, if the chain supports that fork.
    #[must_use]
    pub const fn dao_fork_block(&self) -> Option<u64> {
        self.dao_fork_block
    }

    /// By how many blocks the difficulty bomb is delayed at a block with this number and timestamp.
    #[must_use]
    pub fn bomb_delay_blocks(&self, number: u64, timestamp: u64) -> u64 {
        let fork = match self.fork_at(number, timestamp) {
            fork if fork >= Fork::London => 9_700_000,
            fork if fork >= Fork::Constantinople => 5_000_000,
            Fork::Byzantium => 3_000_000,
            _ => 0,
        };
        let delays = [9_000_000, 10_700_000, 11_400_000];
        let begun = self.glacier_blocks.iter().zip(delays).filter(|(at, _)| at.is_some_and(|at| number >= at));
        begun.map(|(_, delay)| delay).fold(fork, u64::max)
    }

    /// Contract whose logs are deposits (EIP-6110).
    #[must_use]
    pub const fn deposit_contract(&self) -> Address {
        self.deposit_contract
    }

    /// When `fork` begins; `None` if it is not scheduled.
    #[must_use]
    pub const fn activation(&self, fork: Fork) -> Option<Activation> {
        self.activations[fork.index()]
    }

    /// Version in force at a block with this number and timestamp (Unix seconds).
    #[must_use]
    pub fn fork_at(&self, number: u64, timestamp: u64) -> Fork {
        Fork::ALL
            .into_iter()
            .rev()
            .find(|fork| self.activation(*fork).is_some_and(|at| at.is_active(number, timestamp)))
            .unwrap_or(Fork::Frontier)
    }

    /// Whether `fork` is in force at a block with this number and timestamp (Unix seconds).
    #[must_use]
    pub fn is_active(&self, fork: Fork, number: u64, timestamp: u64) -> bool {
        self.fork_at(number, timestamp) >= fork
    }

    /// Blob parameters in force at a block with this number and timestamp; `None` before Cancun.
    #[must_use]
    pub fn blob_params_at(&self, number: u64, timestamp: u64) -> Option<BlobParams> {
        self.blobs[self.fork_at(number, timestamp).index()]
    }

    fn check_order(&self) -> Result<(), SpecError> {
        let mut previous: Option<(Fork, Activation)> = None;
        let mut missing: Option<Fork> = None;
        for fork in Fork::ALL {
            let Some(at) = self.activation(fork) else {
                missing = missing.or((!fork.is_optional()).then_some(fork));
                continue;
            };
            if let Some(missing) = missing {
                return Err(SpecError::Missing { missing, later: fork, later_at: at });
            }
            if let Some((earlier, earlier_at)) = previous
                && runs_backwards(earlier_at, at)
            {
                return Err(SpecError::Order { earlier, earlier_at, later: fork, later_at: at });
            }
            previous = Some((fork, at));
        }
        Ok(())
    }

    fn blob_schedule(&self, config: &ChainConfig) -> Result<[Option<BlobParams>; Fork::ALL.len()], SpecError> {
        let mut blobs = [None; Fork::ALL.len()];
        for fork in Fork::ALL.into_iter().filter(|fork| *fork >= Fork::Cancun && self.activation(*fork).is_some()) {
            let key = config.blob_schedule.iter().find(|(name, _)| Fork::from_name(name) == Some(fork));
            let params = match key {
                None => default_blobs(fork).ok_or(SpecError::NoBlobParams(fork))?,
                Some((_, given)) => {
                    let (target, max) = (given.target_blob_count, given.max_blob_count);
                    let fraction = u64::try_from(given.update_fraction).unwrap_or(0);
                    if fraction == 0 || max == 0 || target > max || max > u64::from(u16::MAX) {
                        let update_fraction = given.update_fraction;
                        return Err(SpecError::BadBlobParams { fork, target, max, update_fraction });
                    }
                    blob_params(fork, target, max, fraction)
                }
            };
            blobs[fork.index()] = Some(params);
        }
        Ok(blobs)
    }
}

/// Whether `later` begins before `earlier`. A time-scheduled fork after a block-scheduled one can be compared only at
/// genesis: there, time zero with a later block number would put the newer rules first.
const fn runs_backwards(earlier: Activation, later: Activation) -> bool {
    match (earlier, later) {
        (Activation::Block(a), Activation::Block(b)) | (Activation::Timestamp(a), Activation::Timestamp(b)) => b < a,
        (Activation::Block(_), Activation::Timestamp(_)) => later.active_at_genesis() && !earlier.active_at_genesis(),
        (Activation::Timestamp(_), Activation::Block(_)) => true,
    }
}

fn activations(config: &ChainConfig) -> Result<[Option<Activation>; Fork::ALL.len()], SpecError> {
    if config.eip155_block != config.eip158_block {
        return Err(SpecError::SplitSpuriousDragon { eip155: config.eip155_block, eip158: config.eip158_block });
    }
    let constantinople = config.constantinople_block;
    let blocks = [
        (Fork::Frontier, Some(0)),
        (Fork::Homestead, config.homestead_block),
        (Fork::TangerineWhistle, config.eip150_block),
        (Fork::SpuriousDragon, config.eip158_block),
        (Fork::Byzantium, config.byzantium_block),
        (Fork::Constantinople, constantinople),
        // As in geth: a chain that does not name Petersburg has it together with Constantinople.
        (Fork::Petersburg, config.petersburg_block.or(constantinople)),
        (Fork::Istanbul, config.istanbul_block),
        (Fork::Berlin, config.berlin_block),
        (Fork::London, config.london_block),
        (Fork::Paris, paris_block(config)?),
    ];
    let times = [
        (Fork::Shanghai, config.shanghai_time),
        (Fork::Cancun, config.cancun_time),
        (Fork::Prague, config.prague_time),
        (Fork::Osaka, config.osaka_time),
        (Fork::Bpo1, config.bpo1_time),
        (Fork::Bpo2, config.bpo2_time),
        (Fork::Bpo3, config.bpo3_time),
        (Fork::Bpo4, config.bpo4_time),
        (Fork::Bpo5, config.bpo5_time),
    ];
    let mut activations = [None; Fork::ALL.len()];
    for (fork, block) in blocks {
        activations[fork.index()] = block.map(Activation::Block);
    }
    for (fork, time) in times {
        activations[fork.index()] = time.map(Activation::Timestamp);
    }
    Ok(activations)
}

fn paris_block(config: &ChainConfig) -> Result<Option<u64>, SpecError> {
    match (config.merge_netsplit_block, config.terminal_total_difficulty) {
        (Some(block), _) => Ok(Some(block)),
        (None, None) => Ok(None),
        (None, Some(difficulty)) if difficulty.is_zero() => Ok(Some(0)),
        (None, Some(difficulty)) if config.chain_id == 1 && difficulty == MAINNET_TERMINAL_DIFFICULTY => {
            Ok(Some(MAINNET_PARIS_BLOCK))
        }
        (None, Some(difficulty)) => Err(SpecError::MergeWithoutBlock(difficulty)),
    }
}

fn blob_params(fork: Fork, target: u64, max: u64, update_fraction: u64) -> BlobParams {
    let osaka = fork >= Fork::Osaka;
    let max_per_transaction = if osaka { OSAKA_BLOBS_PER_TRANSACTION.min(max) } else { max };
    BlobParams { target, max, update_fraction, max_per_transaction, reserve_price: osaka }
}

/// Mainnet's parameters (EIP-4844, EIP-7691, EIP-7892); `None` where mainnet has none.
fn default_blobs(fork: Fork) -> Option<BlobParams> {
    let (target, max, update_fraction) = match fork {
        Fork::Cancun => (3, 6, 3_338_477),
        Fork::Prague | Fork::Osaka => (6, 9, 5_007_716),
        Fork::Bpo1 => (10, 15, 8_346_193),
        Fork::Bpo2 => (14, 21, 11_684_671),
        _ => return None,
    };
    Some(blob_params(fork, target, max, update_fraction))
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
