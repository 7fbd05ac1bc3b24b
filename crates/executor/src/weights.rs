//! How likely calls of one group are to depend on each other, as it was seen, or as somebody says who was told what was seen.
//!
//! Three ways to predict ([`Predictor`]): not at all; by what was seen of each group in this block and before; by weights that somebody gives, who is
//! told what was seen ([`Lesson`]) and may know what contracts have in common.
//!
//! Bounds: [`MAX_HISTORY`] groups are remembered; one that falls on another's place takes it. As many lessons wait to be taken, and as many weights
//! are taken.

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, Bytes};

/// Groups that are remembered.
pub const MAX_HISTORY: usize = 1 << 15;
/// Weight from which on members wait for each other, of 255.
pub const WAITS: u8 = 96;
/// Bytes of a call that select a function, and those with the first argument.
pub(crate) const WIDE: usize = 4;
pub(crate) const NARROW: usize = 36;

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

impl Predictor {
    /// The one of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "history" => Some(Self::History),
            "given" => Some(Self::Given),
            _ => None,
        }
    }
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
    /// Whether members waited for each other, so that little was seen.
    pub waited: bool,
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
    pub(crate) fn waits(self, group_number: u64, prefix: &[u8]) -> bool {
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
pub(crate) fn group(to: &[u8], input: &[u8]) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

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
