//! What a transaction that was executed ahead looked at, and what it wrote, place by place: what one transaction may have to wait for.
//!
//! Invariant: what [`Speculation::reads`] leaves out may change without the execution noticing; [`crate::Vm::adopt`] compares no more.
//! What it does not do: that a sender can pay is not a place; nor is the nonce of a transaction's own sender, which its turn makes right.

use alloc::vec::Vec;

use alloy_primitives::{Address, U256};

use crate::speculate::{Seen, Speculation};
use crate::writes::Written;

/// A part of the state that executions can meet at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// Whether an account is there and not empty, and its code.
    Account(Address),
    /// A balance.
    Balance(Address),
    /// A nonce.
    Nonce(Address),
    /// A slot.
    Slot(Address, U256),
}

impl Location {
    /// The account.
    #[must_use]
    pub const fn address(&self) -> Address {
        match self {
            Self::Account(address) | Self::Balance(address) | Self::Nonce(address) | Self::Slot(address, _) => *address,
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Balance(_) => "balance",
            Self::Nonce(_) => "nonce",
            Self::Slot(..) => "slot",
        }
    }
}

/// An account that a transaction wrote to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenAccount {
    /// Where it is.
    pub address: Address,
    /// Whether all slots from before are gone.
    pub wiped: bool,
    /// The slots that were written.
    pub slots: Vec<U256>,
}

impl Speculation {
    /// What was looked at, in ascending order.
    #[must_use]
    pub fn reads(&self) -> Vec<Location> {
        let account = |seen: &Seen| {
            let Seen { address, balance, nonce, .. } = *seen;
            let balance = balance.then_some(Location::Balance(address));
            let nonce = (nonce && address != self.sender).then_some(Location::Nonce(address));
            [Some(Location::Account(address)), balance, nonce].into_iter().flatten()
        };
        let slots = self.slots.iter().map(|(address, slot, _)| Location::Slot(*address, *slot));
        let mut reads: Vec<Location> = self.accounts.iter().flat_map(account).chain(slots).collect();
        reads.sort_unstable();
        reads.dedup();
        reads
    }

    /// The accounts that were written to, but for the beneficiary's reward.
    #[must_use]
    pub fn written(&self) -> Vec<WrittenAccount> {
        let each = |(written, slots): (&Written, &[(U256, U256)])| WrittenAccount {
            address: written.address,
            wiped: written.wiped,
            slots: slots.iter().map(|(slot, _)| *slot).collect(),
        };
        self.writes.each().map(each).collect()
    }
}
