//! The one thing execution needs from a state: reading it.
//!
//! Invariant: a reader is a fixed version of the state; two reads of the same key give the same answer.
//! What it does not do: it has no way to write. Execution returns changes, the caller decides about them.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};

/// The part of an account that is not storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// keccak-256 of the code; that of the empty string for an account without code.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

impl Account {
    /// An account without nonce and code that holds `balance` wei.
    #[must_use]
    pub fn with_balance(balance: U256) -> Self {
        Self { balance, ..Self::default() }
    }

    /// Whether it is empty in the sense of EIP-161.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK256_EMPTY
    }
}

/// Read access to one version of the state.
pub trait StateReader {
    /// What can go wrong while reading.
    type Error: core::error::Error + Send + Sync + 'static;

    /// The account at `address`; `None` if there is none.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn account(&self, address: Address) -> Result<Option<Account>, Self::Error>;

    /// The value of `slot` in the storage of `address`; zero if never written.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error>;

    /// The code with this hash. Never asked for the hash of the empty string.
    ///
    /// # Errors
    /// When the state cannot be read, or an account names code that is not there.
    fn code(&self, code_hash: B256) -> Result<Bytes, Self::Error>;

    /// Hash of block `number`, one of the 256 before the block being executed; zero if there is none.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn block_hash(&self, number: u64) -> Result<B256, Self::Error>;

    /// Whether a read may wait for a disk or for a network, so that whoever knows what will be read may read it ahead; by default not.
    fn waits(&self) -> bool {
        false
    }

    /// Where analysed code is kept from one execution to the next; by default nowhere.
    #[cfg(feature = "std")]
    fn code_cache(&self) -> Option<&crate::CodeCache> {
        None
    }
}

impl<R: StateReader + ?Sized> StateReader for &R {
    type Error = R::Error;

    fn account(&self, address: Address) -> Result<Option<Account>, Self::Error> {
        (**self).account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        (**self).storage(address, slot)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, Self::Error> {
        (**self).code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, Self::Error> {
        (**self).block_hash(number)
    }

    fn waits(&self) -> bool {
        (**self).waits()
    }

    #[cfg(feature = "std")]
    fn code_cache(&self) -> Option<&crate::CodeCache> {
        (**self).code_cache()
    }
}
