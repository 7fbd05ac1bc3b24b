//! Synthetic blocks: what they are called, and their transactions.
//!
//! Invariant: the same name and size give the same block. Nobody signed its transactions: senders are given to the engine.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use alloy_consensus::{BlockBody, Header, SignableTransaction, TxEip1559};
use alloy_primitives::map::{AddressMap, B256Map, HashMap};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use interlace_primitives::{ChainSpec, Fork};
use interlace_stf::{
    Account, Attributes, Block, BlockBuilder, CodeCache, CodeTier, StateReader, Transaction, genesis_header,
    system_contracts,
};

use super::code;

pub(super) const CHAIN_ID: u64 = 1337;
/// Gas of one transaction at most.
const GAS: u64 = 200_000;

/// A state in memory, which can be slow like one that is elsewhere.
#[derive(Clone, Debug, Default)]
pub struct World {
    accounts: AddressMap<Account>,
    slots: HashMap<(Address, U256), U256>,
    codes: B256Map<Bytes>,
    cache: Arc<CodeCache>,
    /// How long reading an account or a slot takes besides.
    pub(super) delay: Duration,
}

impl StateReader for World {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        self.wait();
        Ok(self.accounts.get(&address).copied())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        self.wait();
        Ok(self.slots.get(&(address, slot)).copied().unwrap_or_default())
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, Infallible> {
        Ok(self.codes.get(&code_hash).cloned().unwrap_or_default())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }

    fn waits(&self) -> bool {
        !self.delay.is_zero()
    }

    fn code_cache(&self) -> Option<&CodeCache> {
        Some(&self.cache)
    }
}

impl World {
    fn wait(&self) {
        if self.waits() {
            thread::sleep(self.delay);
        }
    }

    /// All accounts, each with its slots.
    pub fn accounts(&self) -> impl Iterator<Item = (Address, Account, Vec<(U256, U256)>)> {
        let mut slots = AddressMap::<Vec<(U256, U256)>>::default();
        for ((address, slot), value) in &self.slots {
            slots.entry(*address).or_default().push((*slot, *value));
        }
        self.accounts
            .iter()
            .map(move |(address, account)| (*address, *account, slots.remove(address).unwrap_or_default()))
    }

    /// Lets `tier` execute code; it is translated before it is executed the first time.
    pub(super) fn execute_by(&self, tier: CodeTier) {
        self.cache.choose_at_once(tier);
    }

    pub(super) fn put(&mut self, address: Address, account: Account) {
        self.accounts.insert(address, account);
    }

    pub(super) fn contract(&mut self, address: Address, code: Bytes) {
        let code_hash = keccak256(&code);
        self.accounts.insert(address, Account { nonce: 1, code_hash, ..Account::default() });
        self.codes.insert(code_hash, code);
    }
}

/// A block, the state below it, and who sent its transactions.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// The rules.
    pub spec: ChainSpec,
    /// The block before.
    pub parent: Header,
    /// The block; its state root is not that of any state.
    pub block: Block,
    /// Senders, in order.
    pub senders: Vec<Address>,
    /// The state before the block.
    pub world: World,
}

/// What the blocks are called, and what is in them.
pub const NAMES: [(&str, &str); 10] = [
    ("transfers", "plain transfers between accounts that appear once"),
    ("chain", "plain transfers from one account"),
    ("token-0", "ERC-20 transfers between accounts that appear once"),
    ("token-10", "ERC-20 transfers, one in ten to one account"),
    ("token-50", "ERC-20 transfers, one in two to one account"),
    ("token-100", "ERC-20 transfers, all to one account"),
    ("swaps-1", "swaps in one pool"),
    ("swaps-4", "swaps in four pools, in turns"),
    ("swaps-32", "swaps in 32 pools, in turns"),
    ("recreate", "contracts at eight addresses that are created and destroyed, in turns"),
];

pub(super) fn numbered(kind: u8, number: u64) -> Address {
    let mut address = Address::repeat_byte(kind);
    address[12..].copy_from_slice(&number.to_be_bytes());
    address
}

fn balance_slot(owner: Address) -> U256 {
    keccak256([owner.into_word().as_slice(), B256::ZERO.as_slice()].concat()).into()
}

