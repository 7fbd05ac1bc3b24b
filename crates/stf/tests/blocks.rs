//! Building and executing are one: a block that was built executes to its own header; overrides and genesis too.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use alloy_consensus::{Header, SignableTransaction, TxEip1559};
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Signature, TxKind, U256, address, bytes};
use interlace_primitives::{ChainSpec, Fork};
use interlace_stf::{
    Account, AccountChange, AccountOverride, Attributes, AwaitedHash, Block, BlockBuilder, BlockEnv, BlockError,
    CallOptions, Changes, Deployment, GENESIS_DEPLOYER, GenesisError, StateReader, Transaction, TxError, TxRequest,
    call, deploy, execute, expected_difficulty, run, system_contracts, validate_difficulty,
};

const SENDER: Address = address!("0x1000000000000000000000000000000000000001");
const RECEIVER: Address = address!("0x2000000000000000000000000000000000000002");

#[derive(Clone, Debug, Default)]
struct Fixed(Changes);

impl StateReader for Fixed {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        Ok(self.0.accounts.get(&address).and_then(|change| change.info))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        let value = self.0.accounts.get(&address).and_then(|change| change.storage.get(&slot));
        Ok(value.copied().unwrap_or_default())
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, Infallible> {
        Ok(self.0.codes.get(&code_hash).cloned().unwrap_or_default())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

fn world(fork: Fork) -> Fixed {
    let mut changes = Changes::default();
    let balance = U256::from(10).pow(U256::from(18));
    let rich = AccountChange { info: Some(Account::with_balance(balance)), ..AccountChange::default() };
    changes.accounts.insert(SENDER, rich);
    for (address, code) in system_contracts(fork) {
        let code_hash = alloy_primitives::keccak256(&code);
        let info = Some(Account { nonce: 1, code_hash, ..Account::default() });
        changes.accounts.insert(address, AccountChange { info, ..AccountChange::default() });
        changes.codes.insert(code_hash, code);
    }
    Fixed(changes)
}

fn parent(spec: &ChainSpec) -> Header {
    interlace_stf::genesis_header(
        spec,
        &alloy_genesis::Genesis { gas_limit: 30_000_000, ..Default::default() },
        B256::ZERO,
    )
}

/// A transfer with a signature that nobody made: senders are given to the engine, it recovers none.
fn transfer(nonce: u64, gas_limit: u64) -> Transaction {
    let tx = TxEip1559 {
        chain_id: 1337,
        nonce,
        gas_limit,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 5,
        to: TxKind::Call(RECEIVER),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    tx.into_signed(Signature::test_signature()).into()
}

fn attributes() -> Attributes {
    Attributes { timestamp: 12, gas_limit: 30_000_000, ..Attributes::default() }
}

#[test]
fn a_built_block_executes_to_its_own_header_under_every_fork_with_fee_caps() {
    for fork in Fork::ALL.into_iter().filter(|fork| *fork >= Fork::London) {
        let spec = ChainSpec::dev(1337, fork);
        let (parent, state) = (parent(&spec), world(fork));
        let mut builder = BlockBuilder::new(&spec, &parent, attributes(), &state).unwrap();
        let transactions: Vec<Transaction> = (0..3).map(|nonce| transfer(nonce, 21_000)).collect();
        for tx in &transactions {
            assert!(builder.push(tx, SENDER).unwrap().is_success());
        }
        let built = builder.finish().unwrap();
        assert_eq!(built.gas_used(), 63_000);
        let withdrawals = (fork >= Fork::Shanghai).then(Default::default);
        let body = alloy_consensus::BlockBody { transactions, ommers: Vec::new(), withdrawals };
        let mut block = Block::new(built.sealed_header(B256::repeat_byte(1)), body);
        let executed = execute(&spec, &parent, &block, &[SENDER; 3], &state, None).unwrap();
        assert_eq!(executed.changes, built.changes);
        assert_eq!(executed.header, built.header);
        assert_eq!(executed.receipts, built.receipts);
        block.header.gas_used -= 1;
        assert_eq!(execute(&spec, &parent, &block, &[SENDER; 3], &state, None).unwrap_err().code(), "engine.mismatch");
        let error = execute(&spec, &parent, &block, &[SENDER], &state, None).unwrap_err();
        assert!(matches!(error, BlockError::Senders { transactions: 3, senders: 1 }));
        assert_eq!(error.code(), "engine.senders");
    }
}

/// What a block reached is the same whether or not its parent had a hash when it began; nothing is told unless it is asked for.
#[test]
fn accesses_of_a_block_that_awaits_its_parent_are_those_of_one_that_does_not() {
    /// Answers with the parent's hash, in the history contract too.
    struct Later<'a>(&'a Fixed, Option<(Address, U256)>, B256);

    impl StateReader for Later<'_> {
        type Error = Infallible;

        fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
            self.0.account(address)
        }

        fn storage(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
            if self.1 == Some((address, slot)) { Ok(self.2.into()) } else { self.0.storage(address, slot) }
        }

        fn code(&self, code_hash: B256) -> Result<Bytes, Infallible> {
            self.0.code(code_hash)
        }

        fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
            Ok(self.2)
        }
    }

    for (fork, history) in [(Fork::Cancun, true), (Fork::Osaka, true), (Fork::Osaka, false)] {
        let spec = ChainSpec::dev(1337, fork);
        let (parent, mut state) = (parent(&spec), world(fork));
        if !history {
            state.0.accounts.remove(&HISTORY_STORAGE_ADDRESS);
        }
        let awaited = AwaitedHash::of(&spec, parent.number, 12, &state).unwrap().unwrap();
        let later = Later(&state, awaited.slot(), parent.hash_slow());
        let finish = |mut builder: BlockBuilder<'_, &Later<'_>>, lists: bool| {
            if lists {
                builder.list_accesses();
            }
            builder.push(&transfer(0, 21_000), SENDER).unwrap();
            builder.finish().unwrap()
        };
        let now = Later(&state, None, parent.hash_slow());
        let one = finish(BlockBuilder::new(&spec, &parent, attributes(), &now).unwrap(), true);
        let awaiting = || BlockBuilder::awaiting(&spec, &parent, attributes(), &later, Some(awaited)).unwrap();
        let other = finish(awaiting(), true);
        assert_eq!((&one.header, &one.changes), (&other.header, &other.changes));
        let (list, same) = (one.accesses.unwrap().list(), other.accesses.unwrap().list());
        assert_eq!(list, same, "{fork:?} {history}");
        assert_eq!(list.iter().any(|account| account.address == HISTORY_STORAGE_ADDRESS), fork == Fork::Osaka);
        assert!(finish(awaiting(), false).accesses.is_none());
    }
}

