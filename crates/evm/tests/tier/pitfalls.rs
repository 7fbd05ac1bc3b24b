//! What went wrong in other machines that translate code (research/execution.md, section 3.4), each as a test.

use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use interlace_evm::{Checks, CodeCache, CodeTier, Halt, Overlay, Status, TxOutcome, TxRequest, Vm};
use interlace_primitives::Fork;

use super::world::{Both, FIRST, OTHER, World, env};

const PLENTY: u64 = 5_000_000;

/// Returns the word on top.
const RETURN_TOP: [u8; 8] = [0x60, 0, 0x52, 0x60, 0x20, 0x60, 0, 0xf3];

fn code(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn word(outcome: &TxOutcome) -> U256 {
    assert_eq!(outcome.status, Status::Success);
    U256::from_be_slice(&outcome.output)
}

/// Sums the numbers below the input by a loop, stores the sum, hashes it, calls the other contract with little gas, logs, and returns.
fn everything() -> Vec<u8> {
    let mut code = vec![
        0x60, 0, 0x60, 0, // i, sum
        0x5b, 0x60, 0, 0x35, 0x82, 0x10, 0x15, 0x60, 0x19, 0x57, // while i < input
        0x81, 0x01, 0x90, 0x60, 1, 0x01, 0x90, 0x60, 0x04, 0x56, // sum, i
        0x00, // never
    ];
    assert_eq!(code.len(), 0x19);
    code.extend([0x5b, 0x80, 0x60, 0, 0x55, 0x80, 0x60, 0, 0x52, 0x60, 0x40, 0x60, 0, 0x20, 0x60, 0x20, 0x52]);
    code.extend([0x60, 0x20, 0x60, 0x40, 0x60, 0, 0x60, 0, 0x60, 0, 0x73]);
    code.extend(OTHER);
    code.extend([0x61, 0x0f, 0xff, 0xf1, 0x60, 0x60, 0x52, 0x5a, 0x60, 0x80, 0x52]);
    code.extend([0x60, 0, 0x60, 0xa0, 0x60, 0, 0xa1, 0x60, 0xa0, 0x60, 0, 0xf3]);
    code
}

/// Stores something if there is gas, and gives the gas that is left.
fn other() -> Vec<u8> {
    code(&[&[0x60, 7, 0x60, 1, 0x55, 0x5a], &RETURN_TOP])
}

#[test]
fn gas_is_exact_wherever_it_ends() {
    let both = Both::new(&everything(), &other());
    let input = U256::from(5).to_be_bytes::<32>();
    let needed = both.call(Fork::Osaka, PLENTY, &input).gas_used;
    for fork in [Fork::Frontier, Fork::Homestead, Fork::Istanbul, Fork::Berlin, Fork::Osaka] {
        for gas in (21_200..needed + 30_000).step_by(if fork == Fork::Osaka { 1 } else { 17 }) {
            both.compare(fork, gas, &input);
        }
    }
}

/// Code that leaves its cells all the time is executed by the interpreter after a while, from where a section begins.
#[test]
fn what_leaves_cells_all_the_time_ends_the_same_wherever_it_ends() {
    let word = |value: u64| U256::from(value).to_be_bytes::<32>();
    // while i < input: look at the caller and at a slot, write and read memory further out, add what is there.
    let exits: [&[u8]; 4] = [
        &[0x33, 0x33, 0x33, 0x01, 0x01, 0x50],
        &[0x81, 0x54, 0x50, 0x60, 1, 0x54, 0x50],
        &[0x81, 0x60, 5, 0x1b, 0x80, 0x51, 0x50, 0x59, 0x90, 0x52],
        &[0x5a, 0x50, 0x33, 0x50, 0x36, 0x50, 0x3d, 0x50, 0x81, 0x80, 0x55],
    ];
    for exit in exits {
        let mut looping = vec![0x60, 0, 0x60, 0, 0x5b, 0x60, 0, 0x35, 0x82, 0x10, 0x15, 0x61, 0, 0, 0x57];
        looping.extend(exit);
        looping.extend([0x81, 0x01, 0x90, 0x60, 1, 0x01, 0x90, 0x60, 0x04, 0x56]);
        looping[13] = looping.len() as u8;
        looping.extend([0x5b, 0x5a, 0x01]);
        looping.extend(RETURN_TOP);
        let both = Both::new(&looping, &[]);
        let needed = both.call(Fork::Osaka, PLENTY, &word(90)).gas_used;
        for fork in [Fork::Frontier, Fork::Istanbul, Fork::Osaka] {
            for gas in (21_200..needed + 4_000).step_by(if fork == Fork::Osaka { 13 } else { 997 }) {
                both.compare(fork, gas, &word(90));
            }
        }
    }
}

#[test]
fn what_fails_first_is_what_is_told() {
    let halt = |code: &[u8], gas: u64| match Both::new(code, &[]).call(Fork::Osaka, gas, &[]).status {
        Status::Halt(reason) => reason,
        other => panic!("{other:?}"),
    };
    // Too few values, then a jump to nowhere; the other way round; too little gas before either.
    assert_eq!(halt(&[0x60, 1, 0x01, 0x60, 9, 0x56], PLENTY), Halt::StackUnderflow);
    assert_eq!(halt(&[0x60, 9, 0x56, 0x01], PLENTY), Halt::InvalidJump);
    assert_eq!(halt(&[0x60, 1, 0x01, 0x60, 9, 0x56], 21_004), Halt::OutOfGas);
    // The 1025th value comes before the instruction that would take it away.
    let full: Vec<u8> = std::iter::repeat_n(0x5f, 1024).chain([0x5f, 0x50, 0x50]).collect();
    assert_eq!(halt(&full, PLENTY), Halt::StackOverflow);
    // An instruction that no fork has, behind a section that is fine.
    assert_eq!(halt(&[0x60, 1, 0x50, 0x0c], PLENTY), Halt::InvalidOpcode);
}

#[test]
fn fused_instructions_keep_the_bounds_of_the_stack() {
    let sequences: [&[u8]; 14] = [
        &[0x90, 0x50],
        &[0x91, 0x50],
        &[0x50, 0x50, 0x50],
        &[0x60, 1, 0x01],
        &[0x60, 1, 0x1b],
        &[0x60, 1, 0x60, 2, 0x01],
        &[0x60, 1, 0x60, 2, 0x60, 3, 0x1b, 0x03],
        &[0x80, 0x15, 0x5f, 0x57],
        &[0x81, 0x10, 0x5f, 0x57],
        &[0x8f],
        &[0x9f],
        &[0x92, 0x91, 0x50, 0x50],
        &[0x5f, 0x52],
        &[0x5f, 0x51],
    ];
    for sequence in sequences {
        for height in (0..20).chain(1_020..=1_024) {
            let code: Vec<u8> = std::iter::repeat_n(0x5f, height).chain(sequence.iter().copied()).collect();
            Both::new(&code, &[]).call(Fork::Osaka, PLENTY, &[]);
        }
    }
}

#[test]
fn operands_come_in_their_order() {
    // compare, [iszero,] jump to where 1 is returned; else 2 is.
    for (opcode, less, equal, greater) in
        [(0x10, true, false, false), (0x11, false, false, true), (0x14, false, true, false)]
    {
        for (swap, negated) in [(false, false), (false, true), (true, false), (true, true)] {
            for (a, b, holds) in [(3, 5, less), (5, 5, equal), (5, 3, greater)] {
                let (a, b) = if swap { (b, a) } else { (a, b) };
                let mut code = vec![0x60, b, 0x60, a];
                code.extend(swap.then_some(0x90));
                code.push(opcode);
                code.extend(negated.then_some(0x15));
                let at = code.len() as u8 + 3 + 2 + 8;
                code.extend([0x60, at, 0x57, 0x60, 2]);
                code.extend(RETURN_TOP);
                code.extend([0x5b, 0x60, 1]);
                code.extend(RETURN_TOP);
                let got = word(&Both::new(&code, &[]).call(Fork::Osaka, PLENTY, &[]));
                assert_eq!(
                    got,
                    U256::from(if holds == negated { 2 } else { 1 }),
                    "{opcode:x} {a} {b} {swap} {negated}"
                );
            }
        }
    }
    // Shifts and subtraction with a constant, which is the first operand.
    for (opcode, expected) in [(0x1b, 40u64), (0x1c, 2), (0x03, u64::MAX - 6)] {
        let both = Both::new(&code(&[&[0x60, 10, 0x60, if opcode == 0x03 { 3 } else { 2 }, opcode], &RETURN_TOP]), &[]);
        let got = word(&both.call(Fork::Osaka, PLENTY, &[]));
        assert_eq!(got.as_limbs()[0], expected, "{opcode:x}");
    }
}

#[test]
fn after_a_call_execution_goes_on_where_it_was() {
    // Keeps a value below the call's, writes memory before, reads what the call gave and its own memory after.
    let mut first = vec![0x60, 77, 0x60, 5, 0x60, 0x40, 0x52, 0x60, 0x20, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x73];
    first.extend(OTHER);
    first.extend([0x5a, 0xf1, 0x60, 0, 0x51, 0x01, 0x60, 0x40, 0x51, 0x01, 0x01]);
    first.extend(RETURN_TOP);
    let both = Both::new(&first, &code(&[&[0x61, 1, 0], &RETURN_TOP]));
    assert_eq!(word(&both.call(Fork::Osaka, PLENTY, &[])), U256::from(77 + 1 + 0x100 + 5));
}

#[test]
fn jumps_go_to_destinations_and_nowhere_else() {
    let status = |code: &[u8]| Both::new(code, &[]).call(Fork::Osaka, PLENTY, &[]).status;
    // A JUMPDEST in a PUSH's data, by a jump that names it and by one that computes it.
    assert_eq!(status(&[0x60, 4, 0x56, 0x60, 0x5b, 0x00]), Status::Halt(Halt::InvalidJump));
    assert_eq!(status(&[0x60, 2, 0x60, 3, 0x01, 0x56, 0x60, 0x5b, 0x00]), Status::Halt(Halt::InvalidJump));
    // Into the middle of what is fused, where there is a JUMPDEST and where there is none.
    assert_eq!(status(&[0x60, 1, 0x60, 7, 0x56, 0x60, 2, 0x5b, 0x60, 3, 0x01, 0x00]), Status::Success);
    assert_eq!(status(&[0x60, 1, 0x60, 7, 0x56, 0x60, 2, 0x60, 3, 0x01, 0x00]), Status::Halt(Halt::InvalidJump));
    // Beyond the code, and to a number of 256 bits.
    assert_eq!(status(&[0x60, 0xff, 0x56]), Status::Halt(Halt::InvalidJump));
    assert_eq!(status(&[0x5f, 0x19, 0x56]), Status::Halt(Halt::InvalidJump));
    // Not taken, a bad destination is none.
    assert_eq!(status(&[0x5f, 0x60, 0xff, 0x57, 0x00]), Status::Success);
}

#[test]
fn a_push_may_be_cut_off() {
    for size in 1..=32_u8 {
        for there in 0..size {
            let code: Vec<u8> = [0x5f + size].into_iter().chain(std::iter::repeat_n(0xff, there.into())).collect();
            assert_eq!(Both::new(&code, &[]).call(Fork::Osaka, PLENTY, &[]).status, Status::Success);
        }
    }
    assert_eq!(Both::new(&[], &[]).call(Fork::Osaka, PLENTY, &[]).status, Status::Success);
}

#[test]
fn code_may_be_longer_than_two_bytes_count() {
    // Jumps beyond 0xffff, over 70,000 pops: one section needs more values than 16 bits tell.
    let mut code = vec![0x62, 0x01, 0x11, 0x77, 0x56];
    code.extend(std::iter::repeat_n(0x50, 0x11177 - code.len()));
    code.extend([0x5b, 0x60, 9]);
    code.extend(RETURN_TOP);
    let both = Both::new(&code, &[]);
    assert_eq!(word(&both.call(Fork::Osaka, PLENTY, &[])), U256::from(9));
    let pops: Vec<u8> = std::iter::repeat_n(0x50, 65_536 + 10).collect();
    let halted = Both::new(&pops, &[]).call(Fork::Osaka, PLENTY, &[]).status;
    assert_eq!(halted, Status::Halt(Halt::StackUnderflow));
}

/// A node translates what anybody deploys: time that grew with the square of the length would stop it for hours.
#[test]
fn translating_takes_time_in_proportion() {
    // Words of memory that are read again and again in one section.
    let code: Vec<u8> = std::iter::repeat_n([0x51, 0x51], 400_000).flatten().collect();
    let start = std::time::Instant::now();
    Both::new(&code, &[]).call(Fork::Osaka, 100_000, &[]);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn each_fork_has_its_own_translation() {
    let mut both = Both::new(&code(&[&[0x60, 1, 0x60, 1, 0x1b], &RETURN_TOP]), &[]);
    for fork in [Fork::Constantinople, Fork::Byzantium, Fork::Osaka, Fork::Frontier] {
        let shifts = fork >= Fork::Constantinople;
        assert_eq!(both.call(fork, PLENTY, &[]).is_success(), shifts, "{fork}");
    }
    both = Both::new(&code(&[&[0x5f, 0x50, 0x60, 1], &RETURN_TOP]), &[]);
    for fork in [Fork::Shanghai, Fork::Paris, Fork::Shanghai] {
        assert_eq!(both.call(fork, PLENTY, &[]).is_success(), fork == Fork::Shanghai, "{fork}");
    }
    assert_eq!(both.tier.cache.stats().codes, 2);
    // What a slot costs.
    both = Both::new(&code(&[&[0x60, 1, 0x54], &RETURN_TOP]), &[]);
    let gas: Vec<u64> =
        [Fork::Frontier, Fork::Istanbul, Fork::Berlin].map(|fork| both.call(fork, PLENTY, &[]).gas_used).to_vec();
    assert_eq!((gas[1] - gas[0], gas[2] - gas[0]), (800 - 50, 2_100 - 50));
}

#[test]
fn contracts_see_the_bytes_that_they_are() {
    for sequence in [
        &[0x38][..],
        &[0x58],
        &[0x60, 1, 0x60, 1, 0x01, 0x50, 0x58],
        &[0x60, 0x20, 0x60, 0, 0x60, 0, 0x39, 0x60, 0, 0x51],
        &[0x30, 0x3f],
        &[0x30, 0x3b],
        &[0x60, 0x20, 0x60, 0, 0x60, 0, 0x30, 0x3c, 0x60, 0, 0x51],
    ] {
        let code = code(&[sequence, &RETURN_TOP]);
        let got = word(&Both::new(&code, &[]).call(Fork::Osaka, PLENTY, &[]));
        match sequence {
            [0x38] | [0x30, 0x3b] => assert_eq!(got, U256::from(code.len())),
            [0x58] => assert_eq!(got, U256::ZERO),
            [.., 0x58] => assert_eq!(got, U256::from(sequence.len() - 1)),
            [0x30, 0x3f] => assert_eq!(got, U256::from_be_bytes(keccak256(&code).0)),
            _ => {
                let mut bytes = code.clone();
                bytes.resize(32, 0);
                assert_eq!(got, U256::from_be_slice(&bytes[..32]));
            }
        }
    }
}

#[test]
fn every_byte_as_an_instruction() {
    // Numbers that are small, so that what uses memory can.
    let values: Vec<u8> = (0..18).flat_map(|number| [0x60, number]).collect();
    for opcode in 0..=u8::MAX {
        let both =
            Both::new(&code(&[&values, &[opcode], &[0x60, 3, 0x01, 0x60, 0x40, 0x52, 0x5a], &RETURN_TOP]), &other());
        for fork in [Fork::Frontier, Fork::Byzantium, Fork::Istanbul, Fork::London, Fork::Shanghai, Fork::Osaka] {
            for gas in [PLENTY, 21_090, 22_000] {
                both.compare(fork, gas, &[1, 2, 3]);
            }
        }
    }
}

#[test]
fn gas_that_is_read_is_what_is_left() {
    let reads =
        code(&[&[0x5a, 0x60, 1, 0x60, 2, 0x01, 0x5a, 0x60, 0, 0x52, 0x5a, 0x90, 0x50, 0x02, 0x5a, 0x18], &RETURN_TOP]);
    let both = Both::new(&reads, &[]);
    (21_000..21_400).for_each(|gas| both.compare(Fork::Osaka, gas, &[]));
    // A store needs 2,300 left beside what it costs; what is passed to a call is all but one 64th.
    let both = Both::new(&everything(), &code(&[&[0x60, 1, 0x60, 0, 0x55, 0x5a], &RETURN_TOP]));
    (24_000..50_000).step_by(7).for_each(|gas| both.compare(Fork::Osaka, gas, &[]));
}

fn create(vm: &mut Vm<&World>, initcode: Vec<u8>) -> TxOutcome {
    let request =
        TxRequest { to: TxKind::Create, gas_limit: 1_000_000, input: initcode.into(), ..TxRequest::default() };
    vm.execute(&request).unwrap()
}

#[test]
fn nothing_is_translated_that_may_not_stay() {
    let world = World::new(CodeTier::Analysed, &[0x00], &[]);
    let mut vm = Vm::new(env(Fork::Osaka), Checks::CALL, Overlay::new(&world));
    // Deploys a contract whose code is one STOP, and one that executes much to deploy nothing.
    assert!(create(&mut vm, vec![0x60, 1, 0x60, 0, 0xf3]).is_success());
    assert!(create(&mut vm, vec![0x60, 1, 0x60, 2, 0x01, 0x50, 0x60, 0, 0x60, 0, 0xf3]).is_success());
    assert_eq!(world.cache.stats().codes, 0);
    // What was deployed here is executed, and is not in the state.
    let deployed = Address::ZERO.create(0);
    let call = TxRequest { to: TxKind::Call(deployed), gas_limit: 100_000, nonce: 2, ..TxRequest::default() };
    assert!(vm.execute(&call).unwrap().is_success());
    assert_eq!(world.cache.stats().codes, 0);
}

#[test]
fn who_delegates_executes_the_code_of_the_other() {
    let mut delegation = vec![0xef, 0x01, 0x00];
    delegation.extend(OTHER);
    let seven = code(&[&[0x60, 7], &RETURN_TOP]);
    let both = Both::new(&delegation, &seven);
    assert_eq!(word(&both.call(Fork::Prague, PLENTY, &[])), U256::from(7));
    // The same delegation, and other code behind it: translations stand under the hash of what is executed.
    let eight = code(&[&[0x60, 8], &RETURN_TOP]);
    let Both { mut plain, mut tier } = both;
    for world in [&mut plain, &mut tier] {
        world.codes.insert(OTHER, Bytes::from(eight.clone()));
    }
    assert_eq!(word(&Both { plain, tier }.call(Fork::Prague, PLENTY, &[])), U256::from(8));
}

#[test]
fn memory_grows_within_a_section_or_gas_is_one_short() {
    // A section that writes, reads far out, and goes on.
    let grows = code(&[
        &[0x60, 1, 0x60, 0, 0x52, 0x61, 0x10, 0, 0x51, 0x60, 3, 0x01, 0x61, 0x20, 1, 0x52, 0x60, 0, 0x51],
        &RETURN_TOP,
    ]);
    let both = Both::new(&grows, &[]);
    let needed = both.call(Fork::Osaka, PLENTY, &[]).gas_used;
    for gas in 21_000..=needed {
        assert_eq!(both.call(Fork::Osaka, gas, &[]).is_success(), gas == needed);
    }
    // Beyond what can be paid for, and what can be counted.
    for far in [&[0x63, 0xff, 0xff, 0xff, 0xff][..], &[0x67, 255, 255, 255, 255, 255, 255, 255, 255], &[0x5f, 0x19]] {
        Both::new(&code(&[far, &[0x51]]), &[]).call(Fork::Osaka, PLENTY, &[]);
        Both::new(&code(&[&[0x60, 1], far, &[0x52]]), &[]).call(Fork::Osaka, PLENTY, &[]);
    }
}

#[test]
fn hashes_that_were_made_before_cost_the_same() {
    // Hashes 64 bytes of input twice, and as many beyond memory.
    let hashes = code(&[
        &[0x60, 0x40, 0x60, 0, 0x60, 0, 0x37, 0x60, 0x40, 0x60, 0, 0x20, 0x60, 0x40, 0x60, 0, 0x20, 0x18],
        &[0x60, 0x40, 0x60, 0x30, 0x20, 0x01],
        &RETURN_TOP,
    ]);
    let both = Both::new(&hashes, &[]);
    let input: Vec<u8> = (0..64).collect();
    let outcome = both.call(Fork::Osaka, PLENTY, &input);
    let beyond: Vec<u8> = (0x30..0x40).chain(std::iter::repeat_n(0, 48)).collect();
    assert_eq!(word(&outcome), U256::from_be_bytes(keccak256(beyond).0));
    (21_000..=outcome.gas_used).for_each(|gas| both.compare(Fork::Osaka, gas, &input));
}

#[test]
fn code_is_translated_in_the_background_once_it_was_executed_twice() {
    let world = World { cache: CodeCache::default(), ..World::new(CodeTier::Analysed, &everything(), &other()) };
    let input = U256::from(9).to_be_bytes::<32>();
    let expected = World::new(CodeTier::Plain, &everything(), &other()).call(Fork::Osaka, PLENTY, &input);
    let mut executed = 0;
    while world.cache.stats().codes < 2 {
        assert!(executed < 10_000, "nothing was translated: {:?}", world.cache.stats());
        assert_eq!(world.call(Fork::Osaka, PLENTY, &input), expected);
        executed += 1;
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
    assert_eq!(world.call(Fork::Osaka, PLENTY, &input), expected);
    let stats = world.cache.stats();
    assert_eq!(stats.translated, 2);
    assert!(stats.plain_frames >= 4 && stats.frames >= 2, "{stats:?}");
    assert_eq!(stats.frames + stats.plain_frames, 2 * (executed + 1));
    // Switched off, nothing is executed that was translated.
    world.cache.choose(CodeTier::Plain);
    assert_eq!(world.call(Fork::Osaka, PLENTY, &input), expected);
    assert_eq!(world.cache.stats(), stats);
}

#[test]
fn what_is_looked_at_before_gas_ends_is_the_same() {
    // Reads two slots in one section's reach; where gas ends in between, the second was not looked at.
    let reads = code(&[&[0x60, 1, 0x54, 0x60, 2, 0x54, 0x01, 0x60, 3, 0x54, 0x01], &RETURN_TOP]);
    let both = Both::new(&reads, &[]);
    let touched = |world: &World, gas: u64| {
        let mut vm = Vm::new(env(Fork::Osaka), Checks::CALL, Overlay::new(world));
        let request = TxRequest { to: TxKind::Call(FIRST), gas_limit: gas, ..TxRequest::default() };
        let (_, touched) = vm.touch(&request).unwrap();
        touched
    };
    let mut seen = std::collections::BTreeSet::new();
    for gas in (21_000..28_000).step_by(10) {
        let (expected, got) = (touched(&both.plain, gas), touched(&both.tier, gas));
        assert_eq!(expected, got, "gas {gas}");
        seen.insert(got[&FIRST].len());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}
