//! STORE: a chunk of weights becomes the code of an account.

use alloc::format;
use alloc::vec::Vec;

use alloy_primitives::B256;
use interlace_tensor::{CHUNK_BYTES, leaf};
use revm::bytecode::Bytecode;
use revm::context_interface::{ContextTr, JournalTr};

use super::meter::{Meter, NEW_ACCOUNT, STORE_BASE, STORED_BYTE};
use super::{Stop, chunk_address};

/// Stores `chunk`, and returns its leaf. What is there already is not stored again, and not paid for again.
pub(super) fn store<CTX: ContextTr>(
    context: &mut CTX,
    meter: &mut Meter,
    chunk: &[u8],
    is_static: bool,
) -> Result<Vec<u8>, Stop> {
    meter.charge(STORE_BASE)?;
    meter.words(chunk.len())?;
    if chunk.is_empty() || chunk.len() > CHUNK_BYTES {
        return Err(Stop::Refused("instruction.chunk", format!("{} bytes, of 1 to {CHUNK_BYTES}", chunk.len())));
    }
    let leaf = leaf(chunk);
    let address = chunk_address(leaf);
    if meter.look(context, address)?.is_none() {
        put(context, meter, address, leaf, chunk, is_static)?;
    }
    Ok(leaf.to_vec())
}

/// Makes 0x00 and `bytes` the code at `address`, whose account was looked at.
pub(super) fn put<CTX: ContextTr>(
    context: &mut CTX,
    meter: &mut Meter,
    address: alloy_primitives::Address,
    hash: B256,
    bytes: &[u8],
    is_static: bool,
) -> Result<(), Stop> {
    if is_static {
        return Err(Stop::Static);
    }
    meter.charge(NEW_ACCOUNT + (bytes.len() as u64 + 1) * STORED_BYTE)?;
    let code = Bytecode::new_legacy([&[0], bytes].concat().into());
    context.journal_mut().touch_account(address);
    context.journal_mut().set_code_with_hash(address, code, hash);
    Ok(())
}
