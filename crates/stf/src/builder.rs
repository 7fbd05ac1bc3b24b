//! One block being made: environment first, then transactions one by one, then what follows from them.
//!
//! Invariant: a transaction that is refused leaves no trace; after [`BlockBuilder::finish`] the header says exactly what
//! was executed. Importing a block goes through here too.
//! Source: execution-specs `apply_body`, Frontier to Osaka.
//! What it does not do: it chooses no transactions and recovers no senders.

use alloc::vec::Vec;
use core::fmt;

use alloy_consensus::{Eip658Value, Header, Receipt, ReceiptEnvelope, TxReceipt};
use alloy_eips::Encodable2718;
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B64, B256, Bloom, U256, keccak256};
use alloy_rlp::Encodable;
use interlace_evm::{BlockEnv, Changes, Checks, EvmError, Overlay, StateReader, TxError, TxOutcome, TxRequest, Vm};
use interlace_primitives::fees::{BlobParams, MAX_RLP_BLOCK_BYTES};
use interlace_primitives::{ChainSpec, Fork};
use interlace_trie::ordered_root;

use crate::block::{Attributes, Transaction};
use crate::error::BlockError;
use crate::header::{expected_base_fee, expected_excess_blob_gas, validate_fields};
use crate::output::BlockOutput;
use crate::unsigned::request_of;
use crate::{dao, requests, rewards};

/// Gives the state root after changes; asked after every transaction before Byzantium.
pub type StateRoots<'a, E> = &'a mut dyn FnMut(&Changes) -> Result<B256, E>;

/// Room for a header and the list prefixes when a block is filled up to its size limit, in bytes.
const HEADER_RESERVE_BYTES: usize = 1024;

/// A block being made.
pub struct BlockBuilder<'a, R: StateReader> {
    vm: Vm<R>,
    header: Header,
    ommers: Vec<Header>,
    withdrawals: Option<Vec<Withdrawal>>,
    blobs: Option<BlobParams>,
    deposit_contract: Address,
    roots: Option<StateRoots<'a, R::Error>>,
    /// Size that the block must stay below; `None` when the block exists and was measured.
    size_limit: Option<usize>,
    size: usize,
    gas_used: u64,
    blob_gas_used: u64,
    encoded: Vec<Vec<u8>>,
    receipts: Vec<ReceiptEnvelope>,
    outcomes: Vec<TxOutcome>,
}

impl<R: StateReader> fmt::Debug for BlockBuilder<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockBuilder")
            .field("number", &self.header.number)
            .field("transactions", &self.outcomes.len())
            .field("gas_used", &self.gas_used)
            .finish_non_exhaustive()
    }
}

impl<'a, R: StateReader> BlockBuilder<'a, R> {
    /// Begins a child of `parent` on `state`, the state after `parent`.
    ///
    /// # Errors
    /// [`BlockError::Header`] if the attributes break a rule of the fork, [`BlockError::State`] from the reader.
    pub fn new(
        spec: &ChainSpec,
        parent: &Header,
        attributes: Attributes,
        state: R,
    ) -> Result<Self, BlockError<R::Error>> {
        let header = child_header(spec, parent, &attributes);
        validate_fields(spec, &header)?;
        let fork = spec.fork_at(header.number, header.timestamp);
        let withdrawals = (fork >= Fork::Shanghai).then_some(attributes.withdrawals);
        let mut builder = Self::resume(spec, header, attributes.ommers, withdrawals, state, None)?;
        builder.size_limit = (fork >= Fork::Osaka).then_some(MAX_RLP_BLOCK_BYTES);
        Ok(builder)
    }

    /// Begins the block that `header` describes: what execution determines is taken from the header as it stands and
    /// overwritten by [`Self::finish`].
    pub(crate) fn resume(
        spec: &ChainSpec,
        header: Header,
        ommers: Vec<Header>,
        withdrawals: Option<Vec<Withdrawal>>,
        state: R,
        roots: Option<StateRoots<'a, R::Error>>,
    ) -> Result<Self, BlockError<R::Error>> {
        let env = BlockEnv::from_header(spec, &header);
        let vm = Vm::new(env, Checks::TRANSACTION, Overlay::new(state));
        Self::on(spec, header, ommers, withdrawals, vm, roots)
    }

