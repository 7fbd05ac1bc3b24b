//! Transactions without a signature, as a developer's chain takes them for accounts that it impersonates.
//!
//! In place of a signature stands one that no key can make: `r` is 2^256 - 1, which is above the curve's order, and `s` is 2^160 plus
//! the sender. So the envelope keeps its encoding, its hash is the usual one and differs by sender, and tools can decode it.
//!
//! Invariant: a stand-in recovers to no address. A block that holds one is refused by every chain, this one included, that is asked to
//! import it; only a dump of a developer's chain, which says what it is, brings it back.
//! Source: SEC 1, 4.1.6 (`r` is below the order); EIP-3607 is waived for these senders.

use alloy_primitives::{Address, Signature, U256};
use interlace_evm::TxRequest;

use crate::block::Transaction;

/// What `s` is above the sender, so that it is never zero.
const MARK: U256 = U256::from_limbs([0, 0, 1 << 32, 0]);

/// The stand-in for a signature of `sender`.
#[must_use]
pub fn stand_in_signature(sender: Address) -> Signature {
    Signature::new(U256::MAX, MARK | U256::from_be_slice(sender.as_slice()), false)
}

/// Whom a transaction with a stand-in for a signature is from; `None` for every other.
#[must_use]
pub fn unsigned_sender(tx: &Transaction) -> Option<Address> {
    let signature = tx.signature();
    if signature.r() != U256::MAX || signature.v() || signature.s() >> 160 != U256::ONE {
        return None;
    }
    Some(Address::from_slice(&signature.s().to_be_bytes::<32>()[12..]))
}

/// The request that `tx` of `sender` makes, with what an impersonated sender is exempt from.
#[must_use]
pub fn request_of(tx: &Transaction, sender: Address) -> TxRequest {
    let impersonated = unsigned_sender(tx) == Some(sender);
    TxRequest { impersonated, ..TxRequest::from_transaction(tx, sender) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_eips::eip2718::{Decodable2718, Encodable2718};
    use interlace_primitives::Fork;

    use super::*;
    use crate::block::recover_sender;

    fn of(sender: Address) -> Transaction {
        TxLegacy { chain_id: Some(7), ..TxLegacy::default() }.into_signed(stand_in_signature(sender)).into()
    }

    #[test]
    fn a_stand_in_tells_its_sender_and_recovers_to_nobody() {
        for byte in [0, 1, 0x7f, 0xff] {
            let sender = Address::repeat_byte(byte);
            let tx = of(sender);
            let bytes = tx.encoded_2718();
            let decoded = Transaction::decode_2718_exact(&bytes).unwrap();
            assert_eq!(decoded.tx_hash(), tx.tx_hash());
            assert_eq!(unsigned_sender(&decoded), Some(sender));
            for fork in [Fork::Frontier, Fork::Homestead, Fork::Osaka] {
                assert!(recover_sender(&decoded, fork).is_err());
            }
            assert!(request_of(&decoded, sender).impersonated);
            // Another sender for the same stand-in gets no exemption.
            assert!(!request_of(&decoded, Address::repeat_byte(0x33)).impersonated);
        }
        assert_ne!(of(Address::ZERO).tx_hash(), of(Address::repeat_byte(1)).tx_hash());
    }

    #[test]
    fn a_real_signature_is_no_stand_in() {
        let almost = [
            Signature::new(U256::MAX, U256::from(5), false),
            Signature::new(U256::MAX, MARK | U256::from(5), true),
            Signature::new(U256::from(1), MARK | U256::from(5), false),
            Signature::new(U256::MAX, (MARK << 1) | U256::from(5), false),
        ];
        for signature in almost {
            let tx: Transaction = TxLegacy::default().into_signed(signature).into();
            assert_eq!(unsigned_sender(&tx), None);
        }
    }
}
