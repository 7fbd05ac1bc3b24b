//! Questions that execute: eth_call, eth_estimateGas, eth_createAccessList, and what a fee should be.
//!
//! Invariant: nothing of an execution is kept. An estimate is the least gas limit with which the call succeeds, found by
//! bisection down to one unit; one unit less fails.
//! Source: execution-apis; geth eth/gasestimator and eth/gasprice; EIP-2930; EIP-1559 (feeHistory).

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_consensus::Transaction as _;
use alloy_eips::BlockId;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{B256, Bytes, TxKind, U64, U128, U256};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, FeeHistory, TransactionRequest};
use interlace_chain::StoredBlock;
use interlace_chain::pool::GAS_CAP;
use interlace_primitives::Fork;
use interlace_stf::{
    AccountOverride, BlockEnv, CallOptions, EvmError, Interrupt, PrecompileMoves, StateOverrides, StateReader, Status,
    TxOutcome, TxRequest, call, precompile_addresses, touch,
};
use serde_json::json;

use crate::dispatch::{Deadline, Method, Rpc};
use crate::error::RpcError;
use crate::read::block_id;
use crate::state::At;
use crate::wire::{Params, Reply, reply};

/// Gas of a call that names none, and the most that a call may name (geth's `RPCGasCap`).
pub(crate) const CALL_GAS: u64 = 50_000_000;
/// Blocks in one eth_feeHistory.
pub(crate) const MAX_HISTORY: u64 = 1_024;
/// Percentiles in one eth_feeHistory.
pub(crate) const MAX_PERCENTILES: usize = 100;
/// Tip suggested when no block has a transaction to learn from, in wei.
const DEFAULT_TIP: u128 = 1_000_000_000;
/// Blocks that the suggested tip is learnt from.
const TIP_BLOCKS: u64 = 20;
/// Gas that a call with value passes on beside its own.
const CALL_STIPEND: u64 = 2_300;

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("eth_call", eth_call),
    ("eth_estimateGas", estimate_gas),
    ("eth_createAccessList", create_access_list),
    ("eth_gasPrice", |rpc, _| reply(&U128::from(u128::from(rpc.chain().next_base_fee()) + rpc.suggested_tip()))),
    ("eth_maxPriorityFeePerGas", |rpc, _| reply(&U128::from(rpc.suggested_tip()))),
    ("eth_blobBaseFee", |rpc, _| reply(&U128::from(blob_fee(rpc, &rpc.chain().head())))),
    ("eth_feeHistory", fee_history),
];

/// What executes at `at`: rules, block and overrides.
struct Setting {
    at: At,
    env: BlockEnv,
    options: CallOptions,
    deadline: Deadline,
    timeout: Duration,
}

impl Setting {
    /// The same executions with an end in time.
    fn timed(rpc: &Rpc, at: At, env: BlockEnv, options: CallOptions) -> Self {
        let deadline = rpc.deadline();
        let options = CallOptions { interrupt: Some(Interrupt::when(move || deadline.is_past())), ..options };
        Self { at, env, options, deadline, timeout: rpc.limits.call_timeout() }
    }

    fn read(rpc: &Rpc, params: &Params<'_>) -> Result<Self, RpcError> {
        let at = rpc.at(block_id(params, 1)?)?;
        let mut env = BlockEnv::from_header(rpc.chain().spec(), &at.block.header);
        override_block(&mut env, params.optional(3)?.unwrap_or_default())?;
        let overrides: StateOverride = params.optional(2)?.unwrap_or_default();
        let precompiles = moves_of(&overrides, env.fork, env.ada)?;
        let options = CallOptions { state: overrides_of(overrides)?, precompiles, ..CallOptions::default() };
        Ok(Self::timed(rpc, at, env, options))
    }

    fn run(&self, rpc: &Rpc, request: &TxRequest) -> Result<TxOutcome, RpcError> {
        let outcome =
            call(self.env.clone(), request, &self.options, &self.at.state).map_err(|error| self.refused(error))?;
        if outcome.console {
            rpc.tell_console(&self.env, request, &self.options, &self.at);
        }
        Ok(outcome)
    }

    /// Refuses to begin another execution when the time is up; the executions themselves look at it only now and then.
    fn in_time(&self) -> Result<(), RpcError> {
        if self.deadline.is_past() { Err(self.aborted()) } else { Ok(()) }
    }

