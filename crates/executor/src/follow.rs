//! A block executed with its access list: no transaction waits for another, because the list says what each finds.
//!
//! ```text
//!   helpers     1   3   4   6 ...      each on the state that the list gives it; what it did is compared with what the list says of it
//!   committer   0 ─ 1 ─ 2 ─ 3 ─ 4 ...  in order; takes over what was as listed
//! ```
//! If what comes before the transactions did what the list says, and so did each transaction before one, then the list gives that one the state
//! that it finds in the block, and what it did there is what it does in the block. So a list that lies is found where it first does; from there
//! on the committer executes alone and heeds the list no more.
//!
//! Until Cancun a contract could be destroyed with all its slots, which lists do not name. Whoever reads a slot of one that was destroyed in
//! the block is executed in its turn; what it reached before, in vain, must not count, so such a block's list is made again and compared.
//!
//! Where reads wait, what the list names is read ahead; see `prefetch`.
//!
//! Invariant: as in the crate; the list changes how fast a block is executed, and nothing else. Whether the list is the block's is told beside
//! the output.
//! Bounds: what was executed ahead is dropped with the block.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloy_eip7928::AccountChanges;
use alloy_eips::Encodable2718;
use alloy_primitives::Address;
use alloy_primitives::map::AddressSet;
use interlace_primitives::{ChainSpec, Fork};
use interlace_stf::{
    Block, BlockBuilder, BlockEnv, BlockError, BlockOutput, Checks, Execution, Overlay, StateReader, StateRoots,
    Transaction, Vm, begin, request_of,
};

use crate::ahead::{Idle, Over};
use crate::listed::{ListError, Listed, View, most_items};
use crate::pace::{Pace, Point};
use crate::prefetch::{Prefetch, READERS};
use crate::report::Report;
use crate::slots::{FAILED, FREE, READY, Slots};
use crate::{Executor, Refusal};

/// What following came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Counts.
    pub report: Report,
    /// Whether the list was the block's.
    pub list: Result<(), ListError>,
}

/// A transaction that was executed on the state that the list gives it.
#[derive(Debug)]
struct Done {
    execution: Execution,
    encoded: Vec<u8>,
    /// Whether it did what the list says.
    verdict: Result<(), ListError>,
}

/// What the threads of one block share.
struct Shared<'a, P> {
    listed: &'a Listed<'a>,
    transactions: &'a [(&'a Transaction, Address)],
    slots: Slots<Done>,
    next: AtomicUsize,
    over: AtomicBool,
    pace: &'a P,
}

impl<P: Pace> Shared<'_, P> {
    /// Takes the first transaction that nobody has.
    fn claim_next(&self) -> Option<usize> {
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            if next >= self.slots.len() {
                return None;
            }
            if self.slots.claim(next) {
                return Some(next);
            }
        }
    }

    /// Executes a transaction that was taken.
    fn run<R: StateReader>(&self, transaction: usize, vm: &mut Vm<View<'_, R>>) {
        let taken = self.slots.taken(transaction);
        self.pace.at(Point::Claimed, transaction);
        let (tx, sender) = self.transactions[transaction];
        let number = transaction as u64 + 1;
        vm.overlay().reader().number.set(number);
        let Ok(execution) = vm.perform(&request_of(tx, sender)) else { return };
        let verdict = self.listed.check(number, execution.accesses());
        let done = Done { execution, encoded: tx.encoded_2718(), verdict };
        self.pace.at(Point::Executed, transaction);
        taken.tell(done);
    }

    /// Executes until the block is done, or nothing is left. A machine that panics is given up.
    fn help<R: StateReader>(&self, mut vm: Vm<View<'_, R>>) {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            while !self.over.load(Ordering::Acquire) {
                let Some(transaction) = self.claim_next() else { return };
                self.run(transaction, &mut vm);
            }
        }));
    }
}

