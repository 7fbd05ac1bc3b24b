//! A block's access list as a follower uses it: looked up by place, compared with what happens, and a state to read from.
//!
//! Invariant: [`Listed::check`] says yes if and only if what happened under a number is what the list says of it. If it said so of all numbers
//! below one, a [`View`] at that number is the state that its transaction finds.
//! Source: EIP-7928.
//! What it does not do: it knows nothing of slots that vanish with their account, as they did until Cancun; see `follow`.
//! Bounds: what a list may hold follows from the gas limit of its block; of the state no more is read ahead than it names.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, CodeChange, NonceChange, StorageChange, constants::ITEM_COST,
    total_bal_items, validate_block_access_list,
};
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use interlace_primitives::Fork;
use interlace_stf::{Access, Account, Changes, CodeCache, StateReader};

/// Gas of looking at an account or a slot for the first time, before EIP-2929 made it dearer: that of SLOAD since EIP-150.
const EARLY_ITEM_COST: u64 = 200;
/// Items that the system may reach in a block without gas.
const SYSTEM_ITEMS: u64 = 64;

/// As many items as the list of a block of `fork` may have: what its gas can pay for, and, unlike in the EIP, what nobody pays for.
pub(crate) fn most_items(fork: Fork, gas_limit: u64, withdrawals: usize) -> u64 {
    let cost = if fork >= Fork::Berlin { ITEM_COST as u64 } else { EARLY_ITEM_COST };
    (gas_limit / cost).max(SYSTEM_ITEMS).saturating_add(withdrawals as u64)
}

/// Why a list is not that of a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It is none: wrong order, something twice, or a number that the block does not have.
    #[error("no access list of this block: {0}")]
    Form(String),
    /// It names more than the block's gas could pay for.
    #[error("the access list has {items} items, of at most {limit}")]
    TooLong {
        /// Accounts and slots that it names.
        items: u64,
        /// As many as the gas limit allows.
        limit: u64,
    },
    /// Blocks of this fork have none.
    #[error("before Spurious Dragon blocks have no access lists")]
    Fork,
    /// There are no threads to check it with.
    #[error("the system gives no threads to check the access list with")]
    Unchecked,
    /// It does not name what was reached.
    #[error("the access list lacks {what} of {address}, which number {number} reached")]
    Lacks {
        /// The account.
        address: Address,
        /// What of it.
        what: String,
        /// When: 0 before the transactions, then transaction by transaction.
        number: u64,
    },
    /// It says something else of what happened.
    #[error("the access list says {listed} of {what} of {address} after number {number}, which is {found}")]
    Differs {
        /// The account.
        address: Address,
        /// What of it.
        what: String,
        /// When.
        number: u64,
        /// What the list says.
        listed: String,
        /// What is so.
        found: String,
    },
    /// It has changes that did not happen.
    #[error("the access list has {listed} changes under number {number}, of which {found} happened")]
    Surplus {
        /// When.
        number: u64,
        /// Changes that it has.
        listed: u32,
        /// Changes that happened.
        found: u32,
    },
    /// It names what nothing reached.
    #[error("the access list names {what} of {address}, which nothing reached")]
    Unreached {
        /// The account.
        address: Address,
        /// What of it.
        what: String,
    },
}

impl ListError {
    /// Stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "engine.access-list-form",
            Self::TooLong { .. } => "engine.access-list-size",
            Self::Fork => "engine.access-list-fork",
            Self::Unchecked => "engine.threads",
            Self::Lacks { .. } | Self::Differs { .. } | Self::Surplus { .. } | Self::Unreached { .. } => {
                "engine.access-list"
            }
        }
    }
}

/// Something that changed under a number.
trait Change {
    fn at(&self) -> BlockAccessIndex;
}

macro_rules! changes {
    ($($change:ty),*) => {$(
        impl Change for $change {
            fn at(&self) -> BlockAccessIndex {
                self.block_access_index
            }
        }
    )*};
}
changes!(BalanceChange, NonceChange, CodeChange, StorageChange);

/// The last change before `number`, and its place.
fn before<T: Change>(changes: &[T], number: u64) -> Option<(usize, &T)> {
    let place = changes.partition_point(|change| change.at().get() < number).checked_sub(1)?;
    Some((place, &changes[place]))
}

/// The change under `number`.
fn under<T: Change>(changes: &[T], number: u64) -> Option<&T> {
    changes.binary_search_by_key(&number, |change| change.at().get()).ok().map(|place| &changes[place])
}

/// What is known of one account beside what the list says.
#[derive(Debug, Default)]
struct Place {
    /// Whether something reached it.
    reached: AtomicBool,
    /// As it was before the block.
    base: OnceLock<Option<Account>>,
    /// Of each slot, those that change first: whether something reached it, and what it was before the block.
    slots: Box<[(AtomicBool, OnceLock<U256>)]>,
    /// Of each change of code, its hash.
    code_hashes: Vec<B256>,
}

