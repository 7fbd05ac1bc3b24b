//! Slots of which an execution only used that something is added to them, or taken from them.
//!
//! ```text
//!   SLOAD ──► ADD, SUB of something else ──► SSTORE of the same slot          nothing else sees the value in between
//! ```
//! Two such executions may be done in either order, as two payments to an account may: what counts is the difference. A token's transfers to one
//! account need not wait for each other then. Where a value goes from an SLOAD is found in the bytes behind it, up to the first jump.
//!
//! Invariant: an execution that finds another value in such a slot does the same, and leaves what it leaves plus the difference of what it found,
//! as long as [`Sum::allows`] it: gas of SSTORE depends on which values are zero.
//! What it does not do: it does not follow a value through a jump, so sums that are compared (a checked addition, what is taken from a balance)
//! are not found.

use alloc::vec::Vec;

use alloy_primitives::{Address, U256};
use revm::bytecode::opcode::{
    ADD, CALL, CREATE, DUP1, DUP16, JUMP, JUMPDEST, JUMPI, LOG4, OPCODE_INFO, POP, SLOAD, SSTORE, SUB, SWAP1, SWAP16,
};
use revm::handler::instructions::EthInstructions;
use revm::interpreter::instructions::host;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::{InputsTr, Jumps};
use revm::interpreter::{Instruction, InstructionExecResult};

use crate::reader::StateReader;
use crate::speculate::{Asked, Ctx, ReadLog};

/// Instructions that are looked at behind an SLOAD.
const MAX_STEPS: usize = 64;

/// A slot to which something was added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    /// Its number among the slots that were read.
    pub(crate) slot: usize,
    /// What was added, modulo 2^256; not zero.
    pub(crate) added: U256,
}

impl Sum {
    /// What an execution leaves that finds `now` where another found `told`, if both do the same.
    pub(crate) fn allows(&self, told: U256, now: U256) -> Option<U256> {
        let (before, after) = (told.wrapping_add(self.added), now.wrapping_add(self.added));
        let same = told.is_zero() == now.is_zero() && !before.is_zero() && !after.is_zero();
        same.then_some(after)
    }
}

/// A value that was read, and that the next SSTORE at the byte `to` is to store with something added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    slot: usize,
    to: usize,
}

/// Where a value that an SLOAD has just put on the stack is stored with something added; none if anything else comes of it. `code` goes on at `at`.
fn stored(code: &[u8], mut at: usize) -> Option<usize> {
    // Which values on the stack are of the sum, the top in the lowest bit.
    let mut sums = 1_u64;
    let mut found = None;
    for _ in 0..MAX_STEPS {
        let opcode = *code.get(at)?;
        let of_sum = |depth: u32| sums >> depth & 1;
        sums = match opcode {
            // Straight on only, and nothing that another contract could see.
            JUMP | JUMPI | JUMPDEST | CREATE..=CALL => return None,
            ADD if of_sum(0) & of_sum(1) == 0 => pushed(sums >> 2, of_sum(0) | of_sum(1))?,
            SUB if of_sum(1) == 0 => pushed(sums >> 2, of_sum(0))?,
            POP => sums >> 1,
            DUP1..=DUP16 => pushed(sums, of_sum(u32::from(opcode - DUP1)))?,
            SWAP1..=SWAP16 => {
                let depth = u32::from(opcode - SWAP1) + 1;
                let differ = of_sum(0) ^ of_sum(depth);
                sums ^ (differ | differ << depth)
            }
            SSTORE if of_sum(1) == 1 && of_sum(0) == 0 && found.is_none() => {
                found = Some(at);
                sums >> 2
            }
            _ => {
                let info = OPCODE_INFO[usize::from(opcode)].filter(|info| opcode <= LOG4 && !info.is_terminating())?;
                if sums & ((1 << info.inputs()) - 1) != 0 {
                    return None;
                }
                at += usize::from(info.immediate_size());
                (0..info.outputs()).try_fold(sums >> info.inputs(), |sums, _| pushed(sums, 0))?
            }
        };
        at += 1;
        if sums == 0 {
            return found;
        }
    }
    None
}

/// A value more on the stack; none if one of the sum would be lost sight of.
const fn pushed(sums: u64, of_sum: u64) -> Option<u64> {
    if sums >> 63 == 1 { None } else { Some(sums << 1 | of_sum) }
}

/// Puts instructions that tell of sums in the place of revm's.
pub(crate) fn install<R: StateReader>(table: &mut EthInstructions<EthInterpreter, Ctx<R>>) {
    let instructions: [(u8, Instruction<EthInterpreter, Ctx<R>>); 2] =
        [(SLOAD, Instruction::new(sload)), (SSTORE, Instruction::new(sstore))];
    for (opcode, instruction) in instructions {
        let gas = table.gas_table()[usize::from(opcode)];
        table.insert_instruction(opcode, instruction, gas);
    }
}

impl ReadLog {
    /// Whatever may have been a sum in this slot is compared as any other.
    fn looked(&mut self, address: Address, slot: U256) {
        let slots = &self.slots;
        let here = |number: usize| slots.get(number).is_some_and(|(at, key, _)| (*at, *key) == (address, slot));
        self.sums.retain(|sum| !here(sum.slot));
        self.pending = self.pending.filter(|pending| !here(pending.slot));
    }
}

fn sload<R: StateReader>(mut context: Asked<'_, R>) -> InstructionExecResult {
    let Ok(slot) = context.interpreter.stack.peek(0) else { return host::sload(context) };
    let address = context.interpreter.input.target_address();
    let Some(log) = ReadLog::of(&mut context) else { return host::sload(context) };
    let known = log.slots.len();
    let to = stored(context.interpreter.bytecode.bytes_ref(), context.interpreter.bytecode.pc());
    let Asked { interpreter, host } = context;
    host::sload(Asked { interpreter, host: &mut *host })?;
    let Some(log) = host.journaled_state.database.0.log.as_mut() else { return Ok(()) };
    if log.slots.len() == known {
        // Read before, or written: who looks again looks.
        log.looked(address, slot);
    } else if let Some(to) = to {
        log.pending = Some(Pending { slot: known, to });
    }
    Ok(())
}

