//! A state reader with changes laid over it; what revm reads from while a block is being executed.
//!
//! Invariant: a read sees the newest change, else the reader; the reader itself is never changed.
//! Source: EIP-161 for which empty accounts exist; revm's account status flags for what a transaction did.
//! What it does not do: it caches analysed code, for itself and where the reader says, but no accounts or slots: readers are
//! expected to answer fast.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use revm::Database;
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use revm::state::{Account as RevmAccount, AccountInfo, EvmState};

use crate::changes::{AccountChange, Changes};
use crate::interrupt::Interrupt;
use crate::reader::{Account, StateReader};

/// A reader's error on its way through revm.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct ReadError<E: core::error::Error + Send + Sync + 'static>(#[from] pub(crate) E);

impl<E: core::error::Error + Send + Sync + 'static> DBErrorMarker for ReadError<E> {}

/// A reader and the changes made since.
pub struct Overlay<R> {
    reader: R,
    changes: Changes,
    analysed: B256Map<Bytecode>,
    block_hashes: BTreeMap<u64, B256>,
    /// Asked by a machine that can be interrupted; here because instructions reach nothing else of ours.
    pub(crate) interrupt: Option<Interrupt>,
}

impl<R> fmt::Debug for Overlay<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("accounts", &self.changes.accounts.len()).finish_non_exhaustive()
    }
}

impl<R: StateReader> Overlay<R> {
    /// Nothing changed yet.
    pub fn new(reader: R) -> Self {
        let (changes, analysed) = (Changes::default(), B256Map::default());
        Self { reader, changes, analysed, block_hashes: BTreeMap::new(), interrupt: None }
    }

    /// Changes made so far.
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Takes the changes out, leaving the reader as it was.
    pub fn take_changes(&mut self) -> Changes {
        core::mem::take(&mut self.changes)
    }

    /// Lays `changes` on top.
    pub fn apply(&mut self, changes: Changes) {
        self.changes.merge(changes);
    }

    /// Lays a block hash over the reader's, as block overrides of a call may.
    pub fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.insert(number, hash);
    }

    /// The account at `address`.
    ///
    /// # Errors
    /// The reader's.
    pub fn account(&self, address: Address) -> Result<Option<Account>, R::Error> {
        match self.changes.accounts.get(&address) {
            Some(change) => Ok(change.info),
            None => self.reader.account(address),
        }
    }

    /// The value of `slot` at `address`.
    ///
    /// # Errors
    /// The reader's.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, R::Error> {
        if let Some(change) = self.changes.accounts.get(&address) {
            if let Some(value) = change.storage.get(&slot) {
                return Ok(*value);
            }
            if change.wiped {
                return Ok(U256::ZERO);
            }
        }
        self.reader.storage(address, slot)
    }

    /// The code with this hash.
    ///
    /// # Errors
    /// The reader's.
    pub fn code(&self, code_hash: B256) -> Result<Bytes, R::Error> {
        if code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        match self.changes.codes.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.reader.code(code_hash),
        }
    }

    /// The code with this hash, its jump destinations found. What only the changes have may never be committed, and is not shared.
    #[cfg(feature = "std")]
    fn analyse(&self, code_hash: B256) -> Result<Bytecode, R::Error> {
        let own = self.changes.codes.contains_key(&code_hash);
        let Some(cache) = self.reader.code_cache().filter(|_| !own) else { return Ok(to_code(self.code(code_hash)?)) };
        if let Some(code) = cache.get(code_hash) {
            return Ok(code);
        }
        let code = to_code(self.code(code_hash)?);
        cache.keep(code_hash, &code);
        Ok(code)
    }

    #[cfg(not(feature = "std"))]
    fn analyse(&self, code_hash: B256) -> Result<Bytecode, R::Error> {
        Ok(to_code(self.code(code_hash)?))
    }

    fn block_hash(&self, number: u64) -> Result<B256, R::Error> {
        match self.block_hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => self.reader.block_hash(number),
        }
    }

    /// Replaces the account at `address`, keeping its storage; `None` destroys it.
    pub fn set_account(&mut self, address: Address, info: Option<Account>) {
        let wiped = info.is_none();
        let change = AccountChange { info, wiped, storage: BTreeMap::new() };
        self.changes.merge(Changes { accounts: BTreeMap::from([(address, change)]), codes: BTreeMap::new() });
    }

    /// Adds `amount_wei` to the balance at `address`; an absent account comes to be, unless the amount is zero.
    /// Saturates at 2^256 - 1, which no supply reaches.
    ///
    /// # Errors
    /// The reader's.
    pub fn add_balance(&mut self, address: Address, amount_wei: U256) -> Result<(), R::Error> {
        if amount_wei.is_zero() {
            return Ok(());
        }
        let mut account = self.account(address)?.unwrap_or_default();
        account.balance = account.balance.saturating_add(amount_wei);
        self.set_account(address, Some(account));
        Ok(())
    }
}

