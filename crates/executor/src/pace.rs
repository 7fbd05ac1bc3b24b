//! Where threads meet: the points at which a test may hold one of them up.
//!
//! Invariant: whatever a pace does, results are the same. [`Straight`] does nothing and costs nothing.

use std::thread;
use std::time::Duration;

/// A point between two steps of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A helper has seen how far the committer is.
    Looked,
    /// A helper has chosen a transaction.
    Claimed,
    /// A helper has executed it and not told.
    Executed,
    /// The committer comes to a transaction.
    Turn,
    /// The committer has taken a transaction into the block and not told.
    Settled,
}

/// Holds threads up.
pub trait Pace: Sync {
    /// Called at `point` with the transaction that it is about.
    fn at(&self, point: Point, transaction: usize);
}

/// Holds nobody up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Straight;

impl Pace for Straight {
    #[inline(always)]
    fn at(&self, _: Point, _: usize) {}
}

/// Holds threads up for times that follow from a seed, the point and the transaction: not at all, for a turn of the scheduler, or for up to
/// some hundred microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// What the times follow from.
    pub seed: u64,
}

impl Pace for Delays {
    fn at(&self, point: Point, transaction: usize) {
        // splitmix64
        let mut mixed = self.seed ^ (transaction as u64) << 8 ^ point as u64;
        for _ in 0..2 {
            mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
        }
        match mixed % 8 {
            0..4 => {}
            4 | 5 => thread::yield_now(),
            6 => thread::sleep(Duration::from_micros(mixed >> 32 & 0x3f)),
            _ => thread::sleep(Duration::from_micros(mixed >> 32 & 0xff)),
        }
    }
}
