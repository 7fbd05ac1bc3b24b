//! The cryptography of the engine without `std`, in plain Rust, against the native one: the same test is built with either and pins one digest.
//!
//! `cargo test -p interlace-evm --test precompiles` has the native libraries, with `--no-default-features` those in plain Rust. Inputs follow from
//! a seed; what has to be a point of a curve is what a precompile of that curve gave before.
#![allow(clippy::unwrap_used, missing_docs)]

use std::convert::Infallible;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, b256, hex, keccak256};
use interlace_evm::{Account, BlockEnv, Checks, Overlay, StateReader, TxRequest, Vm};
use interlace_primitives::{ChainSpec, Fork};

const SENDER: Address = Address::repeat_byte(0x51);

#[derive(Debug)]
struct Rich;

impl StateReader for Rich {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        Ok((address == SENDER).then(|| Account::with_balance(U256::MAX >> 8)))
    }

    fn storage(&self, _: Address, _: U256) -> Result<U256, Infallible> {
        Ok(U256::ZERO)
    }

    fn code(&self, _: B256) -> Result<Bytes, Infallible> {
        Ok(Bytes::new())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

/// Calls precompiles, and takes note of all that comes back.
struct Caller {
    vm: Vm<Rich>,
    seen: Vec<u8>,
    seed: B256,
    accepted: usize,
}

impl Caller {
    fn new(name: &str) -> Self {
        let header = alloy_consensus::Header { gas_limit: 1 << 40, ..Default::default() };
        let env = BlockEnv::from_header(&ChainSpec::dev(1, Fork::Osaka), &header);
        let vm = Vm::new(env, Checks::CALL, Overlay::new(Rich));
        Self { vm, seen: Vec::new(), seed: keccak256(name), accepted: 0 }
    }

    /// The next random bytes.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            self.seed = keccak256(self.seed);
            bytes.extend(self.seed);
        }
        bytes.truncate(length);
        bytes
    }

    fn number(&mut self, bound: u64) -> u64 {
        let bytes = self.bytes(8);
        bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte)) % bound
    }

    fn call(&mut self, precompile: u16, input: &[u8]) -> Bytes {
        let to = Address::from_word(B256::from(U256::from(precompile)));
        let tx = TxRequest {
            from: SENDER,
            to: TxKind::Call(to),
            gas_limit: 16_000_000,
            input: input.to_vec().into(),
            ..TxRequest::default()
        };
        let (outcome, _) = self.vm.transact(&tx).unwrap();
        self.seen.push(u8::from(outcome.is_success()));
        self.seen.extend(outcome.gas_used.to_be_bytes());
        self.seen.extend(&outcome.output);
        self.accepted += usize::from(outcome.is_success() && !outcome.output.is_empty());
        outcome.output
    }

    /// The digest of everything seen; at least so many calls must have given something.
    fn digest(self, accepted: usize) -> B256 {
        assert!(self.accepted >= accepted, "{} calls gave something", self.accepted);
        keccak256(self.seen)
    }
}

/// Input with one bit changed.
fn flipped(caller: &mut Caller, input: &[u8]) -> Vec<u8> {
    let mut input = input.to_vec();
    let at = caller.number(input.len() as u64) as usize;
    input[at] ^= 1 << caller.number(8);
    input
}

