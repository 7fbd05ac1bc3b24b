//! What the arena trie costs at a given size: `interlace bench state`.
//!
//! Invariant: figures are given only after the root of all that was written was computed anew, from nothing, and found equal
//! (up to [`MAX_CHECKED`] accounts), or the accounts written were proved against it (beyond).
//! What it does not do: it reads no flat state and writes none.

use std::time::{Duration, Instant};

use alloy_primitives::{B256, KECCAK256_EMPTY, U256};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount, sorted_root, verify_proof};

use crate::keccak::{Backend, Hasher};
use crate::trie::{Change, Forest, Trie};

/// Accounts up to which the whole root is computed anew.
pub const MAX_CHECKED: u64 = 2_000_000;
/// Accounts put in at a time while the trie is built.
const PORTION: u64 = 250_000;
/// Proofs timed.
const PROOFS: u64 = 2_000;

/// Why a bench gives no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// The processor lacks what the backend needs.
    #[error("this processor has no {0}")]
    Backend(&'static str),
    /// A result is wrong.
    #[error("the root is {got}, computed anew it is {expected}")]
    Root {
        /// What was timed.
        got: B256,
        /// What is right.
        expected: B256,
    },
    /// A proof does not hold.
    #[error("a proof does not hold: {0}")]
    Proof(String),
}

/// Times of batches of one size: accounts that exist get another balance.
#[derive(Clone, Debug)]
pub struct BatchFigure {
    /// Accounts in a batch.
    pub accounts: u64,
    /// Median time to draft and hash a batch.
    pub stage: Duration,
    /// Median time to put it in place.
    pub apply: Duration,
}

/// What a bench measured.
#[derive(Clone, Debug)]
pub struct TrieFigures {
    /// Accounts in the trie.
    pub accounts: u64,
    /// Threads that hash.
    pub threads: usize,
    /// Time to put all accounts in, a portion at a time.
    pub build: Duration,
    /// Bytes of nodes and leaves.
    pub bytes: usize,
    /// For each size asked for.
    pub batches: Vec<BatchFigure>,
    /// Median time to make an account's proof.
    pub prove: Duration,
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A trie of `accounts`, batches of `sizes` on it, `rounds` of each, and proofs. `told` hears how many accounts are in while it
/// is built.
///
/// # Errors
/// [`BenchError`].
pub fn trie(
    accounts: u64,
    sizes: &[u64],
    rounds: u64,
    backend: Backend,
    mut told: impl FnMut(u64),
) -> Result<TrieFigures, BenchError> {
    let hasher = Hasher::new(backend).ok_or_else(|| BenchError::Backend(backend.name()))?;
    let mut forest: Forest<TrieAccount> = Forest::new(hasher);
    let mut trie = Trie::default();
    let mut balances: Vec<u64> = (0..accounts).collect();
    let change = |number: u64, balance: u64| Change { key: key(number), value: Some(account(balance)) };
    let start = Instant::now();
    for first in (0..accounts).step_by(PORTION as usize) {
        let portion = (first..accounts.min(first + PORTION)).map(|number| change(number, number)).collect();
        let staged = forest.stage(vec![(trie, portion)]);
        trie = forest.apply(staged)[0];
        told(accounts.min(first + PORTION));
    }
    let build = start.elapsed();
    let mut seed = 1u64;
    let mut draw = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % accounts.max(1)
    };
    let mut batches = Vec::new();
    for size in sizes {
        let (mut stage, mut apply) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let mut numbers: Vec<u64> = (0..*size).map(|_| draw()).collect();
            numbers.sort_unstable();
            numbers.dedup();
            let changes = numbers.iter().map(|number| {
                balances[*number as usize] += 1;
                change(*number, balances[*number as usize])
            });
            let changes = vec![(trie, changes.collect())];
            let start = Instant::now();
            let staged = forest.stage(changes);
            stage.push(start.elapsed());
            let start = Instant::now();
            trie = forest.apply(staged)[0];
            apply.push(start.elapsed());
        }
        batches.push(BatchFigure { accounts: *size, stage: median(stage), apply: median(apply) });
    }
    let mut times = Vec::new();
    for _ in 0..PROOFS.min(accounts) {
        let number = draw();
        let key = key(number);
        let start = Instant::now();
        let proof = forest.prove(trie, &key);
        times.push(start.elapsed());
        let value = alloy_rlp::encode(account(balances[number as usize]));
        verify_proof(trie.hash(), key.as_slice(), Some(&value), &proof)
            .map_err(|error| BenchError::Proof(error.to_string()))?;
    }
    if accounts <= MAX_CHECKED {
        let mut leaves: Vec<(B256, Vec<u8>)> = (0u64..)
            .zip(&balances)
            .map(|(number, balance)| (key(number), alloy_rlp::encode(account(*balance))))
            .collect();
        leaves.sort_unstable();
        let expected = sorted_root(leaves);
        if expected != trie.hash() {
            return Err(BenchError::Root { got: trie.hash(), expected });
        }
    }
    Ok(TrieFigures {
        accounts,
        threads: rayon::current_num_threads(),
        build,
        bytes: forest.bytes(),
        batches,
        prove: median(times),
    })
}
