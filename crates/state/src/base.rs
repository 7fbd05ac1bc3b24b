//! What lies below a state that was not built here: another chain's state after one block, read when it is needed.
//!
//! Invariant: a value that was never written here is the base's or an error, never a guess. Each key is fetched once: callers
//! that miss it together wait for one fetch. Absent accounts and zero slots are remembered like any other value; a failed fetch
//! is not, so that the next reader tries again.
//! Bounds: [`MAX_ACCOUNTS`], [`MAX_SLOTS`], [`MAX_CODE_BYTES`] and [`MAX_HASHES`] are held in memory; a full table is emptied,
//! and what was in it is fetched again.
//! What it does not do: it knows no network; a [`Base`] says how values are fetched, and the caller decides from whom.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use interlace_stf::Account;

use crate::error::StateError;

/// Accounts of a base held in memory.
pub const MAX_ACCOUNTS: usize = 1 << 20;
/// Slots of a base held in memory.
pub const MAX_SLOTS: usize = 1 << 22;
/// Bytes of a base's code held in memory.
pub const MAX_CODE_BYTES: usize = 256 << 20;
/// Block hashes of a base held in memory.
pub const MAX_HASHES: usize = 1 << 16;

/// An account as a base gives it: with its code, of which execution wants the hash first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseAccount {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Code.
    pub code: Bytes,
}

/// Why a base gave no value; text for a person, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BaseError(pub String);

/// A fixed state of another chain.
///
/// An implementation may take long and may fail; it is asked from several threads at once, and holds no lock of ours then.
pub trait Base: Debug + Send + Sync {
    /// The account at `address`; an absent one has neither nonce nor balance nor code.
    ///
    /// # Errors
    /// When it cannot be fetched.
    fn account(&self, address: Address) -> Result<BaseAccount, BaseError>;

    /// The value of `slot` at `address`.
    ///
    /// # Errors
    /// When it cannot be fetched.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, BaseError>;

    /// Hash of block `number`, an ancestor of the base's block; zero if there is none.
    ///
    /// # Errors
    /// When it cannot be fetched.
    fn block_hash(&self, number: u64) -> Result<B256, BaseError>;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Tables are changed by single insertions: a panic elsewhere leaves nothing half done in them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The outcome of one fetch, for everybody who wants it.
type Flight<V> = Arc<OnceLock<Result<V, BaseError>>>;

/// Values by key, and the fetches under way.
#[derive(Debug)]
struct Table<K, V> {
    known: RwLock<HashMap<K, V>>,
    flights: Mutex<HashMap<K, Flight<V>>>,
    capacity: usize,
}

impl<K: Eq + Hash + Copy, V: Clone> Table<K, V> {
    fn new(capacity: usize) -> Self {
        Self { known: RwLock::default(), flights: Mutex::default(), capacity }
    }

    fn known(&self, key: &K) -> Option<V> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn get(&self, key: K, fetch: impl FnOnce() -> Result<V, BaseError>) -> Result<V, BaseError> {
        if let Some(value) = self.known(&key) {
            return Ok(value);
        }
        let flight = Arc::clone(lock(&self.flights).entry(key).or_default());
        // Whoever comes first fetches; the others wait here. A flight that landed between the look and the entry put its
        // value in the table before it left, so the table is asked once more by who would fetch.
        let outcome = flight.get_or_init(|| match self.known(&key) {
            Some(value) => Ok(value),
            None => fetch().inspect(|value| self.keep(key, value)),
        });
        let mut flights = lock(&self.flights);
        if flights.get(&key).is_some_and(|known| Arc::ptr_eq(known, &flight)) {
            flights.remove(&key);
        }
        drop(flights);
        outcome.clone()
    }

    fn keep(&self, key: K, value: &V) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.capacity {
            known.clear();
        }
        known.insert(key, value.clone());
    }
}

/// Code by hash, within a bound of bytes, and where code that left can be had again.
#[derive(Debug, Default)]
struct Codes {
    bytes: B256Map<Bytes>,
    size: usize,
    homes: B256Map<Address>,
}

