//! Random blocks of transactions among puppets, and the state that they meet in.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use alloy_consensus::{BlockBody, Header, SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use interlace_primitives::{ChainSpec, Fork};
use interlace_stf::{Attributes, Block, BlockBuilder, Transaction, genesis_header, system_contracts};
use proptest::prelude::*;

use super::{ACTIONS, World, puppet, script};

pub const CHAIN_ID: u64 = 1337;
pub const COINBASE: Address = Address::repeat_byte(0xc0);

pub fn account(number: u8) -> Address {
    match number % 12 {
        11 => COINBASE,
        number => Address::repeat_byte(0x10 + number),
    }
}

/// Accounts 0 to 3 send, with ever less; 4 to 6 are puppets; 7 is empty, 8 holds nearly all that there can be, others are not there.
pub fn world(fork: Fork) -> World {
    let mut world = World::new();
    let ether = U256::from(10).pow(U256::from(18));
    world.put(account(0), 0, ether, Bytes::new());
    world.put(account(1), 5, ether / U256::from(3), Bytes::new());
    world.put(account(2), u64::MAX - 3, U256::from(30_000_000_000_000_000u64), Bytes::new());
    world.put(account(3), 0, U256::from(9_000_000_000_000_000u64), Bytes::new());
    for number in 4..7 {
        // Little, so that what they send often fails, or not, by what they were sent before.
        world.put(account(number), 1, U256::from(700 * (u64::from(number) - 3)), puppet());
    }
    // One has nearly all that there can be: what is sent to it overflows, or does not, by what it sent before.
    world.put(account(6), 1, U256::MAX - U256::from(1_500), puppet());
    world.put(account(7), 0, U256::ZERO, Bytes::new());
    world.put(account(8), 0, U256::MAX - U256::from(5), Bytes::new());
    for (address, code) in system_contracts(fork) {
        world.put(address, 1, U256::ZERO, code);
    }
    world
}

#[derive(Clone, Debug)]
pub struct Tx {
    pub from: u8,
    pub to: Option<u8>,
    pub value: u64,
    /// Added to the nonce that would be right.
    pub off: u64,
    pub gas: u64,
    pub tip: u64,
    pub kind: u8,
    pub actions: Vec<(u8, U256, U256)>,
}

pub fn word() -> impl Strategy<Value = U256> {
    prop_oneof![
        3 => (0u64..3).prop_map(U256::from),
        3 => any::<u8>().prop_map(|number| account(number).into_word().into()),
        3 => (0u64..4_000).prop_map(U256::from),
        1 => Just(U256::MAX >> 1),
    ]
}

pub fn transaction() -> impl Strategy<Value = Tx> {
    let to = prop_oneof![1 => Just(None), 5 => any::<u8>().prop_map(Some), 6 => (4u8..7).prop_map(Some)];
    let value = prop_oneof![3 => Just(0), 2 => 0u64..3_000, 1 => 0..30_000_000_000_000_000u64];
    let off = prop_oneof![40 => Just(0), 1 => 1u64..3, 1 => Just(u64::MAX)];
    let gas = prop_oneof![16 => Just(400_000), 1 => Just(21_000), 2 => 20_000u64..80_000];
    let tip = prop_oneof![2 => Just(0), 3 => 1u64..5_000_000_000];
    let action = (0..ACTIONS, word(), word());
    (0u8..4, to, value, off, gas, tip, 0u8..4, prop::collection::vec(action, 0..5)).prop_map(
        |(from, to, value, off, gas, tip, kind, actions)| Tx { from, to, value, off, gas, tip, kind, actions },
    )
}

/// One of twelve: for a puppet, with a nonce that is right for once, or for one time more, or never.
fn authorization(number: u64) -> SignedAuthorization {
    let address = account(4 + (number % 3) as u8);
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address, nonce: number / 3 % 4 };
    authorization.into_signed(Signature::test_signature())
}

