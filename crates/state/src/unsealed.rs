//! The state after a block whose root is still being computed: what the next block is executed on meanwhile.
//!
//! Invariant: it reads as the snapshot that the block's commit gives, before and after that. Who asks for the block's hash waits until it is
//! there; once it is known that the block was not committed, every read fails.
//! What it does not do: it computes no root and knows nothing of proofs.

use std::sync::{Arc, OnceLock};

use alloy_primitives::{Address, B256, Bytes, U256};
use interlace_stf::{Account, Changes, CodeCache, StateReader};

use crate::error::StateError;
use crate::snapshot::Snapshot;

/// The state after block `number`, which changes that of the block before. Clones share what becomes of the block.
#[derive(Clone, Debug)]
pub struct Unsealed {
    below: Snapshot,
    number: u64,
    changes: Arc<Changes>,
    /// The slot that holds the block's hash, for who executes the next block.
    hash_slot: Option<(Address, U256)>,
    sealed: Arc<OnceLock<Option<Snapshot>>>,
}

impl Unsealed {
    /// That of `changes` to `below`, made by the block after it.
    #[must_use]
    pub fn new(below: Snapshot, changes: Arc<Changes>) -> Self {
        let number = below.number().saturating_add(1);
        Self { below, number, changes, hash_slot: None, sealed: Arc::default() }
    }

    /// The same state, where a slot of an account holds the block's hash.
    #[must_use]
    pub fn with_hash_at(&self, slot: Option<(Address, U256)>) -> Self {
        Self { hash_slot: slot, ..self.clone() }
    }

    /// What the block changes.
    #[must_use]
    pub const fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// Says what became of the block: its state, or none if it was not committed. What was said first holds.
    pub fn seal(&self, state: Option<Snapshot>) {
        // The first word holds, as documented.
        let _ = self.sealed.set(state);
    }

    /// The state that the block was committed with; waits until somebody says so.
    ///
    /// # Errors
    /// [`StateError::Reverted`] if it was not committed.
    pub fn sealed(&self) -> Result<&Snapshot, StateError> {
        self.sealed.wait().as_ref().ok_or(StateError::Reverted { number: self.number })
    }

    fn read<T>(
        &self,
        changed: impl FnOnce(&Changes) -> Option<T>,
        read: impl Fn(&Snapshot) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        if self.sealed.get().is_some() {
            return read(self.sealed()?);
        }
        if let Some(value) = changed(&self.changes) {
            return Ok(value);
        }
        match read(&self.below) {
            // Its commit let the state below expire, and somebody is about to say so. What is not in the changes is the same above.
            Err(StateError::Expired { .. }) => read(self.sealed()?),
            other => other,
        }
    }
}

impl StateReader for Unsealed {
    type Error = StateError;

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.read(|changes| changes.accounts.get(&address).map(|change| change.info), |state| state.account(address))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        if self.hash_slot == Some((address, slot)) {
            return Ok(self.sealed()?.hash().into());
        }
        let changed = |changes: &Changes| {
            let change = changes.accounts.get(&address)?;
            change.storage.get(&slot).copied().or((change.wiped || change.info.is_none()).then_some(U256::ZERO))
        };
        self.read(changed, |state| state.storage(address, slot))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        self.read(|changes| changes.codes.get(&code_hash).cloned(), |state| state.code(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        if number == self.number {
            return Ok(self.sealed()?.hash());
        }
        self.read(|_| None, |state| state.block_hash(number))
    }

    fn waits(&self) -> bool {
        self.below.waits()
    }

    fn code_cache(&self) -> Option<&CodeCache> {
        self.below.code_cache()
    }
}

#[cfg(test)]
#[cfg(not(any(feature = "shuttle", feature = "loom")))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::thread;
    use std::time::Duration;

    use alloy_primitives::{KECCAK256_EMPTY, bytes, keccak256};
    use interlace_stf::AccountChange;

    use super::*;
    use crate::memory::MemoryState;

    const CODE: Bytes = bytes!("6001");

