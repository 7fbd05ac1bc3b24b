//! What a proof-of-work block must keep beside the work itself: its difficulty and the ancestry of its ommers.
//!
//! Invariant: nothing here executes anything; from Paris on there is neither work nor an ommer, and every check passes.
//! Source: execution-specs `calculate_block_difficulty` and `validate_ommers`; EIP-2, EIP-100, EIP-649, EIP-1234,
//! EIP-2384, EIP-3554, EIP-4345 and EIP-5133 (delays of the difficulty bomb).
//! What it does not do: the work is not verified; a developer chain chooses its difficulty and asks for none of this.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::{B256, U256};
use interlace_primitives::{ChainSpec, Fork};

use crate::block::Block;
use crate::error::HeaderError;
use crate::execute::MAX_OMMER_AGE;
use crate::header::validate_header;

/// Least difficulty of any block.
const MIN_DIFFICULTY: u64 = 131_072;
/// The difficulty moves in steps of the parent's divided by this.
const DIFFICULTY_BOUND_DIVISOR: u64 = 2048;
/// Greatest number of steps down.
const MAX_STEPS_DOWN: u64 = 99;
/// The bomb doubles every so many blocks.
const BOMB_PERIOD_BLOCKS: u64 = 100_000;
/// Generations that ommers are looked for in: six parents of ommers, and one more for the oldest.
pub const ANCESTORS: usize = 7;

/// A block before the one being checked, with its ommers.
#[derive(Clone, Copy, Debug)]
pub struct Generation<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Its ommers.
    pub ommers: &'a [Header],
}

/// Difficulty of a child of `parent`; zero from Paris on.
#[must_use]
pub fn expected_difficulty(spec: &ChainSpec, parent: &Header, number: u64, timestamp: u64) -> U256 {
    let fork = spec.fork_at(number, timestamp);
    if fork >= Fork::Paris {
        return U256::ZERO;
    }
    let seconds = timestamp.saturating_sub(parent.timestamp);
    let (up, down) = steps(fork, seconds, parent.ommers_hash != EMPTY_OMMER_ROOT_HASH);
    let step = parent.difficulty / U256::from(DIFFICULTY_BOUND_DIVISOR);
    let moved = parent
        .difficulty
        .saturating_add(step.saturating_mul(U256::from(up)))
        .saturating_sub(step.saturating_mul(U256::from(down)));
    let periods = number.saturating_sub(spec.bomb_delay_blocks(number, timestamp)) / BOMB_PERIOD_BLOCKS;
    let bomb = match periods.checked_sub(2) {
        None => U256::ZERO,
        Some(doublings) => U256::ONE.checked_shl(usize::try_from(doublings).unwrap_or(usize::MAX)).unwrap_or(U256::MAX),
    };
    moved.saturating_add(bomb).max(U256::from(MIN_DIFFICULTY))
}

/// Steps up and steps down after `seconds` without a block.
fn steps(fork: Fork, seconds: u64, parent_has_ommers: bool) -> (u64, u64) {
    let (up, slow) = match fork {
        Fork::Frontier => return if seconds < 13 { (1, 0) } else { (0, 1) },
        Fork::Homestead | Fork::TangerineWhistle | Fork::SpuriousDragon => (1, seconds / 10),
        _ => (if parent_has_ommers { 2 } else { 1 }, seconds / 9),
    };
    // At most 99 steps down in all, after those up are taken off.
    (up, slow.min(MAX_STEPS_DOWN + up))
}

/// Checks the difficulty that a header claims.
///
/// # Errors
/// [`HeaderError::Difficulty`].
pub fn validate_difficulty(spec: &ChainSpec, parent: &Header, header: &Header) -> Result<(), HeaderError> {
    let expected = expected_difficulty(spec, parent, header.number, header.timestamp);
    if header.difficulty == expected {
        return Ok(());
    }
    Err(HeaderError::Difficulty { header: header.difficulty, expected })
}

