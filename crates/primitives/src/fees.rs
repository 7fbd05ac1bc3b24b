//! Prices of gas and of blob gas: how one block's usage sets the next block's price.
//!
//! Invariant: integers only, rounding as in the EIPs; nothing here can overflow or panic, whatever a header claims
//! (a price beyond `u128` saturates).
//! Source: EIP-1559, EIP-4844 (`fake_exponential`, `calc_excess_blob_gas`), EIP-7918 (reserve price).
//! What it does not do: it knows no fork; callers pass the parameters in force.

use alloy_primitives::U256;

/// Base fee of the first block with a base fee, in wei (EIP-1559).
pub const INITIAL_BASE_FEE_WEI: u64 = 1_000_000_000;
/// The gas target is the gas limit divided by this (EIP-1559).
pub const ELASTICITY_MULTIPLIER: u64 = 2;
/// The base fee moves by at most one part in this per block (EIP-1559).
pub const BASE_FEE_CHANGE_DENOMINATOR: u64 = 8;
/// The gas limit moves by less than one part in this per block (yellow paper, 4.3.4).
pub const GAS_LIMIT_BOUND_DIVISOR: u64 = 1024;
/// Least gas limit of a block.
pub const MIN_GAS_LIMIT: u64 = 5_000;
/// Greatest gas limit of a block (EIP-1985 and every client).
pub const MAX_GAS_LIMIT: u64 = 0x7fff_ffff_ffff_ffff;
/// Blob gas of one blob (EIP-4844).
pub const GAS_PER_BLOB: u64 = 1 << 17;
/// Least price of blob gas, in wei (EIP-4844).
pub const MIN_BLOB_FEE_WEI: u128 = 1;
/// Execution gas that the reserve price of a blob is measured by (EIP-7918).
pub const BLOB_BASE_COST: u64 = 1 << 13;
/// Greatest gas limit of one transaction from Osaka on (EIP-7825).
pub const MAX_TRANSACTION_GAS: u64 = 1 << 24;
/// Greatest size of a block's RLP from Osaka on, in bytes (EIP-7934: 10 MiB less 2 MiB for the beacon block).
pub const MAX_RLP_BLOCK_BYTES: usize = 8 * 1024 * 1024;

/// Blob capacity and price response in force at a block (EIP-7840).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobParams {
    /// Blobs per block that keep the price where it is.
    pub target: u64,
    /// Greatest number of blobs in a block.
    pub max: u64,
    /// Denominator of the price's exponent; greater reacts slower.
    pub update_fraction: u64,
    /// Greatest number of blobs in one transaction (EIP-7594 from Osaka on, else `max`).
    pub max_per_transaction: u64,
    /// Whether execution cost puts a floor under the price (EIP-7918, from Osaka on).
    pub reserve_price: bool,
}

impl BlobParams {
    /// Greatest blob gas of a block.
    #[must_use]
    pub const fn max_blob_gas(&self) -> u64 {
        self.max.saturating_mul(GAS_PER_BLOB)
    }

    /// Blob gas of a block that keeps the price where it is.
    #[must_use]
    pub const fn target_blob_gas(&self) -> u64 {
        self.target.saturating_mul(GAS_PER_BLOB)
    }

    /// Price of one unit of blob gas in wei, for a block with this excess.
    #[must_use]
    pub fn blob_fee(&self, excess_blob_gas: u64) -> u128 {
        fake_exponential(MIN_BLOB_FEE_WEI, excess_blob_gas, self.update_fraction)
    }

    /// Excess blob gas of a block from its parent's; `self` is what is in force at the block, not at the parent.
    #[must_use]
    pub fn next_excess_blob_gas(&self, parent_excess: u64, parent_used: u64, parent_base_fee_wei: u64) -> u64 {
        let total = parent_excess.saturating_add(parent_used);
        let target = self.target_blob_gas();
        if total < target {
            return 0;
        }
        let floor = U256::from(BLOB_BASE_COST) * U256::from(parent_base_fee_wei);
        let price = U256::from(GAS_PER_BLOB) * U256::from(self.blob_fee(parent_excess));
        if self.reserve_price && floor > price {
            let growth = u128::from(parent_used) * u128::from(self.max.saturating_sub(self.target))
                / u128::from(self.max.max(1));
            return parent_excess.saturating_add(u64::try_from(growth).unwrap_or(u64::MAX));
        }
        total - target
    }
}