    /// As [`Self::resume`], in a machine that is given.
    pub(crate) fn on(
        spec: &ChainSpec,
        header: Header,
        ommers: Vec<Header>,
        withdrawals: Option<Vec<Withdrawal>>,
        vm: Vm<R>,
        roots: Option<StateRoots<'a, R::Error>>,
    ) -> Result<Self, BlockError<R::Error>> {
        let size = HEADER_RESERVE_BYTES
            + ommers.iter().map(Encodable::length).sum::<usize>()
            + withdrawals.iter().flatten().map(Encodable::length).sum::<usize>();
        let mut builder = Self {
            vm,
            ommers,
            withdrawals,
            blobs: spec.blob_params_at(header.number, header.timestamp),
            deposit_contract: spec.deposit_contract(),
            header,
            roots,
            size_limit: None,
            size,
            gas_used: 0,
            blob_gas_used: 0,
            encoded: Vec::new(),
            receipts: Vec::new(),
            outcomes: Vec::new(),
        };
        builder.before_transactions(spec)?;
        Ok(builder)
    }

    /// The machine as it is now, without the rest of the block.
    pub(crate) fn into_vm(self) -> Vm<R> {
        self.vm
    }

    /// The environment that transactions see.
    pub const fn env(&self) -> &BlockEnv {
        self.vm.env()
    }

    /// Gas that is left for transactions.
    pub const fn gas_left(&self) -> u64 {
        self.header.gas_limit.saturating_sub(self.gas_used)
    }

    /// Outcomes so far, in order.
    pub fn outcomes(&self) -> &[TxOutcome] {
        &self.outcomes
    }

    /// The state as it is now.
    pub fn overlay(&self) -> &Overlay<R> {
        self.vm.overlay()
    }

    /// Executes `tx`, signed by `sender`, as the next transaction.
    ///
    /// # Errors
    /// [`EvmError::Transaction`] if it is not valid here; the block then is as before. [`EvmError::State`] from the
    /// reader: the block is then of no use any more.
    pub fn push(&mut self, tx: &Transaction, sender: Address) -> Result<&TxOutcome, EvmError<R::Error>> {
        let request = request_of(tx, sender);
        let size = self.size.saturating_add(tx.length());
        self.check_room(&request, size)?;
        let outcome = self.vm.execute(&request)?;
        self.size = size;
        self.record(tx, &request, outcome)?;
        let last = self.outcomes.len() - 1;
        Ok(&self.outcomes[last])
    }

    /// The machine, to execute what [`Self::record`] is then told of.
    #[cfg(feature = "trace")]
    pub(crate) fn vm_mut(&mut self) -> &mut Vm<R> {
        &mut self.vm
    }

    /// Puts a transaction that was executed into the block.
    pub(crate) fn record(
        &mut self,
        tx: &Transaction,
        request: &TxRequest,
        outcome: TxOutcome,
    ) -> Result<(), EvmError<R::Error>> {
        // Gas limits were checked against what is left, and gas used never exceeds the limit: these sums fit.
        self.gas_used += outcome.gas_used;
        self.blob_gas_used += request.blob_gas();
        let status = self.receipt_status(&outcome)?;
        let receipt = Receipt { status, cumulative_gas_used: self.gas_used, logs: outcome.logs.clone() }.with_bloom();
        self.receipts.push(ReceiptEnvelope::from_typed(tx.tx_type(), receipt));
        self.encoded.push(tx.encoded_2718());
        self.outcomes.push(outcome);
        Ok(())
    }

