// SPDX-License-Identifier: MIT OR Apache-2.0
// Classes of assets: data sets, models, agents; who owns them, what they derive from and may be used for, in which assets they earn.
// Invariant: a class's parents exist before it and never change, so lineage has no cycle; parents' weights add up to
// 10,000; nothing is permitted of a class that one of its parents does not permit, and no duty of a parent is dropped; a licence is
// never narrowed; a class earns in at most MAX_ASSETS assets, the native token and the credit among them.
// Source: draft ERC-8028 sections 3 and 6.1; kinds, parents and licences are an extension of it.
// What it does not do: it asks no parent for consent beyond its licence and stores no content.
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

    // Permissions of a licence. Bits without a name are for policies to use; they are held to the same rule.
    uint16 public constant PERMITS_PAY = 1; // programs of the class may be charged for
    uint16 public constant PERMITS_DERIVING = 2; // the class may be a parent
    uint16 public constant PERMITS_DISTRIBUTION = 4; // copies may be passed on
    // Duties of a licence.
    uint16 public constant DUTY_ATTRIBUTION = 1; // its makers are named
    uint16 public constant DUTY_SHARE_ALIKE = 2; // what derives from it has the same licence

    // How a class comes from a parent.
    uint8 public constant TRAINED_ON = 1;
    uint8 public constant FINE_TUNED_FROM = 2;
    uint8 public constant EVALUATED_BY = 3;
    uint8 public constant MADE_FROM = 4;

    /// @notice How ERC-8028 names the native token as an asset.
    address public constant NATIVE = address(0);

    /// @notice A class that another derives from.
    /// @param weight Basis points of what the child passes on to its parents.
    /// @param relation How: TRAINED_ON to MADE_FROM.
    struct Parent {
        uint64 classId;
        uint16 weight;
        uint8 relation;
    }

    /// @notice What may be done with a class, and what whoever does it has to do: sets of bits.
    struct Licence {
        uint16 permissions;
        uint16 duties;
    }

    struct AssetClass {
        address owner;
        uint8 kind;
        uint8 unitDecimals;
        bool allowsExtension;
        Licence licence;
        uint16 royalty;
        bytes32 integrityHash;
        string metadataURI;
        string policyURI;
        Parent[] parents;
        address[] assets;
        mapping(address asset => bool) accepts;
    }

    /// @notice The token that fees are paid in; every class accepts it.
    address public immutable credit;
    /// @notice Classes are numbered from 1 to this.
    uint256 public classCount;
    mapping(uint256 classId => AssetClass) internal _classes;

    /// @notice Beside ClassCreated: who owns the class, its kind and lineage.
    event ClassDerived(uint256 indexed classId, address indexed owner, uint8 kind, Parent[] parents);
    /// @notice What the class's licence is from now on.
    event Licensed(uint256 indexed classId, Licence licence);
    /// @notice Basis points of a token's sale that the class's owner asks for (ERC-2981).
    event RoyaltyChanged(uint256 indexed classId, uint16 royalty);
    event ClassOwnerChanged(uint256 indexed classId, address indexed previous, address indexed owner);
    event AssetAccepted(uint256 indexed classId, address indexed asset);
    event ValueExtensionChanged(uint256 indexed classId, bool allowed);

    error UnknownClass(uint256 classId);
    error NotClassOwner(uint256 classId, address caller);
    error ZeroAddress();
    error UnknownKind(uint8 kind);
    error TooManyParents(uint256 count);
    error UnknownRelation(uint8 relation);
    error NotDerivable(uint256 parent);
    error MorePermissive(uint256 parent, uint16 permissions);
    error DutyDropped(uint256 parent, uint16 duties);
    error NotAlike(uint256 parent);
    error LicenceNarrowed(uint256 classId);
    error RoyaltyTooLarge(uint16 royalty);
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
    /// @dev Anyone may create a class and owns it; its kind is unspecified, it has no parents, and may be charged for and no more.
    function createClass(
        string calldata metadataURI,
        bytes32 integrityHash,
        uint8 unitDecimals,
        string calldata policyURI
    ) external returns (uint256) {
        Licence memory licence = Licence(PERMITS_PAY, 0);
        return _create(KIND_UNSPECIFIED, metadataURI, integrityHash, unitDecimals, policyURI, licence);
    }

    /// @notice Create a class of a kind, with a licence, that derives from others.
    /// @param parents Existing classes in ascending order, at most MAX_PARENTS; may be empty. Weights are basis points with which
    /// each shares what this class passes on; sum 10,000.
    /// @param licence No more permissive than that of any parent, with all of their duties.
    function createDerivedClass(
        uint8 kind,
        string calldata metadataURI,
        bytes32 integrityHash,
        uint8 unitDecimals,
        string calldata policyURI,
        Parent[] calldata parents,
        Licence calldata licence
    ) external returns (uint256 classId) {
        require(kind >= KIND_DATASET && kind <= KIND_AGENT, UnknownKind(kind));
        _checkParents(parents);
        for (uint256 i = 0; i < parents.length; ++i) _checkLicence(parents[i].classId, licence);
        classId = _create(kind, metadataURI, integrityHash, unitDecimals, policyURI, licence);
        for (uint256 i = 0; i < parents.length; ++i) _classes[classId].parents.push(parents[i]);
        emit ClassDerived(classId, msg.sender, kind, parents);
    }

    /// @notice Permit more, or ask for less, within what the parents permit. What derives from the class keeps its own licence.
    function widenLicence(uint256 classId, Licence calldata licence) external {
        AssetClass storage class = _owned(classId);
        bool wider = class.licence.permissions & ~licence.permissions == 0 && licence.duties & ~class.licence.duties == 0;
        require(wider, LicenceNarrowed(classId));
        for (uint256 i = 0; i < class.parents.length; ++i) _checkLicence(class.parents[i].classId, licence);
        class.licence = licence;
        emit Licensed(classId, licence);
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

    /// @notice Ask for a part of what a token of the class is sold for; zero at first. Whoever trades decides whether to pay it.
    function setRoyalty(uint256 classId, uint16 royalty) external {
        require(royalty <= WEIGHT_SUM, RoyaltyTooLarge(royalty));
        _owned(classId).royalty = royalty;
        emit RoyaltyChanged(classId, royalty);
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

    function parentsOf(uint256 classId) external view returns (Parent[] memory) {
        return _class(classId).parents;
    }

    function licenceOf(uint256 classId) external view returns (Licence memory) {
        return _class(classId).licence;
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
        string calldata policyURI,
        Licence memory licence
    ) private returns (uint256 classId) {
        classId = ++classCount;
        AssetClass storage class = _classes[classId];
        class.owner = msg.sender;
        class.kind = kind;
        class.unitDecimals = unitDecimals;
        class.integrityHash = integrityHash;
        class.metadataURI = metadataURI;
        class.policyURI = policyURI;
        class.licence = licence;
        emit ClassCreated(classId, metadataURI, integrityHash);
        emit ClassOwnerChanged(classId, address(0), msg.sender);
        emit Licensed(classId, licence);
        _accept(class, classId, NATIVE);
        _accept(class, classId, credit);
    }

    function _accept(AssetClass storage class, uint256 classId, address asset) private {
        class.accepts[asset] = true;
        class.assets.push(asset);
        emit AssetAccepted(classId, asset);
    }

    function _checkParents(Parent[] calldata parents) private view {
        uint256 count = parents.length;
        require(count <= MAX_PARENTS, TooManyParents(count));
        if (count == 0) return;
        uint256 previous = 0;
        uint256 total = 0;
        for (uint256 i = 0; i < count; ++i) {
            (uint64 parent, uint8 relation) = (parents[i].classId, parents[i].relation);
            require(parent > previous, ParentsNotAscending(previous, parent));
            require(parent <= classCount, UnknownParent(parent));
            require(parents[i].weight != 0, ZeroWeight(parent));
            require(relation >= TRAINED_ON && relation <= MADE_FROM, UnknownRelation(relation));
            previous = parent;
            total += parents[i].weight;
        }
        require(total == WEIGHT_SUM, WeightsDoNotAddUp(total));
    }

    /// @dev Whether a class with `licence` may derive from `parent`.
    function _checkLicence(uint256 parent, Licence calldata licence) private view {
        Licence memory given = _classes[parent].licence;
        require(given.permissions & PERMITS_DERIVING != 0, NotDerivable(parent));
        uint16 more = licence.permissions & ~given.permissions;
        require(more == 0, MorePermissive(parent, more));
        uint16 dropped = given.duties & ~licence.duties;
        require(dropped == 0, DutyDropped(parent, dropped));
        bool alike = licence.permissions == given.permissions && licence.duties == given.duties;
        require(given.duties & DUTY_SHARE_ALIKE == 0 || alike, NotAlike(parent));
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
