//! Which transactions a helper had better leave alone until others are in the block: those that are predicted to meet.
//!
//! A call belongs to two groups: that of the contract and the four bytes that select its function, and the narrower one of those and the first
//! argument, such as the account that tokens go to. Of a group whose members have been seen to depend on each other, a helper executes one only
//! when the one before is in the block. Where members of a wide group depend on each other only if they are of one narrow group too, the narrow
//! one learns it and the wide one does not. Plain transfers belong to no group, and what one sender sends is no group: see
//! `interlace_evm::Speculation`.
//!
//! Three ways to predict ([`Predictor`]): not at all; by what was seen of each group in this block and before; by weights that somebody gives, who is
//! told what was seen ([`Lesson`]) and may know what contracts have in common.
//!
//! Invariant: a plan changes when something is executed, never what comes out.
//! Bounds: [`MAX_HISTORY`] groups are remembered; one that falls on another's place takes it. As many lessons wait to be taken, and as many weights
//! are taken.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, Bytes, TxKind};

/// Groups that are remembered.
pub const MAX_HISTORY: usize = 1 << 15;
/// Weight from which on members wait for each other, of 255.
pub const WAITS: u8 = 96;
/// Bytes of a call that select a function, and those with the first argument.
const WIDE: usize = 4;
const NARROW: usize = 36;

/// How it is predicted which transactions meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Predictor {
    /// It is not: every transaction is executed ahead as soon as it can be.
    None,
    /// By what was seen of its groups.
    #[default]
    History,
    /// By weights of groups that are given between blocks.
    Given,
}

/// What was seen of a group in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// Whom its members call.
    pub to: Address,
    /// What their inputs begin with: the four bytes that select a function, and the first argument if it is a narrow group.
    pub prefix: Bytes,
    /// Members that were executed ahead for nothing, with another one before them that was not in the block yet.
    pub met: u32,
    /// Members that were executed ahead and taken over, although there was such a one.
    pub spared: u32,
}

/// Whose weight is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A group: whom its members call, and what their inputs begin with.
    Group(Address, Bytes),
    /// All groups of a function whose weight is not given: wide ones, or narrow ones.
    Function {
        /// The four bytes that select it.
        selector: [u8; WIDE],
        /// Whether narrow ones are meant.
        narrow: bool,
    },
}

/// Weights that were given: 0 to 255, of which [`WAITS`] and above make members wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenWeights(HashMap<u64, u8>);

impl GivenWeights {
    pub(crate) fn new(weights: impl IntoIterator<Item = (Subject, u8)>) -> Self {
        let number = |subject: &Subject| match subject {
            Subject::Group(to, prefix) => group(to.as_slice(), prefix),
            Subject::Function { selector, narrow } => group(&[u8::from(*narrow)], selector),
        };
        let weights = weights.into_iter().take(MAX_HISTORY);
        Self(weights.map(|(subject, weight)| (number(&subject), weight)).collect())
    }

    fn of(&self, group_number: u64, prefix: &[u8]) -> u8 {
        let of_function = || {
            let selector = prefix.get(..WIDE)?;
            self.0.get(&group(&[u8::from(prefix.len() > WIDE)], selector)).copied()
        };
        self.0.get(&group_number).copied().or_else(of_function).unwrap_or_default()
    }
}

/// Where weights come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Nowhere,
    Seen(&'a Weights),
    Given(&'a GivenWeights),
}

impl Source<'_> {
    fn waits(self, group_number: u64, prefix: &[u8]) -> bool {
        let weight = match self {
            Self::Nowhere => 0,
            Self::Seen(weights) => weights.of(group_number),
            Self::Given(weights) => weights.of(group_number, prefix),
        };
        weight >= WAITS
    }
}

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

    /// Lessons with what their groups are, and each group once; `call` gives a transaction's recipient and input.
    pub(crate) fn told<'a>(&self, lessons: &Lessons, call: impl Fn(usize) -> (TxKind, &'a [u8])) -> Vec<Lesson> {
        let mut counts = HashMap::<u32, (u32, u32)>::default();
        for (place, met) in lessons {
            let (all_met, all_spared) = counts.entry(*place).or_default();
            *(if *met { all_met } else { all_spared }) += 1;
        }
        let mut told: Vec<(u32, Lesson)> = Vec::with_capacity(counts.len());
        for (place, (met, spared)) in counts {
            let Group { member, width, .. } = self.groups[place as usize];
            if let (TxKind::Call(to), input) = call(member as usize) {
                let prefix = Bytes::copy_from_slice(&input[..width as usize]);
                told.push((place, Lesson { to, prefix, met, spared }));
            }
        }
        told.sort_unstable_by_key(|(place, _)| *place);
        told.into_iter().map(|(_, lesson)| lesson).collect()
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
        };
        assert_eq!(told, [lesson(WIDE, 0, 1), lesson(NARROW, 2, 0)]);
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
