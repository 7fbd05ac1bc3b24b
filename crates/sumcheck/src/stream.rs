//! The messages of a proof and the challenges between them (Fiat and Shamir).
//!
//! Everything that is sent is absorbed before the next challenge is drawn, by construction: there is no other way to
//! write into a proof or to read from one.
//!
//! Invariant: the same messages give sender and receiver the same challenges. A receiver accepts one encoding of each
//! message: numbers below p, no byte left over.

use crate::{
    Error,
    field::{Base, Ext},
};
use alloc::vec::Vec;
use alloy_primitives::{B256, Keccak256};

const ABSORB: u8 = 0;
const SQUEEZE: u8 = 1;
/// Bytes of an element of the extension: two numbers, little-endian.
pub(crate) const EXT_BYTES: usize = 16;

/// keccak256 over all that was said so far.
#[derive(Debug)]
pub(crate) struct Transcript(B256);

impl Transcript {
    pub(crate) fn new(domain: &[u8]) -> Self {
        let mut transcript = Self(B256::ZERO);
        transcript.absorb(domain);
        transcript
    }

    pub(crate) fn absorb(&mut self, bytes: &[u8]) {
        let mut hasher = Keccak256::new();
        hasher.update(self.0);
        hasher.update([ABSORB]);
        hasher.update(bytes);
        self.0 = hasher.finalize();
    }

    fn squeeze(&mut self) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update(self.0);
        hasher.update([SQUEEZE]);
        self.0 = hasher.finalize();
        self.0
    }

    pub(crate) fn challenge(&mut self) -> Ext {
        let word = self.squeeze();
        let half = |start: usize| {
            let number =
                word[start..start + 16].iter().rev().fold(0_u128, |number, &byte| number << 8 | u128::from(byte));
            Base::from_u128(number)
        };
        Ext(half(0), half(16))
    }

    pub(crate) fn challenges(&mut self, count: usize) -> Vec<Ext> {
        (0..count).map(|_| self.challenge()).collect()
    }

    /// Numbers below 2^`log`, with repetition.
    pub(crate) fn indices(&mut self, count: usize, log: u32) -> Vec<usize> {
        let mask = (1_u64 << log) - 1;
        (0..count)
            .map(|_| {
                let word = self.squeeze();
                let number = word[..8].iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
                (number & mask) as usize
            })
            .collect()
    }
}

/// What a prover writes.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) transcript: Transcript,
    pub(crate) bytes: Vec<u8>,
}

impl Sender {
    pub(crate) const fn new(transcript: Transcript) -> Self {
        Self { transcript, bytes: Vec::new() }
    }

    pub(crate) fn send(&mut self, values: &[Ext]) {
        let start = self.bytes.len();
        for value in values {
            self.bytes.extend(value.0.value().to_le_bytes());
            self.bytes.extend(value.1.value().to_le_bytes());
        }
        self.transcript.absorb(&self.bytes[start..]);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.transcript.absorb(bytes);
    }
}

/// What a verifier reads.
#[derive(Debug)]
pub(crate) struct Receiver<'a> {
    pub(crate) transcript: Transcript,
    rest: &'a [u8],
}

impl<'a> Receiver<'a> {
    pub(crate) const fn new(transcript: Transcript, bytes: &'a [u8]) -> Self {
        Self { transcript, rest: bytes }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Error::Short)?;
        self.rest = rest;
        self.transcript.absorb(bytes);
        Ok(bytes)
    }

    pub(crate) fn receive(&mut self, count: usize) -> Result<Vec<Ext>, Error> {
        // The multiplication is bounded by the statement, which bounds every count.
        self.bytes(count * EXT_BYTES)?.chunks_exact(EXT_BYTES).map(read_ext).collect()
    }

    pub(crate) fn one(&mut self) -> Result<Ext, Error> {
        read_ext(self.bytes(EXT_BYTES)?)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

pub(crate) fn read_base(bytes: &[u8]) -> Result<Base, Error> {
    let word = bytes.first_chunk::<8>().ok_or(Error::Short)?;
    Base::canonical(u64::from_le_bytes(*word)).ok_or(Error::Number)
}

fn read_ext(bytes: &[u8]) -> Result<Ext, Error> {
    Ok(Ext(read_base(bytes)?, read_base(&bytes[8..])?))
}
