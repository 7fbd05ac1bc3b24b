//! Executing a transaction ahead of its turn, on a state that may change before its turn comes.
//!
//! ```text
//!   speculate (any machine) ──► what it did, and what it read ──► adopt (when its turn has come) ──► taken over, or not
//! ```
//! [`Vm::speculate`] keeps nothing. [`Vm::adopt`] compares what was read with the state as it is then, and takes the result over if executing
//! the transaction would give the same. Three things may differ and still do:
//!
//! - *A balance that nothing looked at.* Transfers add to it and take from it whatever it is, so what was added or taken is added or taken now.
//!   BALANCE, SELFBALANCE, SELFDESTRUCT, and whatever sends value from a contract look. The sender's must cover what the transaction can cost.
//! - *A nonce that nothing looked at*: only creations and authorisations look at those of others. The sender's is expected to be the
//!   transaction's when its turn comes, so that the transactions of one sender need not wait for each other.
//! - *A slot to which something was added*, and nothing else was done with its value; see [`crate::sums`].
//!
//! The beneficiary, which every transaction pays, is paid when the result is taken over, unless the transaction itself reached it.
//!
//! Invariant: after an adoption the overlay is what [`Vm::execute`] would have made of it, and the outcome is the one it would have given.
//! What it does not do: it knows no order of transactions and no threads; see `interlace-executor`.

use alloc::vec::Vec;
use core::cell::Cell;
use core::marker::PhantomData;

use alloy_primitives::{Address, Bloom, U256, logs_bloom};
use interlace_primitives::Fork;
use revm::ExecuteEvm;
use revm::bytecode::opcode::{BALANCE, CALL, CALLCODE, CREATE, CREATE2, SELFBALANCE, SELFDESTRUCT};
use revm::context::result::HaltReason;
use revm::context::{Block, Transaction};
use revm::handler::instructions::{EthInstructions, InstructionProvider};
use revm::handler::{FrameResult, Handler, MainnetContext, post_execution};
use revm::interpreter::instructions::{contract, host};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::InputsTr;
use revm::interpreter::{Instruction, InstructionContext, InstructionExecResult};
use revm::primitives::hardfork::SpecId;

use crate::access::Accesses;
use crate::error::EvmError;
use crate::outcome::{CONSOLE_ADDRESS, TxOutcome};
use crate::overlay::{Db, Overlay};
use crate::reader::{Account, StateReader};
use crate::request::TxRequest;
use crate::sums::{self, Pending, Sums, of_slot};
use crate::vm::{Inner, InnerError, Vm, outcome};
use crate::writes::Writes;

/// Of an execution that saw a balance from here on, and of accounts that have come to have one since, balances are compared as if they were looked
/// at: what is sent to such an account may not arrive, because the sum overflows, and arrive when it has less. Sums of smaller ones never overflow.
const HUGE_WEI: U256 = U256::from_limbs([0, 0, 0, 1 << 32]);

/// What an execution read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadLog {
    /// The sender, and the nonce that it is expected to have.
    sender: Address,
    nonce: u64,
    accounts: Vec<Seen>,
    pub(crate) slots: Vec<(Address, U256, U256)>,
    /// Those to which something was added and nothing else was done with them, and one of which that may become known.
    pub(crate) sums: Sums,
    pub(crate) pending: Option<Pending>,
    /// Accounts whose balance something looked at.
    balances: Vec<Address>,
    /// Whether something may have looked at the nonce of any account.
    nonces: bool,
}

/// An account as an execution saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) address: Address,
    /// As the state had it.
    read: Option<Account>,
    /// As the execution was told.
    told: Option<Account>,
    pub(crate) balance: bool,
    pub(crate) nonce: bool,
}

impl ReadLog {
    pub(crate) fn account(&mut self, address: Address, read: Option<Account>) -> Option<Account> {
        let expected = |account: Account| Account { nonce: account.nonce.max(self.nonce), ..account };
        let told = if address == self.sender { read.map(expected) } else { read };
        self.accounts.push(Seen { address, read, told, balance: false, nonce: address == self.sender });
        told
    }

    pub(crate) fn slot(&mut self, address: Address, slot: U256, value: U256) {
        self.slots.push((address, slot, value));
    }

    /// What was read, each account with what was looked at of it.
    fn finish(mut self) -> (Vec<Seen>, Vec<(Address, U256, U256)>, Sums) {
        self.balances.sort_unstable();
        let huge = self.accounts.iter().any(|seen| seen.read.is_some_and(|account| account.balance >= HUGE_WEI));
        for seen in &mut self.accounts {
            seen.balance = huge || self.balances.binary_search(&seen.address).is_ok();
            seen.nonce |= self.nonces;
        }
        (self.accounts, self.slots, self.sums)
    }
}

