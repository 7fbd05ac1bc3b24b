//! The developer accounts whose keys the node itself holds.
//!
//! Invariant: keys sign and are never shown: neither `Debug` nor any method nor any error gives one out. A network's node has none.
//! Source: EIP-191 (personal messages), EIP-712 (typed data), RFC 6979 (nonces).

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use k256::ecdsa::SigningKey;

use crate::error::RpcError;

/// Keys by address, in the order they were given.
#[derive(Default)]
pub struct Accounts {
    order: Vec<Address>,
    keys: BTreeMap<Address, SigningKey>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accounts").field(&self.order).finish()
    }
}

impl Accounts {
    /// Accounts of these private keys.
    ///
    /// # Errors
    /// -32602 when a key is no valid scalar; the key is not in the text.
    pub fn new(keys: &[[u8; 32]]) -> Result<Self, RpcError> {
        let mut accounts = Self::default();
        for key in keys {
            let key = SigningKey::from_slice(key).map_err(|_| RpcError::invalid_params("a key is no valid scalar"))?;
            let point = key.verifying_key().to_sec1_point(false);
            let hash = keccak256(point.as_bytes().get(1..).unwrap_or_default());
            let address = Address::from_slice(&hash[12..]);
            accounts.order.push(address);
            accounts.keys.insert(address, key);
        }
        Ok(accounts)
    }

    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.order
    }

    /// Signs a digest.
    ///
    /// # Errors
    /// -32000 when the account is not one of ours.
    pub fn sign(&self, address: Address, digest: &B256) -> Result<Signature, RpcError> {
        let key = self.keys.get(&address).ok_or_else(|| RpcError::refused(format!("unknown account {address}")))?;
        let (signature, id) = key.sign_prehash_recoverable(digest.as_slice());
        let bytes = signature.to_bytes();
        let (r, s) = bytes.split_at(32);
        Ok(Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), id.is_y_odd()))
    }
}
