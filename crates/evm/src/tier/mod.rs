//! Code that is executed often, translated once into cells: immediates decoded, static jumps resolved, and one check of gas and stack for a run of
//! instructions.
//!
//! ```text
//!   bytes ──► analyse ──► cells ──► run ──► what revm's interpreter would have done
//! ```
//! What needs more than the stack, or whose gas depends on anything, is left to revm's instruction. Where the check of a section fails, revm's interpreter
//! goes on from the section's first byte, so that what comes out, in which order it fails, and what is read before is the same.
//!
//! Invariant: gas, output, logs, state and the reason of a halt are those of revm's interpreter.
//! What it does not do: init code, traced and interruptible machines.

mod analyse;
mod cache;
mod cells;
mod hashes;
mod run;
mod steps;

use interlace_primitives::Fork;
use revm::handler::{EvmTr, FrameData, FrameResult, ItemOrResult};
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::interpreter_types::Jumps;

pub(crate) use cache::{Called, Known, TierCache};
pub use cache::{CodeStats, MAX_CELL_BYTES, MAX_TRANSLATED_CODE};
pub(crate) use cells::Analysed;

use crate::reader::StateReader;
use crate::vm::{Inner, InnerError};

/// revm's loop over frames, with cells for those whose code was translated.
pub(crate) fn frames<R: StateReader>(
    evm: &mut Inner<R>,
    fork: Fork,
    first: FrameInit,
) -> Result<FrameResult, InnerError<R>> {
    if let ItemOrResult::Result(result) = evm.frame_init(first)? {
        return Ok(result);
    }
    loop {
        let frame = evm.frame_stack.get();
        let (table, gas) = (evm.instruction.instruction_table(), evm.instruction.gas_table());
        let interpreter = &mut frame.interpreter;
        let overlay = &mut evm.ctx.journaled_state.database.0;
        // Init code runs once.
        let hash = if matches!(frame.data, FrameData::Create(_)) { None } else { interpreter.bytecode.hash() };
        let (code, begins) = (&interpreter.bytecode, interpreter.bytecode.pc() == 0);
        let cells = hash.and_then(|hash| overlay.translated(Called { hash, fork, code, gas, begins }));
        let action = match cells {
            Some(cells) => run::run(interpreter, table, gas, &mut evm.ctx, &cells),
            None => interpreter.run_plain(table, gas, &mut evm.ctx),
        };
        let next = frame.process_next_action::<_, InnerError<R>>(&mut evm.ctx, action)?;
        if next.is_result() {
            frame.set_finished(true);
        }
        let result = match next {
            ItemOrResult::Item(init) => match evm.frame_init(init)? {
                ItemOrResult::Item(_) => continue,
                ItemOrResult::Result(result) => result,
            },
            ItemOrResult::Result(result) => result,
        };
        if let Some(result) = evm.frame_return_result(result)? {
            return Ok(result);
        }
    }
}
