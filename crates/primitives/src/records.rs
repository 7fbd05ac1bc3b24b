//! Claim, Voucher and Receipt: their canonical bytes (ABI words), EIP-712 hashes, settlement leaves and Merkle tree.
//!
//! Invariant: [`Voucher::digest`], [`Receipt::digest`] and [`Claim::hash`] equal what the Settlement contract computes for
//! the same fields, bit for bit; two byte strings that differ never decode to the same record.
//!
//! Source: EIP-712 (encodeData, hashStruct, domain separator); the tree is the one of OpenZeppelin's merkle-tree package,
//! so that `MerkleProof` (sorted pairs) verifies its proofs. Pinned encodings with a worked vector: docs/records.md.
//!
//! What it does not do: it signs nothing, recovers nothing and judges no link between records; JSON lives in Python.

use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};

/// One ABI word.
const WORD: usize = 32;

/// A byte string that is no record, or a tree that cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not whole records.
    #[error("{got} bytes are not a whole number of {kind} records of {size} bytes")]
    Length {
        /// Name of the record type.
        kind: &'static str,
        /// Bytes of one record.
        size: usize,
        /// Bytes given.
        got: usize,
    },
    /// A word has bits above the width of its field.
    #[error("{kind}.{field} has bits above its {width} bits")]
    Range {
        /// Name of the record type.
        kind: &'static str,
        /// Name of the field, as in the EIP-712 type.
        field: &'static str,
        /// Width of the field in bits.
        width: usize,
    },
    /// A Merkle tree needs at least one leaf.
    #[error("a Merkle tree of no leaves has no root")]
    NoLeaves,
}

/// Reads the words of one record in order; the caller has checked that there are enough.
struct Words<'a> {
    kind: &'static str,
    rest: &'a [u8],
}

impl Words<'_> {
    fn word(&mut self) -> B256 {
        let (head, tail) = self.rest.split_at(WORD.min(self.rest.len()));
        self.rest = tail;
        B256::left_padding_from(head)
    }

    fn uint(&mut self) -> U256 {
        U256::from_be_bytes(self.word().0)
    }

    /// An unsigned integer of `width` <= 64 bits.
    fn small(&mut self, field: &'static str, width: usize) -> Result<u64, RecordError> {
        let value = self.uint();
        if value.bit_len() > width {
            return Err(RecordError::Range { kind: self.kind, field, width });
        }
        Ok(value.saturating_to())
    }

    fn address(&mut self, field: &'static str) -> Result<Address, RecordError> {
        let word = self.word();
        if word[..12].iter().any(|byte| *byte != 0) {
            return Err(RecordError::Range { kind: self.kind, field, width: 160 });
        }
        Ok(Address::from_word(word))
    }
}

fn uint_word(value: impl Into<U256>) -> B256 {
    B256::from(value.into())
}

/// A record with a fixed number of ABI words.
pub trait Record: Sized {
    /// Name of the EIP-712 type.
    const KIND: &'static str;
    /// The EIP-712 type string.
    const TYPE: &'static str;
    /// Bytes of the canonical encoding: one ABI word per field.
    const SIZE: usize;

    /// Decodes the words of one record.
    ///
    /// # Errors
    /// [`RecordError::Length`] unless `bytes` has exactly [`Record::SIZE`] bytes, [`RecordError::Range`] for a word wider
    /// than its field.
    fn decode(bytes: &[u8]) -> Result<Self, RecordError>;

    /// The fields as ABI words, in the order of the type string.
    fn words(&self) -> Vec<B256>;

    /// `hashStruct` of EIP-712.
    fn struct_hash(&self) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update(keccak256(Self::TYPE));
        for word in self.words() {
            hasher.update(word);
        }
        hasher.finalize()
    }

    /// The canonical bytes: `abi.encode` of the fields.
    fn encode(&self) -> Vec<u8> {
        self.words().concat()
    }

    /// Decodes a concatenation of records.
    ///
    /// # Errors
    /// As [`Record::decode`], for the first bad one.
    fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, RecordError> {
        if !bytes.len().is_multiple_of(Self::SIZE) {
            return Err(RecordError::Length { kind: Self::KIND, size: Self::SIZE, got: bytes.len() });
        }
        bytes.chunks_exact(Self::SIZE).map(Self::decode).collect()
    }
}

fn open<R: Record>(bytes: &[u8]) -> Result<Words<'_>, RecordError> {
    if bytes.len() == R::SIZE {
        Ok(Words { kind: R::KIND, rest: bytes })
    } else {
        Err(RecordError::Length { kind: R::KIND, size: R::SIZE, got: bytes.len() })
    }
}