    fn aborted(&self) -> RpcError {
        aborted(self.timeout)
    }

    fn refused(&self, error: EvmError<interlace_state::StateError>) -> RpcError {
        match error {
            EvmError::Interrupted => self.aborted(),
            other => refused(other),
        }
    }
}

/// geth's words, with a duration as Go writes it.
fn aborted(timeout: Duration) -> RpcError {
    let ms = timeout.as_millis();
    let shown = if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") };
    RpcError::refused(format!("execution aborted (timeout = {shown})"))
}

/// The time that a call has is up.
pub(crate) fn timed_out(rpc: &Rpc) -> RpcError {
    aborted(rpc.limits.call_timeout())
}

pub(crate) fn refused(error: EvmError<interlace_state::StateError>) -> RpcError {
    match error {
        EvmError::Transaction(error) => RpcError::refused(error.to_string()),
        EvmError::State(error) => error.into(),
        other => RpcError::internal(other.to_string()),
    }
}

/// Puts what the caller wants of the block in place of what it is; the rules in force stay the block's.
pub(crate) fn override_block(env: &mut BlockEnv, given: BlockOverrides) -> Result<(), RpcError> {
    if given.block_hash.is_some() || given.beacon_root.is_some() {
        return Err(RpcError::invalid_params("blockHash and beaconRoot are not supported among the block's overrides"));
    }
    let small = |name: &str, value: U256| {
        u64::try_from(value).map_err(|_| RpcError::invalid_params(format!("{name} {value} exceeds 64 bits")))
    };
    if let Some(number) = given.number {
        env.number = small("number", number)?;
    }
    if let Some(base_fee) = given.base_fee {
        env.base_fee_wei = small("baseFee", base_fee)?;
    }
    if let Some(blob_fee) = given.blob_base_fee {
        env.blob_fee_wei = Some(u128::from(small("blobBaseFee", blob_fee)?));
    }
    env.timestamp = given.time.unwrap_or(env.timestamp);
    env.gas_limit = given.gas_limit.unwrap_or(env.gas_limit);
    env.difficulty = given.difficulty.unwrap_or(env.difficulty);
    env.beneficiary = given.coinbase.unwrap_or(env.beneficiary);
    env.prev_randao = given.random.unwrap_or(env.prev_randao);
    Ok(())
}

/// Where the precompiled contracts of `fork`, and of `ada`, are under these overrides: an override of such an address puts an account in its place, and
/// `movePrecompileToAddress` takes the contract elsewhere.
///
/// # Errors
/// -32000 in geth's words for a move of something else, or to where something is put already.
pub(crate) fn moves_of(given: &StateOverride, fork: Fork, ada: bool) -> Result<PrecompileMoves, RpcError> {
    let own = precompile_addresses(fork, ada);
    let mut moves = PrecompileMoves::new();
    let mut taken = Vec::new();
    let addresses: BTreeMap<_, _> = given.iter().collect();
    for (address, account) in addresses {
        if taken.contains(address) {
            return Err(RpcError::refused(format!("account {address} has already been overridden by a precompile")));
        }
        let is_precompile = own.contains(address);
        if let Some(target) = account.move_precompile_to {
            if !is_precompile {
                return Err(RpcError::refused(format!("account {address} is not a precompile")));
            }
            if given.contains_key(&target) {
                return Err(RpcError::refused(format!("account {target} is already overridden")));
            }
            moves.insert(target, Some(*address));
            taken.push(target);
        }
        if is_precompile {
            moves.insert(*address, None);
        }
    }
    Ok(moves)
}

pub(crate) fn overrides_of(given: StateOverride) -> Result<StateOverrides, RpcError> {
    let slots = |map: alloy_primitives::map::B256HashMap<B256>| -> BTreeMap<U256, U256> {
        map.into_iter().map(|(slot, value)| (slot.into(), value.into())).collect()
    };
    let mut overrides = StateOverrides::new();
    for (address, account) in given {
        if account.state.is_some() && account.state_diff.is_some() {
            return Err(RpcError::invalid_params(format!("account {address} has both 'state' and 'stateDiff'")));
        }
        overrides.insert(
            address,
            AccountOverride {
                balance_wei: account.balance,
                nonce: account.nonce,
                code: account.code,
                state: account.state.map(slots),
                state_diff: account.state_diff.map(slots).unwrap_or_default(),
            },
        );
    }
    Ok(overrides)
}

