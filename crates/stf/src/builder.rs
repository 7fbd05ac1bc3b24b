//! One block being made: environment first, then transactions one by one, then what follows from them.
//!
//! Invariant: a transaction that is refused leaves no trace; after [`BlockBuilder::finish`] the header says exactly what
//! was executed. Importing a block goes through here too.
//! Source: execution-specs `apply_body`, Frontier to Osaka.
//! What it does not do: it chooses no transactions and recovers no senders.

use alloc::vec::Vec;
use core::fmt;

use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _, TxReceipt, TxType,
};
use alloy_eips::Encodable2718;
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B64, B256, Bloom, U256, keccak256, logs_bloom};
use alloy_rlp::Encodable;
use interlace_evm::{
    Adopted, BlockAccesses, BlockEnv, Changes, Checks, EvmError, Execution, Misfit, Overlay, Speculation, StateReader,
    Step, TxError, TxOutcome, TxRequest, Vm,
};
use interlace_primitives::fees::{BlobParams, MAX_RLP_BLOCK_BYTES};
use interlace_primitives::{ChainSpec, Fork};
use interlace_trie::ordered_root;

use crate::awaited::AwaitedHash;
use crate::block::{Attributes, Transaction};
use crate::error::BlockError;
use crate::header::{expected_base_fee, expected_excess_blob_gas, validate_fields};
use crate::output::BlockOutput;
use crate::unsigned::request_of;
use crate::{dao, requests, rewards};

/// Gives the state root after changes; asked after every transaction before Byzantium.
pub type StateRoots<'a, E> = &'a mut dyn FnMut(&Changes) -> Result<B256, E>;

/// Does two things, side by side or one after the other.
pub trait Join {
    /// Does both and gives what they give.
    fn join<A: Send, B: Send>(&self, one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B);
}

/// Room for a header and the list prefixes when a block is filled up to its size limit, in bytes.
const HEADER_RESERVE_BYTES: usize = 1024;

