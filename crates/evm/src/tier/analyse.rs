//! From bytes to cells.
//!
//! A section is a run of instructions whose gas and whose effect on the stack are known beforehand; it ends before whatever is left to revm, at
//! jumps, and where one may jump to. What is fused is always within a section. The stack that a section needs is that of its instructions, not
//! of its cells: code that would overflow halfway does so, although the value that is one too many may never be made.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::U256;
use alloy_primitives::map::U256Map;
use interlace_primitives::Fork;
use revm::bytecode::opcode::*;

use super::cells::{Analysed, Cell, Exit, NOWHERE, Op, Section, TARGET};

/// How an instruction moves the stack, and what its cell is; none if revm's instruction is called.
fn shape(opcode: u8, fork: Fork) -> Option<(u8, u8, Op)> {
    Some(match opcode {
        SHL | SHR | SAR if fork < Fork::Constantinople => return None,
        ADD => (2, 1, Op::Add),
        MUL => (2, 1, Op::Mul),
        SUB => (2, 1, Op::Sub),
        DIV => (2, 1, Op::Div),
        MOD => (2, 1, Op::Mod),
        LT => (2, 1, Op::Lt),
        GT => (2, 1, Op::Gt),
        SLT => (2, 1, Op::Slt),
        SGT => (2, 1, Op::Sgt),
        EQ => (2, 1, Op::Eq),
        ISZERO => (1, 1, Op::IsZero),
        AND => (2, 1, Op::And),
        OR => (2, 1, Op::Or),
        XOR => (2, 1, Op::Xor),
        NOT => (1, 1, Op::Not),
        SHL => (2, 1, Op::Shl),
        SHR => (2, 1, Op::Shr),
        SAR => (2, 1, Op::Sar),
        SDIV => (2, 1, Op::Sdiv),
        SMOD => (2, 1, Op::Smod),
        SIGNEXTEND | BYTE => (2, 1, Op::Via),
        ADDMOD | MULMOD => (3, 1, Op::Via),
        CALLDATALOAD => (1, 1, Op::Via),
        ADDRESS | ORIGIN | CALLER | CALLVALUE | CALLDATASIZE | CODESIZE | GASPRICE | RETURNDATASIZE | COINBASE
        | TIMESTAMP | NUMBER | DIFFICULTY | GASLIMIT | CHAINID | BASEFEE | PC => (0, 1, Op::Via),
        POP => (1, 0, Op::Drop),
        MLOAD => (1, 1, Op::Load),
        MSTORE => (2, 0, Op::Store),
        _ => return None,
    })
}

struct Draft<'a> {
    code: &'a [u8],
    gas: &'a [u16; 256],
    fork: Fork,
    cells: Vec<Cell>,
    constants: Vec<U256>,
    /// Where a constant is.
    places: U256Map<u32>,
    sections: Vec<Section>,
    exits: Vec<Exit>,
    entries: Vec<u32>,
    targets: Vec<bool>,
    /// Jumps to be told which cell their byte begins with.
    jumps: Vec<usize>,
    /// The section that is being made: its number, height and extremes.
    open: Option<(usize, i32)>,
    /// Its exits' numbers.
    first_exit: usize,
}

