//! The names of Ethereum's protocol versions, in order, and what activates each.
//!
//! Invariant: the order of the variants is the order of activation, so `fork >= Fork::London` reads as "London is active".
//! Source: execution-specs, "Mainnet protocol releases"; EIP-7892 for the blob-parameter forks.
//! What it does not do: forks that change only the difficulty bomb (Muir, Arrow and Gray Glacier) and the DAO fork, which
//! changes balances and no rule, are not versions; their blocks are fields of `ChainSpec`.

use core::fmt;

/// One protocol version. Later versions compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fork {
    /// The first version.
    Frontier,
    /// EIP-606.
    Homestead,
    /// EIP-608.
    TangerineWhistle,
    /// EIP-607.
    SpuriousDragon,
    /// EIP-609.
    Byzantium,
    /// EIP-1013.
    Constantinople,
    /// EIP-1716.
    Petersburg,
    /// EIP-1679.
    Istanbul,
    /// EIP-2070.
    Berlin,
    /// Base fee, EIP-1559.
    London,
    /// Proof of stake, EIP-3675.
    Paris,
    /// Withdrawals, EIP-4895.
    Shanghai,
    /// Blobs, EIP-4844.
    Cancun,
    /// EIP-7600.
    Prague,
    /// EIP-7607.
    Osaka,
    /// First blob-parameter fork (EIP-7892); rules as Osaka.
    Bpo1,
    /// Second blob-parameter fork.
    Bpo2,
    /// Third blob-parameter fork.
    Bpo3,
    /// Fourth blob-parameter fork.
    Bpo4,
    /// Fifth blob-parameter fork.
    Bpo5,
}

impl Fork {
    /// Every version, oldest first.
    pub const ALL: [Self; 20] = [
        Self::Frontier,
        Self::Homestead,
        Self::TangerineWhistle,
        Self::SpuriousDragon,
        Self::Byzantium,
        Self::Constantinople,
        Self::Petersburg,
        Self::Istanbul,
        Self::Berlin,
        Self::London,
        Self::Paris,
        Self::Shanghai,
        Self::Cancun,
        Self::Prague,
        Self::Osaka,
        Self::Bpo1,
        Self::Bpo2,
        Self::Bpo3,
        Self::Bpo4,
        Self::Bpo5,
    ];

    /// Name in execution-specs, in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frontier => "Frontier",
            Self::Homestead => "Homestead",
            Self::TangerineWhistle => "TangerineWhistle",
            Self::SpuriousDragon => "SpuriousDragon",
            Self::Byzantium => "Byzantium",
            Self::Constantinople => "Constantinople",
            Self::Petersburg => "Petersburg",
            Self::Istanbul => "Istanbul",
            Self::Berlin => "Berlin",
            Self::London => "London",
            Self::Paris => "Paris",
            Self::Shanghai => "Shanghai",
            Self::Cancun => "Cancun",
            Self::Prague => "Prague",
            Self::Osaka => "Osaka",
            Self::Bpo1 => "BPO1",
            Self::Bpo2 => "BPO2",
            Self::Bpo3 => "BPO3",
            Self::Bpo4 => "BPO4",
            Self::Bpo5 => "BPO5",
        }
    }

    /// The version with this name, whatever its case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fork| fork.name().eq_ignore_ascii_case(name))
    }

    /// Whether a genesis file may leave it out although a later version is active: blob-parameter forks only.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Bpo1 | Self::Bpo2 | Self::Bpo3 | Self::Bpo4 | Self::Bpo5)
    }

    /// Whether it is scheduled by timestamp (from Shanghai on) rather than by block number.
    #[must_use]
    pub fn is_scheduled_by_time(self) -> bool {
        self >= Self::Shanghai
    }

    /// Position in [`Fork::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a version begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// From this block number on.
    Block(u64),
    /// From the first block with at least this timestamp, in Unix seconds.
    Timestamp(u64),
}

impl Activation {
    /// Whether it has begun at a block with this number and timestamp.
    #[must_use]
    pub const fn is_active(self, number: u64, timestamp: u64) -> bool {
        match self {
            Self::Block(at) => number >= at,
            Self::Timestamp(at) => timestamp >= at,
        }
    }

    /// Whether it has begun at genesis, taking the genesis timestamp as zero.
    pub(crate) const fn active_at_genesis(self) -> bool {
        self.is_active(0, 0)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(at) => write!(f, "block {at}"),
            Self::Timestamp(at) => write!(f, "timestamp {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_in_order_and_names_are_found_again() {
        for (index, fork) in Fork::ALL.into_iter().enumerate() {
            assert_eq!(fork.index(), index);
            assert_eq!(Fork::from_name(&fork.name().to_ascii_lowercase()), Some(fork));
        }
        assert!(Fork::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(Fork::from_name("Atlantis"), None);
    }
}
