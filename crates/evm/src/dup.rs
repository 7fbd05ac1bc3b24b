//! DUP1 to DUP16 that call a stack too low by its name.
//!
//! Invariant: they differ from revm's in the reason of a failure alone: revm reports an overflow for both, the
//! specification and geth tell them apart, and traces show it.
//! Source: execution-specs, `vm/instructions/stack.py` (`dup_n`).

use revm::bytecode::opcode::DUP1;
use revm::context_interface::Host;
use revm::handler::instructions::{EthInstructions, InstructionProvider};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::{Instruction, InstructionContext, InstructionExecResult, InstructionResult};

/// Puts them in the place of revm's.
pub(crate) fn install<H: Host>(table: &mut EthInstructions<EthInterpreter, H>) {
    let instructions: [Instruction<EthInterpreter, H>; 16] = [
        Instruction::new(dup::<1, H>),
        Instruction::new(dup::<2, H>),
        Instruction::new(dup::<3, H>),
        Instruction::new(dup::<4, H>),
        Instruction::new(dup::<5, H>),
        Instruction::new(dup::<6, H>),
        Instruction::new(dup::<7, H>),
        Instruction::new(dup::<8, H>),
        Instruction::new(dup::<9, H>),
        Instruction::new(dup::<10, H>),
        Instruction::new(dup::<11, H>),
        Instruction::new(dup::<12, H>),
        Instruction::new(dup::<13, H>),
        Instruction::new(dup::<14, H>),
        Instruction::new(dup::<15, H>),
        Instruction::new(dup::<16, H>),
    ];
    for (opcode, instruction) in (DUP1..).zip(instructions) {
        let gas = table.gas_table()[usize::from(opcode)];
        table.insert_instruction(opcode, instruction, gas);
    }
}

fn dup<const N: usize, H: Host + ?Sized>(context: InstructionContext<'_, H, EthInterpreter>) -> InstructionExecResult {
    let stack = &mut context.interpreter.stack;
    if stack.dup(N) {
        return Ok(());
    }
    Err(if stack.len() < N { InstructionResult::StackUnderflow } else { InstructionResult::StackOverflow })
}
