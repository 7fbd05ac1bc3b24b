//! Constantinople's SSTORE against the table of EIP-1283, and that Petersburg does not have it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::convert::Infallible;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, bytes, keccak256};
use interlace_evm::{Account, BlockEnv, Checks, Overlay, StateReader, TxRequest, Vm};
use interlace_primitives::Fork;

const CONTRACT: Address = address!("0x2000000000000000000000000000000000000002");

/// One contract, with one slot that is not zero if `original` is not.
struct One {
    code: Bytes,
    original: u64,
}

impl StateReader for One {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        let code_hash = keccak256(&self.code);
        Ok((address == CONTRACT).then_some(Account { nonce: 1, balance: U256::ZERO, code_hash }))
    }

    fn storage(&self, _: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(if slot.is_zero() { U256::from(self.original) } else { U256::ZERO })
    }

    fn code(&self, _: B256) -> Result<Bytes, Infallible> {
        Ok(self.code.clone())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

/// Gas before refunds without the 21,000 of any transaction, and the refund granted.
fn run(fork: Fork, code: &Bytes, original: u64) -> (u64, u64) {
    let env = BlockEnv {
        fork,
        chain_id: 1,
        number: 1,
        timestamp: 1,
        beneficiary: Address::ZERO,
        gas_limit: 10_000_000,
        base_fee_wei: 0,
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        blob_fee_wei: None,
        max_blobs_per_transaction: None,
        ada: false,
    };
    let mut vm = Vm::new(env, Checks::CALL, Overlay::new(One { code: code.clone(), original }));
    let tx = TxRequest { to: TxKind::Call(CONTRACT), gas_limit: 1_000_000, ..TxRequest::default() };
    let (outcome, _) = vm.transact(&tx).unwrap();
    assert!(outcome.is_success());
    (outcome.gas_used + outcome.gas_refunded - 21_000, outcome.gas_refunded)
}

#[test]
fn constantinople_counts_changes_net_of_the_value_before() {
    let table = [
        (bytes!("60006000556000600055"), 0, 412, 0),
        (bytes!("60006000556001600055"), 0, 20_212, 0),
        (bytes!("60016000556000600055"), 0, 20_212, 19_800),
        (bytes!("60016000556002600055"), 0, 20_212, 0),
        (bytes!("60016000556001600055"), 0, 20_212, 0),
        (bytes!("60006000556000600055"), 1, 5_212, 15_000),
        (bytes!("60006000556001600055"), 1, 5_212, 4_800),
        (bytes!("60006000556002600055"), 1, 5_212, 0),
        (bytes!("60026000556000600055"), 1, 5_212, 15_000),
        (bytes!("60026000556003600055"), 1, 5_212, 0),
        (bytes!("60026000556001600055"), 1, 5_212, 4_800),
        (bytes!("60016000556000600055"), 1, 5_212, 15_000),
        (bytes!("60016000556002600055"), 1, 5_212, 0),
        (bytes!("60016000556001600055"), 1, 412, 0),
        (bytes!("600160005560006000556001600055"), 0, 40_218, 19_800),
        (bytes!("600060005560016000556000600055"), 1, 10_218, 19_800),
    ];
    for (code, original, gas, refund) in table {
        // At most half of a transaction's gas is refunded.
        let granted = u64::min(refund, (21_000 + gas) / 2);
        assert_eq!(run(Fork::Constantinople, &code, original), (gas, granted), "{code} on {original}");
    }
}

#[test]
fn petersburg_prices_every_change() {
    let code = bytes!("60016000556000600055");
    assert_eq!(run(Fork::Petersburg, &code, 0), (25_012, 15_000));
    assert_eq!(run(Fork::Byzantium, &code, 0), run(Fork::Petersburg, &code, 0));
}
