//! A transaction that is watched ends like one that is not: the specification's corpus, every fork, under every recorder.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use alloy_genesis::GenesisAccount;
use alloy_primitives::Address;
use interlace_primitives::ChainSpec;
use interlace_state::{MemoryState, import_block};
use interlace_stf::trace::types::parity::TraceType;
use interlace_stf::trace::{GethTracer, Limits, Place, StepOptions, Trace, Tracer};
use interlace_stf::{TxRequest, alloc_changes, decode_block, decode_header, recover_senders, replay};
use serde_json::Value;

fn bytes(value: &Value) -> Vec<u8> {
    alloy_primitives::hex::decode(value.as_str().unwrap()).unwrap()
}

fn tracers() -> Vec<Tracer> {
    let named = ["callTracer", "prestateTracer", "4byteTracer", "flatCallTracer", "noopTracer"];
    let mut tracers: Vec<Tracer> =
        named.iter().map(|name| Tracer::Geth(GethTracer::new(name, Value::Null).unwrap())).collect();
    let all = [TraceType::Trace, TraceType::StateDiff, TraceType::VmTrace].into_iter().collect();
    tracers.extend([
        Tracer::Steps(StepOptions { enable_memory: true, enable_return_data: true, ..StepOptions::default() }),
        Tracer::Parity(all),
        Tracer::Operations,
        Tracer::Logs { transfers: true },
        Tracer::Console,
    ]);
    tracers
}

#[test]
fn every_fork_ends_the_same_under_every_recorder() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/engine/corpus");
    let (mut forks, mut compared, mut steps) = (0, 0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let spec = ChainSpec::from_json(&case["config"].to_string()).unwrap();
        let alloc: BTreeMap<Address, GenesisAccount> = serde_json::from_str(&case["alloc"].to_string()).unwrap();
        let mut parent = decode_header(&bytes(&case["parent"])).unwrap();
        let state = MemoryState::new(parent.number, alloc_changes(&alloc), |_| parent.hash_slow());
        for rlp in case["blocks"].as_array().unwrap().iter().map(bytes) {
            let block = decode_block(&rlp).unwrap();
            let senders = recover_senders(&block, spec.fork_at(block.header.number, block.header.timestamp)).unwrap();
            let mut vm = replay(&spec, &block.header, [], state.latest()).unwrap();
            let mut gas_used = 0;
            for (tx, sender) in block.body.transactions.iter().zip(senders) {
                let request = TxRequest::from_transaction(tx, sender);
                let (outcome, changes) = vm.transact(&request).unwrap();
                for tracer in tracers() {
                    let traced = vm.inspect(&request, &tracer, Place::default(), Limits::default()).unwrap();
                    assert_eq!(
                        (&traced.outcome, &traced.changes),
                        (&outcome, &changes),
                        "{} {tracer:?}",
                        path.display()
                    );
                    if let Trace::Steps(text) = traced.trace {
                        let shown: Value = serde_json::from_str(&text).unwrap();
                        assert_eq!(shown["gas"], outcome.gas_used);
                        assert_eq!(shown["failed"], !outcome.is_success());
                        steps += shown["structLogs"].as_array().unwrap().len();
                    }
                    compared += 1;
                }
                gas_used += outcome.gas_used;
                vm.overlay_mut().apply(changes);
            }
            assert_eq!(gas_used, block.header.gas_used, "{}", path.display());
            import_block(&spec, &parent, &block, &state).unwrap();
            parent = block.header;
        }
        forks += 1;
    }
    assert_eq!(forks, 14);
    assert!(compared > 1_000 && steps > 4_000, "{compared} traces with {steps} steps");
}