/// The execution that a request asks for. Its nonce is the sender's: calls are not checked for it, creations need it.
pub(crate) fn to_tx(
    request: &TransactionRequest,
    env: &BlockEnv,
    state: &impl StateReader<Error = interlace_state::StateError>,
) -> Result<TxRequest, RpcError> {
    if request.gas_price.is_some() && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
    {
        return Err(RpcError::refused("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"));
    }
    let input = request
        .input
        .unique_input()
        .map_err(|_| RpcError::refused("both \"data\" and \"input\" are set and not equal"))?
        .cloned()
        .unwrap_or_default();
    if let Some(chain_id) = request.chain_id.filter(|id| *id != env.chain_id) {
        return Err(RpcError::refused(format!(
            "chainId does not match node's (have={chain_id}, want={})",
            env.chain_id
        )));
    }
    let from = request.from.unwrap_or_default();
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => state.account(from)?.unwrap_or_default().nonce,
    };
    let fee_cap = request.gas_price.or(request.max_fee_per_gas).unwrap_or(0);
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    let blob_hashes = request.blob_versioned_hashes.clone().unwrap_or_default();
    let authorizations = request.authorization_list.clone().unwrap_or_default();
    let tx_type = match () {
        () if !authorizations.is_empty() => 4,
        () if !blob_hashes.is_empty() => 3,
        () if dynamic => 2,
        () if request.access_list.is_some() => 1,
        () => 0,
    };
    let tip = (tx_type >= 2).then(|| request.max_priority_fee_per_gas.unwrap_or(0).min(fee_cap));
    if request.max_priority_fee_per_gas.unwrap_or(0) > fee_cap && request.max_fee_per_gas.is_some() {
        let tip = request.max_priority_fee_per_gas.unwrap_or(0);
        return Err(RpcError::refused(format!("maxFeePerGas ({fee_cap}) < maxPriorityFeePerGas ({tip})")));
    }
    Ok(TxRequest {
        tx_type,
        from,
        to: request.to.unwrap_or(TxKind::Create),
        gas_limit: request.gas.unwrap_or(CALL_GAS).min(CALL_GAS),
        fee_cap_wei: fee_cap,
        tip_wei: tip,
        value_wei: request.value.unwrap_or_default(),
        input,
        nonce,
        chain_id: Some(env.chain_id).filter(|_| env.fork >= Fork::SpuriousDragon),
        access_list: request.access_list.clone().unwrap_or_default(),
        blob_hashes,
        blob_fee_cap_wei: request.max_fee_per_blob_gas.unwrap_or(0),
        authorizations,
        ..TxRequest::default()
    })
}

/// The output of a successful execution.
fn output(outcome: TxOutcome) -> Result<Bytes, RpcError> {
    match outcome.status {
        Status::Success => Ok(outcome.output),
        Status::Revert => Err(RpcError::reverted(&outcome.output)),
        Status::Halt(reason) => Err(RpcError::refused(reason.to_string())),
    }
}

fn eth_call(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let request: TransactionRequest = params.get(0)?;
    let setting = Setting::read(rpc, params)?;
    let tx = to_tx(&request, &setting.env, &setting.at.state)?;
    reply(&output(setting.run(rpc, &tx)?)?)
}

fn estimate_gas(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let request: TransactionRequest = params.get(0)?;
    let setting = Setting::read(rpc, params)?;
    let tx = to_tx(&request, &setting.env, &setting.at.state)?;
    reply(&U64::from(setting.estimate(tx, request.gas)?))
}

