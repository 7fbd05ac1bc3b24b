//! Some contracts, and what comes of calling the first of them.

use std::convert::Infallible;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use interlace_evm::{
    Account, BlockEnv, Changes, Checks, CodeCache, CodeTier, Overlay, StateReader, TxOutcome, TxRequest, Vm,
};
use interlace_primitives::Fork;

/// The contract that is called.
pub(crate) const FIRST: Address = Address::repeat_byte(0xaa);
/// One that it may call.
pub(crate) const OTHER: Address = Address::repeat_byte(0xbb);

pub(crate) struct World {
    pub(crate) cache: CodeCache,
    pub(crate) codes: AddressMap<Bytes>,
}

impl StateReader for World {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        let code = |code: &Bytes| Account { nonce: 1, code_hash: keccak256(code), balance: U256::from(7) };
        Ok(self.codes.get(&address).map(code))
    }

    fn storage(&self, _: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(slot & U256::from(3))
    }

    fn code(&self, hash: B256) -> Result<Bytes, Infallible> {
        Ok(self.codes.values().find(|code| keccak256(code) == hash).cloned().unwrap_or_default())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }

    fn code_cache(&self) -> Option<&CodeCache> {
        Some(&self.cache)
    }
}

pub(crate) fn env(fork: Fork) -> BlockEnv {
    BlockEnv {
        fork,
        chain_id: 1,
        number: 5,
        timestamp: 9,
        beneficiary: Address::repeat_byte(3),
        gas_limit: 30_000_000,
        base_fee_wei: 0,
        difficulty: U256::from(11),
        prev_randao: B256::repeat_byte(1),
        blob_fee_wei: (fork >= Fork::Cancun).then_some(1),
        max_blobs_per_transaction: (fork >= Fork::Cancun).then_some(6),
        ada: false,
    }
}

impl World {
    /// The first contract and the other, executed by `tier`.
    pub(crate) fn new(tier: CodeTier, first: &[u8], other: &[u8]) -> Self {
        let codes = [(FIRST, Bytes::copy_from_slice(first)), (OTHER, Bytes::copy_from_slice(other))];
        Self { cache: CodeCache::at_once(tier), codes: codes.into_iter().collect() }
    }

    /// Calls the first with `gas` and `input`.
    pub(crate) fn call(&self, fork: Fork, gas: u64, input: &[u8]) -> Result<(TxOutcome, Changes), String> {
        let mut vm = Vm::new(env(fork), Checks::CALL, Overlay::new(self));
        let input = Bytes::copy_from_slice(input);
        let request = TxRequest { to: TxKind::Call(FIRST), gas_limit: gas, input, ..TxRequest::default() };
        vm.transact(&request).map_err(|error| error.to_string())
    }
}

/// Both machines with the same contracts.
pub(crate) struct Both {
    pub(crate) plain: World,
    pub(crate) tier: World,
}

impl Both {
    pub(crate) fn new(first: &[u8], other: &[u8]) -> Self {
        let world = |tier| World::new(tier, first, other);
        Self { plain: world(CodeTier::Plain), tier: world(CodeTier::Analysed) }
    }

    /// Calls the first on both, which must give the same, be it a refusal.
    pub(crate) fn compare(&self, fork: Fork, gas: u64, input: &[u8]) {
        let (expected, got) = (self.plain.call(fork, gas, input), self.tier.call(fork, gas, input));
        assert_eq!(expected, got, "{fork}, gas {gas}, code {}", self.plain.codes[&FIRST]);
    }

    /// The same, and gives what comes of it; it may not be refused.
    pub(crate) fn call(&self, fork: Fork, gas: u64, input: &[u8]) -> TxOutcome {
        self.compare(fork, gas, input);
        self.tier.call(fork, gas, input).unwrap().0
    }
}