#[test]
fn a_refused_transaction_leaves_the_block_as_it_was() {
    let spec = ChainSpec::dev(1337, Fork::Osaka);
    let (parent, state) = (parent(&spec), world(Fork::Osaka));
    let build = |refused: bool| {
        let mut builder = BlockBuilder::new(&spec, &parent, attributes(), &state).unwrap();
        builder.push(&transfer(0, 21_000), SENDER).unwrap();
        if refused {
            assert_eq!(builder.push(&transfer(0, 21_000), SENDER).unwrap_err().code(), "engine.nonce-too-low");
            assert_eq!(builder.push(&transfer(5, 21_000), SENDER).unwrap_err().code(), "engine.nonce-too-high");
            let code = builder.push(&transfer(1, 30_000_000), SENDER).unwrap_err().code();
            assert_eq!(code, "engine.gas-above-block");
            assert_eq!(builder.push(&transfer(1, 20_000_000), SENDER).unwrap_err().code(), "engine.gas-above-cap");
        }
        builder.push(&transfer(1, 21_000), SENDER).unwrap();
        builder.finish().unwrap()
    };
    let (with, without) = (build(true), build(false));
    assert_eq!(with.header, without.header);
    assert_eq!(with.changes, without.changes);
}

#[test]
fn before_byzantium_the_receipts_root_needs_state_roots_and_says_so() {
    let spec = ChainSpec::dev(1337, Fork::Homestead);
    let header =
        Header { number: 1, gas_limit: 5_000_000, ommers_hash: parent(&spec).ommers_hash, ..Header::default() };
    let tx = alloy_consensus::TxLegacy {
        gas_limit: 21_000,
        to: TxKind::Call(RECEIVER),
        ..alloy_consensus::TxLegacy::default()
    };
    let tx: Transaction = tx.into_signed(Signature::test_signature()).into();
    let body = alloy_consensus::BlockBody { transactions: vec![tx], ommers: Vec::new(), withdrawals: None };
    let block = Block::new(header, body);
    let without = run(&spec, &block, &[SENDER], world(Fork::Homestead), None).unwrap();
    assert!(!without.receipts_root_known);
    assert_eq!(without.header.receipts_root, B256::ZERO);
    let mut asked = 0;
    let mut roots = |_: &Changes| {
        asked += 1;
        Ok(B256::repeat_byte(asked))
    };
    let with = run(&spec, &block, &[SENDER], world(Fork::Homestead), Some(&mut roots)).unwrap();
    assert!(with.receipts_root_known);
    assert_ne!(with.header.receipts_root, B256::ZERO);
    assert_eq!(asked, 1);
}