/// The EIP-712 domain of a deployment: `{name: "Interlace", version: "1", chainId, verifyingContract}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain {
    /// Chain of the Settlement contract.
    pub chain_id: U256,
    /// Address of the Settlement contract.
    pub settlement: Address,
}

impl Domain {
    const TYPE: &'static str = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";

    /// `hashStruct(eip712Domain)`.
    #[must_use]
    pub fn separator(&self) -> B256 {
        let words = [
            keccak256(Self::TYPE),
            keccak256("Interlace"),
            keccak256("1"),
            uint_word(self.chain_id),
            self.settlement.into_word(),
        ];
        keccak256(words.concat())
    }

    /// `keccak256(0x1901 ‖ separator ‖ struct_hash)`.
    #[must_use]
    pub fn digest(&self, struct_hash: B256) -> B256 {
        digest(self.separator(), struct_hash)
    }
}

fn digest(separator: B256, struct_hash: B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([0x19, 0x01]);
    hasher.update(separator);
    hasher.update(struct_hash);
    hasher.finalize()
}

/// A payer's offer to pay at most `max_cost` for one request to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voucher {
    /// Who pays: an externally owned account or an ERC-1271 contract.
    pub payer: Address,
    /// The operator (payout) address of the node that may be paid.
    pub node: Address,
    /// Class of the model in Assets.
    pub asset_class: U256,
    /// keccak256 of the program's manifest.
    pub program_id: B256,
    /// Salted hash of the input tensor; equals [`Claim::input_hash`].
    pub request_hash: B256,
    /// Credit-wei per unit of work.
    pub unit_price: U256,
    /// Most credit-wei that the call may cost.
    pub max_cost: U256,
    /// The credit token.
    pub token: Address,
    /// 0 = receipt, 1 = re-execution with a window for challenges.
    pub assurance: u8,
    /// Strictly increasing per payer and node.
    pub nonce: u64,
    /// Unix seconds after which the voucher is void.
    pub deadline: u64,
}

impl Voucher {
    /// The digest that the payer signs; also called the voucher hash.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        domain.digest(self.struct_hash())
    }
}

impl Record for Voucher {
    const KIND: &'static str = "Voucher";
    const TYPE: &'static str = "Voucher(address payer,address node,uint256 assetClass,bytes32 programId,bytes32 requestHash,uint256 unitPrice,uint256 maxCost,address token,uint8 assurance,uint64 nonce,uint64 deadline)";
    const SIZE: usize = 11 * WORD;

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut words = open::<Self>(bytes)?;
        Ok(Self {
            payer: words.address("payer")?,
            node: words.address("node")?,
            asset_class: words.uint(),
            program_id: words.word(),
            request_hash: words.word(),
            unit_price: words.uint(),
            max_cost: words.uint(),
            token: words.address("token")?,
            // `small` has checked the width, so no bit is lost here.
            assurance: (words.small("assurance", 8)? & 0xff) as u8,
            nonce: words.small("nonce", 64)?,
            deadline: words.small("deadline", 64)?,
        })
    }

    fn words(&self) -> Vec<B256> {
        [
            self.payer.into_word(),
            self.node.into_word(),
            uint_word(self.asset_class),
            self.program_id,
            self.request_hash,
            uint_word(self.unit_price),
            uint_word(self.max_cost),
            self.token.into_word(),
            uint_word(U256::from(self.assurance)),
            uint_word(U256::from(self.nonce)),
            uint_word(U256::from(self.deadline)),
        ]
        .to_vec()
    }
}

/// What a prover asserts: this program, on this input, gives this output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Chain of the registry.
    pub chain_id: U256,
    /// The Programs contract.
    pub registry: Address,
    /// keccak256 of the program's manifest.
    pub program_id: B256,
    /// Version of the arithmetic that the program names.
    pub semantics: u16,
    /// Salted hash of the input tensor.
    pub input_hash: B256,
    /// Hash of the output tensor.
    pub output_hash: B256,
    /// Who asserts it; equals [`Voucher::node`].
    pub prover: Address,
    /// Equals [`Voucher::nonce`].
    pub job_nonce: u64,
}

impl Claim {
    /// `hashStruct(Claim)`: no domain, since the claim itself carries chain and registry.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.struct_hash()
    }
}

