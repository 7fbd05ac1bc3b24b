//! Code that a state has is analysed once; code that was deployed since stays with those who deployed it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, bytes, keccak256};
use interlace_evm::{Account, BlockEnv, Checks, CodeCache, Overlay, StateReader, TxRequest, Vm};
use interlace_primitives::Fork;

const CALLER: Address = address!("0x1000000000000000000000000000000000000001");
const CONTRACT: Address = address!("0x2000000000000000000000000000000000000002");
/// Jumps over a stop, which needs jump destinations, and returns 42.
const CODE: Bytes = bytes!("600456005b602a5f5260205ff3");

/// One contract, and how often its code was read.
#[derive(Default)]
struct World {
    cache: CodeCache,
    reads: AtomicUsize,
}

impl StateReader for World {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        Ok((address == CONTRACT).then(|| Account { nonce: 1, code_hash: keccak256(CODE), ..Account::default() }))
    }

    fn storage(&self, _: Address, _: U256) -> Result<U256, Infallible> {
        Ok(U256::ZERO)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, Infallible> {
        assert_eq!(code_hash, keccak256(CODE), "this world has one code");
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(CODE)
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }

    fn code_cache(&self) -> Option<&CodeCache> {
        Some(&self.cache)
    }
}

fn vm(world: &World) -> Vm<&World> {
    let env = BlockEnv {
        fork: Fork::Osaka,
        chain_id: 1,
        number: 1,
        timestamp: 1,
        beneficiary: Address::ZERO,
        gas_limit: 30_000_000,
        base_fee_wei: 0,
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        blob_fee_wei: Some(1),
        max_blobs_per_transaction: Some(6),
        ada: false,
    };
    Vm::new(env, Checks::CALL, Overlay::new(world))
}

fn call(to: Address) -> TxRequest {
    TxRequest { from: CALLER, to: TxKind::Call(to), gas_limit: 200_000, ..TxRequest::default() }
}

#[test]
fn code_of_the_state_is_read_once() {
    let world = World::default();
    for _ in 0..3 {
        let outcome = vm(&world).execute(&call(CONTRACT)).unwrap();
        assert_eq!(outcome.output.to_vec(), U256::from(42).to_be_bytes_vec());
    }
    assert_eq!(world.reads.load(Ordering::Relaxed), 1);
    assert_eq!(world.cache.bytes(), CODE.len());
}

#[test]
fn code_that_is_deployed_is_run_and_not_kept() {
    let world = World::default();
    let mut vm = vm(&world);
    // Returns one byte of code: a stop.
    let create = TxRequest { to: TxKind::Create, input: bytes!("60015ff3"), ..call(CONTRACT) };
    assert!(vm.execute(&create).unwrap().is_success());
    assert!(vm.execute(&call(CALLER.create(0))).unwrap().is_success());
    assert_eq!(world.cache.bytes(), 0);
}