impl Draft<'_> {
    fn cell(&mut self, op: Op, a: u8, b: u32) {
        self.cells.push(Cell { op, a, b });
    }

    fn open(&mut self, pc: usize) {
        if self.open.is_none() {
            self.enter(pc);
            self.open = Some((self.sections.len(), 0));
            self.first_exit = self.exits.len();
            self.cell(Op::Section, 0, self.sections.len() as u32);
            self.sections.push(Section { gas: 0, need: 0, growth: 0, pc: pc as u32 });
        }
    }

    fn enter(&mut self, pc: usize) {
        if self.entries[pc] == NOWHERE {
            self.entries[pc] = self.cells.len() as u32;
        }
    }

    /// Ends the section, if there is one, and tells its exits what it takes from them on: whatever it takes, without what it took before.
    fn close(&mut self) {
        let gas = self.gas_so_far();
        if self.open.take().is_some() {
            self.exits[self.first_exit..].iter_mut().for_each(|exit| exit.gas = gas - exit.gas);
        }
    }

    /// Gas of the section so far.
    fn gas_so_far(&self) -> u32 {
        self.open.map_or(0, |(section, _)| self.sections[section].gas)
    }

    /// Counts an instruction in the section.
    fn count(&mut self, opcode: u8, pops: u8, pushes: u8) {
        let Some((section, height)) = &mut self.open else { return };
        let section = &mut self.sections[*section];
        let own = u32::from(self.gas[usize::from(opcode)]);
        section.gas += own;
        let lowest = *height - i32::from(pops);
        section.need = section.need.max(lowest.min(0).unsigned_abs());
        *height = lowest + i32::from(pushes);
        section.growth = section.growth.max((*height).max(0).unsigned_abs());
    }

    fn constant(&mut self, value: U256) -> u32 {
        let next = self.constants.len() as u32;
        let place = *self.places.entry(value).or_insert(next);
        if place == next {
            self.constants.push(value);
        }
        place
    }

    fn push(&mut self, value: U256) {
        match u32::try_from(value) {
            Ok(short) => self.cell(Op::PushShort, 0, short),
            Err(_) => {
                let constant = self.constant(value);
                self.cell(Op::Push, 0, constant);
            }
        }
    }

    /// What the cell pushes, if it is a constant.
    fn pushed(&self, cell: Option<&Cell>) -> Option<U256> {
        let cell = cell?;
        match cell.op {
            Op::Push => Some(self.constants[cell.b as usize]),
            Op::PushShort => Some(U256::from(cell.b)),
            _ => None,
        }
    }
}

/// Translates `code`, which is padded, with the static gas of each instruction.
pub(crate) fn analyse(code: &[u8], gas: &[u16; 256], fork: Fork) -> Analysed {
    let mut targets = vec![false; code.len() + 1];
    let mut at = 0;
    while at < code.len() {
        targets[at] = code[at] == JUMPDEST;
        at += 1 + if (PUSH1..=PUSH32).contains(&code[at]) { usize::from(code[at] - PUSH0) } else { 0 };
    }
    let mut draft = Draft {
        code,
        gas,
        fork,
        cells: Vec::with_capacity(code.len()),
        constants: Vec::new(),
        places: U256Map::default(),
        sections: Vec::new(),
        exits: Vec::new(),
        entries: vec![NOWHERE; code.len() + 1],
        targets,
        jumps: Vec::new(),
        open: None,
        first_exit: 0,
    };
    let mut pc = 0;
    while pc < code.len() {
        pc = draft.instruction(pc);
    }
    draft.close();
    // The padding ends with a STOP, so nobody comes here.
    draft.cell(Op::Exact, STOP, code.len().saturating_sub(1) as u32);
    for jump in core::mem::take(&mut draft.jumps) {
        let target = draft.cells[jump].b as usize;
        draft.cells[jump].b = draft.entries[target];
    }
    let Draft { cells, constants, sections, exits, mut entries, targets, .. } = draft;
    for (entry, target) in entries.iter_mut().zip(&targets) {
        if *entry != NOWHERE && *target {
            *entry |= TARGET;
        }
    }
    Analysed {
        cells: cells.into(),
        constants: constants.into(),
        sections: sections.into(),
        exits: exits.into(),
        entries: entries.into(),
    }
}

