//! Blocks that are meant to break things: a contract that does what its input says, and accounts that meet each other all the time.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod blocks;

use std::collections::BTreeMap;
use std::thread;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use interlace_stf::{Account, StateReader};

/// What a reader of a test does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Panics in helpers.
    Panic,
    /// Fails in helpers.
    Helper,
    /// Fails everywhere, when this account is read.
    Account(Address),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be read")]
pub struct Broken;

#[derive(Clone, Debug)]
pub struct World {
    pub accounts: BTreeMap<Address, Account>,
    pub slots: BTreeMap<(Address, U256), U256>,
    pub codes: BTreeMap<B256, Bytes>,
    pub fault: Fault,
}

impl World {
    pub fn new() -> Self {
        Self { accounts: BTreeMap::new(), slots: BTreeMap::new(), codes: BTreeMap::new(), fault: Fault::None }
    }

    pub fn put(&mut self, address: Address, nonce: u64, balance: U256, code: Bytes) {
        let code_hash = keccak256(&code);
        self.accounts.insert(address, Account { nonce, balance, code_hash });
        self.codes.insert(code_hash, code);
    }
}

impl StateReader for World {
    type Error = Broken;

    fn account(&self, address: Address) -> Result<Option<Account>, Broken> {
        let helper = || thread::current().name().is_some_and(|name| name.starts_with("executor-"));
        match self.fault {
            Fault::Panic if helper() => std::panic::resume_unwind(Box::new("a helper fails")),
            Fault::Helper if helper() => Err(Broken),
            Fault::Account(wrong) if wrong == address => Err(Broken),
            _ => Ok(self.accounts.get(&address).copied()),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Broken> {
        Ok(self.slots.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, Broken> {
        self.codes.get(&code_hash).cloned().ok_or(Broken)
    }

    fn block_hash(&self, number: u64) -> Result<B256, Broken> {
        Ok(keccak256(number.to_be_bytes()))
    }
}

/// Things that the puppet does, each with two arguments.
pub const ACTIONS: u8 = 14;

/// Words of memory where the puppet keeps what it reads of its input.
const POSITION: u8 = 0x40;
const WHAT: u8 = 0x60;
const A: [u8; 3] = [0x60, 0x80, 0x51];
const B: [u8; 3] = [0x60, 0xa0, 0x51];

fn asm(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// `sstore(a, ...)` of what the code leaves on the stack.
fn stores(code: &[u8]) -> Vec<u8> {
    asm(&[code, &A, &[0x55]])
}

/// Puts init code at the beginning of memory.
fn init(code: &[u8]) -> Vec<u8> {
    let mut word = [0; 32];
    word[..code.len()].copy_from_slice(code);
    asm(&[&[0x7f], &word, &[0x60, 0, 0x52]])
}

/// A contract whose input is a list of three words each: what to do, and the arguments. Before Constantinople it leaves out what there is no
/// instruction for.
pub fn puppet() -> Bytes {
    // A child counts in its slot 0 when made; called, it destroys itself in favour of the caller.
    let child =
        [0x60, 0, 0x54, 0x60, 1, 0x01, 0x60, 0, 0x55, 0x61, 0x33, 0xff, 0x60, 0, 0x52, 0x60, 2, 0x60, 0x1e, 0xf3];
    let size = child.len() as u8;
    let zeros: &[u8] = &[0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0];
    // Calls, without value, the address on the stack.
    let call = asm(&[zeros, &[0x60, 0, 0x85, 0x5a, 0xf1, 0x50]]);
    let create2 = asm(&[&init(&child), &A, &[0x60, size, 0x60, 0], &B, &[0xf5]]);
    let actions: [Vec<u8>; ACTIONS as usize] = [
        stores(&B),
        stores(&asm(&[&A, &[0x54], &B, &[0x01]])),
        // balance(b), selfbalance, extcodehash(b), extcodesize(b), blockhash(number - 1)
        stores(&asm(&[&B, &[0x31]])),
        stores(&[0x47]),
        stores(&asm(&[&B, &[0x3f]])),
        stores(&asm(&[&B, &[0x3b]])),
        stores(&[0x60, 1, 0x43, 0x03, 0x40]),
        // call(a, value b)
        asm(&[zeros, &B, &A, &[0x5a, 0xf1, 0x50]]),
        // selfdestruct(a)
        asm(&[&A, &[0xff]]),
        // create2(salt a, value b), which stays; the same, called at once; create(value b)
        asm(&[&create2, &[0x50]]),
        asm(&[&create2, &call, &[0x50]]),
        asm(&[&init(&child), &[0x60, size, 0x60, 0], &B, &[0xf0, 0x50]]),
        // log1(a, sload(b))
        asm(&[&B, &[0x54, 0x60, 0, 0x52], &A, &[0x60, 0x20, 0x60, 0, 0xa1]]),
        vec![0x60, 0, 0x60, 0, 0xfd],
    ];
    let mut code = vec![0x60, 0, 0x60, POSITION, 0x52];
    let next = code.len() as u8;
    // Nothing left: stop. Else what, a, b and the next position.
    code.extend([0x5b, 0x36, 0x60, POSITION, 0x51, 0x10, 0x60, 0, 0x57, 0x00]);
    let go = code.len() - 3;
    code[go] = code.len() as u8;
    code.push(0x5b);
    for (at, word) in [(0u8, WHAT), (0x20, 0x80), (0x40, 0xa0)] {
        code.extend([0x60, POSITION, 0x51, 0x60, at, 0x01, 0x35, 0x60, word, 0x52]);
    }
    code.extend([0x60, POSITION, 0x51, 0x60, 0x60, 0x01, 0x60, POSITION, 0x52]);
    let mut holes = Vec::new();
    for number in 0..ACTIONS {
        code.extend([0x60, WHAT, 0x51, 0x60, number, 0x14, 0x61, 0, 0, 0x57]);
        holes.push(code.len() - 3);
    }
    code.push(0x00);
    for (action, hole) in actions.iter().zip(holes) {
        let place = (code.len() as u16).to_be_bytes();
        code[hole..hole + 2].copy_from_slice(&place);
        code.push(0x5b);
        code.extend(action);
        code.extend([0x60, next, 0x56]);
    }
    code.into()
}

/// Input of a puppet.
pub fn script(actions: &[(u8, U256, U256)]) -> Bytes {
    let words = actions.iter().flat_map(|(what, a, b)| [U256::from(*what), *a, *b]);
    words.flat_map(|word| word.to_be_bytes::<32>()).collect::<Vec<u8>>().into()
}
