//! Which transactions a helper had better leave alone until others are in the block: those of one contract that have met before.
//!
//! A transaction is a member of a group: the contract and the four bytes that select its function. Of a group whose members have been seen to
//! depend on each other, a helper executes one only when the one before is in the block. Plain transfers belong to no group, and what one
//! sender sends is no group: see `interlace_evm::Speculation`.
//!
//! Invariant: a plan changes when something is executed, never what comes out.
//! Bounds: [`MAX_HISTORY`] groups are remembered; one that falls on another's place takes it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use alloy_primitives::TxKind;
use alloy_primitives::map::HashMap;

/// Groups that are remembered.
pub const MAX_HISTORY: usize = 1 << 14;
/// Weight from which on members wait for each other, of 255.
const WAITS: u8 = 96;

/// How much members of groups were seen to depend on each other: 0 never, 255 always.
#[derive(Clone, Debug)]
pub struct Weights(Vec<(u32, u8)>);

impl Default for Weights {
    fn default() -> Self {
        Self(vec![(0, 0); MAX_HISTORY])
    }
}

/// The number of the group of a transaction that sends `input` to `to`; 0 for none.
fn group(to: TxKind, input: &[u8]) -> u64 {
    let TxKind::Call(to) = to else { return 0 };
    if input.is_empty() {
        return 0;
    }
    let mut word = [0; 8];
    word.copy_from_slice(&to[12..20]);
    let mut selector = [0; 4];
    let known = input.len().min(4);
    selector[..known].copy_from_slice(&input[..known]);
    let mixed = u64::from_le_bytes(word) ^ u64::from(u32::from_le_bytes(selector)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1
}

impl Weights {
    fn place(group: u64) -> (usize, u32) {
        ((group >> 32) as usize % MAX_HISTORY, group as u32)
    }

    /// The weight of a group.
    pub(crate) fn of(&self, group: u64) -> u8 {
        let (place, tag) = Self::place(group);
        let (held, weight) = self.0[place];
        if held == tag { weight } else { 0 }
    }

    /// Learns that two members of a group depended on each other, or did not.
    pub(crate) fn learn(&mut self, group: u64, depended: bool) {
        let (place, tag) = Self::place(group);
        let entry = &mut self.0[place];
        if entry.0 != tag {
            *entry = (tag, 0);
        }
        // One that met waits from then on; it takes many that did not meet to try again.
        entry.1 = if depended { entry.1.saturating_add(128) } else { entry.1.saturating_sub(8) };
    }

    /// Forgets a little of what made members wait: what is not tried again is never found to have changed.
    pub(crate) fn fade(&mut self, group: u64) {
        let (place, tag) = Self::place(group);
        let entry = &mut self.0[place];
        if entry.0 == tag {
            entry.1 = entry.1.saturating_sub(1);
        }
    }
}

/// What waits for what in one block.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Of each transaction: one more than the member of its group before it; 0 if there is none, or no group.
    pub(crate) before: Vec<usize>,
    /// Of each transaction: its group's number; 0 for none.
    pub(crate) groups: Vec<u64>,
    /// Of each transaction: its group's place in `waiting`.
    places: Vec<u32>,
    /// Of each group: whether its members wait for each other.
    waiting: Vec<AtomicBool>,
}

impl Plan {
    /// The plan of transactions of which each sends an input to somewhere.
    pub(crate) fn new<'a>(calls: impl Iterator<Item = (TxKind, &'a [u8])>, weights: &Weights) -> Self {
        let mut plan = Self::default();
        let mut last = HashMap::<u64, (u32, usize)>::default();
        for ((to, input), number) in calls.zip(1..) {
            let group = group(to, input);
            let (place, before) = match last.get_mut(&group) {
                Some((place, last)) => (*place, std::mem::replace(last, number)),
                None => {
                    let place = plan.waiting.len() as u32;
                    plan.waiting.push(AtomicBool::new(group != 0 && weights.of(group) >= WAITS));
                    last.insert(group, (place, number));
                    (place, 0)
                }
            };
            plan.before.push(if group == 0 { 0 } else { before });
            plan.groups.push(group);
            plan.places.push(place);
        }
        plan
    }

    /// Whether a transaction is better left alone while `frontier` are in the block.
    pub(crate) fn waits(&self, transaction: usize, frontier: usize) -> bool {
        self.before[transaction] > frontier && self.waiting[self.places[transaction] as usize].load(Relaxed)
    }

    /// Takes note of whether a transaction depended on the member of its group before it: the rest of the block goes by it.
    pub(crate) fn saw(&self, transaction: usize, depended: bool) {
        if depended {
            self.waiting[self.places[transaction] as usize].store(true, Relaxed);
        }
    }

    /// Groups whose members waited.
    pub(crate) fn waited(&self) -> impl Iterator<Item = u64> {
        let members = self.groups.iter().zip(&self.before).zip(&self.places);
        members
            .filter(|((_, before), place)| **before > 0 && self.waiting[**place as usize].load(Relaxed))
            .map(|((group, _), _)| *group)
    }
}