impl Codes {
    fn keep(&mut self, hash: B256, code: Bytes, home: Address, capacity: usize) {
        if self.size + code.len() > capacity {
            self.bytes.clear();
            self.size = 0;
        }
        self.size += code.len();
        self.bytes.insert(hash, code);
        self.homes.insert(hash, home);
    }
}

/// A base with what is known of it.
#[derive(Debug)]
pub(crate) struct Below {
    base: Arc<dyn Base>,
    accounts: Table<Address, Option<Account>>,
    slots: Table<(Address, U256), U256>,
    hashes: Table<u64, B256>,
    codes: RwLock<Codes>,
    code_bytes: usize,
}

impl Below {
    pub(crate) fn new(base: Arc<dyn Base>) -> Self {
        Self::bounded(base, MAX_ACCOUNTS, MAX_SLOTS, MAX_CODE_BYTES)
    }

    fn bounded(base: Arc<dyn Base>, accounts: usize, slots: usize, code_bytes: usize) -> Self {
        Self {
            base,
            accounts: Table::new(accounts),
            slots: Table::new(slots),
            hashes: Table::new(MAX_HASHES),
            codes: RwLock::default(),
            code_bytes,
        }
    }

    pub(crate) fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(address, || self.fetch_account(address))?)
    }

    fn fetch_account(&self, address: Address) -> Result<Option<Account>, BaseError> {
        let BaseAccount { nonce, balance, code } = self.base.account(address)?;
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        if !code.is_empty() {
            let mut codes = self.codes.write().unwrap_or_else(PoisonError::into_inner);
            codes.keep(code_hash, code, address, self.code_bytes);
        }
        Ok(Some(Account { nonce, balance, code_hash }).filter(|account| !account.is_empty()))
    }

    pub(crate) fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        Ok(self.slots.get((address, slot), || self.base.storage(address, slot))?)
    }

    pub(crate) fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.hashes.get(number, || self.base.block_hash(number))?)
    }

    /// Code that an account of the base has.
    pub(crate) fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        let (known, home) = {
            let codes = self.codes.read().unwrap_or_else(PoisonError::into_inner);
            (codes.bytes.get(&hash).cloned(), codes.homes.get(&hash).copied())
        };
        if let Some(code) = known {
            return Ok(code);
        }
        let home = home.ok_or(StateError::MissingCode(hash))?;
        let code = self.base.account(home)?.code;
        if keccak256(&code) != hash {
            let text = format!("the code of {home} is no longer the one with hash {hash}");
            return Err(BaseError(text).into());
        }
        let mut codes = self.codes.write().unwrap_or_else(PoisonError::into_inner);
        codes.keep(hash, code.clone(), home, self.code_bytes);
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Base for Counting {
        fn account(&self, address: Address) -> Result<BaseAccount, BaseError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(BaseAccount { nonce: 1, code: vec![address[0]; 40].into(), ..BaseAccount::default() })
        }

        fn storage(&self, _: Address, slot: U256) -> Result<U256, BaseError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(slot)
        }

        fn block_hash(&self, _: u64) -> Result<B256, BaseError> {
            Ok(B256::ZERO)
        }
    }

    #[test]
    fn full_tables_are_emptied_and_what_was_in_them_is_fetched_again() {
        let base = Arc::new(Counting::default());
        let below = Below::bounded(Arc::<Counting>::clone(&base), 100, 2, 100);
        for slot in [1, 2, 1, 2, 3, 1] {
            assert_eq!(below.storage(Address::ZERO, U256::from(slot)), Ok(U256::from(slot)));
        }
        assert_eq!(base.0.load(Ordering::SeqCst), 4);
        // Three codes of 40 bytes do not fit into 100: the first is fetched again, from where it was seen.
        let hashes = [1, 2, 3].map(|byte| below.account(Address::repeat_byte(byte)).unwrap().unwrap().code_hash);
        assert_eq!(below.code(hashes[0]), Ok(vec![1; 40].into()));
        assert_eq!(below.code(hashes[2]), Ok(vec![3; 40].into()));
        assert_eq!(base.0.load(Ordering::SeqCst), 8);
        assert_eq!(below.code(B256::ZERO), Err(StateError::MissingCode(B256::ZERO)));
    }
}
