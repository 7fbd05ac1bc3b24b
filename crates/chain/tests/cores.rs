//! Blocks that a chain makes and takes on all cores are those of one core.
#![allow(clippy::unwrap_used, missing_docs)]

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, bytes};
use alloy_rlp::Encodable;
use interlace_chain::pool::{PoolConfig, PoolTransaction};
use interlace_chain::{Chain, DevGenesis, DevOrderer, GenesisBlock, Mining, StoredBlock};
use interlace_primitives::Fork;
use interlace_stf::execute;
use k256::ecdsa::SigningKey;

const SENDERS: u8 = 24;
/// Counts calls in its slot 0, and what each caller sent in a slot of its own: they meet in every block.
const COUNTER: Bytes = bytes!("6000546001016000553454015f5500");
/// Puts the code after it at its address.
const DEPLOY: Bytes = bytes!("600f600c600039600f6000f3");

fn key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[0x20 + number; 32]).unwrap()
}

fn sender(number: u8) -> Address {
    let key = key(number);
    Address::from_raw_public_key(&key.verifying_key().to_sec1_point(false).as_bytes()[1..])
}

fn chain() -> Chain {
    let genesis = DevGenesis {
        chain_id: 7,
        fork: Fork::Osaka,
        balances: (0..SENDERS).map(|number| (sender(number), U256::from(10).pow(U256::from(17)))).collect(),
        gas_limit: 17_000_000,
        deployments: Vec::new(),
        timestamp: 1,
        base_fee_wei: None,
        ada: false,
    };
    let block = GenesisBlock::from_json(&genesis.document().to_string()).unwrap();
    let orderer = DevOrderer::new(Mining::Manual, Address::repeat_byte(0xc0), None).impersonating_all();
    orderer.set_timestamp_interval(Some(1));
    Chain::new(block, Box::new(orderer), PoolConfig::default())
}

fn transaction(from: u8, nonce: u64, to: TxKind, gas_limit: u64, input: Bytes) -> PoolTransaction {
    let tx = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit,
        max_fee_per_gas: 4_000_000_000,
        max_priority_fee_per_gas: 1 + u128::from(from),
        to,
        value: U256::from(1 + nonce),
        input,
        ..TxEip1559::default()
    };
    let (signature, id) = key(from).sign_prehash_recoverable(tx.signature_hash().as_slice());
    let bytes = signature.to_bytes();
    let (r, s) = bytes.split_at(32);
    let signature = Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), id.is_y_odd());
    PoolTransaction::new(tx.into_signed(signature).into(), sender(from))
}

fn submit(chain: &Chain, list: Vec<PoolTransaction>) {
    chain.submit(list.into_iter().map(Ok).collect()).into_iter().for_each(|answer| {
        answer.unwrap();
    });
}

/// The block, executed again on one thread over the state of its parent.
fn assert_sequential(chain: &Chain, block: &StoredBlock) {
    let parent = chain.block(block.number() - 1).unwrap();
    let state = chain.state_at(parent.number()).unwrap();
    let output = execute(chain.spec(), &parent.header, &block.to_consensus(), &block.senders, &state, None).unwrap();
    assert_eq!(output.header.gas_used, block.header.gas_used);
    let receipts: Vec<_> = block.receipts.iter().map(|receipt| receipt.envelope.clone()).collect();
    assert_eq!(output.receipts, receipts);
}

#[test]
fn a_block_of_the_pool_is_that_of_one_core() {
    let chain = chain();
    let counter = sender(0).create(0);
    submit(&chain, vec![transaction(0, 0, TxKind::Create, 150_000, [&DEPLOY[..], &COUNTER].concat().into())]);
    chain.produce().unwrap();
    assert!(chain.head().receipts[0].envelope.is_success());
    let mut nonces = [0; SENDERS as usize];
    nonces[0] = 1;
    let other = self::chain();
    for round in 0..4u64 {
        let mut list = Vec::new();
        for step in 0..6u64 {
            for number in 0..SENDERS {
                let nonce = &mut nonces[usize::from(number)];
                let to = match (round + step + u64::from(number)) % 3 {
                    0 => TxKind::Call(counter),
                    1 => TxKind::Call(sender((number + 1) % SENDERS)),
                    _ => TxKind::Call(Address::repeat_byte(0x90)),
                };
                // One asks for more gas than is ever left: it waits, and what its sender sends afterwards.
                let gas_limit = if number == 7 && step == 4 && round == 2 { 16_700_000 } else { 150_000 };
                list.push(transaction(number, *nonce, to, gas_limit, Bytes::new()));
                *nonce += 1;
            }
        }
        submit(&chain, list);
        let block = chain.produce().unwrap();
        assert!(block.transactions.len() > 100, "{}", block.transactions.len());
        assert_sequential(&chain, &block);
        nonces = core::array::from_fn(|number| chain.pending_nonce(sender(number as u8)).unwrap());
    }
    assert!(chain.pool_status().pending > 0);
    // Another chain takes the blocks as they are.
    for number in 1..=chain.head().number() {
        let block = chain.block(number).unwrap();
        let mut rlp = Vec::new();
        block.to_consensus().encode(&mut rlp);
        assert_eq!(other.import(&rlp).unwrap().hash, block.hash);
    }
    assert_eq!(other.head().hash, chain.head().hash);
    let text = chain.metrics_text();
    let count = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(count("interlace_executed_ahead_total") > 0, cores > 1, "{text}");
    assert!(text.contains("interlace_executed_in_vain_total"));
}
