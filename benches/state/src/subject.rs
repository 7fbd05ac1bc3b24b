//! What is asked of each state.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use anyhow::Result;
use interlace_state::bench::account;

/// An account that gets another balance, by its number.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub number: u64,
    pub balance: u64,
}

/// What came of a batch of changes.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    pub root: B256,
    /// Until the root was known.
    pub hashed: Duration,
    /// Until the new state could be read.
    pub placed: Duration,
}

/// A state that is measured.
pub trait Subject {
    /// How it is called.
    fn name(&self) -> &'static str;

    /// Takes `count` accounts whose balances are their numbers, and gives their root.
    fn load(&mut self, count: u64) -> Result<B256>;

    /// The sum of the balances of accounts that exist, and how long it took to read them.
    fn read(&self, addresses: &[Address]) -> Result<(U256, Duration)>;

    /// Writes changes, in the order of their numbers. If `durable`, they outlive a loss of power when this returns.
    fn change(&mut self, changes: &[Change], durable: bool) -> Result<Batch>;

    /// Proves an account.
    fn prove(&self, address: Address) -> Result<(Vec<Bytes>, Duration)>;

    /// Bytes in memory that are its own, and on disk.
    fn bytes(&self) -> Result<(u64, u64)>;
}

/// Adds up balances, so that no read is left out.
pub fn sum(addresses: &[Address], mut balance: impl FnMut(&Address) -> Result<U256>) -> Result<(U256, Duration)> {
    let start = Instant::now();
    let mut total = U256::ZERO;
    for address in addresses {
        total += balance(address)?;
    }
    Ok((total, start.elapsed()))
}

/// The balance in wei that stands for a number.
pub fn wei(balance: u64) -> U256 {
    account(balance).balance
}
