//! What the protocol itself pays: block and ommer rewards before Paris, withdrawals from Shanghai on.
//!
//! Invariant: amounts are exact; nothing is paid twice.
//! Source: yellow paper 11.3; EIP-649, EIP-1234 (rewards), EIP-4895 (withdrawals).

use alloc::vec::Vec;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, U256};
use interlace_evm::{Overlay, StateReader};
use interlace_primitives::Fork;

const ETHER_WEI: u64 = 1_000_000_000_000_000_000;
const GWEI_WEI: u64 = 1_000_000_000;
/// An ommer is at most this many blocks older than the block that names it; its share falls by an eighth per block.
const OMMER_SHARES: u64 = 8;

/// Reward of a block in wei; zero from Paris on.
const fn block_reward_wei(fork: Fork) -> u64 {
    match fork {
        Fork::Frontier | Fork::Homestead | Fork::TangerineWhistle | Fork::SpuriousDragon => 5 * ETHER_WEI,
        Fork::Byzantium => 3 * ETHER_WEI,
        Fork::Constantinople | Fork::Petersburg | Fork::Istanbul | Fork::Berlin | Fork::London => 2 * ETHER_WEI,
        _ => 0,
    }
}

/// What a block mints: for its beneficiary first, in wei, then for that of each ommer; nothing from Paris on.
#[must_use]
pub fn block_rewards(fork: Fork, header: &Header, ommers: &[Header]) -> Vec<(Address, U256)> {
    let reward = U256::from(block_reward_wei(fork));
    if reward.is_zero() {
        return Vec::new();
    }
    let nephew = reward / U256::from(32) * U256::from(ommers.len());
    let uncles = ommers.iter().map(|ommer| {
        let age = header.number.saturating_sub(ommer.number);
        let shares = U256::from(OMMER_SHARES.saturating_sub(age));
        (ommer.beneficiary, reward * shares / U256::from(OMMER_SHARES))
    });
    core::iter::once((header.beneficiary, reward + nephew)).chain(uncles).collect()
}

/// Pays the block's beneficiary and those of its ommers.
pub(crate) fn pay_rewards<R: StateReader>(
    overlay: &mut Overlay<R>,
    fork: Fork,
    header: &Header,
    ommers: &[Header],
) -> Result<(), R::Error> {
    block_rewards(fork, header, ommers)
        .into_iter()
        .try_for_each(|(beneficiary, reward)| overlay.add_balance(beneficiary, reward))
}

/// Credits withdrawals, given in gwei.
pub(crate) fn pay_withdrawals<R: StateReader>(
    overlay: &mut Overlay<R>,
    withdrawals: &[Withdrawal],
) -> Result<(), R::Error> {
    withdrawals.iter().try_for_each(|withdrawal| {
        overlay.add_balance(withdrawal.address, U256::from(withdrawal.amount) * U256::from(GWEI_WEI))
    })
}
