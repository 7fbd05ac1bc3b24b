//! Which transactions a helper had better leave alone until others are in the block: those that are predicted to meet.
//!
//! A call belongs to two groups: that of the contract and the four bytes that select its function, and the narrower one of those and the first
//! argument, such as the account that tokens go to. Of a group whose members have been seen to depend on each other, a helper executes one only
//! when the one before is in the block. Where members of a wide group depend on each other only if they are of one narrow group too, the narrow
//! one learns it and the wide one does not. Plain transfers belong to no group, and what one sender sends is no group: see
//! `interlace_evm::Speculation`.
//!
//! Invariant: a plan changes when something is executed, never what comes out.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Bytes, TxKind};

use crate::weights::{Lesson, NARROW, Source, WIDE, group};

/// A group that has members in the block.
#[derive(Debug)]
struct Group {
    number: u64,
    /// One of its members, and how many bytes of their inputs are the same.
    member: u32,
    width: u32,
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

/// What the committer learned about groups: their places, and whether members depended on each other.
pub(crate) type Lessons = Vec<(u32, bool)>;

/// What waits for what in one block.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Of each transaction: its place in the wide group, and in the narrow one.
    members: Vec<[Member; 2]>,
    groups: Vec<Group>,
    /// Nobody waits.
    blind: bool,
}