#[test]
fn a_call_sees_its_overrides_and_only_this_call() {
    let spec = ChainSpec::dev(1337, Fork::Osaka);
    let (parent, state) = (parent(&spec), world(Fork::Osaka));
    let env = BlockEnv::from_header(&spec, &parent);
    // Returns slot 1, the base fee and the caller's balance.
    let code = bytes!("6001545f5248602052333160405260605ff3");
    let slots = BTreeMap::from([(U256::from(1), U256::from(42))]);
    let overrides = BTreeMap::from([
        (RECEIVER, AccountOverride { code: Some(code), state: Some(slots), ..AccountOverride::default() }),
        (Address::ZERO, AccountOverride { balance_wei: Some(U256::from(9)), ..AccountOverride::default() }),
    ]);
    let options = CallOptions { state: overrides, ..CallOptions::default() };
    let tx = TxRequest { to: TxKind::Call(RECEIVER), gas_limit: 100_000, ..TxRequest::default() };
    let output = call(env.clone(), &tx, &options, &state).unwrap().output;
    let words: Vec<U256> = output.chunks(32).map(U256::from_be_slice).collect();
    assert_eq!(words, [42, 0, 9].map(U256::from));
    let plain = call(env, &tx, &CallOptions::default(), &state).unwrap();
    assert!(plain.output.is_empty());
}

#[test]
fn genesis_deployments_run_in_order_and_stop_at_the_first_failure() {
    let spec = ChainSpec::dev(1337, Fork::Osaka);
    let env = BlockEnv::from_header(&spec, &parent(&spec));
    let first = address!("0x1ace000000000000000000000000000000000001");
    let second = address!("0x1ace000000000000000000000000000000000002");
    let deployment = |address, initcode| Deployment { address, initcode, value_wei: U256::ZERO };
    // The first deploys one byte (STOP); the second stores the size of the first's code, so order shows.
    let one = deployment(first, bytes!("60015ff3"));
    let two = deployment(second, bytes!("731ace0000000000000000000000000000000000013b5f5560015ff3"));
    let changes = deploy(env.clone(), &[one, two], Fixed::default()).unwrap();
    assert_eq!(changes.accounts[&second].storage[&U256::ZERO], U256::from(1));
    assert_ne!(changes.accounts[&first].info.unwrap().code_hash, KECCAK256_EMPTY);
    assert!(changes.accounts.get(&GENESIS_DEPLOYER).is_none_or(|change| change.info.is_none()));
    let error = deploy(env, &[deployment(first, bytes!("5f5ffd"))], Fixed::default()).unwrap_err();
    assert!(matches!(error, GenesisError::Constructor { index: 0, .. }));
    assert_eq!(error.code(), "engine.genesis-constructor");
}

#[test]
fn transaction_errors_keep_their_numbers_inside_blocks() {
    let spec = ChainSpec::dev(1337, Fork::Prague);
    let (parent, state) = (parent(&spec), world(Fork::Prague));
    let block = BlockBuilder::new(&spec, &parent, attributes(), &state).unwrap().finish().unwrap();
    let body = alloy_consensus::BlockBody {
        transactions: vec![transfer(3, 21_000)],
        withdrawals: Some(Default::default()),
        ..Default::default()
    };
    let block = Block::new(block.header, body);
    let error = execute(&spec, &parent, &block, &[SENDER], &state, None).unwrap_err();
    let BlockError::Transaction { index: 0, error, .. } = error else { unreachable!("{error}") };
    assert_eq!(*error, TxError::NonceTooHigh { tx: 3, state: 0 });
}

#[test]
fn another_difficulty_than_the_one_that_follows_is_refused() {
    for (fork, next) in [(Fork::Frontier, 131_136), (Fork::London, 131_136), (Fork::Paris, 0)] {
        let spec = ChainSpec::dev(1337, fork);
        let parent = Header { difficulty: U256::from(131_072), ..parent(&spec) };
        let child = |difficulty| Header { number: 1, timestamp: 5, difficulty, ..Header::default() };
        let expected = U256::from(next);
        assert_eq!(expected_difficulty(&spec, &parent, 1, 5), expected);
        assert_eq!(validate_difficulty(&spec, &parent, &child(expected)), Ok(()));
        let error = validate_difficulty(&spec, &parent, &child(expected + U256::from(1))).unwrap_err();
        assert_eq!(error.code(), "engine.difficulty");
    }
}