impl Setting {
    /// The least gas limit with which `tx` succeeds.
    fn estimate(&self, mut tx: TxRequest, asked: Option<u64>) -> Result<u64, RpcError> {
        let mut high = asked.filter(|gas| *gas >= 21_000).unwrap_or(self.env.gas_limit).min(CALL_GAS);
        if self.env.fork >= Fork::Osaka {
            high = high.min(GAS_CAP);
        }
        high = high.min(self.affordable(&tx)?);
        tx.gas_limit = high;
        let outcome = match call(self.env.clone(), &tx, &self.options, &self.at.state) {
            Ok(outcome) => outcome,
            Err(EvmError::Transaction(error)) if high < 21_000 => return Err(RpcError::refused(error.to_string())),
            Err(error) => return Err(self.refused(error)),
        };
        match outcome.status {
            Status::Success => {}
            Status::Halt(interlace_stf::Halt::OutOfGas) => {
                return Err(RpcError::refused(format!("gas required exceeds allowance ({high})")));
            }
            _ => return output(outcome).map(|_| high),
        }
        let mut low = outcome.gas_used.saturating_sub(1);
        // Most calls need what they used plus what refunds and the 63/64 rule hold back: try that before bisecting.
        let likely = (outcome.gas_used + outcome.gas_refunded + CALL_STIPEND) * 64 / 63;
        if likely < high {
            if self.succeeds(&mut tx, likely)? {
                high = likely;
            } else {
                low = low.max(likely);
            }
        }
        while low + 1 < high {
            // Needs are skewed to the low end: looking at twice the lower bound first halves the work on large limits.
            let middle = (low + (high - low) / 2).min(low.saturating_mul(2).max(low + 1));
            if self.succeeds(&mut tx, middle)? {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(high)
    }

    fn succeeds(&self, tx: &mut TxRequest, gas_limit: u64) -> Result<bool, RpcError> {
        self.in_time()?;
        tx.gas_limit = gas_limit;
        match call(self.env.clone(), tx, &self.options, &self.at.state) {
            Ok(outcome) => Ok(outcome.is_success()),
            // Too little gas to begin with is a failure of this probe, not of the estimate.
            Err(EvmError::Transaction(_)) => Ok(false),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Gas that the sender can pay for at the offered price.
    fn affordable(&self, tx: &TxRequest) -> Result<u64, RpcError> {
        if tx.fee_cap_wei == 0 {
            return Ok(u64::MAX);
        }
        let given = self.options.state.get(&tx.from).and_then(|account| account.balance_wei);
        let balance = match given {
            Some(balance) => balance,
            None => self.at.state.account(tx.from)?.unwrap_or_default().balance,
        };
        let left =
            balance.checked_sub(tx.value_wei).ok_or_else(|| RpcError::refused("insufficient funds for transfer"))?;
        Ok(u64::try_from(left / U256::from(tx.fee_cap_wei)).unwrap_or(u64::MAX))
    }
}

impl Rpc {
    /// Gas for a transaction that the node itself completes.
    pub(crate) fn estimate_for(&self, request: &TransactionRequest) -> Result<u64, RpcError> {
        let at = self.at(BlockId::pending())?;
        let env = BlockEnv::from_header(self.chain().spec(), &at.block.header);
        let tx = to_tx(request, &env, &at.state)?;
        Setting::timed(self, at, env, CallOptions::default()).estimate(tx, None)
    }

    /// What a transaction may tip to be taken soon: the 60th percentile of what recent ones tipped, in wei.
    pub(crate) fn suggested_tip(&self) -> u128 {
        let head = self.chain().head().number();
        let first = head.saturating_sub(TIP_BLOCKS - 1).max(self.chain().first_own_number());
        let mut tips: Vec<u128> = (first..=head)
            .filter_map(|number| self.chain().block(number))
            .flat_map(|block| {
                let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
                let tips =
                    block.transactions.iter().take(3).map(move |tx| tx.effective_tip_per_gas(base_fee).unwrap_or(0));
                tips.collect::<Vec<_>>()
            })
            .collect();
        let least = self.chain().developer().map_or(0, interlace_chain::DevOrderer::min_gas_price);
        if tips.is_empty() {
            return DEFAULT_TIP.max(least);
        }
        tips.sort_unstable();
        tips[(tips.len() - 1) * 60 / 100].max(least)
    }
}

fn create_access_list(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let request: TransactionRequest = params.get(0)?;
    let setting = Setting::read(rpc, params)?;
    let mut tx = to_tx(&request, &setting.env, &setting.at.state)?;
    tx.tx_type = tx.tx_type.max(1);
    let target = match tx.to {
        TxKind::Call(to) => to,
        TxKind::Create => tx.from.create(tx.nonce),
    };
    let mut warm = precompile_addresses(setting.env.fork, setting.env.ada);
    warm.extend([tx.from, target, setting.env.beneficiary]);
    // A list changes what is warm and so may change the path taken: repeat until it is the list it was made with.
    for _ in 0..8 {
        setting.in_time()?;
        let (outcome, touched) = touch(setting.env.clone(), &tx, &setting.options, &setting.at.state)
            .map_err(|error| setting.refused(error))?;
        let items = touched.into_iter().filter(|(address, slots)| !slots.is_empty() || !warm.contains(address)).map(
            |(address, slots)| AccessListItem { address, storage_keys: slots.into_iter().map(B256::from).collect() },
        );
        let list = AccessList(items.collect());
        if list == tx.access_list {
            let mut answer = json!({ "accessList": list, "gasUsed": U64::from(outcome.gas_used) });
            if let Err(error) = output(outcome) {
                answer["error"] = json!(error.message);
            }
            return reply(&answer);
        }
        tx.access_list = list;
    }
    Err(RpcError::refused("the access list does not settle: the call reads other slots each time"))
}

fn blob_fee(rpc: &Rpc, block: &StoredBlock) -> u128 {
    let params = rpc.chain().spec().blob_params_at(block.number(), block.header.timestamp);
    params.map_or(0, |params| params.blob_fee(block.header.excess_blob_gas.unwrap_or(0)))
}

fn fee_history(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let wanted = params.get::<U64>(0)?.to::<u64>().min(MAX_HISTORY);
    let newest = rpc.number_of(block_id(params, 1)?).ok_or_else(|| RpcError::refused("header not found"))?;
    let percentiles: Vec<f64> = params.optional(2)?.unwrap_or_default();
    if percentiles.len() > MAX_PERCENTILES {
        return Err(RpcError::invalid_params(format!("over the query limit {MAX_PERCENTILES}")));
    }
    let rising = percentiles.windows(2).all(|pair| pair[0] <= pair[1]);
    if !rising || percentiles.iter().any(|value| !(0.0..=100.0).contains(value)) {
        return Err(RpcError::invalid_params("invalid reward percentile: values rise from 0 to 100"));
    }
    if wanted == 0 {
        return reply(&FeeHistory::default());
    }
    let oldest = (newest + 1).saturating_sub(wanted).max(rpc.chain().first_own_number());
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for number in oldest..=newest {
        let Some(block) = rpc.chain().block(number) else { break };
        history.base_fee_per_gas.push(u128::from(block.header.base_fee_per_gas.unwrap_or(0)));
        history.base_fee_per_blob_gas.push(blob_fee(rpc, &block));
        history.gas_used_ratio.push(ratio(block.header.gas_used, block.header.gas_limit));
        let blobs = rpc.chain().spec().blob_params_at(number, block.header.timestamp);
        let most = blobs.map_or(0, |blobs| blobs.max * alloy_eips::eip4844::DATA_GAS_PER_BLOB);
        history.blob_gas_used_ratio.push(ratio(block.header.blob_gas_used.unwrap_or(0), most));
        rewards.push(rewards_of(&block, &percentiles));
    }
    let last = rpc.chain().block(newest);
    let next = last.as_ref().map_or(0, |block| rpc.chain().base_fee_after(&block.header));
    history.base_fee_per_gas.push(u128::from(next));
    history.base_fee_per_blob_gas.push(last.as_ref().map_or(0, |block| rpc.chain().blob_fee_after(&block.header)));
    history.reward = Some(rewards).filter(|_| !percentiles.is_empty());
    reply(&history)
}

#[allow(clippy::cast_precision_loss, reason = "a ratio for display; 53 bits suffice")]
fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 { 0.0 } else { used as f64 / limit as f64 }
}

/// Tips at these percentiles of the block's gas, in wei.
fn rewards_of(block: &StoredBlock, percentiles: &[f64]) -> Vec<u128> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
    let mut tips: Vec<(u128, u64)> = block
        .transactions
        .iter()
        .zip(&block.receipts)
        .map(|(tx, receipt)| (tx.effective_tip_per_gas(base_fee).unwrap_or(0), receipt.gas_used))
        .collect();
    tips.sort_unstable();
    percentiles
        .iter()
        .map(|percentile| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "0 to 100 % of a block's gas"
            )]
            let threshold = (block.header.gas_used as f64 * percentile / 100.0) as u64;
            let mut sum = 0;
            let found = tips.iter().find(|(_, gas)| {
                sum += gas;
                sum >= threshold
            });
            found.or(tips.last()).map_or(0, |(tip, _)| *tip)
        })
        .collect()
}
