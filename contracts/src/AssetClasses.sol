// SPDX-License-Identifier: MIT OR Apache-2.0
// Classes of assets: data sets, models, agents; who owns them, what they derive from, in which assets they earn.
// Invariant: a class's parents exist before it and never change, so lineage has no cycle; parents' weights add up to
// 10,000; a class earns in at most MAX_ASSETS assets, the native token and the credit among them.
// Source: draft ERC-8028 sections 3 and 6.1; kinds and parents are an extension of it.
// What it does not do: it asks no parent for consent (being a parent only earns) and stores no content.
pragma solidity ^0.8.28;

import {IDATCore} from "./interfaces/IDATCore.sol";

abstract contract AssetClasses is IDATCore {
    uint8 public constant KIND_UNSPECIFIED = 0;
    uint8 public constant KIND_DATASET = 1;
    uint8 public constant KIND_MODEL = 2;
    uint8 public constant KIND_AGENT = 3;
    uint256 public constant MAX_PARENTS = 16;
    uint256 public constant MAX_ASSETS = 8;
    uint256 public constant WEIGHT_SUM = 10_000;
    /// @notice How ERC-8028 names the native token as an asset.
    address public constant NATIVE = address(0);

    struct AssetClass {
        address owner;
        uint8 kind;
        uint8 unitDecimals;
        bool allowsExtension;
        bytes32 integrityHash;
        string metadataURI;
        string policyURI;
        uint256[] parents;
        uint16[] weights;
        address[] assets;
        mapping(address asset => bool) accepts;
    }

    /// @notice The token that fees are paid in; every class accepts it.
    address public immutable credit;
    /// @notice Classes are numbered from 1 to this.
    uint256 public classCount;
    mapping(uint256 classId => AssetClass) internal _classes;

    /// @notice Beside ClassCreated: who owns the class, its kind and lineage.
    event ClassDerived(uint256 indexed classId, address indexed owner, uint8 kind, uint256[] parents, uint16[] weights);
    event ClassOwnerChanged(uint256 indexed classId, address indexed previous, address indexed owner);
    event AssetAccepted(uint256 indexed classId, address indexed asset);
    event ValueExtensionChanged(uint256 indexed classId, bool allowed);

    error UnknownClass(uint256 classId);
    error NotClassOwner(uint256 classId, address caller);
    error ZeroAddress();
    error UnknownKind(uint8 kind);
    error TooManyParents(uint256 count);
    error ParentsAndWeightsDiffer(uint256 parents, uint256 weights);
    error ParentsNotAscending(uint256 previous, uint256 parent);
    error UnknownParent(uint256 parent);
    error ZeroWeight(uint256 parent);
    error WeightsDoNotAddUp(uint256 total);
    error AssetAlreadyAccepted(uint256 classId, address asset);
    error TooManyAssets(uint256 classId);

    constructor(address credit_) {
        credit = credit_;
    }

    /// @inheritdoc IDATCore
    /// @dev Anyone may create a class and owns it; its kind is unspecified and it has no parents.
    function createClass(
        string calldata metadataURI,
        bytes32 integrityHash,
        uint8 unitDecimals,
        string calldata policyURI
    ) external returns (uint256) {
        return _create(KIND_UNSPECIFIED, metadataURI, integrityHash, unitDecimals, policyURI);
    }

    /// @notice Create a class of a kind that derives from others.
    /// @param parents Existing classes in ascending order, at most MAX_PARENTS; may be empty.
    /// @param weights Basis points with which each parent shares the data part of this class's fees; sum 10,000.
    function createDerivedClass(
        uint8 kind,
        string calldata metadataURI,
        bytes32 integrityHash,
        uint8 unitDecimals,
        string calldata policyURI,
        uint256[] calldata parents,
        uint16[] calldata weights
    ) external returns (uint256 classId) {
        require(kind >= KIND_DATASET && kind <= KIND_AGENT, UnknownKind(kind));
        _checkParents(parents, weights);
        classId = _create(kind, metadataURI, integrityHash, unitDecimals, policyURI);
        _classes[classId].parents = parents;
        _classes[classId].weights = weights;
        emit ClassDerived(classId, msg.sender, kind, parents, weights);
    }

    /// @inheritdoc IDATCore
    function updateClassMetadata(uint256 classId, string calldata metadataURI, bytes32 integrityHash) external {
        AssetClass storage class = _owned(classId);
        class.metadataURI = metadataURI;
        class.integrityHash = integrityHash;
        emit MetadataUpdated(classId, metadataURI, integrityHash);
    }

    /// @inheritdoc IDATCore
    function updateClassPolicy(uint256 classId, string calldata policyURI) external {
        _owned(classId).policyURI = policyURI;
        emit ClassPolicyUpdated(classId, policyURI);
    }

    /// @notice Hand the class to another owner, with whatever it can claim for itself.
    function transferClass(uint256 classId, address to) external {
        require(to != address(0), ZeroAddress());
        _owned(classId).owner = to;
        emit ClassOwnerChanged(classId, msg.sender, to);
    }

    /// @notice Let the class earn in a further ERC-20; this cannot be undone.
    function acceptAsset(uint256 classId, address asset) external {
        AssetClass storage class = _owned(classId);
        require(!class.accepts[asset], AssetAlreadyAccepted(classId, asset));
        require(class.assets.length < MAX_ASSETS, TooManyAssets(classId));
        _accept(class, classId, asset);
    }

    /// @notice Allow or forbid moving value to a token that expires later; forbidden at first.
    function setValueExtension(uint256 classId, bool allowed) external {
        _owned(classId).allowsExtension = allowed;
        emit ValueExtensionChanged(classId, allowed);
    }

    /// @inheritdoc IDATCore
    function getClassMeta(uint256 classId)
        external
        view
        returns (string memory metadataURI, bytes32 integrityHash, uint8 unitDecimals, string memory policyURI)
    {
        AssetClass storage class = _class(classId);
        return (class.metadataURI, class.integrityHash, class.unitDecimals, class.policyURI);
    }

    function classOwner(uint256 classId) external view returns (address) {
        return _class(classId).owner;
    }

    function kindOf(uint256 classId) external view returns (uint8) {
        return _class(classId).kind;
    }

    function parentsOf(uint256 classId) external view returns (uint256[] memory parents, uint16[] memory weights) {
        AssetClass storage class = _class(classId);
        return (class.parents, class.weights);
    }

    /// @notice The assets that the class earns in.
    function assetsOf(uint256 classId) external view returns (address[] memory) {
        return _class(classId).assets;
    }

    function allowsExtension(uint256 classId) external view returns (bool) {
        return _class(classId).allowsExtension;
    }

    function _create(
        uint8 kind,
        string calldata metadataURI,
        bytes32 integrityHash,
        uint8 unitDecimals,
        string calldata policyURI
    ) private returns (uint256 classId) {
        classId = ++classCount;
        AssetClass storage class = _classes[classId];
        class.owner = msg.sender;
        class.kind = kind;
        class.unitDecimals = unitDecimals;
        class.integrityHash = integrityHash;
        class.metadataURI = metadataURI;
        class.policyURI = policyURI;
        emit ClassCreated(classId, metadataURI, integrityHash);
        emit ClassOwnerChanged(classId, address(0), msg.sender);
        _accept(class, classId, NATIVE);
        _accept(class, classId, credit);
    }

    function _accept(AssetClass storage class, uint256 classId, address asset) private {
        class.accepts[asset] = true;
        class.assets.push(asset);
        emit AssetAccepted(classId, asset);
    }

    function _checkParents(uint256[] calldata parents, uint16[] calldata weights) private view {
        uint256 count = parents.length;
        require(count <= MAX_PARENTS, TooManyParents(count));
        require(count == weights.length, ParentsAndWeightsDiffer(count, weights.length));
        if (count == 0) return;
        uint256 previous = 0;
        uint256 total = 0;
        for (uint256 i = 0; i < count; ++i) {
            require(parents[i] > previous, ParentsNotAscending(previous, parents[i]));
            require(parents[i] <= classCount, UnknownParent(parents[i]));
            require(weights[i] != 0, ZeroWeight(parents[i]));
            previous = parents[i];
            total += weights[i];
        }
        require(total == WEIGHT_SUM, WeightsDoNotAddUp(total));
    }

    function _class(uint256 classId) internal view returns (AssetClass storage class) {
        class = _classes[classId];
        require(class.owner != address(0), UnknownClass(classId));
    }

    function _owned(uint256 classId) internal view returns (AssetClass storage class) {
        class = _class(classId);
        require(class.owner == msg.sender, NotClassOwner(classId, msg.sender));
    }
}
