//! The loop over cells, up to the next one that revm has to execute.
//!
//! It works on raw pointers into the interpreter's stack and memory, and reads cells without a check of the index. Why that is sound:
//!
//! * *Stack.* `sp` points behind the last value. A section is entered only if as many values are there as its instructions take at most below
//!   where they began, and if what they add at most fits [`STACK`] values, which the buffer holds. Cells that come of these instructions stay
//!   within both.
//! * *Cells.* Execution goes to the next cell, to a section that a jump names, or to what [`Analysed::target`] gives. All of them are there, and
//!   the last cell is the STOP that ends every padded code: nothing is behind it to go to. Names of sections and constants are given by
//!   [`super::analyse`] for what it made.
//! * *Memory.* Words are read and written only inside the window that the caller tells, which nothing moves until the loop is left.
//!
//! Why a function of its own, without the interpreter and the host: its few variables are to stay in registers.

use alloy_primitives::U256;
use revm::interpreter::instructions::i256::{i256_div, i256_mod};

use super::cells::{Analysed, Cell, Op};

/// Values that a stack holds.
pub(super) const STACK: usize = 1024;

/// Where execution is.
#[derive(Debug)]
pub(super) struct Place {
    /// The next cell.
    pub(super) at: usize,
    /// The stack's first value.
    pub(super) base: *mut U256,
    /// Behind its last.
    pub(super) sp: *mut U256,
    pub(super) gas: u64,
    pub(super) memory: *mut u8,
    pub(super) memory_len: usize,
}

/// Why the loop was left.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// This instruction, at the byte there, is for revm, its gas included.
    Exact(u8, u32),
    /// This instruction, at the byte there, is for revm; its gas is paid.
    Via(u8, u32),
    /// A word outside of memory: the exit of this number.
    Grow(u32),
    /// A section whose check failed, which begins with the byte there; nothing of it was executed.
    Refused(u32),
    /// A jump to where there is nothing to jump to.
    BadJump,
}

