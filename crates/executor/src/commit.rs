//! The committer: every transaction in order, taken over or executed.
//!
//! Invariant: what goes into the block is what `BlockBuilder::push` would have put there.

use alloy_primitives::Address;
use interlace_stf::{
    BlockBuilder, EvmError, Misfit, Speculation, StateReader, Step, Transaction, TxOutcome, TxRequest, Vm,
};

use crate::Refusal;
use crate::ahead::{Ahead, Idle, MAX_AHEAD, Shared};
use crate::pace::{Pace, Point};
use crate::plan::Lessons;
use crate::report::Report;
use crate::slots::{FAILED, FREE, READY};

/// Adoptions weigh this much in the share of them, of 256; so do failures to adopt.
const STEP: u32 = 16;
/// Share of adoptions, of 256, below which helpers are stopped.
const PAYS: u32 = 96;
/// Transactions after which stopped helpers are let try again.
const REST: usize = 64;

/// Whether executing ahead pays, by what came of it.
#[derive(Debug)]
struct Worth {
    share: u32,
    resting: usize,
}

impl Worth {
    const fn new() -> Self {
        Self { share: 256, resting: 0 }
    }

    /// Takes note of one that was adopted or not; gives the window if it changes.
    fn saw(&mut self, adopted: bool) -> Option<usize> {
        let aim = if adopted { 256 } else { 0 };
        self.share = (self.share * (256 - STEP) + aim * STEP) / 256;
        if self.share >= PAYS || self.resting > 0 {
            return None;
        }
        self.resting = REST;
        Some(0)
    }

    /// Takes note of one that was executed in its turn; gives the window if it changes.
    fn passed(&mut self) -> Option<usize> {
        if self.resting == 0 {
            return None;
        }
        self.resting -= 1;
        if self.resting > 0 {
            return None;
        }
        self.share = 128;
        Some(MAX_AHEAD)
    }
}

/// Who hears of a transaction that is not valid, and says whether to go on.
pub(crate) type Refused<'a, E> = dyn FnMut(usize, EvmError<E>) -> Result<(), EvmError<E>> + 'a;

/// Where transactions go, one after the other.
pub(crate) trait Turns {
    /// The state reader.
    type Reader: StateReader;

    /// Executes the transaction whose turn it is.
    fn step(
        &mut self,
        transaction: usize,
        request: &TxRequest,
    ) -> Result<Step, EvmError<<Self::Reader as StateReader>::Error>>;

    /// Takes over the transaction whose turn it is, if what it did fits.
    fn adopt(
        &mut self,
        transaction: usize,
        ahead: Ahead,
    ) -> Result<Result<Step, Misfit>, EvmError<<Self::Reader as StateReader>::Error>>;

    /// Executes another ahead.
    fn speculate(&mut self, request: &TxRequest)
    -> Result<Speculation, EvmError<<Self::Reader as StateReader>::Error>>;
}

/// A block.
pub(crate) struct Block<'a, 'b, R: StateReader> {
    pub(crate) builder: &'a mut BlockBuilder<'b, R>,
    pub(crate) transactions: &'a [(&'a Transaction, Address)],
}

impl<R: StateReader> Turns for Block<'_, '_, R> {
    type Reader = R;

    fn step(&mut self, transaction: usize, request: &TxRequest) -> Result<Step, EvmError<R::Error>> {
        self.builder.push_step(self.transactions[transaction].0, request)
    }

    fn adopt(&mut self, transaction: usize, ahead: Ahead) -> Result<Result<Step, Misfit>, EvmError<R::Error>> {
        self.builder.push_ahead(self.transactions[transaction].0, ahead.encoded, ahead.speculation)
    }

    fn speculate(&mut self, request: &TxRequest) -> Result<Speculation, EvmError<R::Error>> {
        self.builder.speculate(request)
    }
}

/// A machine without a block around it.
pub(crate) struct Bare<'a, R: StateReader> {
    pub(crate) vm: &'a mut Vm<R>,
    pub(crate) outcomes: Vec<TxOutcome>,
}