/// A list, and what came of it so far.
#[derive(Debug)]
pub(crate) struct Listed<'l> {
    accounts: &'l [AccountChanges],
    places: Vec<Place>,
    by_address: AddressMap<u32>,
    codes: B256Map<Bytes>,
    /// How many changes the list has under each number.
    counts: Vec<u32>,
}

impl<'l> Listed<'l> {
    /// A list for a block of so many transactions, with so many items at most.
    ///
    /// # Errors
    /// [`ListError::Form`], [`ListError::TooLong`].
    pub(crate) fn new(accounts: &'l [AccountChanges], transactions: usize, limit: u64) -> Result<Self, ListError> {
        let items = total_bal_items(accounts);
        if items > limit {
            return Err(ListError::TooLong { items, limit });
        }
        validate_block_access_list(accounts, transactions).map_err(|error| ListError::Form(error.to_string()))?;
        let mut counts = vec![0; transactions + 2];
        let mut by_address = AddressMap::with_capacity_and_hasher(accounts.len(), Default::default());
        let mut codes = B256Map::default();
        let mut places = Vec::with_capacity(accounts.len());
        for (place, account) in (0..).zip(accounts) {
            by_address.insert(account.address, place);
            let storage = account.storage_changes.iter().flat_map(|slot| &slot.changes).map(Change::at);
            let balances = account.balance_changes.iter().map(Change::at);
            let nonces = account.nonce_changes.iter().map(Change::at);
            let code = account.code_changes.iter().map(Change::at);
            storage.chain(balances).chain(nonces).chain(code).for_each(|at| counts[at.get() as usize] += 1);
            let hash = |change: &CodeChange| {
                let hash = keccak256(&change.new_code);
                codes.insert(hash, change.new_code.clone());
                hash
            };
            places.push(Place {
                code_hashes: account.code_changes.iter().map(hash).collect(),
                slots: account.storage_slots().map(|_| Default::default()).collect(),
                ..Place::default()
            });
        }
        Ok(Self { accounts, places, by_address, codes, counts })
    }

    /// Code that the block deploys, to be laid over a view.
    pub(crate) fn codes(&self) -> Changes {
        Changes { codes: self.codes.iter().map(|(hash, code)| (*hash, code.clone())).collect(), ..Changes::default() }
    }

    fn account(&self, address: &Address) -> Option<(&'l AccountChanges, &Place)> {
        let place = *self.by_address.get(address)? as usize;
        Some((&self.accounts[place], &self.places[place]))
    }

