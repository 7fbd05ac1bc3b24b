//! What a transaction can see of its block, and which of the usual checks apply to it.
//!
//! Invariant: the environment is complete: execution depends on it, the transaction and the state, on nothing else.
//! Source: yellow paper, table of block information opcodes; EIP-1559, EIP-4399, EIP-4844.

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256};
use interlace_primitives::{ChainSpec, Fork};
use revm::context::{BlockEnv as RevmBlock, CfgEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::hardfork::SpecId;

use crate::net_gas;

/// The block around a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEnv {
    /// Rules in force.
    pub fork: Fork,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Block number.
    pub number: u64,
    /// Unix seconds.
    pub timestamp: u64,
    /// Receiver of priority fees and, before Paris, of the block reward.
    pub beneficiary: Address,
    /// Gas limit of the block.
    pub gas_limit: u64,
    /// Base fee in wei; zero before London.
    pub base_fee_wei: u64,
    /// Difficulty; zero from Paris on.
    pub difficulty: U256,
    /// Randomness of the beacon chain, from Paris on.
    pub prev_randao: B256,
    /// Price of blob gas in wei; `None` before Cancun.
    pub blob_fee_wei: Option<u128>,
    /// Greatest number of blobs in one transaction; `None` before Cancun.
    pub max_blobs_per_transaction: Option<u64>,
    /// Whether programs can be stored, registered and run: the fork Ada.
    pub ada: bool,
}

impl BlockEnv {
    /// The environment that `header` describes under the rules of `spec`.
    #[must_use]
    pub fn from_header(spec: &ChainSpec, header: &Header) -> Self {
        let blobs = spec.blob_params_at(header.number, header.timestamp);
        Self {
            fork: spec.fork_at(header.number, header.timestamp),
            chain_id: spec.chain_id(),
            number: header.number,
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            base_fee_wei: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: header.difficulty,
            prev_randao: header.mix_hash,
            blob_fee_wei: blobs.map(|blobs| blobs.blob_fee(header.excess_blob_gas.unwrap_or_default())),
            max_blobs_per_transaction: blobs.map(|blobs| blobs.max_per_transaction),
            ada: spec.is_ada(header.timestamp),
        }
    }

    pub(crate) fn to_revm(&self) -> RevmBlock {
        RevmBlock {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee_wei,
            difficulty: self.difficulty,
            prevrandao: (self.fork >= Fork::Paris).then_some(self.prev_randao),
            // Only the price is read by execution; the excess it came from is the header's business.
            blob_excess_gas_and_price: self
                .blob_fee_wei
                .map(|blob_gasprice| BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice }),
            slot_num: 0,
        }
    }

    pub(crate) fn to_cfg(&self, checks: Checks) -> CfgEnv {
        let mut cfg = CfgEnv::new_with_spec(spec_id(self.fork)).with_chain_id(self.chain_id);
        if self.fork == Fork::Constantinople {
            cfg.set_gas_params(net_gas::gas_params());
        }
        cfg.tx_chain_id_check = true;
        cfg.max_blobs_per_tx = self.max_blobs_per_transaction;
        cfg.disable_nonce_check = !checks.nonce;
        cfg.disable_eip3607 = !checks.sender_is_no_contract;
        cfg.disable_base_fee = !checks.base_fee;
        cfg.disable_balance_check = !checks.balance;
        cfg.disable_block_gas_limit = !checks.block_gas_limit;
        if !checks.transaction_gas_cap {
            cfg.tx_gas_limit_cap = Some(u64::MAX);
        }
        cfg
    }
}

/// Checks before execution. A transaction in a block passes all of them; a call need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// The nonce is the sender's.
    pub nonce: bool,
    /// The fee cap covers the base fee.
    pub base_fee: bool,
    /// The balance covers the greatest possible cost. If off, the sender is lent what is missing.
    pub balance: bool,
    /// The sender has no code, delegations excepted (EIP-3607).
    pub sender_is_no_contract: bool,
    /// The gas limit is at most the block's.
    pub block_gas_limit: bool,
    /// The gas limit is at most the cap per transaction (EIP-7825).
    pub transaction_gas_cap: bool,
}

impl Checks {
    /// All of them: a transaction in a block.
    pub const TRANSACTION: Self = Self {
        nonce: true,
        base_fee: true,
        balance: true,
        sender_is_no_contract: true,
        block_gas_limit: true,
        transaction_gas_cap: true,
    };

    /// As `eth_call` of geth: the balance is checked, against what the caller chose to pay.
    pub const CALL: Self = Self {
        nonce: false,
        base_fee: true,
        balance: true,
        sender_is_no_contract: false,
        block_gas_limit: false,
        transaction_gas_cap: false,
    };
}

/// revm's name for the rules of `fork`.
pub(crate) const fn spec_id(fork: Fork) -> SpecId {
    match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::TangerineWhistle => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        // Constantinople differs in SSTORE alone, which `net_gas` puts in place.
        Fork::Constantinople | Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        // Blob-parameter forks change no rule of execution. `Fork` is non-exhaustive for crates outside: a version that
        // this adapter does not know yet must not compile to older rules silently, so `interlace-primitives` and this
        // table change together, and the test below walks all of them.
        _ => SpecId::OSAKA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fork_has_rules_and_later_ones_never_older_rules() {
        let ids = Fork::ALL.map(spec_id);
        assert!(ids.windows(2).all(|pair| pair[0] as u8 <= pair[1] as u8));
        assert_eq!(Fork::ALL.iter().filter(|fork| spec_id(**fork) == SpecId::OSAKA).count(), 6);
    }
}