/// Transactions as nobody signed them, and their senders. Nonces follow on from each other, whether or not the block takes them all.
pub fn transactions(world: &World, fork: Fork, list: &[Tx]) -> Vec<(Transaction, Address)> {
    let mut nonces: std::collections::BTreeMap<Address, u64> =
        world.accounts.iter().map(|(address, account)| (*address, account.nonce)).collect();
    let make = |tx: &Tx| {
        // The beneficiary sends too.
        let from = account(tx.from);
        let next = nonces.entry(from).or_default();
        let nonce = next.wrapping_add(tx.off);
        *next = next.saturating_add(u64::from(tx.off == 0));
        let (to, value) = (tx.to.map_or(TxKind::Create, |to| TxKind::Call(account(to))), U256::from(tx.value));
        let input = if tx.to.is_none() { Bytes::from_static(&[0x60, 0, 0x60, 0, 0xf3]) } else { script(&tx.actions) };
        let (gas_limit, gas_price) = (tx.gas, u128::from(20_000_000_000 + tx.tip));
        let signature = Signature::test_signature();
        let signed: Transaction = match tx.kind {
            1 if fork >= Fork::Berlin => {
                let tx = TxEip2930 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_price,
                    gas_limit,
                    to,
                    value,
                    input,
                    ..TxEip2930::default()
                };
                tx.into_signed(signature).into()
            }
            2 if fork >= Fork::London => {
                let tx = TxEip1559 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: gas_price,
                    max_priority_fee_per_gas: u128::from(tx.tip),
                    to,
                    value,
                    input,
                    ..TxEip1559::default()
                };
                tx.into_signed(signature).into()
            }
            // Accounts that nobody has the key of delegate to puppets, some of them several times, and the first is called.
            3 if fork >= Fork::Prague && tx.to.is_some() => {
                let list = [tx.value, tx.tip].map(authorization);
                let tx = TxEip7702 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: gas_price,
                    max_priority_fee_per_gas: u128::from(tx.tip),
                    to: list[0].recover_authority().unwrap(),
                    value,
                    authorization_list: list.to_vec(),
                    input,
                    ..TxEip7702::default()
                };
                tx.into_signed(signature).into()
            }
            _ => {
                TxLegacy { chain_id: None, nonce, gas_price, gas_limit, to, value, input }.into_signed(signature).into()
            }
        };
        (signed, from)
    };
    list.iter().map(make).collect()
}

pub fn spec(fork: Fork) -> (ChainSpec, Header) {
    let spec = ChainSpec::dev(CHAIN_ID, fork);
    let genesis = alloy_genesis::Genesis { gas_limit: 8_000_000, ..Default::default() };
    let parent = genesis_header(&spec, &genesis, B256::ZERO);
    (spec, parent)
}

pub fn fork() -> impl Strategy<Value = Fork> {
    // Older forks have no post state in receipts here, and are the same code.
    prop::sample::select(Fork::ALL.to_vec())
}

/// Who is paid: an account that sends, a contract that may destroy itself, one that is empty, one that is not there.
pub fn beneficiary() -> impl Strategy<Value = Address> {
    prop::sample::select(vec![COINBASE, account(5), account(7), account(9)])
}

/// The valid ones of these transactions as a block, and their senders.
pub fn block(fork: Fork, beneficiary: Address, state: &World, list: &[Tx]) -> (Block, Vec<Address>) {
    let (spec, parent) = spec(fork);
    let attributes =
        Attributes { timestamp: parent.timestamp + 12, gas_limit: 8_000_000, beneficiary, ..Attributes::default() };
    let mut builder = BlockBuilder::new(&spec, &parent, attributes, state).unwrap();
    let list = transactions(state, fork, list);
    let valid: Vec<_> = list.into_iter().filter(|(tx, sender)| builder.push(tx, *sender).is_ok()).collect();
    let header = builder.finish().unwrap().header;
    let (transactions, senders) = valid.into_iter().unzip();
    let withdrawals = header.withdrawals_root.map(|_| Vec::new().into());
    (Block::new(header, BlockBody { transactions, ommers: Vec::new(), withdrawals }), senders)
}
