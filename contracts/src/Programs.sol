// SPDX-License-Identifier: MIT OR Apache-2.0
// The registry of integer programs: which class earns for a program, and how many units one run costs.
// Invariant: programId == keccak256(manifest); an entry never changes and a program belongs to one class.
// Source: docs/formats (the ILTP container): magic, semantics u16, units u64, weights root, weights length u32, graph.
// What it does not do: it proves nothing about the graph. That the graph is valid, that it cannot overflow, that
// `units` is what the graph computes and that weights with this root exist is checked off chain by whoever loads the
// program; a program with a false header is refused by every runtime and earns nothing from an honest node. Nor does
// it know who made a program: whoever registers a manifest first has it, so register in the transaction that publishes it.
pragma solidity ^0.8.28;

import {Assets} from "./Assets.sol";

contract Programs {
    /// @notice The only semantics that exist.
    uint16 public constant SEMANTICS = 1;
    /// @notice Bytes before the graph: 4 + 2 + 8 + 32 + 4.
    uint256 public constant HEADER_LENGTH = 50;
    bytes4 private constant MAGIC = "ILTP";

    /// @param classId Class in Assets that earns the model's part.
    /// @param weightsRoot Merkle root of the weights' chunks; zero when there are none.
    /// @param owner Who registered it: the class's owner at that time.
    /// @param units Units of work of one run, as the header states.
    /// @param weightsLength Bytes of weights.
    struct Program {
        uint256 classId;
        bytes32 weightsRoot;
        address owner;
        uint64 units;
        uint32 weightsLength;
    }

    Assets public immutable assets;
    mapping(bytes32 programId => Program) private _programs;

    event ProgramRegistered(
        bytes32 indexed programId, uint256 indexed classId, address indexed owner, uint64 units, bytes32 weightsRoot,
        uint32 weightsLength
    );

    error ManifestTooShort(uint256 length);
    error BadMagic(bytes4 magic);
    error UnknownSemantics(uint16 semantics);
    error ZeroUnits();
    error NotClassOwner(uint256 classId, address caller);
    error NotAModel(uint256 classId, uint8 kind);
    error AlreadyRegistered(bytes32 programId, uint256 classId);
    error UnknownProgram(bytes32 programId);

    constructor(Assets assets_) {
        assets = assets_;
    }

    /// @notice Register a program for a model or agent class; only the class's owner may, once for each program.
    /// @param manifest Header and graph; the weights stay off chain, bound by their root.
    function register(bytes calldata manifest, uint256 classId) external returns (bytes32 programId) {
        require(manifest.length > HEADER_LENGTH, ManifestTooShort(manifest.length));
        require(bytes4(manifest[0:4]) == MAGIC, BadMagic(bytes4(manifest[0:4])));
        uint16 semantics = uint16(bytes2(manifest[4:6]));
        require(semantics == SEMANTICS, UnknownSemantics(semantics));
        uint64 units = uint64(bytes8(manifest[6:14]));
        require(units != 0, ZeroUnits());
        require(assets.classOwner(classId) == msg.sender, NotClassOwner(classId, msg.sender));
        uint8 kind = assets.kindOf(classId);
        require(kind == assets.KIND_MODEL() || kind == assets.KIND_AGENT(), NotAModel(classId, kind));
        programId = keccak256(manifest);
        Program storage program = _programs[programId];
        require(program.owner == address(0), AlreadyRegistered(programId, program.classId));
        program.classId = classId;
        program.weightsRoot = bytes32(manifest[14:46]);
        program.owner = msg.sender;
        program.units = units;
        program.weightsLength = uint32(bytes4(manifest[46:50]));
        emit ProgramRegistered(
            programId, classId, msg.sender, units, program.weightsRoot, program.weightsLength
        );
    }

    /// @notice The entry of a program; reverts with UnknownProgram when there is none.
    function get(bytes32 programId) external view returns (Program memory program) {
        program = _programs[programId];
        require(program.owner != address(0), UnknownProgram(programId));
    }

    /// @notice Whether the licence of a class lets its programs be charged for.
    function mayBeCharged(uint256 classId) external view returns (bool) {
        return assets.licenceOf(classId).permissions & assets.PERMITS_PAY() != 0;
    }

    function isRegistered(bytes32 programId) external view returns (bool) {
        return _programs[programId].owner != address(0);
    }
}