impl Seen {
    /// Whether an execution that is told of `now` instead of what it was told does the same.
    fn allows(&self, now: Option<Account>) -> bool {
        let (Some(told), Some(now)) = (self.told, now) else { return self.told == now };
        told.code_hash == now.code_hash
            && told.is_empty() == now.is_empty()
            && (told.nonce == now.nonce || !self.nonce)
            && (told.balance == now.balance || !(self.balance || now.balance >= HUGE_WEI))
    }
}

/// What a transaction did that was executed ahead of its turn.
#[derive(Clone, Debug)]
pub struct Speculation {
    outcome: TxOutcome,
    logs_bloom: Bloom,
    pub(crate) writes: Writes,
    pub(crate) accounts: Vec<Seen>,
    pub(crate) slots: Vec<(Address, U256, U256)>,
    sums: Sums,
    pub(crate) sender: Address,
    /// What the sender must have.
    cost_wei: U256,
    /// What the beneficiary is owed, if that is not among the writes.
    reward: Option<Reward>,
}

#[derive(Clone, Copy, Debug)]
struct Reward {
    beneficiary: Address,
    wei: U256,
    clears_empty: bool,
}

/// What one transaction did to the state, for machines that follow another.
#[derive(Clone, Debug, Default)]
pub struct Step {
    writes: Writes,
    reward: Option<Reward>,
}

/// A transaction that was executed ahead and taken over.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// How it ended.
    pub outcome: TxOutcome,
    /// The bloom of its logs.
    pub logs_bloom: Bloom,
    /// What it did to the state.
    pub step: Step,
}

/// Why what was executed ahead is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It read what has changed since.
    Depends,
    /// It added to a slot that was empty and is not any more, or the reverse: the next one may fit.
    WasEmpty,
}

impl Speculation {
    /// Whether the account whose state is `now` lets the sender send it.
    fn affordable(&self, seen: &Seen, now: Option<Account>) -> bool {
        seen.address != self.sender || now.is_some_and(|account| account.balance >= self.cost_wei)
    }
}

/// The account that an execution on `now` leaves, where the one on `told` left `after`.
fn moved(told: Account, after: Account, now: Account) -> Option<Account> {
    let balance = if after.balance >= told.balance {
        now.balance.checked_add(after.balance - told.balance)?
    } else {
        now.balance.checked_sub(told.balance - after.balance)?
    };
    let nonce = if after.nonce == told.nonce { now.nonce } else { after.nonce };
    Some(Account { balance, nonce, code_hash: after.code_hash })
}

impl<R: StateReader> Overlay<R> {
    /// Makes `ahead` what executing its transaction on the state as it is now would be; if that would differ in more than balances, nonces and
    /// sums, `ahead` is of no use any more.
    ///
    /// What was not laid over the reader is as it was seen: whoever executed ahead read the same reader, under a part of what is laid here.
    fn fit(&self, ahead: &mut Speculation) -> Result<(), Misfit> {
        for seen in &ahead.accounts {
            let now = self.laid(&seen.address).map_or(seen.read, |laid| laid.info);
            if now == seen.told {
                continue;
            }
            if !seen.allows(now) || !ahead.affordable(seen, now) {
                return Err(Misfit::Depends);
            }
            let after = ahead.writes.accounts.iter_mut().find(|written| written.address == seen.address);
            if let Some(written) = after
                && let (Some(told), Some(after), Some(now)) = (seen.told, written.info, now)
            {
                let Some(moved) = moved(told, after, now) else { return Err(Misfit::Depends) };
                written.info = Some(moved);
            }
        }
        let mut moved = Vec::new();
        for (number, (address, slot, told)) in ahead.slots.iter().enumerate() {
            let now = self.laid(address).and_then(|laid| laid.slot(slot)).filter(|now| now != told);
            let Some(now) = now else { continue };
            let sum = of_slot(&ahead.sums, number).ok_or(Misfit::Depends)?;
            let after = sum.allows(*told, now).ok_or(Misfit::WasEmpty)?;
            ahead.writes.resum(*address, *slot, after);
            moved.push((*address, *slot));
        }
        if let Some(mut accesses) = ahead.writes.accesses.take() {
            accesses.resum(&ahead.writes, &moved);
            ahead.writes.accesses = Some(accesses);
        }
        Ok(())
    }

    fn take(&mut self, step: &mut Step) -> Result<(), R::Error> {
        self.keep(&mut step.writes);
        self.pay(step.reward)
    }

