// SPDX-License-Identifier: MIT OR Apache-2.0
// Claims that a sumcheck proof showed to hold: the chain itself checked each, and made the key that it checked with.
// Invariant: a claim is recorded only after SUMCHECK_VERIFY accepted a proof for exactly its input and output, bound to its hash, under
// the key that SUMCHECK_KEY made from the program's weights. What is recorded stays; nobody has power over it.
// Source: docs/sumcheck.md, docs/ai-instructions.md (the instructions); docs/records.md (claims, hashes of tensors).
// What it does not do: it keeps no proofs, tensors or keys, only their hashes; it does not tell whether a claim's registry knows the program,
// nor who is paid for it. A claim without a proof is not false: the verdict is None.
pragma solidity ^0.8.28;

import {Claims, Records} from "./Records.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";

contract SumcheckProofs is IAssurance {
    /// @notice The instructions that make a key and check a proof.
    address public constant SUMCHECK_KEY = 0x00000000000000000000000000000000000A1005;
    address public constant SUMCHECK_VERIFY = 0x00000000000000000000000000000000000a1006;
    /// @notice The one semantics of programs that there is.
    uint16 public constant SEMANTICS = 1;

    /// @param keyHash Of the verifier's key.
    /// @param inputHeader Hash of what stands before the elements of an input on the wire: magic, type, rank, dimensions.
    struct Program {
        bytes32 keyHash;
        bytes32 inputHeader;
        bytes32 outputHeader;
    }

    mapping(bytes32 programId => Program) private _programs;
    /// @notice Whether a proof of the claim with this hash was accepted.
    mapping(bytes32 claimHash => bool) public proven;

    event Registered(bytes32 indexed programId, bytes32 keyHash);
    event Proven(bytes32 indexed claimHash, bytes32 indexed programId, address indexed prover);

    error NoInstructions();
    error UnknownProgram(bytes32 programId);
    error WrongChain(uint256 chainId);
    error UnknownSemantics(uint16 semantics);
    error WrongInput(bytes32 stated, bytes32 found);
    error WrongOutput(bytes32 stated, bytes32 found);
    error BadTensor(uint256 length);
    error WrongProgram(bytes32 stated, bytes32 proved);
    error WrongKey(bytes32 expected, bytes32 given);
    error WrongBatch(uint256 inputs);

    /// @notice Have the chain make the key of a program that it has, once. Anyone may; the second time nothing happens.
    function register(bytes32 programId) external returns (bytes32 keyHash) {
        keyHash = _programs[programId].keyHash;
        if (keyHash != bytes32(0)) return keyHash;
        bytes memory answer = _ask(SUMCHECK_KEY, abi.encode(programId));
        Program memory made = abi.decode(answer, (Program));
        _programs[programId] = made;
        emit Registered(programId, made.keyHash);
        return made.keyHash;
    }

    /// @notice What is known of a program; reverts with UnknownProgram before it is registered.
    function get(bytes32 programId) public view returns (Program memory program) {
        program = _programs[programId];
        require(program.keyHash != bytes32(0), UnknownProgram(programId));
    }

    /// @notice hashStruct of a claim, as in Records.
    function claimHash(Records.Claim calldata claim) public pure returns (bytes32) {
        return Claims.hash(claim);
    }

    /// @notice Record a claim that a proof shows to hold. Anyone may. A proof that does not hold reverts with the instruction's reason.
    /// @param salt What the claim's input hash is salted with.
    /// @param input Tensor on the wire; likewise the output.
    /// @param key The verifier's key of the program.
    /// @param proof Of one input, bound to the claim's hash.
    function prove(
        Records.Claim calldata claim,
        bytes32 salt,
        bytes calldata input,
        bytes calldata output,
        bytes calldata key,
        bytes calldata proof
    ) external returns (bytes32 hash) {
        Program memory program = get(claim.programId);
        require(claim.chainId == block.chainid, WrongChain(claim.chainId));
        require(claim.semantics == SEMANTICS, UnknownSemantics(claim.semantics));
        bytes32 found = keccak256(bytes.concat("interlace.input.v1", salt, input));
        require(claim.inputHash == found, WrongInput(claim.inputHash, found));
        found = keccak256(bytes.concat("interlace.output.v1", output));
        require(claim.outputHash == found, WrongOutput(claim.outputHash, found));
        hash = claimHash(claim);
        _check(program, claim.programId, hash, _elements(input, program.inputHeader), _elements(output, program.outputHeader), key, proof);
        if (proven[hash]) return hash;
        proven[hash] = true;
        emit Proven(hash, claim.programId, claim.prover);
    }

    /// @inheritdoc IAssurance
    function verdict(bytes32 hash, address) external view returns (Verdict) {
        return proven[hash] ? Verdict.Holds : Verdict.None;
    }

    function _check(
        Program memory program,
        bytes32 programId,
        bytes32 context,
        bytes calldata inputs,
        bytes calldata outputs,
        bytes calldata key,
        bytes calldata proof
    ) private view {
        bytes memory answer = _ask(
            SUMCHECK_VERIFY,
            abi.encodePacked(
                context, uint32(key.length), uint32(inputs.length), uint32(outputs.length), key, inputs, outputs, proof
            )
        );
        (bytes32 proved, bytes32 keyHash, uint256 batch) = abi.decode(answer, (bytes32, bytes32, uint256));
        require(proved == programId, WrongProgram(programId, proved));
        require(keyHash == program.keyHash, WrongKey(program.keyHash, keyHash));
        require(batch == 1, WrongBatch(batch));
    }

    /// @dev The elements of a tensor whose header is the program's.
    function _elements(bytes calldata tensor, bytes32 header) private pure returns (bytes calldata) {
        require(tensor.length >= 6, BadTensor(tensor.length));
        uint256 start = 6 + 4 * uint256(uint8(tensor[5]));
        require(tensor.length >= start && keccak256(tensor[:start]) == header, BadTensor(tensor.length));
        return tensor[start:];
    }

    /// @dev What an instruction answers; its own reason if it refuses.
    function _ask(address instruction, bytes memory input) private view returns (bytes memory answer) {
        bool ok;
        (ok, answer) = instruction.staticcall(input);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
        require(answer.length == 96, NoInstructions());
    }
}
