//! The adapter: what a transaction, a call, a system call and a deployment at a fixed address change, and what they do not.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, bytes, keccak256};
use interlace_evm::{
    Account, AccountChange, BlockEnv, Changes, Checks, EvmError, Halt, Interrupt, Overlay, StateReader, Status,
    TxError, TxRequest, Vm, precompile_addresses,
};
use interlace_primitives::Fork;

const SENDER: Address = address!("0x1000000000000000000000000000000000000001");
const CONTRACT: Address = address!("0x2000000000000000000000000000000000000002");
const ETHER: u64 = 1_000_000_000_000_000_000;

/// Accounts that are there from the start, and nothing else.
#[derive(Debug, Default)]
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

fn world(code: Bytes) -> Fixed {
    let code_hash = keccak256(&code);
    let rich = AccountChange { info: Some(Account::with_balance(U256::from(ETHER))), ..AccountChange::default() };
    let contract = Account { nonce: 1, code_hash, ..Account::default() };
    let storage = BTreeMap::from([(U256::from(1), U256::from(7))]);
    let accounts =
        BTreeMap::from([(SENDER, rich), (CONTRACT, AccountChange { info: Some(contract), wiped: false, storage })]);
    Fixed(Changes { accounts, codes: BTreeMap::from([(code_hash, code)]) })
}

fn env(fork: Fork) -> BlockEnv {
    BlockEnv {
        fork,
        chain_id: 1,
        number: 1,
        timestamp: 1,
        beneficiary: address!("0xc000000000000000000000000000000000000000"),
        gas_limit: 30_000_000,
        base_fee_wei: 10,
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        blob_fee_wei: Some(1),
        max_blobs_per_transaction: Some(6),
        ada: false,
    }
}

fn vm(code: Bytes) -> Vm<Fixed> {
    Vm::new(env(Fork::Osaka), Checks::TRANSACTION, Overlay::new(world(code)))
}