impl Executor {
    /// As [`Self::run`], with the block's access list.
    ///
    /// # Errors
    /// As there. That the list is not the block's is none.
    #[allow(clippy::too_many_arguments)]
    pub fn follow<R: StateReader + Sync>(
        &self,
        spec: &ChainSpec,
        block: &Block,
        senders: &[Address],
        state: &R,
        roots: Option<StateRoots<'_, R::Error>>,
        list: &[AccountChanges],
        pace: &impl Pace,
    ) -> Result<(BlockOutput, Followed), BlockError<R::Error>> {
        let header = &block.header;
        let fork = spec.fork_at(header.number, header.timestamp);
        let withdrawals = block.body.withdrawals.as_ref().map_or(0, |list| list.len());
        let limit = most_items(fork, header.gas_limit, withdrawals);
        let listed = if fork < Fork::SpuriousDragon {
            Err(ListError::Fork)
        } else {
            Listed::new(list, block.body.transactions.len(), limit)
        };
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let (output, report) = self.run(spec, block, senders, state, roots, pace)?;
                return Ok((output, Followed { report, list: Err(error) }));
            }
        };
        let mut builder = begin(spec, block, senders, state, roots)?;
        builder.list_accesses();
        let transactions: Vec<(&Transaction, Address)> =
            block.body.transactions.iter().zip(senders.iter().copied()).collect();
        let shared = Shared {
            listed: &listed,
            transactions: &transactions,
            slots: Slots::new(transactions.len()),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            pace,
        };
        let helpers = self.helpers_of(block, state.waits());
        let env = builder.env().clone();
        let mut commit = || match helpers {
            None => shared.commit(&mut builder, state, &env),
            Some(pool) => pool.in_place_scope(|scope| {
                (1..self.threads()).for_each(|_| scope.spawn(|_| shared.help(machine(&env, state, &listed))));
                shared.commit(&mut builder, state, &env)
            }),
        };
        let readers = if state.waits() { self.readers() } else { None };
        let followed = match readers {
            None => commit(),
            Some(pool) => {
                let prefetch = Prefetch::new(&listed);
                pool.in_place_scope(|scope| {
                    (0..READERS).for_each(|_| scope.spawn(|_| prefetch.run(state, &shared.over)));
                    commit()
                })
            }
        };
        let mut followed =
            followed.map_err(|(index, error)| BlockError::at(index, *transactions[index].0.tx_hash(), error))?;
        let last = transactions.len() as u64 + 1;
        let mut output = if helpers.is_some() { builder.finish_on(self)? } else { builder.finish()? };
        if let Some(accesses) = output.accesses.take().filter(|_| followed.list.is_ok()) {
            followed.list = listed.check(last, accesses.under(last).each()).and_then(|()| listed.check_reached());
        }
        if followed.list.is_ok() && followed.report.redone > 0 {
            // What was executed in vain may have reached what the block does not.
            let (again, _) = self.list(spec, block, senders, state, None, pace)?;
            let made = again.accesses.map(|accesses| accesses.list()).unwrap_or_default();
            followed.list = unreached(list, &made);
        }
        Ok((output, followed))
    }
}

/// A machine on the states that a list gives.
fn machine<'a, R: StateReader>(env: &BlockEnv, base: &'a R, listed: &'a Listed<'a>) -> Vm<View<'a, R>> {
    let mut overlay = Overlay::new(View { base, listed, number: Cell::new(0) });
    overlay.apply(listed.codes());
    overlay.tell_accesses();
    Vm::new(env.clone(), Checks::TRANSACTION, overlay)
}

impl<P: Pace> Shared<'_, P> {
    /// Executes all transactions.
    fn commit<R: StateReader>(
        &self,
        builder: &mut BlockBuilder<'_, &R>,
        state: &R,
        env: &BlockEnv,
    ) -> Result<Followed, Refusal<R::Error>> {
        let _over = Over::of(&self.over);
        let before = builder.overlay().accesses().map(|accesses| accesses.under(0));
        let mut list = self.listed.check(0, before.iter().flat_map(|accesses| accesses.each()));
        let (mut report, mut destroyed, mut own) = (Report::default(), AddressSet::default(), None);
        for index in 0..self.slots.len() {
            self.pace.at(Point::Turn, index);
            let (tx, sender) = self.transactions[index];
            let mut idle = Idle::default();
            let done = loop {
                if list.is_err() {
                    self.over.store(true, Ordering::Release);
                    break None;
                }
                match self.slots.state(index) {
                    READY => {
                        let done = self.slots.told(index).filter(|done| {
                            let gone = |address| destroyed.contains(&address);
                            done.verdict.is_ok() && !(reads(&done.execution, gone))
                        });
                        report.redone += u64::from(done.is_none());
                        break done;
                    }
                    FAILED => {
                        report.failed += 1;
                        break None;
                    }
                    FREE if self.slots.claim(index) => break None,
                    // A helper has it: be one.
                    _ => match self.claim_next() {
                        Some(other) => self.run(other, own.get_or_insert_with(|| machine(env, state, self.listed))),
                        None => idle.spin(),
                    },
                }
            };
            let (execution, encoded) = match done {
                Some(done) => {
                    report.adopted += 1;
                    (done.execution, done.encoded)
                }
                None => {
                    let execution = builder.perform(tx, &request_of(tx, sender)).map_err(|error| (index, error))?;
                    report.in_turn += 1;
                    list = list.and_then(|()| self.listed.check(index as u64 + 1, execution.accesses()));
                    (execution, tx.encoded_2718())
                }
            };
            if env.fork < Fork::Cancun {
                destroyed.extend(execution.destroyed());
            }
            builder.push_performed(tx, encoded, execution).map_err(|error| (index, error))?;
        }
        Ok(Followed { report, list })
    }
}

/// The first place that `list` names and `made` does not, where they say the same of all others.
fn unreached(list: &[AccountChanges], made: &[AccountChanges]) -> Result<(), ListError> {
    for account in list {
        let address = account.address;
        let unreached = |what: String| Err(ListError::Unreached { address, what });
        let Ok(place) = made.binary_search_by_key(&address, |made| made.address) else {
            return unreached("the account".to_owned());
        };
        if let Some(slot) = account.storage_reads.iter().find(|slot| !made[place].storage_reads.contains(slot)) {
            return unreached(format!("slot {slot:#x}"));
        }
    }
    Ok(())
}

/// Whether an execution looked at slots of an account that is one of these.
fn reads(execution: &Execution, these: impl Fn(Address) -> bool) -> bool {
    execution.accesses().any(|access| !access.slots.is_empty() && these(access.address))
}