/// Base fee of the next block in wei (EIP-1559).
#[must_use]
pub fn next_base_fee(gas_used: u64, gas_limit: u64, base_fee_wei: u64) -> u64 {
    let target = gas_limit / ELASTICITY_MULTIPLIER;
    if gas_used == target || target == 0 {
        return base_fee_wei;
    }
    let distance = u128::from(gas_used.abs_diff(target));
    // Two divisions in this order, as in the EIP: the roundings are part of the rule. 2^64 * 2^64 fits in u128.
    let delta = u128::from(base_fee_wei) * distance / u128::from(target) / u128::from(BASE_FEE_CHANGE_DENOMINATOR);
    let delta = u64::try_from(delta).unwrap_or(u64::MAX);
    if gas_used > target { base_fee_wei.saturating_add(delta.max(1)) } else { base_fee_wei.saturating_sub(delta) }
}

/// `factor * e^(numerator / denominator)` by its Taylor series, as in EIP-4844; saturates at `u128::MAX`.
#[must_use]
pub fn fake_exponential(factor: u128, numerator: u64, denominator: u64) -> u128 {
    let denominator = U256::from(denominator.max(1));
    let numerator = U256::from(numerator);
    let ceiling = U256::from(u128::MAX).saturating_mul(denominator);
    let mut term = U256::from(factor) * denominator;
    let mut sum = U256::ZERO;
    let mut step = U256::ONE;
    while !term.is_zero() {
        sum += term;
        // Terms stay below 2^192 here and the numerator below 2^64, so the product fits in 256 bits.
        if sum > ceiling {
            return u128::MAX;
        }
        term = term * numerator / (denominator * step);
        step += U256::ONE;
    }
    u128::try_from(sum / denominator).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANCUN: BlobParams =
        BlobParams { target: 3, max: 6, update_fraction: 3_338_477, max_per_transaction: 6, reserve_price: false };

    #[test]
    fn exponential_follows_the_eip_and_saturates() {
        // The vectors of EIP-4844's own reference tests.
        for (factor, numerator, denominator, expected) in
            [(1, 0, 1, 1), (38493, 0, 1000, 38493), (1, 2, 1, 6), (1, 4, 2, 6), (10, 8, 2, 542), (2, 5, 2, 23)]
        {
            assert_eq!(fake_exponential(factor, numerator, denominator), expected);
        }
        assert_eq!(fake_exponential(1, 50_000_000, 2_225_652), 5_709_098_764);
        assert_eq!(fake_exponential(1, u64::MAX, 1), u128::MAX);
        assert_eq!(fake_exponential(1, u64::MAX, 0), u128::MAX);
    }

    #[test]
    fn base_fee_moves_by_an_eighth_and_at_least_by_one() {
        assert_eq!(next_base_fee(10_000_000, 20_000_000, 1_000_000_000), 1_000_000_000);
        assert_eq!(next_base_fee(9_000_000, 20_000_000, 1_000_000_000), 987_500_000);
        assert_eq!(next_base_fee(11_000_000, 20_000_000, 1_000_000_000), 1_012_500_000);
        assert_eq!(next_base_fee(10_000_001, 20_000_000, 7), 8);
        assert_eq!(next_base_fee(u64::MAX, 2, u64::MAX), u64::MAX);
        assert_eq!(next_base_fee(0, 1, 7), 7);
    }

    #[test]
    fn excess_blob_gas_counts_from_the_target_and_respects_the_floor() {
        let blob = GAS_PER_BLOB;
        assert_eq!(CANCUN.next_excess_blob_gas(0, 2 * blob, 7), 0);
        assert_eq!(CANCUN.next_excess_blob_gas(blob, 3 * blob, 7), blob);
        let osaka = BlobParams { target: 6, max: 9, max_per_transaction: 6, reserve_price: true, ..CANCUN };
        // A base fee of 16 wei keeps the floor (2^13 * 16 = 2^17) at the price of one wei; 17 wei lifts it above.
        assert_eq!(osaka.next_excess_blob_gas(0, 9 * blob, 16), 3 * blob);
        assert_eq!(osaka.next_excess_blob_gas(0, 9 * blob, 17), 3 * blob);
        assert_eq!(osaka.next_excess_blob_gas(6 * blob, 6 * blob, 16), 6 * blob);
        assert_eq!(osaka.next_excess_blob_gas(6 * blob, 6 * blob, 100), 8 * blob);
        assert_eq!(osaka.next_excess_blob_gas(u64::MAX, u64::MAX, u64::MAX), u64::MAX - 6 * blob);
    }
}