    /// Compares what happened under a number with what the list says of it, and takes note of what was reached.
    pub(crate) fn check<'a>(&self, number: u64, accesses: impl Iterator<Item = Access<'a>>) -> Result<(), ListError> {
        let mut found = 0;
        for access in accesses {
            let address = access.address;
            let lacks = |what: String| ListError::Lacks { address, what, number };
            let Some((account, place)) = self.account(&address) else { return Err(lacks("the account".to_owned())) };
            place.reached.store(true, Ordering::Relaxed);
            let mut same = |what: &dyn Fn() -> String, listed: Option<&U256>, value: &U256| {
                let listed = listed.ok_or_else(|| lacks(what()))?;
                found += 1;
                if listed == value {
                    return Ok(());
                }
                let (listed, found) = (format!("{listed:#x}"), format!("{value:#x}"));
                Err(ListError::Differs { address, what: what(), number, listed, found })
            };
            if let Some(balance) = access.balance {
                let listed = under(&account.balance_changes, number).map(|change| &change.post_balance);
                same(&|| "the balance".to_owned(), listed, &balance)?;
            }
            if let Some(nonce) = access.nonce {
                let listed = under(&account.nonce_changes, number).map(|change| U256::from(change.new_nonce));
                same(&|| "the nonce".to_owned(), listed.as_ref(), &U256::from(nonce))?;
            }
            if let Some(code) = access.code {
                let hash = |code: &Bytes| U256::from_be_bytes(keccak256(code).0);
                let listed = under(&account.code_changes, number).map(|change| &change.new_code);
                // Hashes are compared where the codes are not the same.
                let listed = listed.map(|listed| if listed == code { U256::ZERO } else { hash(listed) });
                let value = if listed.is_some_and(|listed| listed.is_zero()) { U256::ZERO } else { hash(code) };
                same(&|| "the code".to_owned(), listed.as_ref(), &value)?;
            }
            for (slot, value) in access.slots {
                let what = || format!("slot {slot:#x}");
                let changed = account.storage_changes.binary_search_by_key(slot, |slot| slot.slot).ok();
                if let Some(value) = value {
                    let changes = changed.map(|changed| &account.storage_changes[changed].changes);
                    let listed = changes.and_then(|changes| under(changes, number)).map(|change| &change.new_value);
                    same(&what, listed, value)?;
                } else if changed.is_none() {
                    let read = account.storage_reads.binary_search(slot).map_err(|_| lacks(what()))?;
                    place.slots[account.storage_changes.len() + read].0.store(true, Ordering::Relaxed);
                }
            }
        }
        let listed = self.counts.get(number as usize).copied().unwrap_or_default();
        if listed == found { Ok(()) } else { Err(ListError::Surplus { number, listed, found }) }
    }

    /// How many slots it names of each account, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|place| place.slots.len())
    }

    /// Reads an account as it was before the block, or that of its slots which comes after so many others, unless that was done. What cannot be
    /// read is left to who needs it.
    pub(crate) fn read<R: StateReader>(&self, base: &R, account: usize, slot: Option<usize>) {
        let Some((listed, place)) = self.accounts.get(account).zip(self.places.get(account)) else { return };
        match slot {
            None => _ = once(&place.base, || base.account(listed.address)),
            Some(number) => {
                let (changes, reads) = (&listed.storage_changes, &listed.storage_reads);
                let slot = changes.get(number).map(|changed| changed.slot);
                let slot = slot.or_else(|| reads.get(number.checked_sub(changes.len())?).copied());
                if let Some((slot, (_, known))) = slot.zip(place.slots.get(number)) {
                    let _ = once(known, || base.storage(listed.address, slot));
                }
            }
        }
    }

    /// Whether all that it names was reached.
    pub(crate) fn check_reached(&self) -> Result<(), ListError> {
        for (account, place) in self.accounts.iter().zip(&self.places) {
            let address = account.address;
            if !place.reached.load(Ordering::Relaxed) {
                return Err(ListError::Unreached { address, what: "the account".to_owned() });
            }
            let reads = account.storage_reads.iter().zip(&place.slots[account.storage_changes.len()..]);
            for (slot, (reached, _)) in reads {
                if !reached.load(Ordering::Relaxed) {
                    return Err(ListError::Unreached { address, what: format!("slot {slot:#x}") });
                }
            }
        }
        Ok(())
    }
}

/// The state that the transaction with a number finds, if the list says what those before it did.
#[derive(Debug)]
pub(crate) struct View<'a, R> {
    pub(crate) base: &'a R,
    pub(crate) listed: &'a Listed<'a>,
    pub(crate) number: Cell<u64>,
}

/// What `known` holds; if that is nothing yet, what `read` gives.
fn once<T: Copy, E>(known: &OnceLock<T>, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    match known.get() {
        Some(known) => Ok(*known),
        None => read().map(|value| *known.get_or_init(|| value)),
    }
}

impl<R: StateReader> StateReader for View<'_, R> {
    type Error = R::Error;

    fn account(&self, address: Address) -> Result<Option<Account>, R::Error> {
        let Some((account, place)) = self.listed.account(&address) else { return self.base.account(address) };
        let base = once(&place.base, || self.base.account(address))?;
        let number = self.number.get();
        let balance = before(&account.balance_changes, number);
        let nonce = before(&account.nonce_changes, number);
        let code = before(&account.code_changes, number);
        if balance.is_none() && nonce.is_none() && code.is_none() {
            return Ok(base);
        }
        let base = base.unwrap_or_default();
        let account = Account {
            balance: balance.map_or(base.balance, |(_, change)| change.post_balance),
            nonce: nonce.map_or(base.nonce, |(_, change)| change.new_nonce),
            code_hash: code.map_or(base.code_hash, |(place_of_code, _)| place.code_hashes[place_of_code]),
        };
        Ok((!account.is_empty()).then_some(account))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, R::Error> {
        let Some((account, place)) = self.listed.account(&address) else { return self.base.storage(address, slot) };
        let read = || self.base.storage(address, slot);
        match account.storage_changes.binary_search_by_key(&slot, |slot| slot.slot) {
            Ok(changed) => match before(&account.storage_changes[changed].changes, self.number.get()) {
                Some((_, change)) => Ok(change.new_value),
                None => once(&place.slots[changed].1, read),
            },
            Err(_) => match account.storage_reads.binary_search(&slot) {
                Ok(place_of_read) => once(&place.slots[account.storage_changes.len() + place_of_read].1, read),
                Err(_) => read(),
            },
        }
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, R::Error> {
        debug_assert_ne!(code_hash, KECCAK256_EMPTY);
        self.base.code(code_hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, R::Error> {
        self.base.block_hash(number)
    }

    fn waits(&self) -> bool {
        self.base.waits()
    }

    fn code_cache(&self) -> Option<&CodeCache> {
        self.base.code_cache()
    }
}
