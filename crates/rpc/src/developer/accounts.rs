//! Accounts as the developer wants them: balance, nonce, code, storage, token balances, and whose signature is not asked for.
//!
//! Invariant: an edit changes what it names and nothing else. A token's balance or allowance is set only where changing one slot makes
//! the token answer exactly the wanted amount; otherwise it is refused.
//! Source: Hardhat, Anvil, Ganache (evm_setAccount*), Tenderly (setBalance with a list of addresses).

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use interlace_chain::{AccountEdit, ChainError};
use interlace_stf::{AccountOverride, BlockEnv, CallOptions, TxRequest, call, touch};
use serde::Deserialize;

use super::{dev, null, yes};
use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::wire::{Params, Reply, reply};

/// Gas of a question to a token.
const TOKEN_GAS: u64 = 10_000_000;
/// Slots that are tried for a token's balance.
const MAX_TOKEN_SLOTS: usize = 256;
/// Accounts that one call may change.
const MAX_ADDRESSES: usize = 1_024;

pub(super) const METHODS: &[(&str, Method)] = &[
    ("hardhat_setBalance", |rpc, params| set_balance(rpc, params).and_then(|()| yes())),
    ("evm_setAccountBalance", |rpc, params| set_balance(rpc, params).and_then(|()| yes())),
    ("tenderly_setBalance", |rpc, params| set_balance(rpc, params).and_then(|()| yes())),
    ("anvil_setBalance", |rpc, params| set_balance(rpc, params).and_then(|()| null())),
    ("hardhat_addBalance", |rpc, params| add_balance(rpc, params).and_then(|()| yes())),
    ("tenderly_addBalance", |rpc, params| add_balance(rpc, params).and_then(|()| yes())),
    ("anvil_addBalance", |rpc, params| add_balance(rpc, params).and_then(|()| null())),
    ("hardhat_setCode", |rpc, params| set_code(rpc, params).and_then(|()| yes())),
    ("evm_setAccountCode", |rpc, params| set_code(rpc, params).and_then(|()| yes())),
    ("anvil_setCode", |rpc, params| set_code(rpc, params).and_then(|()| null())),
    ("hardhat_setNonce", |rpc, params| set_nonce(rpc, params, false).and_then(|()| yes())),
    ("evm_setAccountNonce", |rpc, params| set_nonce(rpc, params, true).and_then(|()| yes())),
    ("anvil_setNonce", |rpc, params| set_nonce(rpc, params, true).and_then(|()| null())),
    ("hardhat_setStorageAt", set_storage),
    ("evm_setAccountStorageAt", set_storage),
    ("anvil_setStorageAt", set_storage),
    ("anvil_dealERC20", |rpc, params| deal(rpc, params).and_then(|()| null())),
    ("anvil_setERC20Balance", |rpc, params| deal(rpc, params).and_then(|()| null())),
    ("hardhat_dealERC20", |rpc, params| deal(rpc, params).and_then(|()| yes())),
    ("tenderly_setErc20Balance", deal_tenderly),
    ("anvil_setERC20Allowance", |rpc, params| allowance(rpc, params).and_then(|()| null())),
    ("hardhat_impersonateAccount", |rpc, params| impersonate(rpc, params).and_then(|()| yes())),
    ("anvil_impersonateAccount", |rpc, params| impersonate(rpc, params).and_then(|()| null())),
    ("hardhat_stopImpersonatingAccount", |rpc, params| reply(&dev(rpc)?.stop_impersonating(params.get(0)?))),
    ("anvil_stopImpersonatingAccount", |rpc, params| {
        dev(rpc)?.stop_impersonating(params.get(0)?);
        null()
    }),
    ("hardhat_autoImpersonateAccount", |rpc, params| impersonate_all(rpc, params).and_then(|()| yes())),
    ("anvil_autoImpersonateAccount", |rpc, params| impersonate_all(rpc, params).and_then(|()| null())),
];

/// One address or a list of them.
fn addresses(params: &Params<'_>) -> Result<Vec<Address>, RpcError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Named {
        One(Address),
        Many(Vec<Address>),
    }
    match params.get(0)? {
        Named::One(address) => Ok(vec![address]),
        Named::Many(list) if list.len() <= MAX_ADDRESSES => Ok(list),
        Named::Many(list) => Err(RpcError::limit(format!("{} addresses, at most {MAX_ADDRESSES}", list.len()))),
    }
}

fn set_balance(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    let (addresses, wei) = (addresses(params)?, params.get::<U256>(1)?);
    for address in addresses {
        rpc.chain().set_balance(address, wei)?;
    }
    Ok(())
}

/// Saturates: no account holds more than 2^256 - 1 wei.
fn add_balance(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    let (addresses, wei) = (addresses(params)?, params.get::<U256>(1)?);
    for address in addresses {
        rpc.chain().amend(address, |account| {
            Ok(AccountEdit { balance_wei: Some(account.balance.saturating_add(wei)), ..AccountEdit::default() })
        })?;
    }
    Ok(())
}