impl<R: StateReader> Turns for Bare<'_, R> {
    type Reader = R;

    fn step(&mut self, _: usize, request: &TxRequest) -> Result<Step, EvmError<R::Error>> {
        let (outcome, step) = self.vm.step(request)?;
        self.outcomes.push(outcome);
        Ok(step)
    }

    fn adopt(&mut self, _: usize, ahead: Ahead) -> Result<Result<Step, Misfit>, EvmError<R::Error>> {
        Ok(self.vm.adopt(ahead.speculation)?.map(|adopted| {
            self.outcomes.push(adopted.outcome);
            adopted.step
        }))
    }

    fn speculate(&mut self, request: &TxRequest) -> Result<Speculation, EvmError<R::Error>> {
        self.vm.speculate(request)
    }
}

/// Executes all transactions. One that is not valid goes to `refused`, which says whether to go on without it.
///
/// # Errors
/// The first error that `refused` does not take, and its transaction.
pub(crate) fn commit<T: Turns, P: Pace>(
    turns: &mut T,
    shared: &Shared<'_, P>,
    refused: &mut Refused<'_, <T::Reader as StateReader>::Error>,
) -> Result<(Report, Lessons), Refusal<<T::Reader as StateReader>::Error>> {
    let _over = shared.until_over();
    let (mut report, mut lessons, mut worth) = (Report::default(), Lessons::new(), Worth::new());
    for index in 0..shared.given.len() {
        shared.pace.at(Point::Turn, index);
        let mut idle = Idle::default();
        let mut window = None;
        let step = loop {
            match shared.slots.state(index) {
                READY => {
                    let Some(ahead) = shared.slots.told(index) else { continue };
                    let frontier = ahead.frontier;
                    let step = turns.adopt(index, ahead);
                    let misfit = step.as_ref().ok().and_then(|step| step.as_ref().err().copied());
                    // That a slot was empty once teaches nothing.
                    if misfit != Some(Misfit::WasEmpty) {
                        shared.plan.saw(index, frontier, misfit.is_none(), &mut lessons);
                    }
                    window = worth.saw(misfit.is_none());
                    match step {
                        Ok(Ok(step)) => {
                            report.adopted += 1;
                            break Ok(step);
                        }
                        Ok(Err(_)) => report.redone += 1,
                        Err(error) => break Err(error),
                    }
                }
                FAILED => report.failed += 1,
                FREE if shared.slots.claim(index) => window = worth.passed(),
                // A helper has it: be one.
                _ => {
                    match shared.take(index) {
                        Some(other) => shared.run(other, index, |request| turns.speculate(request)),
                        None => idle.spin(),
                    }
                    continue;
                }
            }
            let step = turns.step(index, &shared.given.request(index));
            report.in_turn += u64::from(step.is_ok());
            break step;
        };
        let step = match step {
            Ok(step) => Some(step),
            Err(error) => {
                refused(index, error).map_err(|error| (index, error))?;
                None
            }
        };
        window.into_iter().for_each(|window| shared.reach(window));
        shared.settle(index, step);
    }
    Ok((report, lessons))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_rest_while_they_are_of_no_use_and_try_again() {
        let mut worth = Worth::new();
        // Now and then one for nothing is no reason.
        for _ in 0..100 {
            assert_eq!([worth.saw(true), worth.saw(true), worth.saw(false)], [None; 3]);
        }
        let fruitless = (1..100).find(|_| worth.saw(false).is_some());
        assert!(fruitless.is_some_and(|fruitless| (5..30).contains(&fruitless)), "{fruitless:?}");
        // What was still under way when they were stopped changes nothing.
        assert_eq!(worth.saw(false), None);
        let rest: Vec<Option<usize>> = (0..REST + 1).map(|_| worth.passed()).collect();
        assert_eq!(rest[..REST - 1], vec![None; REST - 1]);
        assert_eq!(rest[REST - 1..], [Some(MAX_AHEAD), None]);
        // They are soon stopped again, or go on.
        assert!((1..8).any(|_| worth.saw(false) == Some(0)));
    }
}