impl Draft<'_> {
    /// Translates the instruction at `pc`, and gives where the next one is.
    fn instruction(&mut self, pc: usize) -> usize {
        let opcode = self.code[pc];
        if self.targets[pc] {
            self.close();
        }
        let next = pc + 1;
        match opcode {
            JUMPDEST => {
                self.open(pc);
                self.count(opcode, 0, 0);
            }
            PUSH0..=PUSH32 if opcode != PUSH0 || self.fork >= Fork::Shanghai => {
                let size = usize::from(opcode - PUSH0);
                let mut word = [0u8; 32];
                let there = self.code.len().min(next + size) - next;
                word[32 - size..32 - size + there].copy_from_slice(&self.code[next..next + there]);
                self.open(pc);
                self.count(opcode, 0, 1);
                self.push(U256::from_be_bytes(word));
                return next + size;
            }
            DUP1..=DUP16 => {
                let depth = opcode - DUP1 + 1;
                self.open(pc);
                self.count(opcode, depth, depth + 1);
                self.cell(Op::Dup, depth, 0);
            }
            SWAP1..=SWAP16 => {
                let depth = opcode - SWAP1 + 1;
                self.open(pc);
                self.count(opcode, depth + 1, depth + 1);
                self.cell(Op::Swap, depth, 0);
            }
            JUMP | JUMPI => self.jump(pc, opcode),
            _ => match shape(opcode, self.fork) {
                Some((pops, pushes, op)) => {
                    self.open(pc);
                    self.count(opcode, pops, pushes);
                    self.pure(pc, opcode, op);
                }
                None => {
                    self.close();
                    self.enter(pc);
                    self.cell(Op::Exact, opcode, pc as u32);
                }
            },
        }
        next
    }

    fn pure(&mut self, pc: usize, opcode: u8, op: Op) {
        let constant = self.pushed(self.cells.last());
        let fused = match op {
            Op::Add => Some(Op::AddConst),
            Op::And => Some(Op::AndConst),
            Op::Eq => Some(Op::EqConst),
            Op::Shl => Some(Op::ShlConst),
            Op::Shr => Some(Op::ShrConst),
            _ => None,
        };
        let below = self.cells.len().checked_sub(2);
        let other = below.and_then(|below| self.pushed(self.cells.get(below)));
        let folded = constant.zip(other).and_then(|(one, other)| folded(op, one, other));
        if let (Some(value), Some(below)) = (folded, below) {
            self.cells.truncate(below);
            return self.push(value);
        }
        if let (Some(fused), Some(value)) = (fused, constant) {
            self.cells.pop();
            let constant = self.constant(value);
            return self.cell(fused, 0, constant);
        }
        match op {
            Op::Drop => match self.cells.last_mut() {
                Some(last) if last.op == Op::Drop && last.a < u8::MAX => last.a += 1,
                Some(last) if last.op == Op::Swap => last.op = Op::SwapDrop,
                _ => self.cell(Op::Drop, 1, 0),
            },
            Op::Load | Op::Store => {
                let own = u32::from(self.gas[usize::from(opcode)]);
                // Told by `close`, once it is known.
                self.exits.push(Exit { pc: pc as u32, gas: self.gas_so_far() - own, own });
                self.cell(op, opcode, self.exits.len() as u32 - 1);
            }
            _ => self.cell(op, opcode, pc as u32),
        }
    }

    fn jump(&mut self, pc: usize, opcode: u8) {
        self.open(pc);
        let target = self.pushed(self.cells.last()).and_then(|to| usize::try_from(to).ok());
        let target = target.filter(|to| self.targets.get(*to).copied().unwrap_or_default());
        self.count(opcode, if opcode == JUMP { 1 } else { 2 }, 0);
        match target {
            Some(to) => {
                self.cells.pop();
                let mut op = if opcode == JUMP { Op::Goto } else { Op::GotoIf };
                if op == Op::GotoIf && self.cells.last().is_some_and(|last| last.op == Op::IsZero) {
                    self.cells.pop();
                    op = Op::GotoUnless;
                }
                let last = self.cells.last().map(|last| last.op);
                let fused = match (op, last) {
                    (Op::GotoIf, Some(Op::Lt)) => Some(Op::GotoLt),
                    (Op::GotoIf, Some(Op::Gt)) => Some(Op::GotoGt),
                    (Op::GotoIf, Some(Op::Eq)) => Some(Op::GotoEq),
                    (Op::GotoUnless, Some(Op::Lt)) => Some(Op::GotoNotLt),
                    (Op::GotoUnless, Some(Op::Gt)) => Some(Op::GotoNotGt),
                    (Op::GotoUnless, Some(Op::Eq)) => Some(Op::GotoNotEq),
                    _ => None,
                };
                if let Some(fused) = fused {
                    self.cells.pop();
                    op = fused;
                }
                self.jumps.push(self.cells.len());
                self.cell(op, 0, to as u32);
            }
            None => self.cell(if opcode == JUMP { Op::Jump } else { Op::JumpIf }, opcode, pc as u32),
        }
        self.close();
    }
}

/// What an instruction makes of two constants, the first on top.
fn folded(op: Op, one: U256, other: U256) -> Option<U256> {
    let shift = || usize::try_from(one).ok().filter(|shift| *shift < 256);
    Some(match op {
        Op::Add => one.wrapping_add(other),
        Op::Sub => one.wrapping_sub(other),
        Op::Mul => one.wrapping_mul(other),
        Op::And => one & other,
        Op::Or => one | other,
        Op::Shl => shift().map_or(U256::ZERO, |shift| other << shift),
        Op::Shr => shift().map_or(U256::ZERO, |shift| other >> shift),
        _ => return None,
    })
}
