//! Codes of a chain's refusals that JSON-RPC shows as numbers: each provoked on a running chain, which stays as it was.
#![allow(clippy::unwrap_used, missing_docs)]

use alloy_primitives::{Address, U256};
use interlace_chain::pool::{PoolConfig, PoolTransaction};
use interlace_chain::{Chain, ChainError, DevGenesis, DevOrderer, GenesisBlock, LogQuery, MAX_LOG_BLOCKS, Mining};
use interlace_primitives::Fork;
use interlace_stf::StateReader;

const RICH: Address = Address::repeat_byte(1);

fn chain() -> Chain {
    let balances = vec![(RICH, U256::from(7))];
    let genesis = DevGenesis {
        chain_id: 7,
        fork: Fork::Osaka,
        balances,
        gas_limit: 30_000_000,
        deployments: Vec::new(),
        timestamp: 0,
        base_fee_wei: None,
        ada: false,
    };
    let block = GenesisBlock::from_json(&genesis.document().to_string()).unwrap();
    let orderer = DevOrderer::new(Mining::Manual, Address::ZERO, None);
    Chain::new(block, Box::new(orderer), PoolConfig::default())
}

fn code<T>(result: Result<T, ChainError>) -> &'static str {
    result.err().unwrap().code()
}

#[test]
fn bytes_that_are_no_transaction_do_not_wait() {
    let chain = chain();
    for bytes in [&b""[..], b"\x05", b"\xc0", b"\x02\xc0", &[0; 128 * 1024 + 1]] {
        let answers = chain.submit(vec![PoolTransaction::decode(bytes)]);
        assert_eq!(answers.into_iter().map(code).collect::<Vec<_>>(), ["chain.bad-transaction"]);
    }
    assert_eq!(chain.pool_status(), Default::default());
}

#[test]
fn snapshots_and_ranges_have_bounds() {
    let chain = chain();
    for expected in 1..=4_096 {
        assert_eq!(chain.snapshot(), Ok(expected));
    }
    assert_eq!(code(chain.snapshot()), "chain.bound");
    // The one refused was not taken, and those before it still hold.
    assert_eq!(chain.revert(4_097), Ok(false));
    assert_eq!(chain.revert(4_096), Ok(true));
    assert_eq!(chain.snapshot(), Ok(4_096));
    assert_eq!(LogQuery::check_range(1, MAX_LOG_BLOCKS), Ok(()));
    assert_eq!(code(LogQuery::check_range(0, MAX_LOG_BLOCKS)), "chain.bound");
    assert_eq!(code(LogQuery::check_range(2, 1)), "chain.unknown");
}

#[test]
fn the_clock_does_not_go_back() {
    let chain = chain();
    let head = chain.produce().unwrap();
    let developer = chain.developer().unwrap();
    for timestamp in [0, head.header.timestamp] {
        assert_eq!(code(developer.set_next_timestamp(timestamp, &head.header)), "chain.developer");
    }
    assert!(chain.produce().unwrap().header.timestamp > head.header.timestamp);
    // A clock at its end makes no block, and says so instead of going round.
    let head = chain.head();
    developer.set_next_timestamp(u64::MAX, &head.header).unwrap();
    let last = chain.produce().unwrap();
    assert_eq!(last.header.timestamp, u64::MAX);
    assert_eq!(code(chain.produce()), "chain.developer");
    assert_eq!(chain.head().hash, last.hash);
}

#[test]
fn the_state_of_a_reverted_block_is_not_read() {
    let chain = chain();
    let snapshot = chain.snapshot().unwrap();
    chain.set_balance(RICH, U256::from(8)).unwrap();
    chain.produce().unwrap();
    let (_, state) = chain.head_with_state();
    assert_eq!(state.account(RICH).unwrap().unwrap().balance, U256::from(8));
    assert_eq!(chain.revert(snapshot), Ok(true));
    assert_eq!(code(state.account(RICH).map_err(ChainError::from)), "chain.state");
    assert_eq!(code(state.storage(RICH, U256::ZERO).map_err(ChainError::from)), "chain.state");
    let (_, state) = chain.head_with_state();
    assert_eq!(state.account(RICH).unwrap().unwrap().balance, U256::from(7));
}
