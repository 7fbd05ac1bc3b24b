//! A state reader with changes laid over it; what revm reads from while a block is being executed.
//!
//! Invariant: a read sees the newest change, else the reader; the reader itself is never changed.
//! What it does not do: it caches analysed code, for itself and where the reader says, but no accounts or slots: readers are
//! expected to answer fast.

use alloc::collections::BTreeMap;
use core::fmt;

use alloy_primitives::map::{AddressMap, B256Map, U256Map};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use revm::Database;
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use revm::state::AccountInfo;

use crate::access::{Accesses, BlockAccesses};
use crate::changes::{AccountChange, Changes};
use crate::interrupt::Interrupt;
use crate::reader::{Account, StateReader};
use crate::speculate::ReadLog;
use crate::writes::Writes;

/// A reader's error on its way through revm.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct ReadError<E: core::error::Error + Send + Sync + 'static>(#[from] pub(crate) E);

impl<E: core::error::Error + Send + Sync + 'static> DBErrorMarker for ReadError<E> {}

/// One account as it is after what was laid over the reader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Laid {
    pub(crate) info: Option<Account>,
    pub(crate) wiped: bool,
    pub(crate) storage: U256Map<U256>,
}

impl Laid {
    /// The value of a slot, if the reader has nothing to say about it.
    pub(crate) fn slot(&self, slot: &U256) -> Option<U256> {
        self.storage.get(slot).copied().or(self.wiped.then_some(U256::ZERO))
    }

    fn write(&mut self, info: Option<Account>, wiped: bool, slots: impl IntoIterator<Item = (U256, U256)>) {
        if wiped {
            (self.wiped, self.storage) = (true, U256Map::default());
        }
        self.info = info;
        self.storage.extend(slots);
    }
}

/// A reader and the changes made since.
pub struct Overlay<R> {
    reader: R,
    accounts: AddressMap<Laid>,
    codes: B256Map<Bytes>,
    analysed: B256Map<Bytecode>,
    #[cfg(feature = "std")]
    translated: crate::tier::Known,
    block_hashes: BTreeMap<u64, B256>,
    /// Asked by a machine that can be interrupted; here because instructions reach nothing else of ours.
    pub(crate) interrupt: Option<Interrupt>,
    /// What is read while a transaction is executed ahead of its turn.
    pub(crate) log: Option<ReadLog>,
    /// Whether executions tell what they reach.
    pub(crate) tells: bool,
    /// What they reached, if it is kept.
    accesses: Option<BlockAccesses>,
}

impl<R> fmt::Debug for Overlay<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("accounts", &self.accounts.len()).finish_non_exhaustive()
    }
}