#[test]
fn signatures_of_secp256k1() {
    let mut caller = Caller::new("ecrecover");
    let half = U256::from_be_slice(&hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"));
    for round in 0..400u64 {
        let v = U256::from([27u64, 28, 27, 28, 0, 29, 1 << 40][round as usize % 7]);
        let (hash, r) = (caller.bytes(32), caller.bytes(32));
        let s = match round % 5 {
            0 => half + U256::from(round),
            1 => U256::from(round % 3),
            _ => U256::from_be_slice(&caller.bytes(32)),
        };
        caller.call(1, &[hash, v.to_be_bytes_vec(), r, s.to_be_bytes_vec()].concat());
    }
    assert_eq!(caller.digest(100), PINNED[0]);
}

#[test]
fn hashes() {
    let mut caller = Caller::new("hashes");
    for length in 0..200 {
        let input = caller.bytes(length);
        caller.call(2, &input);
        caller.call(3, &input);
        let mut blake = caller.bytes(213);
        blake[..4].copy_from_slice(&[0, 0, 0, length as u8]);
        blake[212] = (length % 3) as u8;
        caller.call(9, &blake);
    }
    assert_eq!(caller.digest(500), PINNED[1]);
}

#[test]
fn modular_powers() {
    let mut caller = Caller::new("modexp");
    for round in 0..300 {
        let lengths = [caller.number(70), caller.number(40), caller.number(70)];
        let mut input: Vec<u8> = lengths.iter().flat_map(|length| U256::from(*length).to_be_bytes::<32>()).collect();
        let mut rest = caller.bytes(lengths.iter().sum::<u64>() as usize);
        let modulus = (lengths[0] + lengths[1]) as usize;
        match round % 6 {
            // An even modulus, a power of two, nothing, one; a base of nothing.
            0 => rest.iter_mut().skip(modulus).last().into_iter().for_each(|byte| *byte &= 0xf0),
            1 => rest.iter_mut().skip(modulus + 1).for_each(|byte| *byte = 0),
            2 => rest.iter_mut().skip(modulus).for_each(|byte| *byte = 0),
            3 => rest.iter_mut().take(lengths[0] as usize).for_each(|byte| *byte = 0),
            _ => {}
        }
        input.extend(rest);
        caller.call(5, &input);
    }
    assert_eq!(caller.digest(250), PINNED[2]);
}

/// Order of the field that coordinates of alt_bn128 are in.
const BN_FIELD: [u8; 32] = hex!("30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47");
/// The generator of its second group, as EIP-197 writes it.
const BN_G2: [u8; 128] = hex!(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
);

#[test]
fn alt_bn128() {
    let mut caller = Caller::new("bn");
    let generator = [U256::from(1).to_be_bytes::<32>(), U256::from(2).to_be_bytes::<32>()].concat();
    let mut sum = generator.clone();
    for round in 0..60u64 {
        let factor = caller.bytes(32);
        let point = caller.call(7, &[&generator[..], &factor].concat());
        sum = caller.call(6, &[&sum[..], &point].concat()).to_vec();
        caller.call(6, &flipped(&mut Caller::new(&round.to_string()), &[&sum[..], &point].concat()));
        let mut minus = point.to_vec();
        let y = U256::from_be_bytes(BN_FIELD) - U256::from_be_slice(&point[32..]);
        minus[32..].copy_from_slice(&y.to_be_bytes::<32>());
        // e(P, G2) e(-P, G2) is one; e(P, G2) e(P, G2) is not, and less than a pair is none.
        caller.call(8, &[&point[..], &BN_G2, &minus, &BN_G2].concat());
        caller.call(8, &[&point[..], &BN_G2, &point, &BN_G2].concat());
        let input = [&point[..], &BN_G2].concat();
        let input = flipped(&mut caller, &input);
        caller.call(8, &input);
        caller.call(8, &input[..input.len() - 1]);
    }
    caller.call(8, &[]);
    assert_eq!(caller.digest(240), PINNED[3]);
}

#[test]
fn bls12_381() {
    let mut caller = Caller::new("bls");
    // A field element of 381 bits stands in 64 bytes.
    let field = |caller: &mut Caller| [vec![0; 17], caller.bytes(47)].concat();
    for round in 0..25 {
        let (one, other) = (field(&mut caller), [field(&mut caller), field(&mut caller)].concat());
        let (p, q) = (caller.call(0x10, &one), caller.call(0x11, &other));
        let (factor, second) = (caller.bytes(32), caller.bytes(32));
        let multiple = caller.call(0x0c, &[&p[..], &factor].concat());
        let double = caller.call(0x0e, &[&q[..], &factor].concat());
        let sum = caller.call(0x0b, &[&p[..], &multiple].concat());
        caller.call(0x0d, &[&q[..], &double].concat());
        caller.call(0x0c, &[&p[..], &factor, &sum, &second, &multiple, &factor].concat());
        caller.call(0x0e, &[&q[..], &factor, &double, &second].concat());
        // e(P, Q) e(P, Q) is not one; with nothing in its place each is.
        caller.call(0x0f, &[&p[..], &q, &p, &q].concat());
        caller.call(0x0f, &[&p[..], &[0; 256]].concat());
        for precompile in 0x0b..=0x11u16 {
            let input = match precompile {
                0x0b => [&p[..], &sum].concat(),
                0x0c => [&p[..], &factor].concat(),
                0x0d => [&q[..], &double].concat(),
                0x0e => [&q[..], &factor].concat(),
                0x0f => [&p[..], &q].concat(),
                0x10 => one.clone(),
                _ => other.clone(),
            };
            let input = flipped(&mut caller, &input);
            caller.call(precompile, &input);
            caller.call(precompile, &input[..input.len() - 1 - round]);
        }
    }
    assert_eq!(caller.digest(280), PINNED[4]);
}

#[test]
fn point_evaluations() {
    let mut caller = Caller::new("kzg");
    // The zero polynomial: commitment and proof are the point at infinity, and its value is zero wherever it is evaluated.
    let infinity = [vec![0xc0], vec![0; 47]].concat();
    let hash = hex!("010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014");
    for round in 0..12 {
        let z = if round % 2 == 0 { [vec![0], caller.bytes(31)].concat() } else { caller.bytes(32) };
        let input = [&hash[..], &z, &[0; 32], &infinity, &infinity].concat();
        caller.call(0x0a, &input);
        let input = flipped(&mut caller, &input);
        caller.call(0x0a, &input);
    }
    assert_eq!(caller.digest(6), PINNED[5]);
}

#[test]
fn signatures_of_p256() {
    let mut caller = Caller::new("p256");
    // The example of RIP-7212: hash, r, s, and the key.
    let valid = hex!(
        "4cee90eb86eaa050036147a12d49004b6b9c72bd725d39d4785011fe190f0b4d"
        "a73bd4903f0ce3b639bbbf6e8e80d16931ff4bcf5993d58468e8fb19086e8cac"
        "36dbcd03009df8c59286b162af3bd7fcc0450c9aa81be5d10d312af6c66b1d60"
        "4aebd3099c618202fcfe16ae7770b0c49ab5eadf74b754204a3bb6060e44eff3"
        "7618b065f9832de4ca6ca971a7a1adc826d0f7c00181a5fb2ddf79ae00b4e10e"
    );
    assert_eq!(U256::from_be_slice(&caller.call(0x100, &valid)), U256::from(1));
    for length in 0..valid.len() {
        let input = flipped(&mut caller, &valid);
        caller.call(0x100, &input);
        caller.call(0x100, &valid[..length]);
    }
    assert_eq!(caller.digest(1), PINNED[6]);
}

/// What either build gives, in the order of the tests.
const PINNED: [B256; 7] = [
    b256!("5d853303b12a293f60161a928822059bf5fd3873850558347ff3bd7981b5e353"),
    b256!("4037f45ab5c9f806f97de35f0fcc81d2a2887efc896a15511963cf32173d8b8f"),
    b256!("2be1a3d6e3801d657c843aa368b10ae149dfa480c8db67ff077ea769275c33a6"),
    b256!("3142f20f88b18ca8d9f44b0d517dd35a9ced8c388c7715c84e1150ae99c8704c"),
    b256!("7a63866bac9f4f325b65d0774f77cebfca0f6d054340d269ed0ce27d8ba37561"),
    b256!("9851f26d8b8b41924b8d16df1b04c689f31ebcab50cbcdaae8c76b1989e845a2"),
    b256!("0352da40e0a97952235ed023c7f00d945d22f3271e5a3cc9038a63822e57e5b1"),
];
