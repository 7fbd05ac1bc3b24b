//! Blocks and transactions as bytes carry them, and what a builder chooses about a block.
//!
//! Invariant: decoding never panics; a decoded block encodes to the same bytes. A recovered sender follows the signature
//! rules of the fork (low `s` from Homestead on, EIP-2).
//! What it does not do: blob sidecars; a block never carries them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{EthereumTxEnvelope, Header, TxEip4844};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use interlace_evm::TxError;
use interlace_primitives::Fork;

/// A signed transaction of any type, without blob sidecar.
pub type Transaction = EthereumTxEnvelope<TxEip4844>;
/// Header and body.
pub type Block = alloy_consensus::Block<Transaction>;

/// What a builder chooses; everything else of a header follows from the parent and from execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Unix seconds; above the parent's.
    pub timestamp: u64,
    /// Receiver of fees.
    pub beneficiary: Address,
    /// Gas limit; within 1/1024 of the parent's.
    pub gas_limit: u64,
    /// Randomness of the beacon chain, from Paris on.
    pub prev_randao: B256,
    /// At most 32 bytes.
    pub extra_data: Bytes,
    /// Withdrawals, from Shanghai on.
    pub withdrawals: Vec<Withdrawal>,
    /// Root of the parent beacon block, from Cancun on.
    pub parent_beacon_block_root: B256,
    /// Difficulty, before Paris.
    pub difficulty: U256,
    /// Ommers, before Paris.
    pub ommers: Vec<Header>,
    /// Base fee in wei instead of the one that follows from the parent. For developer chains: such a block does not pass
    /// [`crate::validate_header`].
    pub base_fee_wei: Option<u64>,
}

/// Decodes a block from its RLP, all of it.
///
/// # Errors
/// What is wrong with the bytes, in words.
pub fn decode_block(rlp: &[u8]) -> Result<Block, String> {
    decode_all(rlp)
}

/// Decodes a header from its RLP, all of it.
///
/// # Errors
/// What is wrong with the bytes, in words.
pub fn decode_header(rlp: &[u8]) -> Result<Header, String> {
    decode_all(rlp)
}

fn decode_all<T: Decodable + Encodable>(rlp: &[u8]) -> Result<T, String> {
    let mut rest = rlp;
    let value = T::decode(&mut rest).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(alloc::format!("{} bytes too many", rest.len()));
    }
    // The decoder of typed transactions does not compare the length of the string around one with what it read from it,
    // so that two encodings could stand for one block.
    if alloy_rlp::encode(&value) != rlp {
        return Err("not the canonical encoding".into());
    }
    Ok(value)
}

/// The address that signed `tx`, by the signature rules of `fork`.
///
/// # Errors
/// [`TxError::BadSignature`] if there is none.
pub fn recover_sender(tx: &Transaction, fork: Fork) -> Result<Address, TxError> {
    let sender = if fork >= Fork::Homestead { tx.recover_signer() } else { tx.recover_signer_unchecked() };
    sender.map_err(|_| TxError::BadSignature(*tx.tx_hash()))
}

/// The senders of all transactions of `block`, in order.
///
/// # Errors
/// The index of the first transaction without one, and why.
pub fn recover_senders(block: &Block, fork: Fork) -> Result<Vec<Address>, (usize, TxError)> {
    let recover = |(index, tx)| recover_sender(tx, fork).map_err(|error| (index, error));
    block.body.transactions.iter().enumerate().map(recover).collect()
}