    fn pay(&mut self, reward: Option<Reward>) -> Result<(), R::Error> {
        let Some(Reward { beneficiary, wei, clears_empty }) = reward else { return Ok(()) };
        let before = self.account(beneficiary)?;
        let account = before.unwrap_or_default();
        let after = Account { balance: account.balance.checked_add(wei).unwrap_or(account.balance), ..account };
        self.reached(|| Some(Accesses::one(beneficiary, before, Some(after))));
        if clears_empty && after.is_empty() {
            if before.is_some() {
                self.set_account(beneficiary, None);
            }
        } else if after != account {
            self.set_account(beneficiary, Some(after));
        }
        Ok(())
    }
}

impl<R: StateReader> Vm<R> {
    /// Lets this machine execute ahead. It then tells looks at balances from others, which costs a little; it is not one that can be
    /// interrupted, whose calls are watched too.
    pub fn speculative(&mut self) {
        install(&mut self.inner.instruction);
        // Constantinople has an SSTORE of its own, which stays.
        if self.env().fork != Fork::Constantinople {
            sums::install(&mut self.inner.instruction);
        }
    }

    /// Executes `tx` on the state as it is now without keeping anything, as if its sender's nonce were the transaction's. The machine must be
    /// [`Self::speculative`].
    ///
    /// # Errors
    /// As [`Vm::transact`]; that `tx` is not valid here and now says nothing about its turn.
    pub fn speculate(&mut self, tx: &TxRequest) -> Result<Speculation, EvmError<R::Error>> {
        self.check(tx)?;
        let nonces = tx.to.is_create() || !tx.authorizations.is_empty();
        let log = ReadLog { sender: tx.from, nonce: tx.nonce, nonces, ..ReadLog::default() };
        self.overlay_mut().log = Some(log);
        let mut handler = LazyHandler { fork: self.env().fork, owed: Cell::new(None), reader: PhantomData };
        let result = self.exempting(tx, |inner| {
            inner.ctx.tx = tx.to_revm();
            handler.run(inner)
        });
        let state = self.inner.finalize();
        let log = self.overlay_mut().log.take().unwrap_or_default();
        let result = result.map_err(|error| self.explain(error, tx))?;
        let (accounts, slots, sums) = log.finish();
        let clears_empty = self.clears_empty();
        let reward = handler.owed.get().map(|(beneficiary, wei)| Reward { beneficiary, wei, clears_empty });
        let outcome = TxOutcome { console: state.contains_key(&CONSOLE_ADDRESS), ..outcome(result) };
        Ok(Speculation {
            logs_bloom: logs_bloom(&outcome.logs),
            outcome,
            writes: self.writes_of(state),
            accounts,
            slots,
            sums,
            sender: tx.from,
            cost_wei: tx.greatest_cost_wei().unwrap_or(U256::MAX),
            reward,
        })
    }

    /// Takes over what was executed ahead, if executing its transaction now would give the same; if not, nothing is changed.
    ///
    /// # Errors
    /// The reader's.
    pub fn adopt(&mut self, mut ahead: Speculation) -> Result<Result<Adopted, Misfit>, EvmError<R::Error>> {
        let overlay = self.overlay_mut();
        if let Err(misfit) = overlay.fit(&mut ahead) {
            return Ok(Err(misfit));
        }
        let mut step = Step { writes: ahead.writes, reward: ahead.reward };
        if let Some(mut accesses) = step.writes.accesses.take() {
            accesses.rebalance(&step.writes);
            step.writes.accesses = Some(accesses);
        }
        overlay.take(&mut step).map_err(EvmError::State)?;
        Ok(Ok(Adopted { outcome: ahead.outcome, logs_bloom: ahead.logs_bloom, step }))
    }

    /// As [`Vm::execute`], and tells others what it did.
    ///
    /// # Errors
    /// As [`Vm::transact`].
    pub fn step(&mut self, tx: &TxRequest) -> Result<(TxOutcome, Step), EvmError<R::Error>> {
        let (outcome, mut writes) = self.written(tx)?;
        self.overlay_mut().keep(&mut writes);
        Ok((outcome, Step { writes, reward: None }))
    }

    /// Does what another machine did.
    ///
    /// # Errors
    /// The reader's.
    pub fn follow(&mut self, step: &Step) -> Result<(), EvmError<R::Error>> {
        let overlay = self.overlay_mut();
        overlay.write(&step.writes);
        overlay.pay(step.reward).map_err(EvmError::State)
    }
}

/// Leaves the beneficiary's reward to who adopts, unless the execution reached the beneficiary.
struct LazyHandler<R> {
    #[cfg_attr(not(feature = "std"), allow(dead_code))]
    fork: Fork,
    owed: Cell<Option<(Address, U256)>>,
    reader: PhantomData<R>,
}

