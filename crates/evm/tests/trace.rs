//! What recorders say, and where they stop.
#![cfg(feature = "trace")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::convert::Infallible;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, bytes, keccak256};
use interlace_evm::trace::{
    GethTracer, Limits, Place, StepOptions, TRANSFER_LOG_ADDRESS, Trace, TraceError, Traced, Tracer,
};
use interlace_evm::{Account, BlockEnv, CONSOLE_ADDRESS, Checks, Overlay, StateReader, TxRequest, Vm};
use interlace_primitives::Fork;
use serde_json::{Value, json};

const SENDER: Address = address!("0x1000000000000000000000000000000000000001");
/// Contracts live at 0xc0..00, 0xc0..01 and so on, with one ether each.
const CONTRACT: Address = address!("0xc000000000000000000000000000000000000000");

struct World(Vec<Bytes>);

fn contract(index: u8) -> Address {
    let mut address = CONTRACT;
    address.0[19] = index;
    address
}

impl StateReader for World {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        let balance = U256::from(10).pow(U256::from(18));
        if address == SENDER {
            return Ok(Some(Account::with_balance(balance)));
        }
        let code = (0..).zip(&self.0).find(|(index, _)| contract(*index) == address).map(|(_, code)| code);
        Ok(code.map(|code| Account { nonce: 1, balance, code_hash: keccak256(code) }))
    }

    fn storage(&self, _: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(if slot == U256::from(1) { U256::from(7) } else { U256::ZERO })
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, Infallible> {
        Ok(self.0.iter().find(|code| keccak256(code) == code_hash).cloned().unwrap())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

fn inspect(fork: Fork, codes: &[Bytes], tracer: &Tracer, limits: Limits) -> Result<Traced, TraceError<Infallible>> {
    let env = BlockEnv {
        fork,
        chain_id: 1,
        number: 1,
        timestamp: 1,
        beneficiary: Address::ZERO,
        gas_limit: 100_000_000,
        base_fee_wei: 0,
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        blob_fee_wei: Some(1),
        max_blobs_per_transaction: None,
        ada: false,
    };
    let mut vm = Vm::new(env, Checks::CALL, Overlay::new(World(codes.to_vec())));
    let tx = TxRequest { from: SENDER, to: TxKind::Call(CONTRACT), gas_limit: 60_000_000, ..TxRequest::default() };
    let plain = vm.transact(&tx).unwrap();
    let traced = vm.inspect(&tx, tracer, Place::default(), limits)?;
    assert_eq!((&traced.outcome, &traced.changes), (&plain.0, &plain.1));
    Ok(traced)
}

fn steps(fork: Fork, codes: &[Bytes], options: StepOptions) -> Value {
    match inspect(fork, codes, &Tracer::Steps(options), Limits::default()).unwrap().trace {
        Trace::Steps(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn storage_shows_what_was_read_and_written_so_far() {
    // SLOAD(1), SSTORE(2, 5), SLOAD(1) again, which is warm by now.
    let seen = steps(Fork::Osaka, &[bytes!("600154506005600255600154")], StepOptions::default());
    let lines = seen["structLogs"].as_array().unwrap();
    let word = |value: u64| format!("{:#066x}", value);
    let storages: Vec<&Value> = lines.iter().filter_map(|line| line.get("storage")).collect();
    let first = json!({ word(1): word(7) });
    let both = json!({ word(1): word(7), word(2): word(5) });
    assert_eq!(storages, [&first, &both, &both]);
    assert_eq!(lines[0], json!({"pc":0,"op":"PUSH1","gas":59_979_000,"gasCost":3,"depth":1,"stack":[]}));
    let costs: Vec<u64> = lines.iter().map(|line| line["gasCost"].as_u64().unwrap()).collect();
    assert_eq!(costs, [3, 2_100, 2, 3, 3, 22_100, 3, 100, 0]);
}

#[test]
fn constantinople_is_watched_with_its_own_sstore() {
    let code = bytes!("60016000556000600055");
    let seen = steps(Fork::Constantinople, std::slice::from_ref(&code), StepOptions::default());
    assert_eq!(seen["structLogs"][5]["gasCost"], 200);
    assert_eq!(seen["structLogs"][6]["refund"], 19_800);
    let later = steps(Fork::Petersburg, &[code], StepOptions::default());
    assert_eq!(later["structLogs"][5]["gasCost"], 5_000);
}

#[test]
fn errors_stand_where_the_price_fails_and_nowhere_else() {
    for (code, error) in [
        (bytes!("01"), Some("stack underflow (0 <=> 2)")),
        (bytes!("5f56"), None),
        (bytes!("fe"), None),
        (bytes!("5f5ffd"), None),
        (bytes!("5b5f600056"), Some("stack limit reached 1024 (1023)")),
    ] {
        let options = StepOptions { disable_stack: true, ..StepOptions::default() };
        let seen = steps(Fork::Osaka, std::slice::from_ref(&code), options);
        let last = seen["structLogs"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last.get("error").and_then(Value::as_str), error, "{code}");
    }
}

#[test]
fn options_choose_what_a_line_holds_and_how_many_there_are() {
    let code = bytes!("602a5f5260205ff3");
    let options = StepOptions { enable_memory: true, disable_stack: true, ..StepOptions::default() };
    let seen = steps(Fork::Osaka, std::slice::from_ref(&code), options);
    let lines = seen["structLogs"].as_array().unwrap();
    assert_eq!(lines[4]["memory"], json!([format!("{:#066x}", 42)]));
    assert!(lines.iter().all(|line| line.get("stack").is_none()));
    assert_eq!(seen["returnValue"], format!("{:#066x}", 42));
    let cut = steps(Fork::Osaka, &[code], StepOptions { limit: 1, ..StepOptions::default() });
    assert_eq!(cut["structLogs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_recording_ends_at_its_limits() {
    let steps = Tracer::Steps(StepOptions::default());
    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let looping = [bytes!("5b600056")];
    let error = inspect(Fork::Osaka, &looping, &steps, limits).unwrap_err();
    assert_eq!(error.to_string(), format!("trace too large: more than {} bytes", 1 << 20));
    let late = Limits { deadline: Some(Instant::now()), ..Limits::default() };
    let error = inspect(Fork::Osaka, &looping, &Tracer::Operations, late).unwrap_err();
    assert!(matches!(error, TraceError::Timeout));
    let all = [interlace_evm::trace::types::parity::TraceType::VmTrace].into_iter().collect();
    let few = Limits { max_steps: 1_000, ..Limits::default() };
    let error = inspect(Fork::Osaka, &looping, &Tracer::Parity(all), few).unwrap_err();
    assert!(matches!(error, TraceError::TooLarge { limit: 1_000, unit: "steps" }));
    // Calls itself until gas or depth ends it.
    let recursive = [bytes!("5f5f5f5f5f305af100")];
    let shallow = Limits { max_frames: 10, ..Limits::default() };
    let tracer = Tracer::Geth(GethTracer::new("callTracer", Value::Null).unwrap());
    let error = inspect(Fork::Osaka, &recursive, &tracer, shallow).unwrap_err();
    assert!(matches!(error, TraceError::TooLarge { limit: 10, unit: "calls" }), "{error}");
    let soon = Limits { deadline: Some(Instant::now() + Duration::from_secs(60)), ..Limits::default() };
    assert!(inspect(Fork::Osaka, &[bytes!("00")], &steps, soon).is_ok());
}

/// PUSH20 `to`, with `value`, all else empty: CALL, and what follows.
fn call(to: Address, value: u8) -> Vec<u8> {
    let mut code = vec![0x5f, 0x5f, 0x5f, 0x5f, 0x60, value, 0x73];
    code.extend(to.as_slice());
    code.extend([0x5a, 0xf1, 0x50]);
    code
}

#[test]
fn transfers_are_logs_unless_their_call_fails() {
    let receiver = address!("0x3000000000000000000000000000000000000003");
    // The second contract passes 2 wei on and reverts; the first then sends 3 wei itself and logs.
    let failing = [call(receiver, 2), vec![0x5f, 0x5f, 0xfd]].concat();
    let outer = [call(contract(1), 1), call(receiver, 3), vec![0x5f, 0x5f, 0xa0]].concat();
    let traced =
        inspect(Fork::Osaka, &[outer.into(), failing.into()], &Tracer::Logs { transfers: true }, Limits::default())
            .unwrap();
    let Trace::Logs(logs) = traced.trace else { panic!() };
    // Two of the failing calls' went before.
    assert_eq!((logs.seen, logs.kept.iter().map(|(index, _)| *index).collect::<Vec<_>>()), (4, vec![2, 3]));
    let logs: Vec<_> = logs.kept.into_iter().map(|(_, log)| log).collect();
    let shown: Vec<(Address, U256)> =
        logs.iter().map(|log| (log.address, U256::try_from_be_slice(&log.data.data).unwrap_or_default())).collect();
    assert_eq!(shown, [(TRANSFER_LOG_ADDRESS, U256::from(3)), (CONTRACT, U256::ZERO)]);
    assert_eq!(logs[0].topics()[1..], [CONTRACT.into_word(), receiver.into_word()]);
}

#[test]
fn operations_and_console_hear_failed_calls_too() {
    let receiver = address!("0x3000000000000000000000000000000000000003");
    // MSTORE8(0, 0xab), then CALL(console, input of one byte), then REVERT.
    let mut failing = call(receiver, 2);
    failing.extend([0x60, 0xab, 0x5f, 0x53, 0x5f, 0x5f, 0x60, 0x01, 0x5f, 0x5f, 0x73]);
    failing.extend(CONSOLE_ADDRESS.as_slice());
    failing.extend([0x5a, 0xf1, 0x5f, 0x5f, 0xfd]);
    let codes = [Bytes::from(call(contract(1), 1)), failing.into()];
    let traced = inspect(Fork::Osaka, &codes, &Tracer::Console, Limits::default()).unwrap();
    let Trace::Console(inputs) = traced.trace else { panic!() };
    assert_eq!(inputs, [bytes!("ab")]);
    let traced = inspect(Fork::Osaka, &codes, &Tracer::Operations, Limits::default()).unwrap();
    let Trace::Operations(operations) = traced.trace else { panic!() };
    let values: Vec<U256> = operations.iter().map(|operation| operation.value).collect();
    assert_eq!(values, [U256::from(1), U256::from(2)]);
}

#[test]
fn unknown_tracers_and_options_are_refused() {
    assert_eq!(GethTracer::new("{result: 1}", Value::Null).unwrap_err(), "tracer not found: {result: 1}");
    assert!(GethTracer::new("callTracer", json!({"onlyTopCall": 1})).is_err());
    assert!(GethTracer::new("muxTracer", json!({"callTracer": null, "4byteTracer": null})).is_ok());
    assert!(GethTracer::new("muxTracer", json!({"other": null})).is_err());
    assert!(GethTracer::new("muxTracer", Value::Null).is_err());
}
