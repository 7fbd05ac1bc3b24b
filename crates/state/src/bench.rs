//! The arena trie at a size of choice, for `interlace bench state`.
//!
//! Invariant: what is timed is what a commit does; [`BenchTrie::check`] compares what came of it with what is computed anew.
//! What it does not do: it reads and writes no flat state, and takes no median; the caller repeats.

use std::time::{Duration, Instant};

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount, sorted_root, verify_proof};

use crate::keccak::{Backend, Hasher};
use crate::trie::{Change, Forest, Trie};

/// What was timed differs from what is right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was timed is wrong: {0}")]
pub struct BenchError(String);

impl BenchError {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "engine.bench-differs"
    }
}

/// A trie of accounts whose keys and values follow from their numbers.
#[derive(Debug, Default)]
pub struct BenchTrie {
    forest: Forest<TrieAccount>,
    trie: Trie,
    /// Of each account, in the order of their numbers.
    balances: Vec<u64>,
    seed: u64,
}

/// The (hashed) key of account `number`: uniform, and the same on every machine.
fn key(number: u64) -> B256 {
    let mut key = B256::ZERO;
    for (word, bytes) in (0u64..).zip(key.0.as_chunks_mut::<8>().0) {
        // SplitMix64's finaliser.
        let mut mixed = (number * 4 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        *bytes = (mixed ^ mixed >> 31).to_be_bytes();
    }
    key
}

fn account(balance: u64) -> TrieAccount {
    TrieAccount {
        nonce: balance % 1_000,
        balance: U256::from(balance) << 40,
        storage_root: EMPTY_ROOT_HASH,
        code_hash: KECCAK256_EMPTY,
    }
}

impl BenchTrie {
    /// Accounts in the trie.
    #[must_use]
    pub fn accounts(&self) -> u64 {
        self.balances.len() as u64
    }

    /// Bytes of nodes and leaves.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.forest.bytes()
    }

    /// Adds `count` accounts at once and says how long it took.
    pub fn grow(&mut self, count: u64) -> Duration {
        let first = self.accounts();
        self.balances.extend(first..first + count);
        let changes = (first..first + count).map(|number| Change { key: key(number), value: Some(account(number)) });
        self.change(changes.collect())
    }

    /// Gives `count` accounts drawn at random another balance, hashing with `backend`, and says how long it took; `None` if this
    /// processor lacks what the backend needs.
    pub fn batch(&mut self, count: u64, backend: Backend) -> Option<Duration> {
        let hasher = Hasher::new(backend)?;
        let mut numbers: Vec<u64> = (0..count).map(|_| self.draw()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let changes = numbers.into_iter().filter_map(|number| {
            let balance = self.balances.get_mut(usize::try_from(number).ok()?)?;
            *balance += 1;
            Some(Change { key: key(number), value: Some(account(*balance)) })
        });
        let changes = changes.collect();
        let usual = self.forest.hash_with(hasher);
        let time = self.change(changes);
        self.forest.hash_with(usual);
        Some(time)
    }

    fn change(&mut self, changes: Vec<Change<TrieAccount>>) -> Duration {
        let changes = vec![(self.trie, changes)];
        let start = Instant::now();
        let staged = self.forest.stage(changes);
        let tries = self.forest.apply(staged);
        let time = start.elapsed();
        self.trie = tries.first().copied().unwrap_or_default();
        time
    }

    /// Proves an account drawn at random, says how long it took, and verifies the proof.
    ///
    /// # Errors
    /// [`BenchError`] if it does not hold.
    pub fn prove(&mut self) -> Result<Duration, BenchError> {
        let number = self.draw();
        let key = key(number);
        let start = Instant::now();
        let proof = self.forest.prove(self.trie, &key);
        let time = start.elapsed();
        let balance = usize::try_from(number).ok().and_then(|number| self.balances.get(number));
        let value = balance.map(|balance| alloy_rlp::encode(account(*balance)));
        verify_proof(self.trie.hash(), key.as_slice(), value.as_deref(), &proof)
            .map_err(|error| BenchError(error.to_string()))?;
        Ok(time)
    }

    /// Computes the root of all accounts from nothing and compares.
    ///
    /// # Errors
    /// [`BenchError`] if they differ.
    pub fn check(&self) -> Result<(), BenchError> {
        let balances = (0u64..).zip(&self.balances);
        let mut leaves: Vec<(B256, Vec<u8>)> =
            balances.map(|(number, balance)| (key(number), alloy_rlp::encode(account(*balance)))).collect();
        leaves.sort_unstable();
        let expected = sorted_root(leaves);
        if expected == self.trie.hash() {
            return Ok(());
        }
        Err(BenchError(format!("the root is {}, computed anew it is {expected}", self.trie.hash())))
    }

    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % self.accounts().max(1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_wrong_is_told() {
        let mut bench = BenchTrie::default();
        bench.grow(500);
        bench.batch(100, Backend::Scalar).unwrap();
        assert_eq!(bench.check(), Ok(()));
        bench.prove().unwrap();
        bench.balances.iter_mut().for_each(|balance| *balance += 1);
        assert_eq!(bench.check().unwrap_err().code(), "engine.bench-differs");
        bench.prove().unwrap_err();
    }
}