    /// Ends the block: withdrawals, rewards and requests, then roots.
    ///
    /// # Errors
    /// [`BlockError`] if a system contract does not answer as it must, or from the reader.
    pub fn finish(mut self) -> Result<BlockOutput, BlockError<R::Error>> {
        let fork = self.env().fork;
        let withdrawals = self.withdrawals.take();
        let overlay = self.vm.overlay_mut();
        if let Some(withdrawals) = &withdrawals {
            rewards::pay_withdrawals(overlay, withdrawals).map_err(BlockError::State)?;
        }
        rewards::pay_rewards(overlay, fork, &self.header, &self.ommers).map_err(BlockError::State)?;
        let requests = if fork >= Fork::Prague {
            requests::collect(&mut self.vm, self.deposit_contract, &self.receipts)?
        } else {
            Vec::new()
        };
        let receipts_root_known = fork >= Fork::Byzantium || self.roots.is_some();
        let encoded_receipts: Vec<Vec<u8>> = self.receipts.iter().map(Encodable2718::encoded_2718).collect();
        let mut header = self.header;
        header.state_root = B256::ZERO;
        header.transactions_root = ordered_root(&self.encoded);
        header.receipts_root = if receipts_root_known { ordered_root(&encoded_receipts) } else { B256::ZERO };
        header.ommers_hash = ommers_hash(&self.ommers);
        header.withdrawals_root = withdrawals.map(|list| {
            let encoded: Vec<Vec<u8>> = list.iter().map(alloy_rlp::encode).collect();
            ordered_root(&encoded)
        });
        header.logs_bloom = self.receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom());
        header.gas_used = self.gas_used;
        header.blob_gas_used = self.blobs.map(|_| self.blob_gas_used);
        header.requests_hash = (fork >= Fork::Prague).then(|| Requests::new(requests.clone()).requests_hash());
        Ok(BlockOutput {
            header,
            changes: self.vm.into_overlay().take_changes(),
            receipts: self.receipts,
            outcomes: self.outcomes,
            requests,
            receipts_root_known,
        })
    }

    fn before_transactions(&mut self, spec: &ChainSpec) -> Result<(), BlockError<R::Error>> {
        let fork = self.env().fork;
        if spec.dao_fork_block() == Some(self.header.number) {
            dao::move_balances(self.vm.overlay_mut()).map_err(BlockError::State)?;
        }
        if fork >= Fork::Cancun {
            requests::store_beacon_root(&mut self.vm, self.header.parent_beacon_block_root.unwrap_or_default())?;
        }
        if fork >= Fork::Prague {
            requests::store_parent_hash(&mut self.vm, self.header.parent_hash)?;
        }
        Ok(())
    }

    /// Whether the block has room for a transaction: gas, blob gas and, from Osaka on, bytes.
    fn check_room(&self, request: &TxRequest, size: usize) -> Result<(), TxError> {
        let available = self.gas_left();
        if request.gas_limit > available {
            return Err(TxError::GasAboveBlock { gas_limit: request.gas_limit, available });
        }
        let blob_gas = request.blob_gas();
        let available = self.blobs.map_or(0, |blobs| blobs.max_blob_gas().saturating_sub(self.blob_gas_used));
        if self.blobs.is_some() && blob_gas > available {
            return Err(TxError::BlobGasAboveBlock { blob_gas, available });
        }
        match self.size_limit {
            Some(limit) if size > limit => Err(TxError::BlockTooLarge { size, limit }),
            _ => Ok(()),
        }
    }

    /// EIP-658 from Byzantium on, before it the state root, or zero if nobody can tell it.
    fn receipt_status(&mut self, outcome: &TxOutcome) -> Result<Eip658Value, EvmError<R::Error>> {
        if self.env().fork >= Fork::Byzantium {
            return Ok(Eip658Value::Eip658(outcome.is_success()));
        }
        let root = match &mut self.roots {
            Some(roots) => roots(self.vm.overlay().changes()).map_err(EvmError::State)?,
            None => B256::ZERO,
        };
        Ok(Eip658Value::PostState(root))
    }
}

/// What a header says of the body's ommers.
pub(crate) fn ommers_hash(ommers: &[Header]) -> B256 {
    let mut rlp = Vec::new();
    alloy_rlp::encode_list(ommers, &mut rlp);
    keccak256(rlp)
}

/// The header of a child of `parent`, as far as it is known before execution.
fn child_header(spec: &ChainSpec, parent: &Header, attributes: &Attributes) -> Header {
    let number = parent.number.saturating_add(1);
    let timestamp = attributes.timestamp;
    let fork = spec.fork_at(number, timestamp);
    let base_fee_wei = expected_base_fee(spec, parent, number, timestamp);
    Header {
        parent_hash: parent.hash_slow(),
        ommers_hash: ommers_hash(&attributes.ommers),
        beneficiary: attributes.beneficiary,
        difficulty: if fork >= Fork::Paris { U256::ZERO } else { attributes.difficulty },
        number,
        gas_limit: attributes.gas_limit,
        timestamp,
        extra_data: attributes.extra_data.clone(),
        mix_hash: attributes.prev_randao,
        nonce: B64::ZERO,
        base_fee_per_gas: base_fee_wei.map(|expected| attributes.base_fee_wei.unwrap_or(expected)),
        withdrawals_root: (fork >= Fork::Shanghai).then_some(B256::ZERO),
        blob_gas_used: (fork >= Fork::Cancun).then_some(0),
        excess_blob_gas: expected_excess_blob_gas(spec, parent, number, timestamp),
        parent_beacon_block_root: (fork >= Fork::Cancun).then_some(attributes.parent_beacon_block_root),
        requests_hash: (fork >= Fork::Prague).then_some(B256::ZERO),
        ..Header::default()
    }
}
