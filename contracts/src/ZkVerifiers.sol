// SPDX-License-Identifier: MIT OR Apache-2.0
// Zero-knowledge proofs of integer programs: which verifier contract stands for which program, which keys a payer accepts, what was proved.
// Invariant: `verify` returns only if the tensors hash to the claim, the verifier's code is the one that was registered, and it accepts
// the proof for exactly these inputs, this claim and these outputs. A key is named by the hash of all that it says, so nobody can
// take a name or change what it means; there is no owner. A claim is recorded for a payer only while that payer accepts the key, and for
// good. A payer's word ends no sooner than revokeSeconds after it was taken back.
// Source: docs/zero-knowledge.md; docs/records.md (claims, hashes of tensors); docs/integer-programs.md (tensors on the wire).
// What it does not do: it cannot know that a verifier's circuit computes the program, nor who knows the secret of its setup. Anyone
// registers; payers decide which key they trust. Whoever picks one builds the verifier again from the program and the
// ceremony's file and compares the code's hash. It does not tell whether a claim's registry knows the program, and keeps no proofs.
// A claim without a proof is not false: its verdict is None.
pragma solidity ^0.8.28;

import {Claims, Records} from "./Records.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";

contract ZkVerifiers is IAssurance {
    /// @notice Most elements of an input, and of an output.
    uint256 public constant MAX_ELEMENTS = 1024;
    /// @notice Most axes of a tensor.
    uint256 public constant MAX_RANK = 4;
    /// @notice Instances between input and output: the claim's hash, 128 bits each, most significant first.
    uint256 public constant CLAIM_LIMBS = 2;
    /// @notice Order of BN254's scalar field; a negative element v stands as FIELD - |v|.
    uint256 public constant FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
    /// @notice What `acceptedUntil` says of a key that was accepted and not revoked.
    uint64 public constant FOREVER = type(uint64).max;
    bytes4 private constant MAGIC = "ILTV";
    /// @dev verifyProof(bytes,uint256[]) of a generated verifier: true, or it reverts.
    bytes4 private constant VERIFY_PROOF = bytes4(keccak256("verifyProof(bytes,uint256[])"));

    /// @param codeHash Of the verifier, when it was registered.
    /// @param inputHeader What precedes the elements of an input on the wire: magic, type, rank, dimensions.
    struct Key {
        bytes32 programId;
        address verifier;
        bytes32 codeHash;
        bytes inputHeader;
        bytes outputHeader;
    }

    /// @dev What a verification reads of a key, in one word: the rest is in the key's name. Sizes are bytes of an element.
    struct Plan {
        address verifier;
        uint16 inputs;
        uint16 outputs;
        uint8 inputHeader;
        uint8 outputHeader;
        uint8 inputSize;
        uint8 outputSize;
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

    /// @param claim What is proved; the output stands beside it.
    struct Inference {
        Records.Claim claim;
        bytes32 salt;
        bytes input;
        bytes proof;
    }

    /// @notice How long after its revocation a payer's acceptance still counts.
    uint64 public immutable revokeSeconds;
    mapping(bytes32 keyId => Key) private _keys;
    mapping(bytes32 keyId => Plan) private _plans;
    /// @notice Proofs under a key count for a payer before this second; zero if it never accepted it.
    mapping(address payer => mapping(bytes32 keyId => uint64)) public acceptedUntil;
    /// @notice The key under which a claim was proved for a payer; zero if it was not.
    mapping(bytes32 claimHash => mapping(address payer => bytes32)) public provedUnder;

    event KeyRegistered(
        bytes32 indexed keyId, bytes32 indexed programId, address indexed verifier, bytes32 codeHash, address by
    );
    event Accepted(address indexed payer, bytes32 indexed keyId);
    event Revoked(address indexed payer, bytes32 indexed keyId, uint64 until);
    event Proved(bytes32 indexed claimHash, address indexed payer, bytes32 indexed keyId);

    error BadTerms();
    error NoCode(address verifier);
    error BadHeader(bytes header);
    error TooManyElements(uint256 elements);
    error UnknownKey(bytes32 keyId);
    error NotAccepted(address payer, bytes32 keyId, uint64 until);
    error AlreadyProved(bytes32 claimHash, address payer);
    error BadEvidence(uint256 length);
    error CodeChanged(address verifier, bytes32 found);
    error WrongChain(uint256 chainId);
    error WrongProgram(bytes32 stated, bytes32 ofKey);
    error WrongInput(bytes32 stated, bytes32 found);
    error WrongOutput(bytes32 stated, bytes32 found);
    error BadTensor(bytes header, uint256 length);
    error ProofRejected(bytes32 keyId);

    /// @param revokeSeconds_ Longer than a node may wait between serving and proving: settlement's grace and window.
    constructor(uint64 revokeSeconds_) {
        require(revokeSeconds_ != 0 && revokeSeconds_ < 1 << 32, BadTerms());
        revokeSeconds = revokeSeconds_;
    }

    /// @notice Name a verifier for a program. Registering the same again changes nothing.
    function register(bytes32 programId, address verifier, bytes calldata inputHeader, bytes calldata outputHeader)
        external
        returns (bytes32 keyId)
    {
        bytes32 codeHash = verifier.codehash;
        require(verifier.code.length != 0, NoCode(verifier));
        (uint256 inputs, uint256 inputSize) = _shape(inputHeader);
        (uint256 outputs, uint256 outputSize) = _shape(outputHeader);
        keyId = keccak256(abi.encode(programId, verifier, codeHash, inputHeader, outputHeader));
        if (_plans[keyId].verifier != address(0)) return keyId;
        _keys[keyId] = Key(programId, verifier, codeHash, inputHeader, outputHeader);
        // The bounds of _shape keep every number in its type.
        _plans[keyId] = Plan({
            verifier: verifier,
            inputs: uint16(inputs),
            outputs: uint16(outputs),
            inputHeader: uint8(inputHeader.length),
            outputHeader: uint8(outputHeader.length),
            inputSize: uint8(inputSize),
            outputSize: uint8(outputSize)
        });
        emit KeyRegistered(keyId, programId, verifier, codeHash, msg.sender);
    }

    /// @notice What a key says; reverts with UnknownKey when there is none.
    function get(bytes32 keyId) external view returns (Key memory key) {
        key = _keys[keyId];
        require(key.verifier != address(0), UnknownKey(keyId));
    }

    /// @notice Say that a proof under this key is as good as the answer. Also takes back a revocation.
    function accept(bytes32 keyId) external {
        require(_plans[keyId].verifier != address(0), UnknownKey(keyId));
        acceptedUntil[msg.sender][keyId] = FOREVER;
        emit Accepted(msg.sender, keyId);
    }

    /// @notice Take an acceptance back. It still counts for revokeSeconds, so that who served by it can prove.
    function revoke(bytes32 keyId) external {
        uint64 until = acceptedUntil[msg.sender][keyId];
        // A second revocation would move the end away from what the first one said.
        require(until == FOREVER, NotAccepted(msg.sender, keyId, until));
        until = uint64(block.timestamp) + revokeSeconds;
        acceptedUntil[msg.sender][keyId] = until;
        emit Revoked(msg.sender, keyId, until);
    }

    /// @notice Whether a proof under this key will count for the payer at second `at`, whatever the payer does from now on.
    /// @dev A node asks before it serves, with the last second at which it may have to prove.
    function mayPay(address payer, bytes32 keyId, uint64 second) external view returns (bool) {
        uint64 until = acceptedUntil[payer][keyId];
        return second < (until == FOREVER ? uint64(block.timestamp) + revokeSeconds : until);
    }

    /// @notice Verify a claim's proof under a key that the payer accepts now, and record for good that it holds. Anyone may.
    /// @param evidence abi.encode(Evidence).
    function prove(bytes32 keyId, Records.Claim calldata claim, bytes calldata evidence, address payer) external {
        uint64 until = acceptedUntil[payer][keyId];
        require(block.timestamp < until, NotAccepted(payer, keyId, until));
        bytes32 hash = claimHash(claim);
        require(provedUnder[hash][payer] == bytes32(0), AlreadyProved(hash, payer));
        Evidence calldata parts = _evidence(evidence);
        _verify(keyId, claim, hash, parts.salt, parts.input, parts.output, parts.proof);
        provedUnder[hash][payer] = keyId;
        emit Proved(hash, payer, keyId);
    }

    /// @inheritdoc IAssurance
    function verdict(bytes32 hash, address payer) external view returns (Verdict) {
        return provedUnder[hash][payer] == bytes32(0) ? Verdict.None : Verdict.Holds;
    }

    /// @notice hashStruct of a claim, as in Records.
    function claimHash(Records.Claim calldata claim) public pure returns (bytes32) {
        return Claims.hash(claim);
    }

    /// @notice Whether a claim holds, by a proof under a key that the caller trusts; true, or it reverts and says why.
    /// @param proof abi.encode(Evidence).
    function verify(bytes32 keyId, Records.Claim calldata claim, bytes calldata proof) external view returns (bool) {
        Evidence calldata parts = _evidence(proof);
        return _verify(keyId, claim, claimHash(claim), parts.salt, parts.input, parts.output, parts.proof);
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
        require(proof.length >= 11 * 32, BadEvidence(proof.length));
        Inference calldata parts;
        assembly ("memory-safe") {
            parts := proof.offset
        }
        require(parts.claim.inputHash == inputCommitment, WrongInput(parts.claim.inputHash, inputCommitment));
        return _verify(modelId, parts.claim, claimHash(parts.claim), parts.salt, parts.input, output, parts.proof);
    }

    /// @dev The evidence where it lies in the call, not copied. Whatever its offsets point at lies in the call, or reading it reverts.
    function _evidence(bytes calldata data) private pure returns (Evidence calldata parts) {
        require(data.length >= 5 * 32 && bytes32(data) == bytes32(uint256(32)), BadEvidence(data.length));
        assembly ("memory-safe") {
            parts := add(data.offset, 32)
        }
    }

    function _verify(
        bytes32 keyId,
        Records.Claim calldata claim,
        bytes32 hash,
        bytes32 salt,
        bytes calldata input,
        bytes calldata output,
        bytes calldata proof
    ) private view returns (bool) {
        Plan memory plan = _plans[keyId];
        require(plan.verifier != address(0), UnknownKey(keyId));
        bytes32 code = plan.verifier.codehash;
        // The key's name again, from what was given: if it comes out, then code, program and headers are the key's.
        bool named = input.length >= plan.inputHeader && output.length >= plan.outputHeader
            && keyId == keccak256(
                abi.encode(
                    claim.programId, plan.verifier, code, input[:plan.inputHeader], output[:plan.outputHeader]
                )
            );
        if (!named) {
            require(code == _keys[keyId].codeHash, CodeChanged(plan.verifier, code));
        }
        require(claim.chainId == block.chainid, WrongChain(claim.chainId));
        if (!named) {
            require(claim.programId == _keys[keyId].programId, WrongProgram(claim.programId, _keys[keyId].programId));
        }
        bytes32 found = keccak256(bytes.concat("interlace.input.v1", salt, input));
        require(claim.inputHash == found, WrongInput(claim.inputHash, found));
        found = keccak256(bytes.concat("interlace.output.v1", output));
        require(claim.outputHash == found, WrongOutput(claim.outputHash, found));
        unchecked {
            uint256 inputLength = uint256(plan.inputHeader) + uint256(plan.inputs) * plan.inputSize;
            uint256 outputLength = uint256(plan.outputHeader) + uint256(plan.outputs) * plan.outputSize;
            if (!named || input.length != inputLength || output.length != outputLength) {
                _refuseTensor(_keys[keyId], inputLength, input, output);
            }
        }
        require(_ask(plan, hash, input, output, proof), ProofRejected(keyId));
        return true;
    }

    /// @dev One of the two tensors is not of the key's type and shape; say which.
    function _refuseTensor(Key storage key, uint256 inputLength, bytes calldata input, bytes calldata output)
        private
        view
    {
        bytes memory header = key.inputHeader;
        if (input.length == inputLength && keccak256(input[:header.length]) == keccak256(header)) {
            revert BadTensor(key.outputHeader, output.length);
        }
        revert BadTensor(header, input.length);
    }

    /// @dev Call the verifier with the proof and the instances: input, claim, output. The call is written here word by word,
    /// because a general encoder costs as much as the instances themselves.
    function _ask(Plan memory plan, bytes32 hash, bytes calldata input, bytes calldata output, bytes calldata proof)
        private
        view
        returns (bool ok)
    {
        uint256 asked;
        uint256 place;
        uint256 count = uint256(plan.inputs) + CLAIM_LIMBS + plan.outputs;
        bytes4 selector = VERIFY_PROOF;
        assembly ("memory-safe") {
            asked := mload(0x40)
            let padded := and(add(proof.length, 31), not(31))
            mstore(asked, selector)
            mstore(add(asked, 4), 64)
            mstore(add(asked, 36), add(96, padded))
            mstore(add(asked, 68), proof.length)
            // The end of the last word first: what follows the proof's bytes in it is zero.
            place := add(add(asked, 100), padded)
            mstore(place, count)
            if padded { mstore(sub(place, 32), 0) }
            calldatacopy(add(asked, 100), proof.offset, proof.length)
            place := add(place, 32)
            mstore(0x40, add(place, mul(count, 32)))
        }
        place = _place(place, input, plan.inputHeader, plan.inputSize);
        assembly ("memory-safe") {
            mstore(place, shr(128, hash))
            mstore(add(place, 32), and(hash, 0xffffffffffffffffffffffffffffffff))
        }
        place = _place(place + 32 * CLAIM_LIMBS, output, plan.outputHeader, plan.outputSize);
        address verifier = plan.verifier;
        assembly ("memory-safe") {
            ok := staticcall(gas(), verifier, asked, sub(place, asked), 0, 32)
            ok := and(ok, and(eq(returndatasize(), 32), eq(mload(0), 1)))
        }
    }

    /// @dev Write the elements of a tensor, little-endian behind its header, as words of the field from `place` on. The length of
    /// the tensor was checked against the key's, so there are at most MAX_ELEMENTS rounds and the room was taken before.
    function _place(uint256 place, bytes calldata tensor, uint256 header, uint256 size) private pure returns (uint256 end) {
        assembly ("memory-safe") {
            let field := FIELD
            let from := add(tensor.offset, header)
            let last := add(tensor.offset, tensor.length)
            end := place
            switch size
            case 1 {
                for {} lt(from, last) { from := add(from, 1) } {
                    let v := signextend(0, byte(0, calldataload(from)))
                    mstore(end, add(v, mul(field, slt(v, 0))))
                    end := add(end, 32)
                }
            }
            default {
                for {} lt(from, last) { from := add(from, 4) } {
                    let w := calldataload(from)
                    let v := or(or(byte(0, w), shl(8, byte(1, w))), or(shl(16, byte(2, w)), shl(24, byte(3, w))))
                    v := signextend(3, v)
                    mstore(end, add(v, mul(field, slt(v, 0))))
                    end := add(end, 32)
                }
            }
        }
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
}