impl Record for Claim {
    const KIND: &'static str = "Claim";
    const TYPE: &'static str = "Claim(uint256 chainId,address registry,bytes32 programId,uint16 semantics,bytes32 inputHash,bytes32 outputHash,address prover,uint64 jobNonce)";
    const SIZE: usize = 8 * WORD;

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut words = open::<Self>(bytes)?;
        Ok(Self {
            chain_id: words.uint(),
            registry: words.address("registry")?,
            program_id: words.word(),
            semantics: (words.small("semantics", 16)? & 0xffff) as u16,
            input_hash: words.word(),
            output_hash: words.word(),
            prover: words.address("prover")?,
            job_nonce: words.small("jobNonce", 64)?,
        })
    }

    fn words(&self) -> Vec<B256> {
        [
            uint_word(self.chain_id),
            self.registry.into_word(),
            self.program_id,
            uint_word(U256::from(self.semantics)),
            self.input_hash,
            self.output_hash,
            self.prover.into_word(),
            uint_word(U256::from(self.job_nonce)),
        ]
        .to_vec()
    }
}

/// A node's signed statement that it served a voucher, with which claim and at which cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// [`Voucher::digest`].
    pub voucher_hash: B256,
    /// [`Claim::hash`].
    pub claim_hash: B256,
    /// Units of work.
    pub units: u64,
    /// Credit-wei: units times the voucher's unit price.
    pub cost: U256,
    /// Unix seconds.
    pub served_at: u64,
}

impl Receipt {
    /// The digest that the node's receipt key signs.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        domain.digest(self.struct_hash())
    }
}

impl Record for Receipt {
    const KIND: &'static str = "Receipt";
    const TYPE: &'static str =
        "Receipt(bytes32 voucherHash,bytes32 claimHash,uint64 units,uint256 cost,uint64 servedAt)";
    const SIZE: usize = 5 * WORD;

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut words = open::<Self>(bytes)?;
        Ok(Self {
            voucher_hash: words.word(),
            claim_hash: words.word(),
            units: words.small("units", 64)?,
            cost: words.uint(),
            served_at: words.small("servedAt", 64)?,
        })
    }

    fn words(&self) -> Vec<B256> {
        [
            self.voucher_hash,
            self.claim_hash,
            uint_word(U256::from(self.units)),
            uint_word(self.cost),
            uint_word(U256::from(self.served_at)),
        ]
        .to_vec()
    }
}

/// The digests of many records of one type under one domain.
///
/// # Errors
/// As [`Record::decode_all`].
pub fn digests<R: Record>(packed: &[u8], domain: &Domain) -> Result<Vec<B256>, RecordError> {
    let separator = domain.separator();
    Ok(R::decode_all(packed)?.iter().map(|record| digest(separator, record.struct_hash())).collect())
}

/// Salted hash of an input: `keccak256("interlace.input.v1" ‖ salt ‖ tensor)`.
///
/// The salt keeps an input of low entropy from being guessed by its hash.
#[must_use]
pub fn input_hash(salt: B256, tensor: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(b"interlace.input.v1");
    hasher.update(salt);
    hasher.update(tensor);
    hasher.finalize()
}

/// Hash of an output: `keccak256("interlace.output.v1" ‖ tensor)`.
#[must_use]
pub fn output_hash(tensor: &[u8]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(b"interlace.output.v1");
    hasher.update(tensor);
    hasher.finalize()
}

/// The settlement leaf of a (voucher, receipt) pair of digests.
///
/// Hashed twice, so that a leaf can never be taken for an inner node of 64 bytes.
#[must_use]
pub fn settlement_leaf(voucher: B256, receipt: B256) -> B256 {
    keccak256(keccak256([voucher, receipt].concat()))
}

/// `keccak256` of two nodes in ascending order, as OpenZeppelin's `MerkleProof` does.
#[must_use]
pub fn hash_pair(a: B256, b: B256) -> B256 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    keccak256([low, high].concat())
}

/// All `2n - 1` nodes of the tree over `leaves`: the root first, the children of node `i` at `2i + 1` and `2i + 2`, leaf
/// `k` at `2n - 2 - k`.
///
/// # Errors
/// [`RecordError::NoLeaves`].
pub fn merkle_tree(leaves: &[B256]) -> Result<Vec<B256>, RecordError> {
    if leaves.is_empty() {
        return Err(RecordError::NoLeaves);
    }
    let mut nodes = alloc::vec![B256::ZERO; leaves.len() - 1];
    nodes.extend(leaves.iter().rev());
    for i in (0..leaves.len() - 1).rev() {
        nodes[i] = hash_pair(nodes[2 * i + 1], nodes[2 * i + 2]);
    }
    Ok(nodes)
}
