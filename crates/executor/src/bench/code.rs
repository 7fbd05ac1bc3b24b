//! Contracts of the synthetic blocks, in bytecode of our own.
//!
//! Invariant: each does what a common contract of its kind does to the state: the same loads, stores, hashes and logs.

use alloy_primitives::Bytes;

const ADD: u8 = 0x01;
const MUL: u8 = 0x02;
const SUB: u8 = 0x03;
const DIV: u8 = 0x04;
const LT: u8 = 0x10;
const KECCAK: u8 = 0x20;
const CALLER: u8 = 0x33;
const CALLDATALOAD: u8 = 0x35;
const POP: u8 = 0x50;
const MSTORE: u8 = 0x52;
const SLOAD: u8 = 0x54;
const SSTORE: u8 = 0x55;
const JUMPI: u8 = 0x57;
const JUMPDEST: u8 = 0x5b;
const PUSH1: u8 = 0x60;
const PUSH32: u8 = 0x7f;
const DUP1: u8 = 0x80;
const DUP2: u8 = 0x81;
const DUP3: u8 = 0x82;
const DUP4: u8 = 0x83;
const SWAP1: u8 = 0x90;
const LOG3: u8 = 0xa3;
const RETURN: u8 = 0xf3;
const REVERT: u8 = 0xfd;

/// The slot of the balance whose owner lies in the first word of memory.
const BALANCE_SLOT: [u8; 5] = [PUSH1, 64, PUSH1, 0, KECCAK];

/// Takes what the second argument says from the caller's balance, and leaves through `fail` if that has less.
fn take(code: &mut Vec<u8>) -> usize {
    code.extend([CALLER, PUSH1, 0, MSTORE]);
    code.extend(BALANCE_SLOT);
    code.extend([DUP1, SLOAD, PUSH1, 36, CALLDATALOAD, DUP1, DUP3, LT, PUSH1, 0, JUMPI]);
    let fail = code.len() - 2;
    code.extend([SWAP1, SUB, SWAP1, SSTORE]);
    fail
}

fn end(mut code: Vec<u8>, fail: usize) -> Bytes {
    code.extend([PUSH1, 1, PUSH1, 0, MSTORE, PUSH1, 32, PUSH1, 0, RETURN]);
    code[fail] = u8::try_from(code.len()).unwrap_or_default();
    code.extend([JUMPDEST, PUSH1, 0, PUSH1, 0, REVERT]);
    code.into()
}

/// An ERC-20 that knows `transfer(to, amount)`, with balances in the mapping of slot 0.
pub(super) fn token() -> Bytes {
    let mut code = Vec::new();
    let fail = take(&mut code);
    code.extend([PUSH1, 4, CALLDATALOAD, PUSH1, 0, MSTORE]);
    code.extend(BALANCE_SLOT);
    code.extend([DUP1, SLOAD, PUSH1, 36, CALLDATALOAD, ADD, SWAP1, SSTORE]);
    code.extend([PUSH1, 36, CALLDATALOAD, PUSH1, 0, MSTORE, PUSH1, 4, CALLDATALOAD, CALLER, PUSH32]);
    code.extend(alloy_primitives::keccak256("Transfer(address,address,uint256)"));
    code.extend([PUSH1, 32, PUSH1, 0, LOG3]);
    end(code, fail)
}

/// A pool of two tokens, reserves in slots 1 and 2: takes the second argument from the caller's balance of the first, and gives, less 0.3 %,
/// what keeps the product, in the mapping of slot 3.
pub(super) fn pool() -> Bytes {
    let mut code = Vec::new();
    let fail = take(&mut code);
    // in = amount * 997; out = in * r2 / (r1 * 1000 + in)
    code.extend([PUSH1, 36, CALLDATALOAD, 0x61, 0x03, 0xe5, MUL]);
    code.extend([PUSH1, 2, SLOAD, PUSH1, 1, SLOAD]);
    // in r2 r1
    code.extend([0x61, 0x03, 0xe8, MUL, DUP3, ADD, DUP2, DUP4, MUL, DIV]);
    // in r2 out
    code.extend([DUP1, SWAP1 + 1, SUB, PUSH1, 2, SSTORE]);
    // in out
    code.extend([PUSH1, 1, SLOAD, PUSH1, 36, CALLDATALOAD, ADD, PUSH1, 1, SSTORE]);
    code.extend([PUSH1, 3, PUSH1, 32, MSTORE]);
    code.extend(BALANCE_SLOT);
    code.extend([DUP1, SLOAD, DUP3, ADD, SWAP1, SSTORE, POP, POP]);
    end(code, fail)
}

/// Makes, at an address that follows from the second argument, a contract that destroys itself when called, and calls it: by `CREATE2`, so
/// that it can be made again. Counts in the slot of the argument.
pub(super) fn phoenix() -> Bytes {
    // Init code that returns two bytes: CALLER SELFDESTRUCT.
    let child = [0x61, 0x33, 0xff, PUSH1, 0, MSTORE, PUSH1, 2, PUSH1, 30, RETURN];
    let mut word = [0; 32];
    word[..child.len()].copy_from_slice(&child);
    let mut code = vec![PUSH32];
    code.extend(word);
    code.extend([PUSH1, 0, MSTORE]);
    // create2(value 0, offset 0, size, salt)
    code.extend([PUSH1, 36, CALLDATALOAD, PUSH1, child.len() as u8, PUSH1, 0, PUSH1, 0, 0xf5]);
    // call(gas, address, value 0, in 0 0, out 0 0)
    code.extend([PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, 0x85, 0x5a, 0xf1, POP, POP]);
    code.extend([PUSH1, 36, CALLDATALOAD, DUP1, SLOAD, PUSH1, 1, ADD, SWAP1, SSTORE, 0x00]);
    code.into()
}
