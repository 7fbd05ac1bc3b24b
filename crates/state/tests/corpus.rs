//! The corpus made by the executable specification (tests/engine/corpus), without Python: every fork, every root.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::PathBuf;

use interlace_state::reexecute;
use serde_json::Value;

fn bytes(value: &Value) -> Vec<u8> {
    alloy_primitives::hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn every_fork_leads_to_the_hashes_of_the_specification() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/engine/corpus");
    let mut forks = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let blocks: Vec<Vec<u8>> = case["blocks"].as_array().unwrap().iter().map(bytes).collect();
        let outputs =
            reexecute(&case["alloc"].to_string(), &case["config"].to_string(), &bytes(&case["parent"]), &blocks)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (output, expected) in outputs.iter().zip(case["expected"].as_array().unwrap()) {
            assert_eq!(output.header.hash_slow().to_vec(), bytes(&expected["hash"]), "{}", path.display());
            assert_eq!(output.gas_used(), expected["gas_used"].as_u64().unwrap());
        }
        assert_eq!(outputs.len(), blocks.len());
        forks += 1;
    }
    assert_eq!(forks, 14);
}
