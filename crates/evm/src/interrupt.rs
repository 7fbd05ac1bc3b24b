//! Ending an execution from outside, for example when its time is up.
//!
//! Invariant: an execution that is interrupted ends with [`EvmError::Interrupted`](crate::EvmError::Interrupted) and changes nothing, and
//! one that is not runs exactly as it would without: the same results and the same gas.
//! How: code without an end jumps or calls, so a machine that can be interrupted has its own JUMP, JUMPI and calls, which ask once in
//! [`PATIENCE`] times. Any other machine keeps revm's table, so that blocks pay nothing.
//! What it does not do: between two jumps it waits; gas bounds what a straight line of code, or one precompile, can take.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::fmt;

use revm::bytecode::opcode::{CALL, CALLCODE, DELEGATECALL, JUMP, JUMPI, STATICCALL};
use revm::context_interface::context::ContextError;
use revm::handler::MainnetContext;
use revm::handler::instructions::{EthInstructions, InstructionProvider};
use revm::interpreter::instructions::{contract, control};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{Instruction, InstructionContext, InstructionExecResult, InstructionResult};

use crate::overlay::Db;
use crate::reader::StateReader;

/// Jumps and calls between two questions; some tens of microseconds.
const PATIENCE: u32 = 1 << 10;
/// How the end travels through revm, which knows no such error.
pub(crate) const MARK: &str = "interlace: interrupted";

/// Says when an execution shall end.
#[derive(Clone)]
pub struct Interrupt {
    due: Arc<dyn Fn() -> bool + Send + Sync>,
    left: u32,
}

impl Interrupt {
    /// Ends an execution soon after `due` first answers true.
    #[must_use]
    pub fn when(due: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { due: Arc::new(due), left: PATIENCE }
    }

    fn is_due(&mut self) -> bool {
        self.left -= 1;
        if self.left > 0 {
            return false;
        }
        self.left = PATIENCE;
        (self.due)()
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").finish_non_exhaustive()
    }
}

impl PartialEq for Interrupt {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.due, &other.due)
    }
}

impl Eq for Interrupt {}

type Ctx<R> = MainnetContext<Db<R>>;
type Asked<'a, R> = InstructionContext<'a, Ctx<R>, EthInterpreter>;

/// Puts the asking instructions in the place of revm's.
pub(crate) fn install<R: StateReader>(table: &mut EthInstructions<EthInterpreter, Ctx<R>>) {
    let instructions: [(u8, Instruction<EthInterpreter, Ctx<R>>); 6] = [
        (JUMP, Instruction::new(jump)),
        (JUMPI, Instruction::new(jumpi)),
        (CALL, Instruction::new(call::<CALL, R>)),
        (CALLCODE, Instruction::new(call::<CALLCODE, R>)),
        (DELEGATECALL, Instruction::new(call::<DELEGATECALL, R>)),
        (STATICCALL, Instruction::new(call::<STATICCALL, R>)),
    ];
    for (opcode, instruction) in instructions {
        let gas = table.gas_table()[usize::from(opcode)];
        table.insert_instruction(opcode, instruction, gas);
    }
}

#[inline]
fn ask<R: StateReader>(host: &mut Ctx<R>) -> InstructionExecResult {
    let Some(interrupt) = &mut host.journaled_state.database.0.interrupt else { return Ok(()) };
    if !interrupt.is_due() {
        return Ok(());
    }
    host.error = Err(ContextError::Custom(MARK.to_string()));
    Err(InstructionResult::FatalExternalError)
}

fn jump<R: StateReader>(context: Asked<'_, R>) -> InstructionExecResult {
    ask(context.host)?;
    control::jump(context)
}

fn jumpi<R: StateReader>(context: Asked<'_, R>) -> InstructionExecResult {
    ask(context.host)?;
    control::jumpi(context)
}

fn call<const KIND: u8, R: StateReader>(context: Asked<'_, R>) -> InstructionExecResult {
    ask(context.host)?;
    contract::call::<KIND, _, _>(context)
}
