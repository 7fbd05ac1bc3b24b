// SPDX-License-Identifier: MIT OR Apache-2.0
// Zero-knowledge proofs of integer programs: which verifier contract stands for which program, and one way to ask it.
// Invariant: `verify` returns only if the tensors hash to the claim, the verifier's code is the one that was registered, and it accepts
// the proof for exactly these inputs, this claim and these outputs. A key is named by the hash of all that it says, so nobody can
// take a name or change what it means; there is no owner. A claim Holds for a payer for good once it was proved under a key that the
// payer accepted at that time, and for nobody else; an acceptance ends revokeSeconds after it is taken back, never sooner.
// Source: docs/zero-knowledge.md; docs/records.md (claims, hashes of tensors); docs/integer-programs.md (tensors on the wire).
// What it does not do: it cannot know that a verifier's circuit computes the program, nor who knows the secret of its setup. Anyone
// registers; callers decide which key they trust and pass it. Whoever picks one builds the verifier again from the program and the
// ceremony's file and compares the code's hash. It does not tell whether a claim's registry knows the program, and keeps no proofs.
// It says of no claim that it fails: what is not proved in time is undecided.
pragma solidity ^0.8.28;

import {Records} from "./Records.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";

/// @notice What a generated verifier answers: true, or it reverts.
interface IProofVerifier {
    function verifyProof(bytes calldata proof, uint256[] calldata instances) external view returns (bool);
}

