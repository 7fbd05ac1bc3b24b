//! Which transactions a helper had better leave alone until others are in the block: those that have met before.
//!
//! A call belongs to two groups: that of the contract and the four bytes that select its function, and the narrower one of those and the first
//! argument, such as the account that tokens go to. Of a group whose members have been seen to depend on each other, a helper executes one only
//! when the one before is in the block. Where members of a wide group depend on each other only if they are of one narrow group too, the narrow
//! one learns it and the wide one does not. Plain transfers belong to no group, and what one sender sends is no group: see
//! `interlace_evm::Speculation`.
//!
//! Invariant: a plan changes when something is executed, never what comes out.
//! Bounds: [`MAX_HISTORY`] groups are remembered; one that falls on another's place takes it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use alloy_primitives::TxKind;
use alloy_primitives::map::HashMap;

/// Groups that are remembered.
pub const MAX_HISTORY: usize = 1 << 15;
/// Weight from which on members wait for each other, of 255.
const WAITS: u8 = 96;
/// Bytes of a call that select a function, and those with the first argument.
const WIDE: usize = 4;
const NARROW: usize = 36;

/// How much members of groups were seen to depend on each other: 0 never, 255 always.
#[derive(Clone, Debug)]
pub(crate) struct Weights(Vec<(u32, u8)>);

impl Default for Weights {
    fn default() -> Self {
        Self(vec![(0, 0); MAX_HISTORY])
    }
}

/// The number of a group of calls of `to` that begin with `input`; never 0.
fn group(to: &[u8], input: &[u8]) -> u64 {
    let mut mixed = input.len() as u64;
    for word in to.chunks(8).chain(input.chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        mixed = (mixed ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 32;
    }
    mixed | 1
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

/// A group that has members in the block.
#[derive(Debug)]
struct Group {
    number: u64,
    /// Whether its members wait for each other.
    waits: AtomicBool,
}

/// Where a transaction stands in a group.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// The group's place among those of the block.
    place: u32,
    /// One more than the member before it; 0 if there is none, or no group.
    before: u32,
}

/// What the committer learned about groups: their numbers, and whether members depended on each other.
pub(crate) type Lessons = Vec<(u64, bool)>;

/// What waits for what in one block.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Of each transaction: its place in the wide group, and in the narrow one.
    members: Vec<[Member; 2]>,
    groups: Vec<Group>,
}

