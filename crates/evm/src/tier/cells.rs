//! What code is translated into.
//!
//! Invariant: the last cell is [`Op::Exact`] of the STOP that ends padded code, whatever goes somewhere goes to an [`Op::Section`], and
//! between two checks cells take from the stack and add to it no more than the first says. [`super::steps`] relies on it.

use alloc::boxed::Box;

use alloy_primitives::U256;

/// What a cell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    /// Begins a section: checks its gas and its stack. `b` names the section.
    Section,
    /// Leaves the byte at `b` to revm's instruction, gas included.
    Exact,
    /// Leaves the byte at `b` to revm's instruction; its gas is the section's.
    Via,
    /// Pushes constant `b`.
    Push,
    /// Pushes `b` itself.
    PushShort,
    /// Drops `a` values.
    Drop,
    /// Pushes the `a`th value again.
    Dup,
    /// Exchanges the first and the one `a` below.
    Swap,
    Add,
    Mul,
    Sub,
    Div,
    Mod,
    Sdiv,
    Smod,
    Lt,
    Gt,
    Slt,
    Sgt,
    Eq,
    IsZero,
    And,
    Or,
    Xor,
    Not,
    Shl,
    Shr,
    Sar,
    /// With constant `b` as the first operand.
    AddConst,
    AndConst,
    EqConst,
    ShlConst,
    ShrConst,
    /// Reads, writes a word of memory; `b` is the way out.
    Load,
    Store,
    /// Goes to cell `b`.
    Goto,
    /// Goes to cell `b` if the value is not zero, if it is zero.
    GotoIf,
    GotoUnless,
    /// Goes to cell `b` if the first is less, greater, equal to the second; or if not.
    GotoLt,
    GotoGt,
    GotoEq,
    GotoNotLt,
    GotoNotGt,
    GotoNotEq,
    /// Moves the first to the place `a` below and drops it.
    SwapDrop,
    /// Goes to where the value says.
    Jump,
    JumpIf,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) op: Op,
    pub(crate) a: u8,
    pub(crate) b: u32,
}

/// What is checked once for all cells up to the next section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) gas: u32,
    /// Values that must be there.
    pub(crate) need: u32,
    /// Values by which the stack grows at most.
    pub(crate) growth: u32,
    /// Where its bytes begin.
    pub(crate) pc: u32,
}

/// Where a cell leaves its section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    pub(crate) pc: u32,
    /// Gas of this cell and of those after it in the section.
    pub(crate) gas: u32,
    /// The part of it that is this cell's.
    pub(crate) own: u32,
}

/// Translated code.
#[derive(Debug)]
pub(crate) struct Analysed {
    pub(crate) cells: Box<[Cell]>,
    pub(crate) constants: Box<[U256]>,
    pub(crate) sections: Box<[Section]>,
    pub(crate) exits: Box<[Exit]>,
    /// Of each byte, the cell with which it begins, with [`TARGET`] if one may jump there; [`NOWHERE`] if none does.
    pub(crate) entries: Box<[u32]>,
}

impl Analysed {
    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.cells)
            + size_of_val(&*self.constants)
            + size_of_val(&*self.sections)
            + size_of_val(&*self.exits)
            + size_of_val(&*self.entries)
    }

    /// The cell with which the byte at `pc` begins.
    pub(crate) fn entry(&self, pc: usize) -> Option<usize> {
        self.entries.get(pc).filter(|entry| **entry != NOWHERE).map(|entry| (entry & !TARGET) as usize)
    }

    /// The same if one may jump there.
    pub(crate) fn target(&self, pc: usize) -> Option<usize> {
        let entry = *self.entries.get(pc)?;
        (entry != NOWHERE && entry & TARGET != 0).then_some((entry & !TARGET) as usize)
    }
}

/// A cell's number with this bit is where one may jump to.
pub(crate) const TARGET: u32 = 1 << 31;

/// No cell.
pub(crate) const NOWHERE: u32 = u32::MAX;