contract ZkVerifiers is IAssurance {
    /// @notice Most elements of an input, and of an output.
    uint256 public constant MAX_ELEMENTS = 1024;
    /// @notice Most axes of a tensor.
    uint256 public constant MAX_RANK = 4;
    /// @notice Instances between input and output: the claim's hash, 32 bits each, most significant first.
    uint256 public constant CLAIM_LIMBS = 8;
    /// @notice Order of BN254's scalar field; a negative element v stands as FIELD - |v|.
    uint256 public constant FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
    bytes4 private constant MAGIC = "ILTV";
    bytes32 private constant CLAIM_TYPEHASH = keccak256(
        "Claim(uint256 chainId,address registry,bytes32 programId,uint16 semantics,bytes32 inputHash,bytes32 outputHash,address prover,uint64 jobNonce)"
    );

    /// @param codeHash Of the verifier, when it was registered.
    /// @param inputHeader What precedes the elements of an input on the wire: magic, type, rank, dimensions.
    struct Key {
        bytes32 programId;
        address verifier;
        bytes32 codeHash;
        bytes inputHeader;
        bytes outputHeader;
    }

    /// @param salt What the claim's input hash is salted with.
    /// @param input Tensor on the wire.
    /// @param output Tensor on the wire.
    struct Evidence {
        bytes32 salt;
        bytes input;
        bytes output;
        bytes proof;
    }

    /// @dev Of an acceptance that was not taken back.
    uint64 private constant FOR_EVER = type(uint64).max;

    /// @notice Seconds for which an acceptance still counts after it is taken back; whoever served on it has that long to prove.
    uint64 public immutable revokeSeconds;
    /// @notice Last second at which a payer's acceptance of a key counts; zero: never accepted.
    mapping(address payer => mapping(bytes32 keyId => uint64)) public acceptedUntil;
    mapping(bytes32 keyId => Key) private _keys;
    mapping(bytes32 claimHash => mapping(address payer => bool)) private _proven;

    event KeyRegistered(
        bytes32 indexed keyId, bytes32 indexed programId, address indexed verifier, bytes32 codeHash, address by
    );

    event Accepted(address indexed payer, bytes32 indexed keyId);
    event Revoked(address indexed payer, bytes32 indexed keyId, uint64 until);
    event Proven(bytes32 indexed claimHash, address indexed payer, bytes32 indexed keyId);

    error BadTerms();
    error NotAccepted(address payer, bytes32 keyId);
    error AlreadyProven(bytes32 claimHash, address payer);
    error NoCode(address verifier);
    error BadHeader(bytes header);
    error TooManyElements(uint256 elements);
    error UnknownKey(bytes32 keyId);
    error CodeChanged(address verifier, bytes32 found);
    error WrongChain(uint256 chainId);
    error WrongProgram(bytes32 stated, bytes32 ofKey);
    error WrongInput(bytes32 stated, bytes32 found);
    error WrongOutput(bytes32 stated, bytes32 found);
    error BadTensor(bytes header, uint256 length);
    error ProofRejected(bytes32 keyId);

    /// @param revokeSeconds_ At least as long as a payer's escrow stays after it is asked back, for the same reason.
    constructor(uint64 revokeSeconds_) {
        require(revokeSeconds_ != 0 && revokeSeconds_ <= 365 days, BadTerms());
        revokeSeconds = revokeSeconds_;
    }

    // ---- whom payers believe ---------------------------------------------------------------------

    /// @notice Accept proofs under a key for calls that the caller pays; also takes back a revocation.
    function accept(bytes32 keyId) external {
        get(keyId);
        acceptedUntil[msg.sender][keyId] = FOR_EVER;
        emit Accepted(msg.sender, keyId);
    }

    /// @notice Accept no more, from revokeSeconds on; what is proved until then counts.
    function revoke(bytes32 keyId) external {
        require(acceptedUntil[msg.sender][keyId] == FOR_EVER, NotAccepted(msg.sender, keyId));
        uint64 until = uint64(block.timestamp) + revokeSeconds;
        acceptedUntil[msg.sender][keyId] = until;
        emit Revoked(msg.sender, keyId, until);
    }

    /// @notice Have a claim checked and remembered for a payer who accepts the key; anyone may.
    /// @param proof abi.encode(Evidence).
    function prove(bytes32 keyId, Records.Claim calldata claim, bytes calldata proof, address payer) external {
        require(block.timestamp <= acceptedUntil[payer][keyId], NotAccepted(payer, keyId));
        bytes32 hash = claimHash(claim);
        require(!_proven[hash][payer], AlreadyProven(hash, payer));
        _proven[hash][payer] = true;
        emit Proven(hash, payer, keyId);
        Evidence memory evidence = abi.decode(proof, (Evidence));
        _verify(keyId, claim, evidence);
    }

    /// @inheritdoc IAssurance
    function verdict(bytes32 hash, address payer) external view returns (Verdict) {
        return _proven[hash][payer] ? Verdict.Holds : Verdict.None;
    }

    // ---- keys and proofs -------------------------------------------------------------------------

    /// @notice Name a verifier for a program. Registering the same again changes nothing.
    function register(bytes32 programId, address verifier, bytes calldata inputHeader, bytes calldata outputHeader)
        external
        returns (bytes32 keyId)
    {
        bytes32 codeHash = verifier.codehash;
        require(verifier.code.length != 0, NoCode(verifier));
        _shape(inputHeader);
        _shape(outputHeader);
        keyId = keccak256(abi.encode(programId, verifier, codeHash, inputHeader, outputHeader));
        if (_keys[keyId].verifier != address(0)) return keyId;
        _keys[keyId] = Key(programId, verifier, codeHash, inputHeader, outputHeader);
        emit KeyRegistered(keyId, programId, verifier, codeHash, msg.sender);
    }

    /// @notice What a key says; reverts with UnknownKey when there is none.
    function get(bytes32 keyId) public view returns (Key memory key) {
        key = _keys[keyId];
        require(key.verifier != address(0), UnknownKey(keyId));
    }

    /// @notice hashStruct of a claim, as in Records.
    function claimHash(Records.Claim memory claim) public pure returns (bytes32) {
        return keccak256(abi.encode(CLAIM_TYPEHASH, claim));
    }

    /// @notice Whether a claim holds, by a proof under a key that the caller trusts; true, or it reverts and says why.
    /// @param proof abi.encode(Evidence).
    function verify(bytes32 keyId, Records.Claim calldata claim, bytes calldata proof) external view returns (bool) {
        Evidence memory evidence = abi.decode(proof, (Evidence));
        return _verify(keyId, claim, evidence);
    }

    /// @notice The same, asked as ERC-7992 does: a model, a commitment to its input, its output and a proof.
    /// @param modelId A key, which stands for a program and one verifier of it.
    /// @param inputCommitment The claim's input hash.
    /// @param output Tensor on the wire.
    /// @param proof abi.encode(Claim, salt, input tensor, proof bytes).
    function verifyInference(bytes32 modelId, bytes32 inputCommitment, bytes calldata output, bytes calldata proof)
        external
        view
        returns (bool)
    {
        Evidence memory evidence;
        Records.Claim memory claim;
        (claim, evidence.salt, evidence.input, evidence.proof) =
            abi.decode(proof, (Records.Claim, bytes32, bytes, bytes));
        evidence.output = output;
        require(claim.inputHash == inputCommitment, WrongInput(claim.inputHash, inputCommitment));
        return _verify(modelId, claim, evidence);
    }

    function _verify(bytes32 keyId, Records.Claim memory claim, Evidence memory evidence) private view returns (bool) {
        Key memory key = get(keyId);
        bytes32 code = key.verifier.codehash;
        require(code == key.codeHash, CodeChanged(key.verifier, code));
        require(claim.chainId == block.chainid, WrongChain(claim.chainId));
        require(claim.programId == key.programId, WrongProgram(claim.programId, key.programId));
        bytes32 found = keccak256(bytes.concat("interlace.input.v1", evidence.salt, evidence.input));
        require(claim.inputHash == found, WrongInput(claim.inputHash, found));
        found = keccak256(bytes.concat("interlace.output.v1", evidence.output));
        require(claim.outputHash == found, WrongOutput(claim.outputHash, found));
        uint256[] memory instances = _instances(key, claimHash(claim), evidence);
        (bool ok, bytes memory answer) =
            key.verifier.staticcall(abi.encodeCall(IProofVerifier.verifyProof, (evidence.proof, instances)));
        require(ok && answer.length == 32 && bytes32(answer) == bytes32(uint256(1)), ProofRejected(keyId));
        return true;
    }

    function _instances(Key memory key, bytes32 claim, Evidence memory evidence)
        private
        pure
        returns (uint256[] memory instances)
    {
        (uint256 inputs, uint256 inputSize) = _shape(key.inputHeader);
        (uint256 outputs, uint256 outputSize) = _shape(key.outputHeader);
        instances = new uint256[](inputs + CLAIM_LIMBS + outputs);
        _place(instances, 0, key.inputHeader, inputs, inputSize, evidence.input);
        for (uint256 i = 0; i < CLAIM_LIMBS; ++i) {
            instances[inputs + i] = uint32(uint256(claim) >> (32 * (CLAIM_LIMBS - 1 - i)));
        }
        _place(instances, inputs + CLAIM_LIMBS, key.outputHeader, outputs, outputSize, evidence.output);
    }

    /// @dev Elements and bytes of each; at most MAX_RANK rounds.
    function _shape(bytes memory header) private pure returns (uint256 elements, uint256 size) {
        require(header.length >= 6 && bytes4(header) == MAGIC, BadHeader(header));
        uint8 kind = uint8(header[4]);
        uint256 rank = uint8(header[5]);
        require((kind == 1 || kind == 2) && rank >= 1 && rank <= MAX_RANK, BadHeader(header));
        require(header.length == 6 + 4 * rank, BadHeader(header));
        size = kind == 1 ? 1 : 4;
        elements = 1;
        for (uint256 axis = 0; axis < rank; ++axis) {
            uint256 place = 6 + 4 * axis;
            uint256 extent = uint256(uint8(header[place])) << 24 | uint256(uint8(header[place + 1])) << 16
                | uint256(uint8(header[place + 2])) << 8 | uint8(header[place + 3]);
            require(extent != 0, BadHeader(header));
            elements *= extent;
            require(elements <= MAX_ELEMENTS, TooManyElements(elements));
        }
    }

    /// @dev Write the elements of a tensor into the instances from `first` on; at most MAX_ELEMENTS rounds.
    function _place(
        uint256[] memory instances, uint256 first, bytes memory header, uint256 elements, uint256 size, bytes memory tensor
    ) private pure {
        uint256 start = header.length;
        require(tensor.length == start + elements * size, BadTensor(header, tensor.length));
        bool same;
        assembly ("memory-safe") {
            same := eq(keccak256(add(tensor, 32), start), keccak256(add(header, 32), start))
        }
        require(same, BadTensor(header, tensor.length));
        // Word by word: with a check for each byte this takes three times the gas. A word that is read at the end of a tensor
        // reaches beyond it; those bytes are not looked at.
        assembly ("memory-safe") {
            let from := add(add(tensor, 32), start)
            let to := add(add(instances, 32), mul(first, 32))
            for { let end := add(from, mul(elements, size)) } lt(from, end) { from := add(from, size) } {
                let word := mload(from)
                let value := signextend(0, byte(0, word))
                if eq(size, 4) {
                    value := or(or(byte(0, word), shl(8, byte(1, word))), or(shl(16, byte(2, word)), shl(24, byte(3, word))))
                    value := signextend(3, value)
                }
                if slt(value, 0) { value := add(FIELD, value) }
                mstore(to, value)
                to := add(to, 32)
            }
        }
    }
}
