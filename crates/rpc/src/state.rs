//! Which block and which state a question is about.
//!
//! Invariant: block and state of one answer are of the same moment. `pending` is the block that the pool would give now, executed
//! and not kept. Unknown blocks are geth's "header not found".
//! Source: EIP-1898; execution-apis, `BlockNumberOrTagOrHash`.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U256};
use interlace_chain::StoredBlock;
use interlace_state::{Snapshot, StateError};
use interlace_stf::{Account, Changes, CodeCache, StateReader};

use crate::dispatch::Rpc;
use crate::error::RpcError;

/// The state after a block, or what the pending block makes of it.
#[derive(Clone, Debug)]
pub(crate) struct ReadState {
    view: Snapshot,
    pending: Option<Arc<Changes>>,
}

impl ReadState {
    /// The committed state below.
    #[must_use]
    pub(crate) const fn view(&self) -> &Snapshot {
        &self.view
    }

    /// What the pending block makes of it.
    pub(crate) fn pending(&self) -> Option<&Changes> {
        self.pending.as_deref()
    }
}

impl StateReader for ReadState {
    type Error = StateError;

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match &self.pending {
            Some(changes) => match changes.accounts.get(&address) {
                Some(change) => Ok(change.info),
                None => self.view.account(address),
            },
            None => self.view.account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        match self.pending.as_ref().and_then(|changes| changes.accounts.get(&address)) {
            Some(change) => match change.storage.get(&slot) {
                Some(value) => Ok(*value),
                None if change.wiped => Ok(U256::ZERO),
                None => self.view.storage(address, slot),
            },
            None => self.view.storage(address, slot),
        }
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        match self.pending.as_ref().and_then(|changes| changes.codes.get(&code_hash)) {
            Some(code) => Ok(code.clone()),
            None => self.view.code(code_hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.view.block_hash(number)
    }

    fn code_cache(&self) -> Option<&CodeCache> {
        self.view.code_cache()
    }
}

/// A block with the state after it.
#[derive(Clone, Debug)]
pub(crate) struct At {
    /// The block; of a pending one, hash and state root are not known.
    pub(crate) block: Arc<StoredBlock>,
    /// The state.
    pub(crate) state: ReadState,
}

fn not_found() -> RpcError {
    RpcError::refused("header not found")
}

impl Rpc {
    /// Number of the committed block that `id` names; `None` for an unknown block. `pending` is the newest one here.
    pub(crate) fn number_of(&self, id: BlockId) -> Option<u64> {
        let chain = self.chain();
        let head = chain.head().number();
        match id {
            BlockId::Hash(hash) => chain.number_of(&hash.block_hash),
            BlockId::Number(tag) => match tag {
                BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => Some(head),
                BlockNumberOrTag::Earliest => Some(chain.first_number()),
                BlockNumberOrTag::Safe => Some(chain.finality().safe),
                BlockNumberOrTag::Finalized => Some(chain.finality().finalised),
                BlockNumberOrTag::Number(number) => Some(number).filter(|number| *number <= head),
            },
        }
    }

    /// The committed block that `id` names; `None` for an unknown one.
    ///
    /// # Errors
    /// Refused for a block of the chain that this one is a fork of: its transactions are not held here.
    pub(crate) fn block_of(&self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, RpcError> {
        let Some(number) = self.number_of(id) else { return Ok(None) };
        self.check_own(number)?;
        Ok(self.chain().block(number))
    }

    /// Refuses numbers of blocks that the forked chain made before this one began.
    pub(crate) fn check_own(&self, number: u64) -> Result<(), RpcError> {
        match self.chain().forked_at() {
            Some(fork) if number <= fork => Err(RpcError::refused(format!(
                "block {number} is not held here: this chain is a fork after block {fork} of another one, and this method does not ask that one"
            ))),
            _ => Ok(()),
        }
    }

    /// The block that `id` names with the state after it.
    pub(crate) fn at(&self, id: BlockId) -> Result<At, RpcError> {
        if id == BlockId::Number(BlockNumberOrTag::Pending) {
            return self.pending();
        }
        if id == BlockId::Number(BlockNumberOrTag::Latest) {
            let (block, view) = self.chain().head_with_state();
            return Ok(At { block, state: ReadState { view, pending: None } });
        }
        let number = self.number_of(id).ok_or_else(not_found)?;
        let block = self.chain().block(number).ok_or_else(not_found)?;
        let view = self.chain().state_at(number).ok_or_else(not_found)?;
        Ok(At { block, state: ReadState { view, pending: None } })
    }

    fn pending(&self) -> Result<At, RpcError> {
        let (draft, view) = self.chain().preview()?;
        let state = ReadState { view, pending: Some(Arc::new(draft.output.changes)) };
        Ok(At { block: Arc::new(draft.block), state })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use interlace_chain::pool::PoolConfig;
    use interlace_chain::{Chain, DevGenesis, DevOrderer, GenesisBlock, Mining};
    use interlace_primitives::Fork;
    use serde_json::{Value, json};

    use super::*;
    use crate::accounts::Accounts;

    #[test]
    fn calls_share_the_code_that_was_analysed() {
        let contract = Address::repeat_byte(9);
        let genesis = DevGenesis {
            chain_id: 7,
            fork: Fork::Osaka,
            balances: Vec::new(),
            gas_limit: 30_000_000,
            deployments: Vec::new(),
            timestamp: 0,
            base_fee_wei: None,
            ada: false,
        };
        let mut genesis = genesis.document();
        genesis["alloc"][contract.to_string()] = json!({ "balance": "0x0", "code": "0x602a5f5260205ff3" });
        let genesis = GenesisBlock::from_json(&genesis.to_string()).unwrap();
        let orderer = DevOrderer::new(Mining::Manual, Address::ZERO, None);
        let chain = Chain::new(genesis, Box::new(orderer), PoolConfig::default());
        let rpc = Rpc::new(Arc::new(chain), None, Accounts::default());
        let kept = || rpc.at(BlockId::latest()).unwrap().state.code_cache().unwrap().bytes();
        assert_eq!(kept(), 0);
        for block in ["latest", "earliest", "latest"] {
            let body = json!({
                "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{ "to": contract }, block],
            });
            let answer: Value = serde_json::from_slice(&rpc.handle(body.to_string().as_bytes()).unwrap()).unwrap();
            assert_eq!(answer["result"], json!(format!("0x{:064x}", 42)), "{block}: {answer}");
            assert_eq!(kept(), 8);
        }
    }
}