impl Plan {
    /// The plan of transactions of which each sends an input to somewhere.
    pub(crate) fn new<'a>(calls: impl Iterator<Item = (TxKind, &'a [u8])>, weights: &Weights) -> Self {
        let mut plan = Self::default();
        let mut last = HashMap::<u64, (u32, u32)>::default();
        for ((to, input), number) in calls.zip(1..) {
            let mut members = [Member::default(); 2];
            if let TxKind::Call(to) = to
                && !input.is_empty()
            {
                for (member, bytes) in members.iter_mut().zip([WIDE, NARROW]) {
                    let group = group(to.as_slice(), &input[..input.len().min(bytes)]);
                    *member = plan.join(group, number, &mut last, weights);
                }
            }
            plan.members.push(members);
        }
        plan
    }

    fn join(&mut self, group: u64, number: u32, last: &mut HashMap<u64, (u32, u32)>, weights: &Weights) -> Member {
        let groups = &mut self.groups;
        let (place, last) = last.entry(group).or_insert_with(|| {
            groups.push(Group { number: group, waits: AtomicBool::new(weights.of(group) >= WAITS) });
            (groups.len() as u32 - 1, 0)
        });
        Member { place: *place, before: std::mem::replace(last, number) }
    }

    fn group(&self, member: &Member) -> &Group {
        &self.groups[member.place as usize]
    }

    /// Whether a transaction is better left alone while `frontier` are in the block.
    pub(crate) fn waits(&self, transaction: usize, frontier: usize) -> bool {
        let waits = |member: &Member| member.before as usize > frontier && self.group(member).waits.load(Relaxed);
        self.members[transaction].iter().any(waits)
    }

    /// Takes note of whether a transaction that was executed ahead while `frontier` were in the block was of use: the rest of the block goes
    /// by it, and later ones.
    pub(crate) fn saw(&self, transaction: usize, frontier: usize, fits: bool, lessons: &mut Lessons) {
        let [wide, narrow] = &self.members[transaction];
        let could_tell = |member: &Member| member.before as usize > frontier;
        if fits {
            let spared = [wide, narrow].into_iter().filter(|member| could_tell(member));
            lessons.extend(spared.map(|member| (self.group(member).number, false)));
        } else if let Some(member) = [narrow, wide].into_iter().find(|member| could_tell(member)) {
            self.group(member).waits.store(true, Relaxed);
            lessons.push((self.group(member).number, true));
        }
    }

    /// Groups whose members waited.
    pub(crate) fn waited(&self) -> impl Iterator<Item = u64> {
        self.groups.iter().filter(|group| group.waits.load(Relaxed)).map(|group| group.number)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;

    fn call(to: u8, input: &[u8]) -> (TxKind, Vec<u8>) {
        (TxKind::Call(Address::repeat_byte(to)), input.to_vec())
    }

    fn plan(calls: &[(TxKind, Vec<u8>)], weights: &Weights) -> Plan {
        Plan::new(calls.iter().map(|(to, input)| (*to, input.as_slice())), weights)
    }

    /// Calls of one function, to `argument`.
    fn transfers(arguments: &[u8]) -> Vec<(TxKind, Vec<u8>)> {
        arguments.iter().map(|argument| call(1, &[&[1, 2, 3, 4][..], &[*argument; 32], &[9; 32]].concat())).collect()
    }

    #[test]
    fn only_calls_of_one_function_are_a_group() {
        let calls = [
            call(1, &[1, 2, 3, 4]),
            (TxKind::Create, vec![1, 2, 3, 4]),
            call(1, &[]),
            call(2, &[1, 2, 3, 4]),
            call(1, &[1, 2, 3]),
            call(1, &[1, 2, 3, 4]),
            call(1, &[]),
        ];
        let plan = plan(&calls, &Weights::default());
        let before: Vec<u32> = plan.members.iter().map(|[wide, _]| wide.before).collect();
        assert_eq!(before, [0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn what_met_waits_in_this_block_and_in_later_ones_until_it_is_forgotten() {
        let calls = transfers(&[5, 6, 5, 7, 5]);
        let mut weights = Weights::default();
        let first = plan(&calls, &weights);
        assert!((0..5).all(|transaction| !first.waits(transaction, 0)));
        let mut lessons = Lessons::new();
        // 6 and 7 could be executed beside the others; two to 5 met, and only those to 5 wait.
        first.saw(1, 0, true, &mut lessons);
        first.saw(2, 0, false, &mut lessons);
        assert_eq!([2, 3, 4].map(|transaction| first.waits(transaction, 0)), [true, false, true]);
        // Not once those before them are in the block.
        assert_eq!([first.waits(2, 1), first.waits(4, 2), first.waits(4, 3)], [false, true, false]);
        lessons.drain(..).for_each(|(group, depended)| weights.learn(group, depended));
        let mut blocks = 0;
        while plan(&calls, &weights).waits(2, 0) {
            assert!(!plan(&calls, &weights).waits(3, 0));
            plan(&calls, &weights).waited().for_each(|group| weights.fade(group));
            blocks += 1;
        }
        assert!((10..100).contains(&blocks), "{blocks}");
    }

    #[test]
    fn what_meets_whatever_its_argument_waits_for_all() {
        let calls = transfers(&[5, 6, 7, 8]);
        let plan = plan(&calls, &Weights::default());
        let mut lessons = Lessons::new();
        plan.saw(1, 0, false, &mut lessons);
        assert!((1..4).all(|transaction| plan.waits(transaction, 0)));
        // Nothing is learned from one that could not have met.
        plan.saw(2, 2, false, &mut lessons);
        assert_eq!(lessons.len(), 1);
    }

    #[test]
    fn weights_forget_what_falls_on_one_place() {
        let mut weights = Weights::default();
        let (one, other) = (1 << 32 | 7, 1 << 32 | 9);
        weights.learn(one, true);
        assert_eq!((weights.of(one), weights.of(other)), (128, 0));
        weights.learn(one, false);
        weights.fade(one);
        weights.fade(other);
        assert_eq!(weights.of(one), 119);
        weights.learn(other, true);
        assert_eq!((weights.of(one), weights.of(other)), (0, 128));
    }
}
