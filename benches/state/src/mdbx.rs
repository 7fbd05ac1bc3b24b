//! MDBX with accounts by address, and ethrex's trie, whose nodes lie in it by their paths.
//!
//! Set up as reth sets MDBX up: a writable map, no read-ahead. What ethrex does with several threads at once while it imports is left out,
//! as is its cache of the latest layers; the figures of our state on one thread stand beside it for that.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::{Decodable, Encodable};
use anyhow::{Context, Result, anyhow};
use ethereum_types::H256;
use ethrex_crypto::NativeCrypto;
use ethrex_trie::trie_sorted::trie_from_sorted_accounts_wrap;
use ethrex_trie::{Nibbles, Trie, TrieDB, TrieError};
use interlace_state::TrieAccount;
use interlace_state::bench::{account, address};
use interlace_trie::EMPTY_ROOT_HASH;
use signet_libmdbx::tx::aliases::RoTxSync;
use signet_libmdbx::{Database, DatabaseFlags, Environment, EnvironmentFlags, Geometry, Mode, SyncMode, WriteFlags};

use crate::subject::{Batch, Change, Subject, sum};

/// The map may grow up to it.
const MAX_BYTES: usize = 64 << 30;
/// Accounts that one transaction puts in while they are loaded.
const PORTION: usize = 1_000_000;

/// MDBX in a folder.
pub struct Mdbx {
    folder: PathBuf,
    env: Environment,
    accounts: Database,
    nodes: Database,
    root: H256,
    durable: bool,
}

/// The trie's nodes, as one transaction sees them.
struct Nodes {
    env: Environment,
    nodes: Database,
    reader: Option<RoTxSync>,
}

fn environment(folder: &Path, durable: bool) -> Result<Environment> {
    let sync_mode = if durable { SyncMode::Durable } else { SyncMode::SafeNoSync };
    let mode = Mode::ReadWrite { sync_mode };
    let flags = EnvironmentFlags { mode, no_rdahead: true, coalesce: true, ..EnvironmentFlags::default() };
    let size: Option<Range<usize>> = Some(0..MAX_BYTES);
    let geometry = Geometry { size, growth_step: Some(1 << 30), ..Geometry::default() };
    let mut builder = Environment::builder();
    builder.set_max_dbs(4).write_map().set_flags(flags).set_geometry(geometry);
    Ok(builder.open(folder)?)
}

/// Nonce and balance, as short as they go; none of the accounts has code.
fn encode(balance: u64) -> Vec<u8> {
    let account = account(balance);
    let mut out = Vec::with_capacity(48);
    account.nonce.encode(&mut out);
    account.balance.encode(&mut out);
    out
}

fn leaf(balance: u64) -> Vec<u8> {
    let account = account(balance);
    let (nonce, balance, code_hash) = (account.nonce, account.balance, account.code_hash);
    alloy_rlp::encode(TrieAccount { nonce, balance, storage_root: EMPTY_ROOT_HASH, code_hash })
}

impl Mdbx {
    /// An empty one.
    pub fn new(folder: &Path) -> Result<Self> {
        let folder = folder.to_path_buf();
        let env = environment(&folder, false)?;
        let writer = env.begin_rw_sync()?;
        let accounts = writer.create_db(Some("accounts"), DatabaseFlags::empty())?;
        let nodes = writer.create_db(Some("nodes"), DatabaseFlags::empty())?;
        writer.commit()?;
        Ok(Self { folder, env, accounts, nodes, root: ethrex_trie::EMPTY_TRIE_HASH, durable: false })
    }

    /// Closes it and opens it again, and says how long that took, a read and the root's node among it.
    pub fn reopen(&mut self, durable: bool) -> Result<Duration> {
        self.env.sync(true)?;
        // Only then can the folder be opened again.
        self.env = environment(&self.folder.join("none"), false)?;
        let start = Instant::now();
        self.env = environment(&self.folder, durable)?;
        let reader = self.env.begin_ro_sync()?;
        self.accounts = reader.open_db(Some("accounts"))?;
        self.nodes = reader.open_db(Some("nodes"))?;
        drop(reader);
        self.durable = durable;
        self.read(&[address(0)])?;
        self.trie()?.get_root_node(Nibbles::default())?;
        Ok(start.elapsed())
    }

    fn trie(&self) -> Result<Trie> {
        let nodes = Nodes { env: self.env.clone(), nodes: self.nodes, reader: Some(self.env.begin_ro_sync()?) };
        Ok(Trie::open(Box::new(nodes), self.root))
    }
}

