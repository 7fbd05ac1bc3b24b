//! What is added to a slot ahead of its turn is taken over only if nothing else was done with the slot's value.
#![allow(clippy::unwrap_used, missing_docs)]

use std::convert::Infallible;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use interlace_evm::{Account, BlockEnv, Checks, Misfit, Overlay, StateReader, Status, TxRequest, Vm};
use interlace_primitives::Fork;

const CONTRACT: Address = Address::repeat_byte(0xcc);

/// slot 0 += 5; slot 1 = slot 0; slot 0 = 9.
const ADDS: &[u8] = &[0x60, 5, 0x60, 0, 0x54, 0x01, 0x60, 0, 0x55];
const LOOKS: &[u8] = &[0x60, 0, 0x54, 0x60, 1, 0x55];
const STORES: &[u8] = &[0x60, 9, 0x60, 0, 0x55];
/// slot 2 = slot 0 + 5.
const ADDS_ELSEWHERE: &[u8] = &[0x60, 5, 0x60, 0, 0x54, 0x01, 0x60, 2, 0x55];

/// One contract that does something when it is called without input, and else makes the input slot 0, which is 10 at first.
struct World(Bytes);

impl World {
    fn of(parts: &[&[u8]]) -> Self {
        let does = parts.concat();
        let target = 4 + does.len() as u8 + 1;
        let stores = [0x5b, 0x60, 0, 0x35, 0x60, 0, 0x55, 0x00];
        Self([&[0x36, 0x60, target, 0x57][..], &does, &[0x00], &stores].concat().into())
    }
}

impl StateReader for World {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        let code_hash = keccak256(&self.0);
        Ok((address == CONTRACT).then_some(Account { nonce: 1, code_hash, balance: U256::ZERO }))
    }

    fn storage(&self, _: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(if slot.is_zero() { U256::from(10) } else { U256::ZERO })
    }

    fn code(&self, _: B256) -> Result<Bytes, Infallible> {
        Ok(self.0.clone())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

fn machine(world: &World) -> Vm<&World> {
    let env = BlockEnv {
        fork: Fork::Osaka,
        chain_id: 1,
        number: 5,
        timestamp: 9,
        beneficiary: Address::repeat_byte(3),
        gas_limit: 30_000_000,
        base_fee_wei: 0,
        difficulty: U256::ZERO,
        prev_randao: B256::repeat_byte(1),
        blob_fee_wei: Some(1),
        max_blobs_per_transaction: Some(6),
        ada: false,
    };
    Vm::new(env, Checks::CALL, Overlay::new(world))
}

fn call(from: u8, input: Bytes) -> TxRequest {
    let to = TxKind::Call(CONTRACT);
    TxRequest { from: Address::repeat_byte(from), to, gas_limit: 200_000, input, ..TxRequest::default() }
}

/// Executes ahead, makes slot 0 `now`, and takes over; what comes of it is compared with execution in order.
fn taken_over(parts: &[&[u8]], now: u64) -> Result<(), Misfit> {
    let world = World::of(parts);
    let (adds, stores) = (call(1, Bytes::new()), call(2, U256::from(now).to_be_bytes::<32>().into()));
    let (mut ahead, mut in_order) = (machine(&world), machine(&world));
    ahead.speculative();
    let speculation = ahead.speculate(&adds).unwrap();
    for vm in [&mut ahead, &mut in_order] {
        assert_eq!(vm.execute(&stores).unwrap().status, Status::Success);
    }
    let expected = in_order.execute(&adds).unwrap();
    let adopted = ahead.adopt(speculation).unwrap()?;
    assert_eq!(adopted.outcome, expected);
    assert_eq!(ahead.overlay().changes(), in_order.overlay().changes());
    Ok(())
}

#[test]
fn what_is_only_added_to_is_added_up() {
    for now in [1, 9, 11, u64::MAX] {
        assert_eq!(taken_over(&[ADDS], now), Ok(()));
        assert_eq!(taken_over(&[&[0x33, 0x50], ADDS, &[0x60, 3, 0x60, 7, 0x55]], now), Ok(()));
    }
    assert_eq!(taken_over(&[ADDS], 0), Err(Misfit::WasEmpty));
}

#[test]
fn a_slot_that_anything_else_is_done_with_is_compared() {
    let others: [&[&[u8]]; 7] = [
        &[LOOKS],
        &[ADDS, LOOKS],
        &[LOOKS, ADDS],
        &[ADDS, ADDS],
        &[ADDS, STORES],
        &[STORES, ADDS, LOOKS],
        &[ADDS_ELSEWHERE],
    ];
    for parts in others {
        for now in [9, 11] {
            assert_eq!(taken_over(parts, now), Err(Misfit::Depends), "{parts:02x?}");
        }
        assert_eq!(taken_over(parts, 10), Ok(()), "{parts:02x?}");
    }
}