impl Plan {
    /// The plan of transactions of which each sends an input to somewhere.
    pub(crate) fn new<'a>(calls: impl Iterator<Item = (TxKind, &'a [u8])>, source: Source<'_>) -> Self {
        let mut plan = Self { blind: matches!(source, Source::Nowhere), ..Self::default() };
        let mut last = HashMap::<u64, (u32, u32)>::default();
        for ((to, input), number) in calls.zip(1..) {
            let mut members = [Member::default(); 2];
            if let TxKind::Call(to) = to
                && !input.is_empty()
            {
                for (member, bytes) in members.iter_mut().zip([WIDE, NARROW]) {
                    let prefix = &input[..input.len().min(bytes)];
                    *member = plan.join(group(to.as_slice(), prefix), number, prefix, &mut last, source);
                }
            }
            plan.members.push(members);
        }
        plan
    }

    /// Puts call `number`, counted from one, into a group.
    fn join(
        &mut self,
        group: u64,
        number: u32,
        prefix: &[u8],
        last: &mut HashMap<u64, (u32, u32)>,
        source: Source<'_>,
    ) -> Member {
        let groups = &mut self.groups;
        let (place, last) = last.entry(group).or_insert_with(|| {
            let waits = AtomicBool::new(source.waits(group, prefix));
            groups.push(Group { number: group, member: number - 1, width: prefix.len() as u32, waits });
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
        !self.blind && self.members[transaction].iter().any(waits)
    }

    /// Takes note of whether a transaction that was executed ahead while `frontier` were in the block was of use: the rest of the block goes
    /// by it, and later ones.
    pub(crate) fn saw(&self, transaction: usize, frontier: usize, fits: bool, lessons: &mut Lessons) {
        let [wide, narrow] = &self.members[transaction];
        let could_tell = |member: &Member| member.before as usize > frontier;
        if fits {
            let spared = [wide, narrow].into_iter().filter(|member| could_tell(member));
            lessons.extend(spared.map(|member| (member.place, false)));
        } else if let Some(member) = [narrow, wide].into_iter().find(|member| could_tell(member)) {
            self.group(member).waits.store(true, Relaxed);
            lessons.push((member.place, true));
        }
    }

    /// The number of a group that lessons name by its place.
    pub(crate) fn number(&self, place: u32) -> u64 {
        self.groups[place as usize].number
    }

    /// Lessons with what their groups are, each group once, and groups of several members that waited; `call` gives a transaction's recipient and
    /// input.
    pub(crate) fn told<'a>(&self, lessons: &Lessons, call: impl Fn(usize) -> (TxKind, &'a [u8])) -> Vec<Lesson> {
        let mut counts = vec![(0, 0); self.groups.len()];
        for (place, met) in lessons {
            let (all_met, all_spared) = &mut counts[*place as usize];
            *(if *met { all_met } else { all_spared }) += 1;
        }
        let mut followed = vec![false; self.groups.len()];
        let members = self.members.iter().flatten().filter(|member| member.before > 0);
        members.for_each(|member| followed[member.place as usize] = true);
        let mut told = Vec::new();
        for ((group, (met, spared)), followed) in self.groups.iter().zip(counts).zip(followed) {
            let waited = followed && group.waits.load(Relaxed);
            if let (TxKind::Call(to), input) = call(group.member as usize)
                && (met, spared, waited) != (0, 0, false)
            {
                let prefix = Bytes::copy_from_slice(&input[..group.width as usize]);
                told.push(Lesson { to, prefix, met, spared, waited });
            }
        }
        told
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
    use crate::weights::{GivenWeights, Subject, WAITS, Weights};

    fn call(to: u8, input: &[u8]) -> (TxKind, Vec<u8>) {
        (TxKind::Call(Address::repeat_byte(to)), input.to_vec())
    }

    fn plan_of(calls: &[(TxKind, Vec<u8>)], source: Source<'_>) -> Plan {
        Plan::new(calls.iter().map(|(to, input)| (*to, input.as_slice())), source)
    }

    fn plan(calls: &[(TxKind, Vec<u8>)], weights: &Weights) -> Plan {
        plan_of(calls, Source::Seen(weights))
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
        lessons.drain(..).for_each(|(place, depended)| weights.learn(first.number(place), depended));
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
    fn given_weights_are_those_of_a_group_or_of_its_function() {
        let calls = transfers(&[5, 6, 5, 6, 5]);
        let (TxKind::Call(to), input) = &calls[0] else { unreachable!() };
        let waiting = |weights: Vec<(Subject, u8)>| -> Vec<usize> {
            let weights = GivenWeights::new(weights);
            let plan = plan_of(&calls, Source::Given(&weights));
            (0..5).filter(|transaction| plan.waits(*transaction, 0)).collect()
        };
        let wide = Subject::Group(*to, Bytes::copy_from_slice(&input[..WIDE]));
        let to_five = Subject::Group(*to, Bytes::copy_from_slice(&input[..NARROW]));
        let function = |narrow| Subject::Function { selector: [1, 2, 3, 4], narrow };
        assert_eq!(waiting(vec![]), [0; 0]);
        assert_eq!(waiting(vec![(wide.clone(), WAITS)]), [1, 2, 3, 4]);
        assert_eq!(waiting(vec![(wide.clone(), WAITS - 1)]), [0; 0]);
        assert_eq!(waiting(vec![(to_five.clone(), 255)]), [2, 4]);
        assert_eq!(waiting(vec![(function(true), 255)]), [2, 3, 4]);
        assert_eq!(waiting(vec![(function(true), 255), (to_five, 0)]), [3]);
        assert_eq!(waiting(vec![(function(false), 255)]), [1, 2, 3, 4]);
        assert_eq!(waiting(vec![(function(false), 255), (wide, 0)]), [0; 0]);
        let other = Subject::Function { selector: [1, 2, 3, 5], narrow: false };
        assert_eq!(waiting(vec![(other, 255)]), [0; 0]);
        // Who does not predict does not learn within the block either.
        let blind = plan_of(&calls, Source::Nowhere);
        blind.saw(2, 0, false, &mut Lessons::new());
        assert!((0..5).all(|transaction| !blind.waits(transaction, 0)));
    }

    #[test]
    fn lessons_name_their_groups() {
        let calls = transfers(&[5, 6, 5, 6, 5]);
        let plan = plan(&calls, &Weights::default());
        let mut lessons = Lessons::new();
        plan.saw(1, 0, true, &mut lessons);
        plan.saw(2, 0, false, &mut lessons);
        plan.saw(4, 2, false, &mut lessons);
        let told = plan.told(&lessons, |transaction| (calls[transaction].0, &calls[transaction].1));
        let (TxKind::Call(to), input) = &calls[0] else { unreachable!() };
        let lesson = |width: usize, met, spared| Lesson {
            to: *to,
            prefix: Bytes::copy_from_slice(&input[..width]),
            met,
            spared,
            waited: met > 0,
        };
        assert_eq!(told, [lesson(WIDE, 0, 1), lesson(NARROW, 2, 0)]);
        // One that waits, of which nothing was seen.
        let weights = GivenWeights::new([(Subject::Function { selector: [1, 2, 3, 4], narrow: false }, 255)]);
        let plan = plan_of(&calls, Source::Given(&weights));
        let told = plan.told(&Lessons::new(), |transaction| (calls[transaction].0, &calls[transaction].1));
        assert_eq!(told, [Lesson { waited: true, ..lesson(WIDE, 0, 0) }]);
    }
}