fn failed(error: impl Into<anyhow::Error>) -> TrieError {
    TrieError::DbError(error.into())
}

impl TrieDB for Nodes {
    fn get(&self, key: Nibbles) -> Result<Option<Vec<u8>>, TrieError> {
        let Some(reader) = &self.reader else { return Ok(None) };
        reader.get::<Vec<u8>>(self.nodes.dbi(), key.as_ref()).map_err(failed)
    }

    fn put_batch(&self, changes: Vec<(Nibbles, Vec<u8>)>) -> Result<(), TrieError> {
        let writer = self.env.begin_rw_sync().map_err(failed)?;
        for (key, node) in changes {
            writer.put(self.nodes, key, node, WriteFlags::UPSERT).map_err(failed)?;
        }
        writer.commit().map_err(failed)
    }
}

impl Subject for Mdbx {
    fn name(&self) -> &'static str {
        "mdbx"
    }

    fn load(&mut self, count: u64) -> Result<B256> {
        let mut all: Vec<(Address, u64)> = (0..count).map(|number| (address(number), number)).collect();
        all.sort_unstable();
        for portion in all.chunks(PORTION) {
            let writer = self.env.begin_rw_sync()?;
            for (address, number) in portion {
                writer.append(self.accounts, address, encode(*number))?;
            }
            writer.commit()?;
        }
        let mut hashed: Vec<(B256, u64)> =
            all.into_iter().map(|(address, number)| (keccak256(address), number)).collect();
        hashed.sort_unstable();
        let mut leaves = hashed.into_iter().map(|(key, number)| (H256(key.0), leaf(number)));
        let nodes = Nodes { env: self.env.clone(), nodes: self.nodes, reader: None };
        self.root = trie_from_sorted_accounts_wrap(&nodes, &mut leaves).map_err(|error| anyhow!("{error}"))?;
        Ok(B256::from(self.root.0))
    }

    fn read(&self, addresses: &[Address]) -> Result<(U256, Duration)> {
        // The faster of its two kinds: for one thread.
        let reader = self.env.begin_ro_unsync()?;
        let dbi = self.accounts.dbi();
        sum(addresses, |address| {
            let found = reader.get::<std::borrow::Cow<'_, [u8]>>(dbi, address.as_slice())?;
            let found = found.context("an account is missing")?;
            let mut bytes = found.as_ref();
            u64::decode(&mut bytes)?;
            Ok(U256::decode(&mut bytes)?)
        })
    }

    fn change(&mut self, changes: &[Change], durable: bool) -> Result<Batch> {
        if self.durable != durable {
            self.reopen(durable)?;
        }
        let start = Instant::now();
        let mut trie = self.trie()?;
        let mut keyed: Vec<(B256, u64)> =
            changes.iter().map(|change| (keccak256(address(change.number)), change.balance)).collect();
        keyed.sort_unstable();
        for (key, balance) in keyed {
            trie.insert(key.to_vec(), leaf(balance))?;
        }
        let (root, nodes) = trie.collect_changes_since_last_hash(&NativeCrypto);
        let hashed = start.elapsed();
        drop(trie);
        let writer = self.env.begin_rw_sync()?;
        let mut flat: Vec<(Address, u64)> =
            changes.iter().map(|change| (address(change.number), change.balance)).collect();
        flat.sort_unstable();
        for (address, balance) in flat {
            writer.put(self.accounts, address, encode(balance), WriteFlags::UPSERT)?;
        }
        for (key, node) in nodes {
            writer.put(self.nodes, key, node, WriteFlags::UPSERT)?;
        }
        writer.commit()?;
        self.root = root;
        Ok(Batch { root: B256::from(root.0), hashed, placed: start.elapsed() })
    }

    fn prove(&self, address: Address) -> Result<(Vec<Bytes>, Duration)> {
        let key = keccak256(address);
        let start = Instant::now();
        let nodes = self.trie()?.get_proof(key.as_slice())?;
        Ok((nodes.into_iter().map(Bytes::from).collect(), start.elapsed()))
    }

    fn bytes(&self) -> Result<(u64, u64)> {
        let (info, free) = (self.env.info()?, self.env.freelist()?);
        let page = u64::from(self.env.stat()?.page_size());
        Ok((0, (info.last_pgno() as u64 + 1 - free as u64) * page))
    }
}