fn set_code(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    let (address, code) = (params.get(0)?, params.get::<Bytes>(1)?);
    Ok(rpc.chain().amend(address, |_| Ok(AccountEdit { code: Some(code), ..AccountEdit::default() }))?)
}

/// Hardhat lets a nonce only rise, the others set it to anything.
fn set_nonce(rpc: &Rpc, params: &Params<'_>, may_fall: bool) -> Result<(), RpcError> {
    let (address, nonce) = (params.get(0)?, super::required(params, 1)?);
    if nonce == u64::MAX {
        return Err(RpcError::refused(format!("nonce {nonce} has no successor (EIP-2681)")));
    }
    rpc.chain().amend(address, |account| {
        if nonce < account.nonce && !may_fall {
            return Err(ChainError::Developer(format!(
                "new nonce {nonce} must not be smaller than the existing nonce {}",
                account.nonce
            )));
        }
        Ok(AccountEdit { nonce: Some(nonce), ..AccountEdit::default() })
    })?;
    rpc.settle();
    Ok(())
}

fn set_storage(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let (address, slot, value) = (params.get(0)?, params.get::<U256>(1)?, params.get::<U256>(2)?);
    put_slot(rpc, address, slot, value)?;
    yes()
}

fn put_slot(rpc: &Rpc, address: Address, slot: U256, value: U256) -> Result<(), RpcError> {
    let storage = BTreeMap::from([(slot, value)]);
    Ok(rpc.chain().amend(address, |_| Ok(AccountEdit { storage, ..AccountEdit::default() }))?)
}

fn impersonate(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    dev(rpc)?.impersonate(params.get(0)?);
    Ok(())
}

fn impersonate_all(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    dev(rpc)?.set_impersonate_all(params.get(0)?);
    Ok(())
}

// ---- tokens

/// `(holder, token, amount)`.
fn deal(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    let (holder, token, amount): (Address, Address, U256) = (params.get(0)?, params.get(1)?, params.get(2)?);
    set_answer(rpc, token, &question("balanceOf(address)", &[holder]), amount)
}

/// `(token, holder, amount)`.
fn deal_tenderly(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let (token, holder, amount): (Address, Address, U256) = (params.get(0)?, params.get(1)?, params.get(2)?);
    set_answer(rpc, token, &question("balanceOf(address)", &[holder]), amount)?;
    yes()
}

/// `(owner, spender, token, amount)`.
fn allowance(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    let (owner, spender): (Address, Address) = (params.get(0)?, params.get(1)?);
    let (token, amount): (Address, U256) = (params.get(2)?, params.get(3)?);
    set_answer(rpc, token, &question("allowance(address,address)", &[owner, spender]), amount)
}

fn question(signature: &str, arguments: &[Address]) -> Bytes {
    let mut data = keccak256(signature).as_slice()[..4].to_vec();
    for argument in arguments {
        data.extend_from_slice(argument.into_word().as_slice());
    }
    data.into()
}

/// Finds the slot that alone decides what `token` answers to `data`, and sets it so that it answers `wanted`.
fn set_answer(rpc: &Rpc, token: Address, data: &Bytes, wanted: U256) -> Result<(), RpcError> {
    let (head, state) = rpc.chain().head_with_state();
    let env = BlockEnv::from_header(rpc.chain().spec(), &head.header);
    let request =
        TxRequest { to: TxKind::Call(token), gas_limit: TOKEN_GAS, input: data.clone(), ..TxRequest::default() };
    let unable = |why: &str| RpcError::refused(format!("token {token}: {why}"));
    let (outcome, touched) = touch(env.clone(), &request, &CallOptions::default(), &state)
        .map_err(|error| unable(&format!("it cannot be asked: {error}")))?;
    if !outcome.is_success() || outcome.output.len() != 32 {
        return Err(unable("it does not answer as an ERC-20 token does"));
    }
    // The token's own slots first; behind a proxy they may be another contract's.
    let mut slots: Vec<(Address, U256)> =
        touched.into_iter().flat_map(|(at, slots)| slots.into_iter().map(move |slot| (at, slot))).collect();
    slots.sort_by_key(|(at, _)| *at != token);
    for (at, slot) in slots.into_iter().take(MAX_TOKEN_SLOTS) {
        // Two other values as well: the slot must hold the amount itself, not happen to give it once.
        let answers = [wanted, wanted ^ U256::from(1), U256::from(3)].map(|value| {
            let state_diff = BTreeMap::from([(slot, value)]);
            let seen = AccountOverride { state_diff, ..AccountOverride::default() };
            let options = CallOptions { state: BTreeMap::from([(at, seen)]), ..CallOptions::default() };
            let outcome = call(env.clone(), &request, &options, &state).ok()?;
            let right = outcome.is_success() && U256::try_from_be_slice(&outcome.output) == Some(value);
            right.then_some(())
        });
        if answers.iter().all(Option::is_some) {
            return put_slot(rpc, at, slot, wanted);
        }
    }
    Err(unable("no single slot holds this amount, so it cannot be set"))
}