/// Checks the ommers of `block` against its `ancestors`, newest first: at least [`ANCESTORS`], or all there are.
///
/// # Errors
/// [`HeaderError::Ommers`], or what is wrong with an ommer's own header.
pub fn validate_ancestry(spec: &ChainSpec, block: &Block, ancestors: &[Generation<'_>]) -> Result<(), HeaderError> {
    let recent = &ancestors[..ancestors.len().min(ANCESTORS)];
    let canonical: alloc::vec::Vec<B256> = recent.iter().map(|generation| generation.header.hash_slow()).collect();
    for ommer in &block.body.ommers {
        let hash = ommer.hash_slow();
        let age = block.header.number.saturating_sub(ommer.number);
        if age == 0 || age > MAX_OMMER_AGE {
            return Err(HeaderError::Ommers("not one to six blocks older than the block"));
        }
        if canonical.contains(&hash) {
            return Err(HeaderError::Ommers("an ancestor of the block"));
        }
        if recent.iter().flat_map(|generation| generation.ommers).any(|named| named.hash_slow() == hash) {
            return Err(HeaderError::Ommers("named by an earlier block"));
        }
        if ommer.parent_hash == block.header.parent_hash {
            return Err(HeaderError::Ommers("a sibling of the block"));
        }
        let parent = canonical.iter().position(|ancestor| *ancestor == ommer.parent_hash);
        let Some(parent) = parent.map(|position| recent[position].header) else {
            return Err(HeaderError::Ommers("no child of an ancestor within seven generations"));
        };
        validate_header(spec, parent, ommer)?;
        validate_difficulty(spec, parent, ommer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(difficulty: u64, number: u64) -> Header {
        Header { difficulty: U256::from(difficulty), number, timestamp: 1_000, ..Header::default() }
    }

    fn next(fork: Fork, parent: &Header, seconds: u64) -> u64 {
        let spec = ChainSpec::dev(1, fork);
        expected_difficulty(&spec, parent, parent.number + 1, parent.timestamp + seconds).to()
    }

    #[test]
    fn difficulty_follows_the_time_since_the_parent() {
        let block = parent(2_048_000, 1);
        assert_eq!(
            [12, 13, 900].map(|seconds| next(Fork::Frontier, &block, seconds)),
            [2_049_000, 2_047_000, 2_047_000]
        );
        assert_eq!(
            [9, 10, 20, 1_000, 5_000].map(|seconds| next(Fork::Homestead, &block, seconds)),
            [2_049_000, 2_048_000, 2_047_000, 1_949_000, 1_949_000]
        );
        assert_eq!([8, 9, 18].map(|seconds| next(Fork::Byzantium, &block, seconds)), [2_049_000, 2_048_000, 2_047_000]);
        let nephew = Header { ommers_hash: B256::repeat_byte(1), ..block.clone() };
        assert_eq!(
            [8, 9, 18].map(|seconds| next(Fork::Byzantium, &nephew, seconds)),
            [2_050_000, 2_049_000, 2_048_000]
        );
        assert_eq!(next(Fork::Frontier, &parent(131_072, 1), 100), MIN_DIFFICULTY);
        assert_eq!(next(Fork::Paris, &block, 8), 0);
    }

    #[test]
    fn the_bomb_doubles_and_is_delayed() {
        let at = |fork, number: u64| next(fork, &parent(2_048_000, number - 1), 13);
        let extra = |fork, number: u64| at(fork, number) - at(fork, 2);
        assert_eq!([199_999, 200_000, 300_000, 400_000].map(|n| extra(Fork::Frontier, n)), [0, 1, 2, 4]);
        assert_eq!([3_199_999, 3_200_000, 3_300_000].map(|n| extra(Fork::Byzantium, n)), [0, 1, 2]);
        assert_eq!([5_199_999, 5_200_000].map(|n| extra(Fork::Petersburg, n)), [0, 1]);
        assert_eq!([9_899_999, 9_900_000].map(|n| extra(Fork::London, n)), [0, 1]);
        let late = Header { number: u64::MAX - 1, ..parent(2_048_000, 1) };
        assert_eq!(expected_difficulty(&ChainSpec::dev(1, Fork::Frontier), &late, u64::MAX, 1_001), U256::MAX);
    }

    fn child(of: &Header, spec: &ChainSpec, extra: u8) -> Header {
        let (number, timestamp) = (of.number + 1, of.timestamp + 10);
        Header {
            parent_hash: of.hash_slow(),
            number,
            timestamp,
            gas_limit: 5_000_000,
            extra_data: [extra].into(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            difficulty: expected_difficulty(spec, of, number, timestamp),
            ..Header::default()
        }
    }

    #[test]
    fn ommers_are_children_of_ancestors_and_named_once() {
        let spec = ChainSpec::dev(1, Fork::Frontier);
        let zero = Header { gas_limit: 5_000_000, ommers_hash: EMPTY_OMMER_ROOT_HASH, ..parent(2_048_000, 0) };
        let one = child(&zero, &spec, 0);
        let two = child(&one, &spec, 0);
        let ommer = child(&zero, &spec, 1);
        let verdict = |ommer: Header, named: &[Header]| {
            let body = alloy_consensus::BlockBody { ommers: alloc::vec![ommer], ..Default::default() };
            let block = Block { header: child(&two, &spec, 0), body };
            let ancestors = [
                Generation { header: &two, ommers: named },
                Generation { header: &one, ommers: &[] },
                Generation { header: &zero, ommers: &[] },
            ];
            validate_ancestry(&spec, &block, &ancestors)
        };
        assert_eq!(verdict(ommer.clone(), &[]), Ok(()));
        assert_eq!(verdict(one.clone(), &[]), Err(HeaderError::Ommers("an ancestor of the block")));
        let named = [ommer.clone()];
        assert_eq!(verdict(ommer.clone(), &named), Err(HeaderError::Ommers("named by an earlier block")));
        let age = HeaderError::Ommers("not one to six blocks older than the block");
        assert_eq!(verdict(child(&two, &spec, 1), &[]), Err(age));
        let stranger = Header { parent_hash: B256::ZERO, ..ommer.clone() };
        let unknown = HeaderError::Ommers("no child of an ancestor within seven generations");
        assert_eq!(verdict(stranger, &[]), Err(unknown));
        let easy = Header { difficulty: U256::from(1), ..ommer };
        assert!(matches!(verdict(easy, &[]), Err(HeaderError::Difficulty { .. })));
    }
}