/// Executes cells from `place` on, and changes it.
///
/// # Safety
/// `code` is what [`super::analyse`] made of a padded code, and `place.at` one of its entries or behind a cell that is not its last. From `place.base`
/// on there are [`STACK`] places for values, of which those before `place.sp` are values and as many as the section took for granted, and
/// `place.memory_len` bytes from `place.memory` on may be read and written.
#[allow(clippy::too_many_lines, unsafe_op_in_unsafe_fn)]
#[inline(never)]
pub(super) unsafe fn execute(place: &mut Place, code: &Analysed) -> Way {
    let Place { at, base, mut sp, mut gas, memory, memory_len } = *place;
    let first = code.cells.as_ptr();
    let mut next: *const Cell = first.add(at);
    macro_rules! leave {
        ($way:expr) => {{
            (place.at, place.sp, place.gas) = (next.offset_from_unsigned(first), sp, gas);
            return $way;
        }};
    }
    macro_rules! section {
        ($cell:expr) => {{
            let section = code.sections.get_unchecked($cell.b as usize);
            let height = sp.offset_from_unsigned(base);
            let fits = gas >= u64::from(section.gas)
                && height >= section.need as usize
                && height.wrapping_add(section.growth as usize) <= STACK;
            if !fits {
                leave!(Way::Refused(section.pc));
            }
            gas = gas.wrapping_sub(u64::from(section.gas));
        }};
    }
    // Where one may go, a section begins.
    macro_rules! goto {
        ($to:expr) => {{
            next = first.add($to);
            let cell = *next;
            next = next.add(1);
            section!(cell);
        }};
    }
    macro_rules! compare {
        ($cell:expr, |$a:ident, $b:ident| $result:expr) => {{
            let ($a, $b) = (word(sp.sub(1)), word(sp.sub(2)));
            sp = sp.sub(2);
            if $result {
                goto!($cell.b as usize);
            }
        }};
    }
    macro_rules! binary {
        (|$a:ident, $b:ident| $result:expr) => {{
            let ($a, $b) = (word(sp.sub(1)), word(sp.sub(2)));
            sp = sp.sub(1);
            put(sp.sub(1), $result);
        }};
    }
    macro_rules! constant {
        ($cell:expr, |$a:ident, $b:ident| $result:expr) => {{
            let $a = code.constants.get_unchecked($cell.b as usize);
            let $b = word(sp.sub(1));
            put(sp.sub(1), $result);
        }};
    }
    let truth = |value: bool| U256::from_limbs([u64::from(value), 0, 0, 0]);
    // Which handlers share a line of the instruction cache is a third of the speed on some machines; so it is at least always the same ones.
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    core::arch::asm!(".p2align 6", options(nomem, nostack, preserves_flags));
    loop {
        let cell = *next;
        next = next.add(1);
        match cell.op {
            Op::Section => section!(cell),
            Op::GotoLt => compare!(cell, |a, b| a < b),
            Op::GotoGt => compare!(cell, |a, b| a > b),
            Op::GotoEq => compare!(cell, |a, b| a == b),
            Op::GotoNotLt => compare!(cell, |a, b| a >= b),
            Op::GotoNotGt => compare!(cell, |a, b| a <= b),
            Op::GotoNotEq => compare!(cell, |a, b| a != b),
            Op::SwapDrop => {
                sp = sp.sub(1);
                put(sp.sub(usize::from(cell.a)), word(sp));
            }
            Op::Exact => leave!(Way::Exact(cell.a, cell.b)),
            Op::Via => leave!(Way::Via(cell.a, cell.b)),
            Op::Push => {
                put(sp, *code.constants.get_unchecked(cell.b as usize));
                sp = sp.add(1);
            }
            Op::PushShort => {
                put(sp, U256::from_limbs([u64::from(cell.b), 0, 0, 0]));
                sp = sp.add(1);
            }
            Op::Drop => sp = sp.sub(usize::from(cell.a)),
            Op::Dup => {
                put(sp, word(sp.sub(usize::from(cell.a))));
                sp = sp.add(1);
            }
            Op::Swap => {
                let (one, other) = (sp.sub(1), sp.sub(1).sub(usize::from(cell.a)));
                let (a, b) = (word(one), word(other));
                put(one, b);
                put(other, a);
            }
            Op::Add => binary!(|a, b| a.wrapping_add(b)),
            Op::Sub => binary!(|a, b| a.wrapping_sub(b)),
            Op::Mul => binary!(|a, b| a.wrapping_mul(b)),
            Op::Div => binary!(|a, b| if b.is_zero() { U256::ZERO } else { small(a, b, |a, b| a / b, |a, b| a / b) }),
            Op::Mod => binary!(|a, b| if b.is_zero() { U256::ZERO } else { small(a, b, |a, b| a % b, |a, b| a % b) }),
            Op::Sdiv => binary!(|a, b| i256_div(a, b)),
            Op::Smod => binary!(|a, b| i256_mod(a, b)),
            Op::Lt => binary!(|a, b| truth(a < b)),
            Op::Gt => binary!(|a, b| truth(a > b)),
            Op::Slt => binary!(|a, b| truth(signed(a) < signed(b))),
            Op::Sgt => binary!(|a, b| truth(signed(a) > signed(b))),
            Op::Eq => binary!(|a, b| truth(a == b)),
            Op::IsZero => put(sp.sub(1), truth(word(sp.sub(1)).is_zero())),
            Op::And => binary!(|a, b| a & b),
            Op::Or => binary!(|a, b| a | b),
            Op::Xor => binary!(|a, b| a ^ b),
            Op::Not => put(sp.sub(1), !word(sp.sub(1))),
            Op::Shl => binary!(|a, b| shifted(a).map_or(U256::ZERO, |shift| b << shift)),
            Op::Shr => binary!(|a, b| shifted(a).map_or(U256::ZERO, |shift| b >> shift)),
            Op::Sar => binary!(|a, b| b.arithmetic_shr(shifted(a).unwrap_or(256))),
            Op::AddConst => constant!(cell, |a, b| b.wrapping_add(*a)),
            Op::AndConst => constant!(cell, |a, b| b & *a),
            Op::EqConst => constant!(cell, |a, b| truth(b == *a)),
            Op::ShlConst => constant!(cell, |a, b| shifted(*a).map_or(U256::ZERO, |shift| b << shift)),
            Op::ShrConst => constant!(cell, |a, b| shifted(*a).map_or(U256::ZERO, |shift| b >> shift)),
            Op::Load | Op::Store => {
                let offset = small_number(&word(sp.sub(1))).filter(|offset| offset.saturating_add(32) <= memory_len);
                if let Some(offset) = offset {
                    let bytes: *mut [u8; 32] = memory.add(offset).cast();
                    if cell.op == Op::Load {
                        put(sp.sub(1), U256::from_be_bytes(*bytes));
                    } else {
                        let value = word(sp.sub(2)).to_be_bytes::<32>();
                        *bytes = value;
                        sp = sp.sub(2);
                    }
                    continue;
                }
                leave!(Way::Grow(cell.b));
            }
            Op::Goto => goto!(cell.b as usize),
            Op::GotoIf => {
                sp = sp.sub(1);
                if !word(sp).is_zero() {
                    goto!(cell.b as usize);
                }
            }
            Op::GotoUnless => {
                sp = sp.sub(1);
                if word(sp).is_zero() {
                    goto!(cell.b as usize);
                }
            }
            Op::Jump | Op::JumpIf => {
                let to = word(sp.sub(1));
                let taken = cell.op == Op::Jump || !word(sp.sub(2)).is_zero();
                sp = sp.sub(if cell.op == Op::Jump { 1 } else { 2 });
                if !taken {
                    continue;
                }
                let target = small_number(&to).and_then(|to| code.target(to));
                let Some(target) = target else { leave!(Way::BadJump) };
                goto!(target);
            }
        }
    }
}

