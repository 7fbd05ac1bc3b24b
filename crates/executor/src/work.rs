//! How long a block takes about, before it is executed: whether waking helpers is worth it.
//!
//! Why: of blocks of Ethereum that take less than a millisecond, most took longer with helpers (`interlace replay mainnet --engine both`).
//! Gas alone says little: a plain transfer costs 21,000 and takes 2 us, and contracts take about 1 us for 1,000 of theirs.
//! Invariant: it is the same for the same block; a header that lies about its gas changes how fast the block is refused, and nothing else.

/// Blocks of fewer transactions are executed by the committer alone: helpers would come too late.
pub const LEAST_TRANSACTIONS: usize = 4;
/// So are those that are less work than this: about a millisecond, of which waking helpers takes a tenth.
pub const LEAST_WORK: u64 = 1_000_000;
/// Gas that a transaction pays before it does anything.
const BEGINNING_GAS: u64 = 21_000;
/// What that is as work.
const BEGINNING_WORK: u64 = 2_500;

/// The work of so many transactions that use so much gas, in gas that contracts use.
pub(crate) const fn work_of(transactions: usize, gas: u64) -> u64 {
    let count = transactions as u64;
    gas.saturating_sub(count.saturating_mul(BEGINNING_GAS)).saturating_add(count.saturating_mul(BEGINNING_WORK))
}

/// The same of transactions that may use so much; beyond the beginning most use about half of what they may.
pub(crate) const fn work_within(transactions: usize, limits: u64) -> u64 {
    let beginning = work_of(transactions, 0);
    beginning.saturating_add(work_of(transactions, limits).saturating_sub(beginning) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_what_contracts_use_and_a_little_for_each_transaction() {
        assert_eq!(work_of(0, 0), 0);
        assert_eq!(work_of(400, 400 * 21_000), LEAST_WORK);
        assert_eq!(work_of(10, 210_000 + 5_000_000), 5_025_000);
        assert_eq!(work_within(10, 210_000 + 5_000_000), 2_525_000);
        // Headers say what they like.
        assert_eq!(work_of(10, 5), 25_000);
        assert_eq!(work_of(2, u64::MAX), u64::MAX - 37_000);
        assert_eq!(work_within(usize::MAX, u64::MAX), u64::MAX);
    }
}
