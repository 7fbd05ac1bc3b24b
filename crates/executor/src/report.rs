//! What executing a block in parallel came to.
//!
//! Invariant: each transaction of a block that was executed is counted once: `adopted` or `in_turn`.

use std::ops::AddAssign;

/// Counts of one block, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Transactions taken over as they had been executed ahead.
    pub adopted: u64,
    /// Transactions that the committer executed when their turn had come.
    pub in_turn: u64,
    /// Those of them that had been executed ahead for nothing, because what was read had changed.
    pub redone: u64,
    /// Those of them that could not be executed ahead: they were not valid before their turn, or the helper failed.
    pub failed: u64,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.adopted += other.adopted;
        self.in_turn += other.in_turn;
        self.redone += other.redone;
        self.failed += other.failed;
    }
}
