//! DUP1 to DUP16 on a stack that is too low, high enough, and full.
#![allow(clippy::unwrap_used, missing_docs)]

use std::convert::Infallible;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, keccak256};
use interlace_evm::{Account, BlockEnv, Checks, Overlay, StateReader, Status, TxRequest, Vm};
use interlace_primitives::Fork;

const CONTRACT: Address = address!("0x2000000000000000000000000000000000000002");
const PUSH0: u8 = 0x5f;
const DUP1: u8 = 0x80;

/// One contract.
struct One(Bytes);

impl StateReader for One {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        let code_hash = keccak256(&self.0);
        Ok((address == CONTRACT).then_some(Account { nonce: 1, balance: U256::ZERO, code_hash }))
    }

    fn storage(&self, _: Address, _: U256) -> Result<U256, Infallible> {
        Ok(U256::ZERO)
    }

    fn code(&self, _: B256) -> Result<Bytes, Infallible> {
        Ok(self.0.clone())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

/// How `opcode` ends on a stack of `height`.
fn ends(opcode: u8, height: usize) -> String {
    let env = BlockEnv {
        fork: Fork::Osaka,
        chain_id: 1,
        number: 1,
        timestamp: 1,
        beneficiary: Address::ZERO,
        gas_limit: 10_000_000,
        base_fee_wei: 0,
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        blob_fee_wei: Some(1),
        max_blobs_per_transaction: None,
        ada: false,
    };
    let code: Vec<u8> = std::iter::repeat_n(PUSH0, height).chain([opcode]).collect();
    let mut vm = Vm::new(env, Checks::CALL, Overlay::new(One(code.into())));
    let tx = TxRequest { to: TxKind::Call(CONTRACT), gas_limit: 1_000_000, ..TxRequest::default() };
    match vm.transact(&tx).unwrap().0.status {
        Status::Success => "success".to_owned(),
        Status::Revert => "revert".to_owned(),
        Status::Halt(reason) => reason.to_string(),
    }
}

#[test]
fn a_stack_too_low_is_told_from_one_too_high() {
    for (opcode, needed) in (DUP1..).zip(1..=16) {
        assert_eq!(ends(opcode, needed - 1), "stack underflow");
        assert_eq!(ends(opcode, needed), "success");
        assert_eq!(ends(opcode, 1_024), "stack limit reached 1024");
    }
}
