//! What came out: of each block the medians over the rounds, and over all blocks what the medians come to.

use std::fmt;

use serde::Serialize;

/// Seconds of one round, each on one thread and on all.
pub struct Round {
    pub ours: [f64; 2],
    pub pevm: [f64; 2],
}

/// One block: medians over the rounds.
#[derive(Serialize)]
pub struct Block {
    number: u64,
    transactions: usize,
    gas: u64,
    /// Milliseconds on one thread and on all.
    ours_ms: [f64; 2],
    pevm_ms: [f64; 2],
    /// All threads over one, within a round.
    ours_gain: f64,
    pevm_gain: f64,
    /// pevm's time over ours, within a round: on one thread, and on all.
    ahead: [f64; 2],
}

/// All blocks.
#[derive(Serialize)]
pub struct Figures {
    threads: usize,
    rounds: usize,
    /// Medians over the blocks.
    ours_gain: f64,
    pevm_gain: f64,
    ahead: [f64; 2],
    /// The same of the sums of times.
    ours_gain_of_sums: f64,
    pevm_gain_of_sums: f64,
    ahead_of_sums: [f64; 2],
    /// The least gain of a block.
    ours_least: f64,
    pevm_least: f64,
    /// Blocks that ours executes faster on all threads.
    faster: usize,
    blocks: Vec<Block>,
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

impl Block {
    pub fn new((number, transactions, gas): (u64, usize, u64), rounds: &[Round]) -> Self {
        let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value));
        Self {
            number,
            transactions,
            gas,
            ours_ms: [0, 1].map(|which| 1e3 * of(&|round| round.ours[which])),
            pevm_ms: [0, 1].map(|which| 1e3 * of(&|round| round.pevm[which])),
            ours_gain: of(&|round| round.ours[0] / round.ours[1]),
            pevm_gain: of(&|round| round.pevm[0] / round.pevm[1]),
            ahead: [0, 1].map(|which| of(&|round| round.pevm[which] / round.ours[which])),
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9} {:>5} transactions", self.number, self.transactions)?;
        write!(f, "  ours {:>8.3} ms, {:>8.3} ms, {:.2}x", self.ours_ms[0], self.ours_ms[1], self.ours_gain)?;
        write!(f, "  pevm {:>8.3} ms, {:>8.3} ms, {:.2}x", self.pevm_ms[0], self.pevm_ms[1], self.pevm_gain)
    }
}

impl Figures {
    pub fn new(threads: usize, rounds: usize, blocks: Vec<Block>) -> Self {
        let of = |value: &dyn Fn(&Block) -> f64| median(blocks.iter().map(value));
        let sum = |value: &dyn Fn(&Block) -> f64| blocks.iter().map(value).sum::<f64>();
        let least = |value: &dyn Fn(&Block) -> f64| blocks.iter().map(value).fold(f64::INFINITY, f64::min);
        Self {
            threads,
            rounds,
            ours_gain: of(&|block| block.ours_gain),
            pevm_gain: of(&|block| block.pevm_gain),
            ahead: [0, 1].map(|which| of(&|block| block.ahead[which])),
            ours_gain_of_sums: sum(&|block| block.ours_ms[0]) / sum(&|block| block.ours_ms[1]),
            pevm_gain_of_sums: sum(&|block| block.pevm_ms[0]) / sum(&|block| block.pevm_ms[1]),
            ahead_of_sums: [0, 1].map(|which| sum(&|block| block.pevm_ms[which]) / sum(&|block| block.ours_ms[which])),
            ours_least: least(&|block| block.ours_gain),
            pevm_least: least(&|block| block.pevm_gain),
            faster: blocks.iter().filter(|block| block.ahead[1] > 1.0).count(),
            blocks,
        }
    }
}