impl<R: StateReader> Handler for LazyHandler<R> {
    type Evm = Inner<R>;
    type Error = InnerError<R>;
    type HaltReason = HaltReason;

    #[cfg(feature = "std")]
    fn run_exec_loop(
        &mut self,
        evm: &mut Self::Evm,
        first: revm::interpreter::interpreter_action::FrameInit,
    ) -> Result<FrameResult, Self::Error> {
        crate::tier::frames(evm, self.fork, first)
    }

    fn reward_beneficiary(&self, evm: &mut Self::Evm, result: &mut FrameResult) -> Result<(), Self::Error> {
        let ctx = &mut evm.ctx;
        let beneficiary = ctx.block.beneficiary();
        if ctx.journaled_state.state.contains_key(&beneficiary) {
            return Ok(post_execution::reward_beneficiary(ctx, result.gas())?);
        }
        let base_fee = u128::from(ctx.block.basefee());
        let price = ctx.tx.effective_gas_price(base_fee);
        let tip = if ctx.cfg.spec >= SpecId::LONDON { price.saturating_sub(base_fee) } else { price };
        self.owed.set(Some((beneficiary, U256::from(tip) * U256::from(result.gas().used()))));
        Ok(())
    }
}

pub(crate) type Ctx<R> = MainnetContext<Db<R>>;
pub(crate) type Asked<'a, R> = InstructionContext<'a, Ctx<R>, EthInterpreter>;

/// Puts instructions that tell of looks in the place of revm's.
fn install<R: StateReader>(table: &mut EthInstructions<EthInterpreter, Ctx<R>>) {
    let instructions: [(u8, Instruction<EthInterpreter, Ctx<R>>); 7] = [
        (BALANCE, Instruction::new(balance)),
        (SELFBALANCE, Instruction::new(selfbalance)),
        (SELFDESTRUCT, Instruction::new(selfdestruct)),
        (CALL, Instruction::new(call::<CALL, R>)),
        (CALLCODE, Instruction::new(call::<CALLCODE, R>)),
        (CREATE, Instruction::new(create::<false, R>)),
        (CREATE2, Instruction::new(create::<true, R>)),
    ];
    for (opcode, instruction) in instructions {
        let gas = table.gas_table()[usize::from(opcode)];
        table.insert_instruction(opcode, instruction, gas);
    }
}

impl<'a> ReadLog {
    pub(crate) fn of<R: StateReader>(context: &'a mut Asked<'_, R>) -> Option<&'a mut Self> {
        context.host.journaled_state.database.0.log.as_mut()
    }

    fn looks(&mut self, address: Address) {
        if self.balances.last() != Some(&address) {
            self.balances.push(address);
        }
    }
}

/// Tells of a look at the balance of the contract that is executing, if it sends the value that lies `depth` deep on the stack.
fn sends<R: StateReader>(context: &mut Asked<'_, R>, depth: usize) {
    let sends = context.interpreter.stack.peek(depth).is_ok_and(|value| !value.is_zero());
    let own = context.interpreter.input.target_address();
    ReadLog::of(context).filter(|_| sends).into_iter().for_each(|log| log.looks(own));
}

fn looks_at_own<R: StateReader>(context: &mut Asked<'_, R>) {
    let own = context.interpreter.input.target_address();
    ReadLog::of(context).into_iter().for_each(|log| log.looks(own));
}

fn balance<R: StateReader>(mut context: Asked<'_, R>) -> InstructionExecResult {
    if let Ok(word) = context.interpreter.stack.peek(0) {
        let address = Address::from_word(word.into());
        ReadLog::of(&mut context).into_iter().for_each(|log| log.looks(address));
    }
    host::balance(context)
}

fn selfbalance<R: StateReader>(mut context: Asked<'_, R>) -> InstructionExecResult {
    looks_at_own(&mut context);
    host::selfbalance(context)
}

fn selfdestruct<R: StateReader>(mut context: Asked<'_, R>) -> InstructionExecResult {
    looks_at_own(&mut context);
    host::selfdestruct(context)
}

fn call<const KIND: u8, R: StateReader>(mut context: Asked<'_, R>) -> InstructionExecResult {
    sends(&mut context, 2);
    contract::call::<KIND, _, _>(context)
}

fn create<const IS_CREATE2: bool, R: StateReader>(mut context: Asked<'_, R>) -> InstructionExecResult {
    sends(&mut context, 0);
    ReadLog::of(&mut context).into_iter().for_each(|log| log.nonces = true);
    contract::create::<IS_CREATE2, _, _>(context)
}
