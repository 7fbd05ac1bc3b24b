// SPDX-License-Identifier: MIT OR Apache-2.0
// Zero-knowledge proofs of integer programs: which verifier contract stands for which program, and one way to ask it.
// Invariant: `verify` returns only if the tensors hash to the claim, the verifier's code is the one that was registered, and it accepts
// the proof for exactly these inputs, this claim and these outputs. A key is named by the hash of all that it says, so nobody can
// take a name or change what it means; there is no owner.
// Source: docs/zero-knowledge.md; docs/records.md (claims, hashes of tensors); docs/integer-programs.md (tensors on the wire).
// What it does not do: it cannot know that a verifier's circuit computes the program, nor who knows the secret of its setup. Anyone
// registers; callers decide which key they trust and pass it. Whoever picks one builds the verifier again from the program and the
// ceremony's file and compares the code's hash. It does not tell whether a claim's registry knows the program, and keeps no proofs.
pragma solidity ^0.8.28;

import {Records} from "./Records.sol";

/// @notice What a generated verifier answers: true, or it reverts.
interface IProofVerifier {
    function verifyProof(bytes calldata proof, uint256[] calldata instances) external view returns (bool);
}

contract ZkVerifiers {
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

    mapping(bytes32 keyId => Key) private _keys;

    event KeyRegistered(
        bytes32 indexed keyId, bytes32 indexed programId, address indexed verifier, bytes32 codeHash, address by
    );

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
        for (uint256 i = 0; i < start; ++i) {
            require(tensor[i] == header[i], BadTensor(header, tensor.length));
        }
        unchecked {
            for (uint256 i = 0; i < elements; ++i) {
                int256 value;
                if (size == 1) {
                    value = int8(uint8(tensor[start + i]));
                } else {
                    uint256 from = start + 4 * i;
                    value = int32(
                        uint32(uint8(tensor[from])) | uint32(uint8(tensor[from + 1])) << 8
                            | uint32(uint8(tensor[from + 2])) << 16 | uint32(uint8(tensor[from + 3])) << 24
                    );
                }
                instances[first + i] = value < 0 ? FIELD - uint256(-value) : uint256(value);
            }
        }
    }
}