    fn address(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    fn change(balance: Option<u64>, wiped: bool, slots: &[(u64, u64)]) -> AccountChange {
        let info = balance.map(|wei| Account { code_hash: keccak256(CODE), ..Account::with_balance(U256::from(wei)) });
        AccountChange {
            info,
            wiped,
            storage: slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect(),
        }
    }

    fn changes(list: Vec<AccountChange>) -> Changes {
        let accounts = (1..).zip(list).map(|(number, change)| (address(number), change)).collect();
        Changes { accounts, codes: [(keccak256(CODE), CODE)].into() }
    }

    /// Three accounts with slots; a block that writes to one, makes one anew, ends one, and makes a fourth.
    fn world() -> (MemoryState, Arc<Changes>) {
        let full = || change(Some(1), false, &[(1, 10), (2, 20)]);
        let first = changes(vec![full(), full(), full(), change(None, true, &[]), full()]);
        let state = MemoryState::new(0, first, |_| B256::repeat_byte(1));
        let block =
            vec![change(Some(2), false, &[(1, 0), (3, 30)]), change(Some(3), true, &[(2, 5)]), change(None, true, &[])];
        let mut block = changes(block);
        block.accounts.insert(address(4), change(Some(4), false, &[(1, 1)]));
        (state, Arc::new(block))
    }

    type Seen = Vec<(Option<Account>, Vec<U256>)>;

    fn seen(state: &impl StateReader<Error = StateError>) -> Result<Seen, StateError> {
        let one = |number| {
            let slots = (1..4).map(|slot| state.storage(address(number), U256::from(slot)));
            Ok((state.account(address(number))?, slots.collect::<Result<_, _>>()?))
        };
        (1..7).map(one).collect()
    }

    #[test]
    fn it_reads_as_the_state_that_the_commit_gives() {
        let (state, block) = world();
        let unsealed = Unsealed::new(state.latest(), Arc::clone(&block));
        let before = seen(&unsealed).unwrap();
        assert_ne!(before, seen(&state.latest()).unwrap());
        assert_eq!(unsealed.code(keccak256(CODE)).unwrap(), CODE);
        assert_eq!(unsealed.code(KECCAK256_EMPTY).unwrap(), Bytes::new());
        assert_eq!(unsealed.block_hash(0).unwrap(), B256::repeat_byte(1));
        state.keep(Some(0));
        let committed = state.commit(1, B256::repeat_byte(2), state.stage(block).unwrap()).unwrap();
        assert!(matches!(seen(&unsealed.below), Err(StateError::Expired { .. })));
        thread::scope(|scope| {
            // Nobody has said yet what became of the block.
            let reader = scope.spawn(|| seen(&unsealed));
            thread::sleep(Duration::from_millis(20));
            assert!(!reader.is_finished());
            unsealed.seal(Some(committed.clone()));
            assert_eq!(reader.join().unwrap().unwrap(), before);
        });
        unsealed.seal(None);
        assert_eq!(seen(&unsealed).unwrap(), before);
        assert_eq!(seen(&committed).unwrap(), before);
        assert_eq!(unsealed.block_hash(1).unwrap(), B256::repeat_byte(2));
        assert_eq!(unsealed.block_hash(2).unwrap(), B256::ZERO);
    }

    #[test]
    fn who_asks_for_the_hash_waits() {
        let (state, block) = world();
        let unsealed = Unsealed::new(state.latest(), Arc::clone(&block));
        let slot = (address(1), U256::from(1));
        let next = unsealed.with_hash_at(Some(slot));
        thread::scope(|scope| {
            let hash = scope.spawn(|| next.block_hash(1));
            let stored = scope.spawn(|| next.storage(slot.0, slot.1));
            assert_eq!(next.storage(slot.0, U256::from(3)).unwrap(), U256::from(30));
            thread::sleep(Duration::from_millis(20));
            assert!(!hash.is_finished() && !stored.is_finished());
            let committed = state.commit(1, B256::repeat_byte(2), state.stage(block).unwrap()).unwrap();
            unsealed.seal(Some(committed));
            assert_eq!(hash.join().unwrap().unwrap(), B256::repeat_byte(2));
            assert_eq!(stored.join().unwrap().unwrap(), U256::from_be_bytes([2; 32]));
        });
        assert_eq!(unsealed.storage(slot.0, slot.1).unwrap(), U256::ZERO);
    }

    #[test]
    fn nothing_is_read_of_a_block_that_is_not_committed() {
        let (state, block) = world();
        let unsealed = Unsealed::new(state.latest(), block);
        unsealed.seal(None);
        let gone = StateError::Reverted { number: 1 };
        assert_eq!(seen(&unsealed), Err(gone.clone()));
        assert_eq!(unsealed.block_hash(1), Err(gone.clone()));
        assert_eq!(unsealed.code(keccak256(CODE)), Err(gone));
    }
}
