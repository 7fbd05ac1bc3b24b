//! pevm, and what it needs of a recorded block.
//!
//! Invariant: a block is timed only if pevm uses the gas that its header says, on one thread and on all.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::{Block, Transaction};
use anyhow::{Context, Result, anyhow, ensure};
use flate2::bufread::GzDecoder;
use pevm::chain::PevmEthereum;
use pevm::{BlockHashes, Bytecodes, ChainState, EvmCode, InMemoryStorage, Pevm};
use revm::bytecode::Bytecode;
use serde::de::DeserializeOwned;

/// What the blocks of one folder share.
#[derive(Clone)]
struct Folder {
    codes: Arc<Bytecodes>,
    hashes: Arc<BlockHashes>,
}

/// A block and the state that it is executed on.
pub struct Recorded {
    block: Block<Transaction>,
    state: InMemoryStorage,
}

impl Recorded {
    /// Number, transactions, gas.
    pub fn about(&self) -> (u64, usize, u64) {
        let header = &self.block.header;
        (header.number, self.block.transactions.len(), header.gas_used)
    }
}

/// pevm with a number of threads.
pub struct Peer {
    chain: PevmEthereum,
    pevm: Pevm,
    threads: NonZeroUsize,
    folders: HashMap<PathBuf, Folder>,
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = BufReader::new(File::open(path).with_context(|| path.display().to_string())?);
    let read = if path.extension().is_some_and(|extension| extension == "gz") {
        serde_json::from_reader(BufReader::new(GzDecoder::new(file)))
    } else {
        serde_json::from_reader(file)
    };
    read.with_context(|| path.display().to_string())
}

impl Folder {
    fn read(path: &Path) -> Result<Self> {
        let codes: HashMap<B256, Bytes> = json(&path.join("codes.json.gz"))?;
        let codes = codes.into_iter().map(|(hash, code)| (hash, EvmCode::from(Bytecode::new_raw(code)))).collect();
        let hashes: HashMap<u64, B256> = json(&path.join("block_hashes.json"))?;
        Ok(Self { codes: Arc::new(codes), hashes: Arc::new(hashes.into_iter().collect()) })
    }
}

impl Peer {
    pub fn new(threads: usize) -> Result<Self> {
        let threads = NonZeroUsize::new(threads).context("--threads takes 1 and more")?;
        Ok(Self { chain: PevmEthereum::mainnet(), pevm: Pevm::default(), threads, folders: HashMap::new() })
    }

    /// The block of a folder `<number>/`.
    pub fn load(&mut self, path: &Path) -> Result<Recorded> {
        let above = path.parent().context("a block lies in a folder")?;
        if !self.folders.contains_key(above) {
            self.folders.insert(above.to_owned(), Folder::read(above)?);
        }
        let Folder { codes, hashes } = self.folders[above].clone();
        let accounts: ChainState = json(&path.join("pre_state.json"))?;
        Ok(Recorded { block: json(&path.join("block.json"))?, state: InMemoryStorage::new(accounts, codes, hashes) })
    }

    /// The shortest seconds of so many times, on one thread and on all.
    pub fn time(&mut self, recorded: &Recorded, times: usize) -> Result<[f64; 2]> {
        let mut shortest = [f64::INFINITY; 2];
        for _ in 0..times {
            for (shortest, alone) in shortest.iter_mut().zip([true, false]) {
                let start = Instant::now();
                let results = self.pevm.execute(&self.chain, &recorded.state, &recorded.block, self.threads, alone);
                let seconds = start.elapsed().as_secs_f64();
                let results = results.map_err(|error| anyhow!("pevm: {error}"))?;
                let gas = results.last().map_or(0, |result| result.receipt.cumulative_gas_used);
                let header = &recorded.block.header;
                ensure!(
                    gas == header.gas_used,
                    "block {}: pevm uses {gas} gas, not {}",
                    header.number,
                    header.gas_used
                );
                *shortest = shortest.min(seconds);
            }
        }
        Ok(shortest)
    }
}