impl<R: StateReader> Overlay<R> {
    /// Nothing changed yet.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            accounts: AddressMap::default(),
            codes: B256Map::default(),
            analysed: B256Map::default(),
            #[cfg(feature = "std")]
            translated: crate::tier::Known::default(),
            block_hashes: BTreeMap::new(),
            interrupt: None,
            log: None,
            tells: false,
            accesses: None,
        }
    }

    /// Makes room for changes of so many accounts.
    pub fn reserve(&mut self, accounts: usize) {
        self.accounts.reserve(accounts);
    }

    /// Keeps what is reached from now on with `accesses`, or no longer. Gives what was kept.
    pub fn keep_accesses(&mut self, accesses: Option<BlockAccesses>) -> Option<BlockAccesses> {
        self.tells = accesses.is_some();
        core::mem::replace(&mut self.accesses, accesses)
    }

    /// Lets executions tell what they reach; see [`crate::Execution::accesses`].
    pub const fn tell_accesses(&mut self) {
        self.tells = true;
    }

    /// What is kept of what was reached.
    #[must_use]
    pub const fn accesses(&self) -> Option<&BlockAccesses> {
        self.accesses.as_ref()
    }

    /// Whatever comes next is reached under the next number.
    pub fn advance_accesses(&mut self) {
        self.accesses.iter_mut().for_each(BlockAccesses::advance);
    }

    /// Takes note of what was reached.
    pub(crate) fn reached(&mut self, accesses: impl FnOnce() -> Option<Accesses>) {
        if let Some(kept) = &mut self.accesses {
            accesses().into_iter().for_each(|accesses| kept.take(accesses));
        }
    }

    /// What lies below the changes.
    #[must_use]
    pub const fn reader(&self) -> &R {
        &self.reader
    }

    /// Changes made so far.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let change = |(address, laid): (&Address, &Laid)| {
            let storage = laid.storage.iter().map(|(slot, value)| (*slot, *value)).collect();
            (*address, AccountChange { info: laid.info, wiped: laid.wiped, storage })
        };
        let codes = self.codes.iter().map(|(hash, code)| (*hash, code.clone())).collect();
        Changes { accounts: self.accounts.iter().map(change).collect(), codes }
    }

    /// Takes the changes out, leaving the reader as it was.
    pub fn take_changes(&mut self) -> Changes {
        let change = |(address, laid): (Address, Laid)| {
            let storage = laid.storage.into_iter().collect();
            (address, AccountChange { info: laid.info, wiped: laid.wiped, storage })
        };
        let accounts = core::mem::take(&mut self.accounts).into_iter().map(change).collect();
        Changes { accounts, codes: core::mem::take(&mut self.codes).into_iter().collect() }
    }

    /// Lays `changes` on top.
    pub fn apply(&mut self, changes: Changes) {
        for (address, AccountChange { info, wiped, storage }) in changes.accounts {
            self.accounts.entry(address).or_default().write(info, wiped, storage);
        }
        self.codes.extend(changes.codes);
    }

    /// Lays what an execution wrote on top.
    pub(crate) fn write(&mut self, writes: &Writes) {
        for (written, slots) in writes.each() {
            let laid = self.accounts.entry(written.address).or_default();
            laid.write(written.info, written.wiped, slots.iter().copied());
        }
        self.codes.extend(writes.codes.iter().cloned());
    }

    /// Lays what an execution wrote on top, and takes note of what it reached.
    pub(crate) fn keep(&mut self, writes: &mut Writes) {
        self.write(writes);
        self.reached(|| writes.accesses.take());
    }

    /// What was laid over the account at `address`.
    pub(crate) fn laid(&self, address: &Address) -> Option<&Laid> {
        self.accounts.get(address)
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
        match self.accounts.get(&address) {
            Some(laid) => Ok(laid.info),
            None => self.reader.account(address),
        }
    }

    /// The value of `slot` at `address`.
    ///
    /// # Errors
    /// The reader's.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, R::Error> {
        if let Some(value) = self.accounts.get(&address).and_then(|laid| laid.slot(&slot)) {
            return Ok(value);
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
        match self.codes.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.reader.code(code_hash),
        }
    }

    /// The cells of what is `called`, if they are to be executed. Who may interrupt asks at jumps, which cells do not.
    #[cfg(feature = "std")]
    pub(crate) fn translated(
        &mut self,
        called: crate::tier::Called<'_>,
    ) -> Option<alloc::sync::Arc<crate::tier::Analysed>> {
        if self.interrupt.is_some() {
            return None;
        }
        let cache = self.reader.code_cache()?;
        let tier = cache.tier()?;
        // What only an execution has may never be committed.
        let lasting = || !self.codes.contains_key(&called.hash) && cache.contains(called.hash);
        self.translated.get(tier, called, lasting)
    }

    /// The code with this hash, its jump destinations found. What only the changes have may never be committed, and is not shared.
    #[cfg(feature = "std")]
    fn analyse(&self, code_hash: B256) -> Result<Bytecode, R::Error> {
        let own = self.codes.contains_key(&code_hash);
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
        self.accounts.entry(address).or_default().write(info, info.is_none(), []);
    }

    /// Adds `amount_wei` to the balance at `address`; an absent account comes to be, unless the amount is zero.
    /// Saturates at 2^256 - 1, which no supply reaches.
    ///
    /// # Errors
    /// The reader's.
    pub fn add_balance(&mut self, address: Address, amount_wei: U256) -> Result<(), R::Error> {
        let before = self.account(address)?;
        let mut account = before.unwrap_or_default();
        account.balance = account.balance.saturating_add(amount_wei);
        self.reached(|| Some(Accesses::one(address, before, Some(account))));
        if !amount_wei.is_zero() {
            self.set_account(address, Some(account));
        }
        Ok(())
    }
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
        let mut account = self.0.account(address)?;
        if let Some(log) = &mut self.0.log {
            account = log.account(address, account);
        }
        Ok(account.map(to_info))
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
        let value = self.0.storage(address, slot)?;
        if let Some(log) = &mut self.0.log {
            log.slot(address, slot, value);
        }
        Ok(value)
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