/// A call of `transfer(to, amount)`, or of whatever takes a word and a number.
fn input(word: B256, number: u64) -> Bytes {
    let mut input = vec![0xa9, 0x05, 0x9c, 0xbb];
    input.extend(word);
    input.extend(B256::from(U256::from(number)));
    input.into()
}

struct Draft {
    world: World,
    transactions: Vec<Transaction>,
    senders: Vec<Address>,
    nonces: BTreeMap<Address, u64>,
}

impl Draft {
    fn send(&mut self, from: Address, to: Address, value: u64, input: Bytes) {
        let nonce = self.nonces.entry(from).or_default();
        let tx = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: *nonce,
            gas_limit: if input.is_empty() { 21_000 } else { GAS },
            max_fee_per_gas: 4_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input,
            ..TxEip1559::default()
        };
        *nonce += 1;
        self.world.accounts.entry(from).or_insert(Account::with_balance(U256::from(10).pow(U256::from(20))));
        self.transactions.push(tx.into_signed(Signature::test_signature()).into());
        self.senders.push(from);
    }
}

/// The block `name` of `count` transactions; `None` if there is none of that name.
///
/// # Errors
/// The engine's, in words, if a transaction of it is not valid: then this module is wrong.
pub fn synthetic(name: &str, count: u64) -> Option<Result<Synthetic, String>> {
    let known = NAMES.iter().any(|(known, _)| *known == name);
    let (kind, number) = name.split_once('-').unwrap_or((name, "0"));
    let number: u64 = number.parse().ok().filter(|_| known)?;
    let mut draft =
        Draft { world: World::default(), transactions: Vec::new(), senders: Vec::new(), nonces: BTreeMap::new() };
    let (hot, token) = (numbered(0xee, 0), numbered(0xcc, 0));
    draft.world.contract(token, code::token());
    draft.world.contract(numbered(0xcf, 0), code::phoenix());
    let funded = U256::from(1_000_000_000u64);
    for pool in 0..number {
        let address = numbered(0xce, pool);
        draft.world.contract(address, code::pool());
        let reserve = U256::from(10).pow(U256::from(24));
        draft.world.slots.extend([1, 2].map(|slot| ((address, U256::from(slot)), reserve)));
    }
    for index in 0..count {
        let (from, to) = (numbered(0xaa, index), numbered(0xbb, index));
        match kind {
            "transfers" => draft.send(from, to, 1 + index, Bytes::new()),
            "chain" => draft.send(hot, to, 1 + index, Bytes::new()),
            "token" => {
                // Spread over the block: of 10 in a row, so many go to the hot account.
                let to = if index * 7 % 10 < number / 10 { hot } else { to };
                draft.world.slots.insert((token, balance_slot(from)), funded);
                draft.send(from, token, 0, input(to.into_word(), 1 + index));
            }
            "swaps" => {
                let pool = numbered(0xce, index % number);
                draft.world.slots.insert((pool, balance_slot(from)), funded);
                draft.send(from, pool, 0, input(B256::ZERO, 1_000 + index));
            }
            _ => draft.send(from, numbered(0xcf, 0), 0, input(B256::ZERO, index % 8)),
        }
    }
    Some(draft.finish())
}

impl Draft {
    fn finish(mut self) -> Result<Synthetic, String> {
        let spec = ChainSpec::dev(CHAIN_ID, Fork::Osaka);
        system_contracts(Fork::Osaka).into_iter().for_each(|(address, code)| self.world.contract(address, code));
        let gas_limit = 1 << 40;
        let genesis = alloy_genesis::Genesis { gas_limit: 1 << 40, ..Default::default() };
        let parent = genesis_header(&spec, &genesis, B256::ZERO);
        let attributes =
            Attributes { timestamp: 12, gas_limit, beneficiary: numbered(0xdd, 0), ..Attributes::default() };
        let mut builder = BlockBuilder::new(&spec, &parent, attributes, &self.world).map_err(|e| e.to_string())?;
        for (tx, sender) in self.transactions.iter().zip(&self.senders) {
            let outcome = builder.push(tx, *sender).map_err(|error| error.to_string())?;
            if !outcome.is_success() {
                return Err(format!("a transaction failed: {:?}", outcome.status));
            }
        }
        let built = builder.finish().map_err(|error| error.to_string())?;
        let Self { world, transactions, senders, .. } = self;
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Vec::new().into()) };
        Ok(Synthetic { spec, parent, block: Block::new(built.header, body), senders, world })
    }
}
