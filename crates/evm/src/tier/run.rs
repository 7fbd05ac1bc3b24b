//! Executes translated code on revm's interpreter: cells where they can, revm's instructions where they cannot.

use alloy_primitives::U256;
use revm::bytecode::opcode::KECCAK256;
use revm::interpreter::instructions::{GasTable, InstructionTable};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::{Jumps, LoopControl};
use revm::interpreter::{Host, InstructionContext, InstructionResult, Interpreter, InterpreterAction};

use super::cells::Analysed;
use super::hashes::{LENGTH, hash_of};
use super::steps::{Place, STACK, Way, execute};

/// Gas that cells must be good for between two exits from them, each of which takes some forty nanoseconds.
const EXIT_GAS: u64 = 24;
/// What a hash that is remembered is good for.
const HASH_GAS: u64 = 400;
/// By how much a frame's exits may fall short of that before the interpreter executes the rest of it.
const CREDIT_GAS: u64 = 1_024;

/// Executes from where the interpreter is until there is something to do for whoever called. `code` is made of the interpreter's code.
pub(crate) fn run<H: Host>(
    interpreter: &mut Interpreter<EthInterpreter>,
    table: &InstructionTable<EthInterpreter, H>,
    gas_table: &GasTable,
    host: &mut H,
    code: &Analysed,
) -> InterpreterAction {
    // Not a byte more or less than was translated, and a buffer as sections take it for granted.
    let fits = code.entries.len() == interpreter.bytecode.bytes_ref().len() + 1
        && interpreter.stack.data().capacity() >= STACK;
    let Some(first) = code.entry(interpreter.bytecode.pc()).filter(|_| fits) else {
        return interpreter.run_plain(table, gas_table, host);
    };
    let mut place = place_of(interpreter, first);
    let (mut credit, mut held) = (CREDIT_GAS, 0);
    loop {
        let before = place.gas;
        // SAFETY: `code` was made by `analyse` and `first` is one of its entries; after that `at` is where the loop was left, and what revm executed
        // there left the stack as the section expects it. Stack and memory are those of the interpreter, read after it executed last.
        let way = unsafe { execute(&mut place, code) };
        credit = (credit + before.saturating_sub(place.gas).min(CREDIT_GAS)).min(CREDIT_GAS).saturating_sub(EXIT_GAS);
        place.gas += std::mem::take(&mut held);
        // SAFETY: so many values are there; the loop stays within the buffer.
        unsafe { interpreter.stack.data_mut().set_len(place.sp.offset_from_unsigned(place.base)) };
        interpreter.gas.tracker_mut().set_remaining(place.gas);
        let done = match way {
            Way::Exact(KECCAK256, _) if known(interpreter, gas_table, host).is_some() => {
                credit = (credit + HASH_GAS).min(CREDIT_GAS);
                Ok(())
            }
            Way::Exact(_, pc) => {
                interpreter.bytecode.absolute_jump(pc as usize);
                interpreter.step(table, gas_table, host)
            }
            Way::Via(opcode, pc) => {
                interpreter.bytecode.absolute_jump(pc as usize + 1);
                table[usize::from(opcode)]
                    .execute(InstructionContext { interpreter: &mut *interpreter, host: &mut *host })
            }
            Way::Grow(exit) => {
                let exit = code.exits[exit as usize];
                let (with, rest) = (place.gas + u64::from(exit.gas), u64::from(exit.gas - exit.own));
                interpreter.gas.tracker_mut().set_remaining(with);
                interpreter.bytecode.absolute_jump(exit.pc as usize);
                let done = interpreter.step(table, gas_table, host);
                if done.is_ok() {
                    let Some(left) = interpreter.gas.remaining().checked_sub(rest) else {
                        return interpreter.run_plain(table, gas_table, host);
                    };
                    interpreter.gas.tracker_mut().set_remaining(left);
                }
                done
            }
            Way::Refused(pc) => {
                interpreter.bytecode.absolute_jump(pc as usize);
                return interpreter.run_plain(table, gas_table, host);
            }
            Way::BadJump => Err(InstructionResult::InvalidJump),
        };
        if let Err(error) = done {
            if interpreter.bytecode.action().is_none() {
                interpreter.halt(error);
            }
            return interpreter.take_next_action();
        }
        place = place_of(interpreter, place.at);
        if credit == 0 {
            // Cells are of no use here. What is paid for is executed; without gas the next section is refused, and the interpreter takes over there.
            held = std::mem::take(&mut place.gas);
        }
    }
}

/// Executes KECCAK256 of 64 bytes that are in memory, gas included, if there is enough of it; else changes nothing.
fn known<H: Host>(interpreter: &mut Interpreter<EthInterpreter>, gas_table: &GasTable, host: &H) -> Option<()> {
    let [.., length, offset] = interpreter.stack.data().as_slice() else { return None };
    let offset = usize::try_from(*offset).ok().filter(|_| *length == U256::from(LENGTH))?;
    let cost = u64::from(gas_table[usize::from(KECCAK256)]) + host.gas_params().keccak256_cost(LENGTH);
    let left = interpreter.gas.remaining().checked_sub(cost)?;
    let hash = {
        let memory = interpreter.memory.context_memory();
        hash_of(memory.get(offset..)?.first_chunk()?)
    };
    let stack = interpreter.stack.data_mut();
    stack.pop();
    *stack.last_mut()? = hash;
    interpreter.gas.tracker_mut().set_remaining(left);
    Some(())
}

fn place_of(interpreter: &mut Interpreter<EthInterpreter>, at: usize) -> Place {
    let (memory, memory_len) = {
        let mut memory = interpreter.memory.context_memory_mut();
        (memory.as_mut_ptr(), memory.len())
    };
    let height = interpreter.stack.len();
    let base = interpreter.stack.data_mut().as_mut_ptr();
    // SAFETY: so many values are there.
    let sp = unsafe { base.add(height) };
    Place { at, base, sp, gas: interpreter.gas.remaining(), memory, memory_len }
}
