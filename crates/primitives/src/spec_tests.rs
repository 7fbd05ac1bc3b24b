//! The schedule against mainnet's history, developer chains, and configurations that contradict themselves.
#![allow(clippy::unwrap_used)]

use alloc::format;

use super::*;

const ALL_BLOCKS: &str = r#""homesteadBlock":0,"eip150Block":0,"eip155Block":0,"eip158Block":0,"byzantiumBlock":0,
    "constantinopleBlock":0,"petersburgBlock":0,"istanbulBlock":0,"berlinBlock":0,"londonBlock":0"#;

fn config(rest: &str) -> Result<ChainSpec, SpecError> {
    ChainSpec::from_json(&format!("{{\"chainId\":7,{ALL_BLOCKS}{rest}}}"))
}

#[test]
fn the_difficulty_bomb_is_delayed_by_versions_and_glaciers() {
    let spec = ChainSpec::mainnet();
    let delays = [4_369_999, 4_370_000, 7_280_000, 9_200_000, 12_965_000, 13_773_000, 15_050_000];
    let expected = [0, 3_000_000, 5_000_000, 9_000_000, 9_700_000, 10_700_000, 11_400_000];
    assert_eq!(delays.map(|number| spec.bomb_delay_blocks(number, 1)), expected);
}

#[test]
fn mainnet_versions_are_found_by_number_and_time() {
    let spec = ChainSpec::mainnet();
    for (number, timestamp, fork) in [
        (0, 0, Fork::Frontier),
        (1_149_999, 1, Fork::Frontier),
        (1_150_000, 1, Fork::Homestead),
        (7_279_999, 1, Fork::Byzantium),
        (7_280_000, 1, Fork::Petersburg),
        (15_537_393, 1_663_224_162, Fork::London),
        (15_537_394, 1_663_224_179, Fork::Paris),
        (17_034_870, 1_681_338_455, Fork::Shanghai),
        (19_426_587, 1_710_338_135, Fork::Cancun),
        (22_431_084, 1_746_612_311, Fork::Prague),
        (23_935_694, 1_764_798_551, Fork::Osaka),
        (24_500_000, 1_770_000_000, Fork::Bpo2),
    ] {
        assert_eq!(spec.fork_at(number, timestamp), fork, "block {number}");
    }
    assert_eq!(spec.blob_params_at(17_034_870, 1_681_338_455), None);
    assert_eq!(spec.blob_params_at(19_426_587, 1_710_338_135).unwrap().max, 6);
    assert_eq!(spec.blob_params_at(24_500_000, 1_770_000_000).unwrap().max, 21);
    assert_eq!(spec.blob_params_at(24_500_000, 1_770_000_000).unwrap().max_per_transaction, 6);
}

#[test]
fn a_developer_chain_has_its_fork_from_genesis() {
    for fork in Fork::ALL {
        let spec = ChainSpec::dev(31_337, fork);
        assert_eq!(spec.fork_at(0, 0), fork);
        assert_eq!(spec.blob_params_at(0, 0).is_some(), fork >= Fork::Cancun);
    }
}

#[test]
fn a_merge_and_a_schedule_are_read_from_json() {
    let spec = config(
        r#","mergeNetsplitBlock":36,"terminalTotalDifficulty":4732352,"shanghaiTime":390,"cancunTime":420,
        "pragueTime":450,"osakaTime":480,"bpo2Time":540,
        "blobSchedule":{"bpo2":{"target":11,"max":12,"baseFeeUpdateFraction":99}}"#,
    )
    .unwrap();
    assert_eq!(spec.fork_at(35, 389), Fork::London);
    assert_eq!(spec.fork_at(36, 389), Fork::Paris);
    assert_eq!(spec.fork_at(60, 500), Fork::Osaka);
    assert_eq!(spec.fork_at(60, 540), Fork::Bpo2);
    let blobs = spec.blob_params_at(60, 540).unwrap();
    assert_eq!((blobs.target, blobs.max, blobs.update_fraction), (11, 12, 99));
    assert_eq!(spec.deposit_contract(), MAINNET_DEPOSIT_CONTRACT);
}

#[test]
fn ada_begins_at_its_time_and_builds_on_prague() {
    let dated = r#","terminalTotalDifficulty":0,"shanghaiTime":0,"cancunTime":0,"pragueTime":100"#;
    let spec = config(&format!("{dated},\"adaTime\":120")).unwrap();
    assert_eq!([0, 119, 120, u64::MAX].map(|at| spec.is_ada(at)), [false, false, true, true]);
    assert_eq!(spec.fork_at(9, 120), Fork::Prague, "it is no fork of Ethereum's");
    assert!(!config(dated).unwrap().is_ada(u64::MAX));
    let code = |rest: &str| config(rest).unwrap_err().code();
    assert_eq!(code(&format!("{dated},\"adaTime\":99")), "engine.config-fork-missing");
    assert_eq!(code(",\"adaTime\":0"), "engine.config-fork-missing");
    assert_eq!(code(&format!("{dated},\"adaTime\":\"soon\"")), "engine.config-json");
}

#[test]
fn contradictions_are_named() {
    let code = |rest: &str| config(rest).unwrap_err().code();
    assert_eq!(code(r#","shanghaiTime":1"#), "engine.config-fork-missing");
    assert_eq!(code(r#","terminalTotalDifficulty":5"#), "engine.config-merge-block");
    let merged = r#","terminalTotalDifficulty":0"#;
    assert_eq!(code(&format!("{merged},\"shanghaiTime\":9,\"cancunTime\":8")), "engine.config-fork-order");
    assert_eq!(code(&format!("{merged},\"amsterdamTime\":9")), "engine.config-unsupported-fork");
    let dated = format!("{merged},\"shanghaiTime\":0,\"cancunTime\":0,\"pragueTime\":0,\"osakaTime\":0");
    assert_eq!(code(&format!("{dated},\"bpo3Time\":9")), "engine.config-blobs");
    let bad = r#""blobSchedule":{"osaka":{"target":7,"max":6,"baseFeeUpdateFraction":1}}"#;
    assert_eq!(code(&format!("{dated},{bad}")), "engine.config-blobs");
    assert_eq!(code(",\"mergeNetsplitBlock\":5,\"shanghaiTime\":0"), "engine.config-fork-order");
    assert_eq!(ChainSpec::from_json("{").unwrap_err().code(), "engine.config-json");
    assert_eq!(ChainSpec::from_json(r#"{"chainId":0}"#).unwrap_err().code(), "engine.config-chain-id");
    let split = r#"{"chainId":1,"homesteadBlock":0,"eip150Block":0,"eip155Block":1,"eip158Block":2}"#;
    assert_eq!(ChainSpec::from_json(split).unwrap_err().code(), "engine.config-spurious-dragon");
}
