//! Ethereum's own TrieTests, if they are there: plain and secured keys, values inside branches, removals, any order.
//!
//! They are found under INTERLACE_DATA (default `../shared/data` beside the repository); in CI their absence is a
//! failure unless INTERLACE_DATA says `none`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::io::Read;
use std::path::PathBuf;

use alloy_primitives::{B256, hex, keccak256};
use interlace_trie::SparseTrie;
use serde_json::Value;

fn archive() -> Option<Vec<u8>> {
    let given = std::env::var_os("INTERLACE_DATA");
    let root = given
        .clone()
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let Ok(packed) = std::fs::read(root.join("evm/misc/TrieTests.tar.gz")) else {
        let excused = std::env::var_os("CI").is_none() || given.is_some_and(|value| value == "none");
        assert!(excused, "TrieTests are not under {}; set INTERLACE_DATA", root.display());
        println!("skipped: TrieTests are not under {}", root.display());
        return None;
    };
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// The files of a tar archive: 512-byte headers, name at 0, octal size at 124, contents padded to 512.
fn files(mut tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    while tar.len() >= 512 && tar[0] != 0 {
        let text =
            |from: usize, to: usize| String::from_utf8_lossy(&tar[from..to]).trim_matches(['\0', ' ']).to_owned();
        let size = usize::from_str_radix(&text(124, 136), 8).unwrap();
        found.push((text(0, 100), tar[512..512 + size].to_vec()));
        tar = &tar[512 + size.div_ceil(512) * 512..];
    }
    found
}

fn bytes(text: &str) -> Vec<u8> {
    text.strip_prefix("0x").map_or_else(|| text.as_bytes().to_vec(), |digits| hex::decode(digits).unwrap())
}

/// Pairs in the order in which they are applied; `null` removes.
fn operations(input: &Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |key: &str, value: &Value| (bytes(key), value.as_str().map(bytes).unwrap_or_default());
    match input {
        Value::Array(pairs) => pairs.iter().map(|p| pair(p[0].as_str().unwrap(), &p[1])).collect(),
        Value::Object(pairs) => pairs.iter().map(|(key, value)| pair(key, value)).collect(),
        other => panic!("neither pairs nor an object: {other}"),
    }
}

#[test]
fn trie_tests() {
    let Some(tar) = archive() else { return };
    let mut cases = 0;
    for (name, content) in files(&tar) {
        // `trietestnextprev` asks for neighbours of a key, which this trie does not offer.
        if !name.ends_with(".json") || name.ends_with("trietestnextprev.json") {
            continue;
        }
        let secured = name.to_lowercase().contains("securetrie");
        let suite: Value = serde_json::from_slice(&content).unwrap();
        for (case, test) in suite.as_object().unwrap() {
            let expected: B256 = test["root"].as_str().unwrap().parse().unwrap();
            let mut operations = operations(&test["in"]);
            for turn in 0..2 {
                let mut trie = SparseTrie::empty();
                for (key, value) in &operations {
                    let hashed = keccak256(key);
                    trie.insert(if secured { hashed.as_slice() } else { key }, value.clone()).unwrap();
                }
                assert_eq!(trie.root(), expected, "{name} {case}, turn {turn}");
                // Only cases given as an object may be applied in another order.
                if test["in"].is_array() {
                    break;
                }
                operations.reverse();
            }
            cases += 1;
        }
    }
    assert!(cases >= 20, "only {cases} cases were found");
    println!("{cases} cases");
}
