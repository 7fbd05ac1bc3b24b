//! REGISTER: a program is validated once, and known by its id from then on.

use alloc::format;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256, keccak256};
use interlace_tensor::{CHUNK_BYTES, Manifest, chunk_count};
use revm::context_interface::ContextTr;

use super::meter::{Meter, PROVED_PER_GAS, REGISTER_BASE, read};
use super::store::put;
use super::{Stop, chunk_address, program_address};

/// Bytes of a manifest and its leaves, which lie in one account's code.
const MAX_BYTES: usize = CHUNK_BYTES;

/// Validates the program of `manifest ‖ leaves`, whose chunks are stored, and returns its id. One that is known is not validated again.
pub(super) fn register<CTX: ContextTr>(
    context: &mut CTX,
    meter: &mut Meter,
    input: &[u8],
    is_static: bool,
) -> Result<Vec<u8>, Stop> {
    meter.charge(REGISTER_BASE)?;
    meter.words(input.len())?;
    if input.len() > MAX_BYTES {
        return Err(Stop::Refused("instruction.manifest", format!("{} bytes, of at most {MAX_BYTES}", input.len())));
    }
    let Parts { decoded, manifest, leaves } = Parts::of(input)?;
    let id = keccak256(manifest);
    let address = program_address(id);
    if meter.look(context, address)?.is_some() {
        return Ok(id.to_vec());
    }
    let chunks = chunks(&leaves);
    look_at(context, meter, &chunks)?;
    meter.charge((decoded.weights_bytes() as u64).div_ceil(PROVED_PER_GAS))?;
    let weights = weights(context, &chunks, decoded.weights_bytes())?;
    decoded.with_chunks(manifest, leaves, weights)?;
    put(context, meter, address, keccak256([&[0], input].concat()), input, is_static)?;
    Ok(id.to_vec())
}

/// What is stored of a program.
pub(super) struct Parts<'a> {
    pub(super) decoded: Manifest,
    pub(super) manifest: &'a [u8],
    pub(super) leaves: Vec<B256>,
}

impl<'a> Parts<'a> {
    /// Reads a manifest and as many leaves behind it as its weights have chunks.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, Stop> {
        let (decoded, end) = Manifest::decode(bytes)?;
        let (manifest, rest) = bytes.split_at(end);
        let count = chunk_count(decoded.weights_bytes());
        if rest.len() != 32 * count {
            let what = format!("{} bytes behind the manifest, of {count} leaves of 32", rest.len());
            return Err(Stop::Refused("instruction.leaves", what));
        }
        let leaves = rest.chunks_exact(32).map(B256::from_slice).collect();
        Ok(Self { decoded, manifest, leaves })
    }
}

/// A chunk of weights: its leaf, and where it lies.
pub(super) type Chunk = (B256, Address);

/// Where the chunks with these leaves lie.
pub(super) fn chunks(leaves: &[B256]) -> Vec<Chunk> {
    leaves.iter().map(|leaf| (*leaf, chunk_address(*leaf))).collect()
}

/// Looks at each chunk's account and pays for it. Refused if one is not stored.
pub(super) fn look_at<CTX: ContextTr>(context: &mut CTX, meter: &mut Meter, chunks: &[Chunk]) -> Result<(), Stop> {
    for (leaf, address) in chunks {
        if meter.look(context, *address)? != Some(*leaf) {
            return Err(Stop::Refused("instruction.chunk-missing", format!("chunk {leaf} is not stored")));
        }
    }
    Ok(())
}

/// The weights that lie in chunks, which were looked at.
pub(super) fn weights<CTX: ContextTr>(context: &mut CTX, chunks: &[Chunk], bytes: usize) -> Result<Vec<u8>, Stop> {
    let mut weights = Vec::with_capacity(bytes.min(chunks.len() * CHUNK_BYTES));
    for (leaf, address) in chunks {
        let what = || Stop::Refused("instruction.chunk-missing", format!("chunk {leaf} is not stored"));
        weights.extend_from_slice(&read(context, *address)?.ok_or_else(what)?);
    }
    Ok(weights)
}