/// The value there.
///
/// Read limb by limb, and volatile so that it stays like that: what was just written limb by limb cannot be forwarded to a load of two limbs,
/// which then waits until the stores are done.
#[inline(always)]
unsafe fn word(from: *const U256) -> U256 {
    let from = from.cast::<u64>();
    // SAFETY: a value is four limbs.
    unsafe {
        U256::from_limbs([
            from.read_volatile(),
            from.add(1).read_volatile(),
            from.add(2).read_volatile(),
            from.add(3).read_volatile(),
        ])
    }
}

/// Writes the value there.
#[inline(always)]
unsafe fn put(to: *mut U256, value: U256) {
    let (to, limbs) = (to.cast::<u64>(), value.as_limbs());
    // SAFETY: a value is four limbs.
    unsafe {
        to.write(limbs[0]);
        to.add(1).write(limbs[1]);
        to.add(2).write(limbs[2]);
        to.add(3).write(limbs[3]);
    }
}

#[inline(always)]
fn small_number(value: &U256) -> Option<usize> {
    let [low, rest @ ..] = value.as_limbs();
    if rest == &[0; 3] { usize::try_from(*low).ok() } else { None }
}

#[inline(always)]
fn shifted(value: U256) -> Option<usize> {
    small_number(&value).filter(|shift| *shift < 256)
}

/// Ordered as signed numbers are.
#[inline(always)]
fn signed(value: U256) -> U256 {
    value ^ (U256::ONE << 255)
}

#[inline(always)]
fn small(a: U256, b: U256, short: fn(u64, u64) -> u64, long: fn(U256, U256) -> U256) -> U256 {
    match (a.as_limbs(), b.as_limbs()) {
        ([a, 0, 0, 0], [b, 0, 0, 0]) => U256::from(short(*a, *b)),
        _ => long(a, b),
    }
}