fn word(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

fn request() -> TxRequest {
    let to = TxKind::Call(CONTRACT);
    TxRequest { from: SENDER, to, gas_limit: 100_000, fee_cap_wei: 10, ..TxRequest::default() }
}

fn refused(vm: &mut Vm<Fixed>, tx: &TxRequest) -> TxError {
    let before = vm.overlay().changes();
    let EvmError::Transaction(error) = vm.execute(tx).unwrap_err() else { unreachable!("the state is in memory") };
    assert_eq!(vm.overlay().changes(), before);
    error
}

#[test]
fn a_transaction_changes_exactly_what_it_touches() {
    // Writes 5 to slot 2 and zero to slot 1, and pays nobody a priority fee.
    let mut vm = vm(bytes!("60056002555f60015500"));
    let outcome = vm.execute(&request()).unwrap();
    assert!(outcome.is_success());
    assert!(outcome.gas_refunded > 0);
    let changes = vm.overlay().changes();
    assert_eq!(changes.accounts.keys().copied().collect::<Vec<_>>(), [SENDER, CONTRACT]);
    assert!(changes.codes.is_empty());
    let slots = &changes.accounts[&CONTRACT].storage;
    assert_eq!(*slots, BTreeMap::from([(U256::from(1), U256::ZERO), (U256::from(2), U256::from(5))]));
    let paid = U256::from(outcome.gas_used * 10);
    let sender = vm.overlay().account(SENDER).unwrap().unwrap();
    assert_eq!((sender.nonce, sender.balance), (1, U256::from(ETHER) - paid));
}

#[test]
fn what_fails_says_how() {
    for (code, status) in [
        (bytes!("5f5ffd"), Status::Revert),
        (bytes!("fe"), Status::Halt(Halt::InvalidOpcode)),
        (bytes!("01"), Status::Halt(Halt::StackUnderflow)),
        (bytes!("5f56"), Status::Halt(Halt::InvalidJump)),
        (bytes!("5b5f56"), Status::Halt(Halt::OutOfGas)),
        (bytes!("60015f5f3e"), Status::Halt(Halt::ReturnDataOutOfBounds)),
    ] {
        let outcome = vm(code).execute(&request()).unwrap();
        assert_eq!(outcome.status, status);
        assert!(outcome.logs.is_empty());
    }
}

#[test]
fn a_refused_transaction_leaves_no_trace() {
    let mut vm = vm(bytes!("00"));
    vm.execute(&request()).unwrap();
    let good = TxRequest { nonce: 1, ..request() };
    let balance = vm.overlay().account(SENDER).unwrap().unwrap().balance;
    let value_wei = U256::from(ETHER);
    let required = value_wei + U256::from(1_000_000);
    for (tx, error, code) in [
        (TxRequest { nonce: 0, ..good.clone() }, TxError::NonceTooLow { tx: 0, state: 1 }, "engine.nonce-too-low"),
        (TxRequest { nonce: 9, ..good.clone() }, TxError::NonceTooHigh { tx: 9, state: 1 }, "engine.nonce-too-high"),
        (
            TxRequest { value_wei, ..good.clone() },
            TxError::InsufficientFunds { required, balance },
            "engine.insufficient-funds",
        ),
        (
            TxRequest { gas_limit: 1, ..good.clone() },
            TxError::IntrinsicGas { required: 21_000, gas_limit: 1 },
            "engine.intrinsic-gas",
        ),
        (
            TxRequest { fee_cap_wei: 9, ..good.clone() },
            TxError::FeeCapBelowBaseFee { fee_cap_wei: 9, base_fee_wei: 10 },
            "engine.fee-cap-too-low",
        ),
        (
            TxRequest { fee_cap_wei: u128::MAX, value_wei: U256::MAX, ..good.clone() },
            TxError::CostOverflow { gas_limit: 100_000, fee_cap_wei: u128::MAX, value_wei: U256::MAX },
            "engine.cost-overflow",
        ),
        (
            TxRequest { tx_type: 3, to: TxKind::Create, ..good.clone() },
            TxError::CannotCreate(3),
            "engine.cannot-create",
        ),
        (TxRequest { nonce: u64::MAX, ..good.clone() }, TxError::NonceAtMaximum(u64::MAX), "engine.nonce-at-maximum"),
        (TxRequest { tx_type: 2, tip_wei: Some(0), ..good.clone() }, TxError::NoChainId(2), "engine.no-chain-id"),
        (
            TxRequest { tx_type: 9, ..good.clone() },
            TxError::NotActive { what: "a transaction type above 4", fork: Fork::Osaka },
            "engine.not-active",
        ),
    ] {
        let refusal = refused(&mut vm, &tx);
        assert_eq!(refusal.code(), code);
        assert_eq!(refusal, error);
    }
    assert!(vm.execute(&good).unwrap().is_success());
}

#[test]
fn a_block_that_lacks_what_its_fork_needs_runs_nothing() {
    let lacking = BlockEnv { blob_fee_wei: None, ..env(Fork::Osaka) };
    let mut vm = Vm::new(lacking, Checks::TRANSACTION, Overlay::new(world(bytes!("00"))));
    let error = vm.execute(&request()).unwrap_err();
    assert!(matches!(error, EvmError::Interpreter(_)));
    assert_eq!(error.code(), "engine.interpreter");
    assert!(vm.overlay().changes().is_empty());
}

#[test]
fn a_call_may_leave_checks_out() {
    let poor = TxRequest { from: CONTRACT, nonce: 99, fee_cap_wei: 0, gas_limit: 40_000_000, ..request() };
    let mut strict = vm(bytes!("00"));
    assert!(strict.execute(&poor).is_err());
    let checks = Checks { base_fee: false, ..Checks::CALL };
    let mut lenient = Vm::new(env(Fork::Osaka), checks, Overlay::new(world(bytes!("00"))));
    assert!(lenient.execute(&poor).unwrap().is_success());
    let spends = TxRequest { value_wei: U256::MAX, ..poor };
    let error = lenient.execute(&spends).unwrap_err();
    assert_eq!(error.code(), "engine.insufficient-funds");
    let lent = Checks { balance: false, ..checks };
    let mut lending = Vm::new(env(Fork::Osaka), lent, Overlay::new(world(bytes!("00"))));
    let gift = TxRequest { to: TxKind::Call(Address::repeat_byte(9)), ..spends };
    assert!(lending.execute(&gift).unwrap().is_success());
}

#[test]
fn a_call_names_what_it_looked_at_and_keeps_nothing() {
    // Reads slots 1 and 3 and the balance of an account that does not exist.
    let mut vm = vm(bytes!("600154506003545073aa000000000000000000000000000000000000bb3100"));
    let (outcome, touched) = vm.touch(&request()).unwrap();
    assert!(outcome.is_success());
    assert!(touched[&CONTRACT].iter().copied().eq([1, 3].map(U256::from)));
    assert!(touched.contains_key(&address!("0xaa000000000000000000000000000000000000bb")));
    assert!(vm.overlay().changes().is_empty());
}

#[test]
fn a_contract_is_deployed_where_it_is_wanted() {
    let target = address!("0x1ace000000000000000000000000000000000001");
    let deployer = address!("0x1ace0000000000000000000000000000000000ff");
    let mut vm = vm(bytes!("00"));
    // The constructor stores its own address and the caller, then deploys one byte: STOP.
    let initcode = bytes!("305f5533600155600160005ff35f5ff3");
    let outcome = vm.deploy_at(deployer, target, initcode, U256::from(3), 1 << 63).unwrap();
    assert!(outcome.is_success(), "{:?}", outcome.status);
    assert_eq!(outcome.created, Some(target));
    let account = vm.overlay().account(target).unwrap().unwrap();
    assert_eq!((account.nonce, account.balance), (1, U256::from(3)));
    assert_eq!(vm.overlay().storage(target, U256::ZERO).unwrap(), word(target));
    assert_eq!(vm.overlay().storage(target, U256::from(1)).unwrap(), word(deployer));
    assert_eq!(vm.overlay().account(deployer).unwrap(), None);
    let failed = vm.deploy_at(deployer, CONTRACT, bytes!("5f5ffd"), U256::ZERO, 1 << 63).unwrap();
    assert_eq!(failed.status, Status::Halt(Halt::CreateCollision));
    let failed = vm.deploy_at(deployer, Address::repeat_byte(8), bytes!("5f5ffd"), U256::from(1), 1 << 63).unwrap();
    assert_eq!(failed.status, Status::Revert);
    assert_eq!(vm.overlay().account(Address::repeat_byte(8)).unwrap(), None);
}

#[test]
fn a_system_call_pays_nothing_and_counts_nothing() {
    // Stores the caller in slot 0 and the first word of the input in slot 1, returns that word.
    let mut vm = vm(bytes!("335f555f355f525f3560015560205ff3"));
    let system = address!("0xfffffffffffffffffffffffffffffffffffffffe");
    let outcome = vm.system_call(system, CONTRACT, U256::from(77).to_be_bytes_vec().into()).unwrap();
    assert_eq!(outcome.output, Bytes::from(U256::from(77).to_be_bytes_vec()));
    assert_eq!(vm.overlay().changes().accounts.keys().copied().collect::<Vec<_>>(), [CONTRACT]);
    assert_eq!(vm.overlay().storage(CONTRACT, U256::ZERO).unwrap(), word(system));
}

#[test]
fn precompiled_contracts_grow_with_the_forks() {
    let count = |fork| precompile_addresses(fork, false).len();
    assert_eq!([count(Fork::Frontier), count(Fork::Byzantium), count(Fork::Cancun)], [4, 8, 10]);
    assert_eq!([count(Fork::Prague), count(Fork::Osaka)], [17, 18]);
}

/// Loops until the gas is gone.
const LOOP: Bytes = bytes!("5b600056");
/// Calls itself with nearly all gas, then again; no jump in it.
const CALLS_ITSELF: Bytes = bytes!("5f5f5f5f5f305af1505f5f5f5f5f305af100");

#[test]
fn an_interrupt_ends_loops_and_recursions_and_nothing_is_kept() {
    for code in [LOOP, CALLS_ITSELF] {
        let mut vm = vm(code);
        vm.interrupt_when(Interrupt::when(|| true));
        let tx = TxRequest { gas_limit: 16_000_000, ..request() };
        let error = vm.execute(&tx).unwrap_err();
        assert!(matches!(error, EvmError::Interrupted));
        assert_eq!(error.code(), "engine.interrupted");
        assert!(vm.overlay().changes().accounts.is_empty());
        // The machine is as good as new: the same transaction with little gas ends by itself, before anybody asks.
        let outcome = vm.execute(&TxRequest { gas_limit: 30_000, ..request() }).unwrap();
        assert!(!outcome.is_success() || outcome.gas_used > 21_000);
    }
}

#[test]
fn an_interrupt_that_is_not_due_changes_no_result() {
    for code in [LOOP, CALLS_ITSELF, bytes!("6000355b6001900380600357602a5f5260205ff3")] {
        let tx = TxRequest {
            gas_limit: 10_000_000,
            input: Bytes::from([0; 30].into_iter().chain([0x20, 0]).collect::<Vec<u8>>()),
            ..request()
        };
        let plain = vm(code.clone()).execute(&tx).unwrap();
        let mut asking = vm(code);
        asking.interrupt_when(Interrupt::when(|| false));
        assert_eq!(asking.execute(&tx).unwrap(), plain);
    }
}