fn sstore<R: StateReader>(mut context: Asked<'_, R>) -> InstructionExecResult {
    let stack = &context.interpreter.stack;
    let (Ok(slot), Ok(value)) = (stack.peek(0), stack.peek(1)) else { return host::sstore(context) };
    let address = context.interpreter.input.target_address();
    let at = context.interpreter.bytecode.pc() - 1;
    let Some(log) = ReadLog::of(&mut context) else { return host::sstore(context) };
    let pending = log.pending;
    log.looked(address, slot);
    // It was that slot's if it is not pending any more.
    let sum = pending.filter(|pending| pending.to == at && log.pending.is_none()).and_then(|pending| {
        let added = value.wrapping_sub(log.slots.get(pending.slot)?.2);
        (!added.is_zero()).then_some(Sum { slot: pending.slot, added })
    });
    let Asked { interpreter, host } = context;
    host::sstore(Asked { interpreter, host: &mut *host })?;
    if let (Some(log), Some(sum)) = (host.journaled_state.database.0.log.as_mut(), sum) {
        log.sums.push(sum);
    }
    Ok(())
}

/// The sum among `sums` of the slot with this number.
pub(crate) fn of_slot(sums: &[Sum], slot: usize) -> Option<&Sum> {
    sums.iter().find(|sum| sum.slot == slot)
}

/// The sums of an execution, which are few.
pub(crate) type Sums = Vec<Sum>;

#[cfg(test)]
mod tests {
    use super::*;
    use revm::bytecode::opcode::{CALLDATALOAD, GAS, LOG1, LT, MSTORE, PUSH1, PUSH32, STATICCALL, STOP};

    fn after(code: &[u8]) -> Option<usize> {
        stored(&[code, &[STOP]].concat(), 0)
    }

    #[test]
    fn sums_are_found() {
        // As a compiler writes it, with the key below; the other way round; twice; and a copy that is dropped.
        assert_eq!(after(&[PUSH1, 36, CALLDATALOAD, ADD, SWAP1, SSTORE]), Some(5));
        assert_eq!(after(&[DUP1 + 2, SWAP1, SUB, SWAP1, SSTORE]), Some(4));
        assert_eq!(after(&[PUSH1, 1, ADD, PUSH1, 2, SWAP1, SUB, SWAP1, SSTORE]), Some(8));
        assert_eq!(after(&[DUP1, PUSH1, SSTORE, ADD, SWAP1 + 1, SSTORE, POP]), Some(5));
        let long = [&[PUSH32; 33][..], &[ADD, SWAP1, SSTORE]].concat();
        assert_eq!(after(&long), Some(35));
        // What happens besides to other values.
        assert_eq!(after(&[PUSH1, 9, PUSH1, 8, MSTORE, PUSH1, 1, ADD, SWAP1, SSTORE]), Some(9));
    }

    #[test]
    fn what_is_seen_is_no_sum() {
        let seen: [&[u8]; 12] = [
            &[SWAP1, SSTORE, POP, STOP],
            &[DUP1, PUSH1, 1, LT, POP, PUSH1, 1, ADD, SWAP1, SSTORE],
            &[DUP1, PUSH1, 0, MSTORE, PUSH1, 1, ADD, SWAP1, SSTORE],
            &[PUSH1, 1, ADD, DUP1, SWAP1 + 1, SSTORE],
            &[DUP1, ADD, SWAP1, SSTORE],
            &[PUSH1, 1, SUB, SWAP1, SSTORE],
            &[PUSH1, 1, ADD, JUMPDEST, SWAP1, SSTORE],
            &[PUSH1, 1, ADD, JUMP, SWAP1, SSTORE],
            &[PUSH1, 1, ADD, PUSH1, 0, JUMPI, SWAP1, SSTORE],
            &[GAS, STATICCALL, PUSH1, 1, ADD, SWAP1, SSTORE],
            &[PUSH1, 1, ADD, DUP1, PUSH1, 3, SSTORE, SWAP1, SSTORE],
            &[DUP1, PUSH1, 0, PUSH1, 0, LOG1, PUSH1, 1, ADD, SWAP1, SSTORE],
        ];
        for code in &seen[1..] {
            assert_eq!(after(code), None, "{code:02x?}");
        }
        // Stored as it was read: that is seen to be no change, which costs less gas, whatever the value is.
        assert_eq!(after(seen[0]), Some(1));
        assert_eq!(after(&[ADD]), None);
        assert_eq!(stored(&[PUSH1], 0), None);
        let deep = [&[DUP1 + 1; 70][..], &[ADD, SSTORE]].concat();
        assert_eq!(after(&deep), None);
    }

    #[test]
    fn zero_is_another_price() {
        let (one, two, most) = (U256::from(1), U256::from(2), U256::MAX);
        let adds = |added| Sum { slot: 0, added };
        assert_eq!(adds(one).allows(one, two), Some(U256::from(3)));
        assert_eq!(adds(most).allows(two, U256::from(9)), Some(U256::from(8)));
        assert_eq!(adds(one).allows(U256::ZERO, one), None);
        assert_eq!(adds(one).allows(one, U256::ZERO), None);
        assert_eq!(adds(most).allows(one, two), None);
        assert_eq!(adds(most).allows(two, one), None);
        assert_eq!(adds(one).allows(one, most), None);
    }
}