/// Translates revm's journal into changes; untouched and unchanged accounts are left out.
pub(crate) fn to_changes(state: EvmState, clears_empty: bool) -> Changes {
    let mut changes = Changes::default();
    for (address, account) in state {
        if !account.is_touched() {
            continue;
        }
        if let Some((change, code)) = account_change(account, clears_empty) {
            changes.codes.extend(code);
            changes.accounts.insert(address, change);
        }
    }
    changes
}

fn account_change(account: RevmAccount, clears_empty: bool) -> Option<(AccountChange, Option<(B256, Bytes)>)> {
    let gone = AccountChange { info: None, wiped: true, storage: BTreeMap::new() };
    if account.is_selfdestructed() {
        return Some((gone, None));
    }
    if clears_empty && account.is_empty() {
        return (!account.is_loaded_as_not_existing()).then_some((gone, None));
    }
    let created = account.is_created();
    let storage: Vec<(U256, U256)> = account
        .storage
        .iter()
        .filter(|(_, slot)| slot.is_changed())
        .map(|(key, slot)| (*key, slot.present_value()))
        .collect();
    if !created && storage.is_empty() && !account.is_changed() {
        return None;
    }
    let before = account.original_info().code_hash;
    let AccountInfo { nonce, balance, code_hash, code, .. } = account.info;
    let deployed = code_hash != KECCAK256_EMPTY && (created || code_hash != before);
    let code = code.filter(|_| deployed).map(|code| (code_hash, code.original_bytes()));
    let info = Some(Account { nonce, balance, code_hash });
    Some((AccountChange { info, wiped: created, storage: storage.into_iter().collect() }, code))
}

fn to_info(account: Account) -> AccountInfo {
    let Account { nonce, balance, code_hash } = account;
    let code = (code_hash == KECCAK256_EMPTY).then(Bytecode::default);
    AccountInfo { balance, nonce, code_hash, code, ..AccountInfo::default() }
}

fn to_code(bytes: Bytes) -> Bytecode {
    // Bytes that begin like a delegation but are none can only be old code, deployed before EIP-3541 forbade 0xEF.
    Bytecode::new_raw_checked(bytes.clone()).unwrap_or_else(|_| Bytecode::new_legacy(bytes))
}

/// The overlay as revm reads it; apart from [`Overlay`] so that revm's trait stays out of this crate's interface.
pub(crate) struct Db<R>(pub(crate) Overlay<R>);

impl<R: StateReader> Database for Db<R> {
    type Error = ReadError<R::Error>;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        Ok(self.0.account(address)?.map(to_info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        if let Some(code) = self.0.analysed.get(&code_hash) {
            return Ok(code.clone());
        }
        let code = self.0.analyse(code_hash)?;
        self.0.analysed.insert(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        Ok(self.0.storage(address, slot)?)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        Ok(self.0.block_hash(number)?)
    }
}

/// What recorders read after the execution; nothing is cached.
#[cfg(feature = "trace")]
impl<R: StateReader> revm::DatabaseRef for Db<R> {
    type Error = ReadError<R::Error>;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        Ok(self.0.account(address)?.map(to_info))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        Ok(to_code(self.0.code(code_hash)?))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        Ok(self.0.storage(address, slot)?)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        Ok(self.0.block_hash(number)?)
    }
}