/// A block being made.
pub struct BlockBuilder<'a, R: StateReader> {
    vm: Vm<R>,
    header: Header,
    /// The parent's hash, if the reader has yet to say it.
    awaited: Option<AwaitedHash>,
    /// What was reached before the first transaction, until it is asked for.
    begun: Option<BlockAccesses>,
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
        Self::awaiting(spec, parent, attributes, state, None)
    }

    /// As [`Self::new`], on a parent that may have no state root yet and therefore no hash: then `state` gives it later, for `awaited`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn awaiting(
        spec: &ChainSpec,
        parent: &Header,
        attributes: Attributes,
        state: R,
        awaited: Option<AwaitedHash>,
    ) -> Result<Self, BlockError<R::Error>> {
        let header = child_header(spec, parent, &attributes);
        validate_fields(spec, &header)?;
        let fork = spec.fork_at(header.number, header.timestamp);
        let withdrawals = (fork >= Fork::Shanghai).then_some(attributes.withdrawals);
        let vm = Vm::new(BlockEnv::from_header(spec, &header), Checks::TRANSACTION, Overlay::new(state));
        let mut builder = Self::raw(spec, header, attributes.ommers, withdrawals, vm, None);
        builder.size_limit = (fork >= Fork::Osaka).then_some(MAX_RLP_BLOCK_BYTES);
        builder.awaited = awaited;
        builder.before_transactions(spec)?;
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
        let mut builder = Self::raw(spec, header, ommers, withdrawals, vm, roots);
        builder.before_transactions(spec)?;
        Ok(builder)
    }

    /// A block of which nothing has run.
    fn raw(
        spec: &ChainSpec,
        header: Header,
        ommers: Vec<Header>,
        withdrawals: Option<Vec<Withdrawal>>,
        vm: Vm<R>,
        roots: Option<StateRoots<'a, R::Error>>,
    ) -> Self {
        let size = HEADER_RESERVE_BYTES
            + ommers.iter().map(Encodable::length).sum::<usize>()
            + withdrawals.iter().flatten().map(Encodable::length).sum::<usize>();
        Self {
            vm,
            awaited: None,
            begun: None,
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
        }
    }

    /// Makes room for so many transactions, of which each is taken to reach two accounts.
    pub(crate) fn expect(&mut self, transactions: usize) {
        self.vm.overlay_mut().reserve(2 * transactions);
        self.encoded.reserve(transactions);
        self.receipts.reserve(transactions);
        self.outcomes.reserve(transactions);
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
        let size = self.check_room(tx, request.gas_limit, request.blob_gas())?;
        let outcome = self.vm.execute(&request)?;
        self.size = size;
        self.record(tx, &request, outcome)?;
        let last = self.outcomes.len() - 1;
        Ok(&self.outcomes[last])
    }

    /// As [`Self::push`], where `request` is that of `tx` and its sender, and tells others what the transaction did.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_step(&mut self, tx: &Transaction, request: &TxRequest) -> Result<Step, EvmError<R::Error>> {
        let size = self.check_room(tx, request.gas_limit, request.blob_gas())?;
        let (outcome, step) = self.vm.step(request)?;
        self.size = size;
        self.record(tx, request, outcome)?;
        Ok(step)
    }

    /// Takes over what a machine of this block executed ahead for `tx`, as the next transaction, if executing it now would give the same. If
    /// not, nothing is changed. `encoded` is `tx` as EIP-2718 has it.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_ahead(
        &mut self,
        tx: &Transaction,
        encoded: Vec<u8>,
        ahead: Speculation,
    ) -> Result<Result<Step, Misfit>, EvmError<R::Error>> {
        let blob_gas = tx.blob_gas_used().unwrap_or_default();
        let size = self.check_room(tx, tx.gas_limit(), blob_gas)?;
        let Adopted { outcome, logs_bloom, step } = match self.vm.adopt(ahead)? {
            Ok(adopted) => adopted,
            Err(misfit) => return Ok(Err(misfit)),
        };
        self.size = size;
        self.blob_gas_used += blob_gas;
        self.record_with(tx.tx_type(), encoded, outcome, logs_bloom)?;
        Ok(Ok(step))
    }

    /// Executes the transaction of `request` ahead of its turn and keeps nothing of it here.
    ///
    /// # Errors
    /// As [`Vm::speculate`].
    pub fn speculate(&mut self, request: &TxRequest) -> Result<Speculation, EvmError<R::Error>> {
        self.vm.speculate(request)
    }

    /// Lets this block's machine execute ahead.
    pub fn speculative(&mut self) {
        self.vm.speculative();
    }

    /// Lets the block tell in the end what its executions reached, before its transactions and after them. Call it before the first transaction;
    /// before Spurious Dragon it does nothing.
    pub fn list_accesses(&mut self) {
        if let Some(mut begun) = self.begun.take() {
            begun.advance();
            self.vm.overlay_mut().keep_accesses(Some(begun));
        }
    }

    /// Whether it will tell.
    pub fn lists_accesses(&self) -> bool {
        self.vm.overlay().accesses().is_some()
    }

    /// Executes the transaction of `request` as the next one and keeps nothing of it.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn perform(&mut self, tx: &Transaction, request: &TxRequest) -> Result<Execution, EvmError<R::Error>> {
        self.check_room(tx, request.gas_limit, request.blob_gas())?;
        self.vm.perform(request)
    }

    /// Puts `tx`, of which `encoded` is what EIP-2718 has, into the block with what it did when it was executed, on a state as this one. What it
    /// reached is not told in the end.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_performed(
        &mut self,
        tx: &Transaction,
        encoded: Vec<u8>,
        execution: Execution,
    ) -> Result<(), EvmError<R::Error>> {
        let blob_gas = tx.blob_gas_used().unwrap_or_default();
        self.size = self.check_room(tx, tx.gas_limit(), blob_gas)?;
        self.blob_gas_used += blob_gas;
        self.vm.keep(&execution);
        let (outcome, logs_bloom) = execution.into_outcome();
        self.record_with(tx.tx_type(), encoded, outcome, logs_bloom)
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
        self.blob_gas_used += request.blob_gas();
        let bloom = logs_bloom(&outcome.logs);
        self.record_with(tx.tx_type(), tx.encoded_2718(), outcome, bloom)
    }

    /// As [`Self::record`], where the bloom of the outcome's logs is known.
    fn record_with(
        &mut self,
        tx_type: TxType,
        encoded: Vec<u8>,
        outcome: TxOutcome,
        logs_bloom: Bloom,
    ) -> Result<(), EvmError<R::Error>> {
        // Gas limits were checked against what is left, and gas used never exceeds the limit: these sums fit.
        self.gas_used += outcome.gas_used;
        let status = self.receipt_status(&outcome)?;
        let receipt = Receipt { status, cumulative_gas_used: self.gas_used, logs: outcome.logs.clone() };
        self.receipts.push(ReceiptEnvelope::from_typed(tx_type, ReceiptWithBloom { receipt, logs_bloom }));
        self.encoded.push(encoded);
        self.outcomes.push(outcome);
        self.vm.overlay_mut().advance_accesses();
        Ok(())
    }

    /// Ends the block: withdrawals, rewards and requests, then roots.
    ///
    /// # Errors
    /// [`BlockError`] if a system contract does not answer as it must, or from the reader.
    pub fn finish(self) -> Result<BlockOutput, BlockError<R::Error>> {
        let awaited = self.awaited;
        let (mut output, encoded, mut overlay) = self.end()?;
        output.header.transactions_root = ordered_root(&encoded);
        output.changes = overlay.take_changes();
        (output.header.receipts_root, output.header.logs_bloom) = sum_up(&output.receipts, output.receipts_root_known);
        awaited.map_or(Ok(()), |awaited| awaited.settle(&mut output, overlay.reader())).map_err(BlockError::State)?;
        Ok(output)
    }

    /// As [`Self::finish`], with roots side by side if `join` does so.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_on(self, join: &impl Join) -> Result<BlockOutput, BlockError<R::Error>>
    where
        R: Send,
    {
        let awaited = self.awaited;
        let (mut output, encoded, mut overlay) = self.end()?;
        let (receipts, known) = (&output.receipts, output.receipts_root_known);
        let changes = &mut output.changes;
        let root = || {
            let root = ordered_root(&encoded);
            *changes = overlay.take_changes();
            root
        };
        let (root, (receipts_root, bloom)) = join.join(root, || sum_up(receipts, known));
        output.header.transactions_root = root;
        (output.header.receipts_root, output.header.logs_bloom) = (receipts_root, bloom);
        awaited.map_or(Ok(()), |awaited| awaited.settle(&mut output, overlay.reader())).map_err(BlockError::State)?;
        Ok(output)
    }

    /// The block but for what follows from transactions and receipts, the transactions' bytes, and the state.
    #[allow(clippy::type_complexity)]
    fn end(mut self) -> Result<(BlockOutput, Vec<Vec<u8>>, Overlay<R>), BlockError<R::Error>> {
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
        let mut header = self.header;
        header.state_root = B256::ZERO;
        header.ommers_hash = ommers_hash(&self.ommers);
        header.withdrawals_root = withdrawals.map(|list| {
            let encoded: Vec<Vec<u8>> = list.iter().map(alloy_rlp::encode).collect();
            ordered_root(&encoded)
        });
        header.gas_used = self.gas_used;
        header.blob_gas_used = self.blobs.map(|_| self.blob_gas_used);
        header.requests_hash = (fork >= Fork::Prague).then(|| Requests::new(requests.clone()).requests_hash());
        let output = BlockOutput {
            header,
            changes: Changes::default(),
            receipts: self.receipts,
            outcomes: self.outcomes,
            requests,
            receipts_root_known: fork >= Fork::Byzantium || self.roots.is_some(),
            accesses: self.vm.overlay_mut().keep_accesses(None),
        };
        Ok((output, self.encoded, self.vm.into_overlay()))
    }

    fn before_transactions(&mut self, spec: &ChainSpec) -> Result<(), BlockError<R::Error>> {
        let fork = self.env().fork;
        let lists = fork >= Fork::SpuriousDragon;
        self.vm.overlay_mut().keep_accesses(lists.then(BlockAccesses::default));
        if spec.dao_fork_block() == Some(self.header.number) {
            dao::move_balances(self.vm.overlay_mut()).map_err(BlockError::State)?;
        }
        if fork >= Fork::Cancun {
            requests::store_beacon_root(&mut self.vm, self.header.parent_beacon_block_root.unwrap_or_default())?;
        }
        if fork >= Fork::Prague && self.awaited.is_none() {
            requests::store_parent_hash(&mut self.vm, self.header.parent_hash)?;
        }
        self.begun = self.vm.overlay_mut().keep_accesses(None);
        Ok(())
    }

    /// Whether the block has room for a transaction: gas, blob gas and, from Osaka on, bytes. Gives its size with the transaction.
    fn check_room(&self, tx: &Transaction, gas_limit: u64, blob_gas: u64) -> Result<usize, TxError> {
        let size = self.size.saturating_add(tx.length());
        let available = self.gas_left();
        if gas_limit > available {
            return Err(TxError::GasAboveBlock { gas_limit, available });
        }
        let available = self.blobs.map_or(0, |blobs| blobs.max_blob_gas().saturating_sub(self.blob_gas_used));
        if self.blobs.is_some() && blob_gas > available {
            return Err(TxError::BlobGasAboveBlock { blob_gas, available });
        }
        match self.size_limit {
            Some(limit) if size > limit => Err(TxError::BlockTooLarge { size, limit }),
            _ => Ok(size),
        }
    }

    /// EIP-658 from Byzantium on, before it the state root, or zero if nobody can tell it.
    fn receipt_status(&mut self, outcome: &TxOutcome) -> Result<Eip658Value, EvmError<R::Error>> {
        if self.env().fork >= Fork::Byzantium {
            return Ok(Eip658Value::Eip658(outcome.is_success()));
        }
        let root = match &mut self.roots {
            Some(roots) => roots(&self.vm.overlay().changes()).map_err(EvmError::State)?,
            None => B256::ZERO,
        };
        Ok(Eip658Value::PostState(root))
    }
}

/// What a header says of the receipts: their root, if it is known, and the bloom of all logs.
fn sum_up(receipts: &[ReceiptEnvelope], known: bool) -> (B256, Bloom) {
    let encoded: Vec<Vec<u8>> =
        if known { receipts.iter().map(Encodable2718::encoded_2718).collect() } else { Vec::new() };
    let root = if known { ordered_root(&encoded) } else { B256::ZERO };
    (root, receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom()))
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
