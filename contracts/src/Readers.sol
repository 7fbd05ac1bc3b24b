// SPDX-License-Identifier: MIT OR Apache-2.0
// Who may read the private content of a class, and the content keys, wrapped for each reader.
// Invariant: only the present owner of a class publishes, grants and revokes; readers stay when the class changes hands; a
// reader that is revoked never has a wrap of a later version. Each wrap names the block of the one before, so that a
// reader finds all of its wraps without searching the chain.
// Source: draft ERC-7829 (readers are many, and survive transfer; UpdateReader, isReader); docs/private-data.md.
// What it does not do: it opens nothing and cannot tell a good wrap from a bad one; a reader can. What somebody has read,
// no contract takes back: revoking is a new version under a new key.
pragma solidity ^0.8.28;

interface IClassOwners {
    function classOwner(uint256 classId) external view returns (address);
}

contract Readers {
    uint256 public constant WRAP_BYTES = 87;
    /// @notice Readers that one call names.
    uint256 public constant MAX_BATCH = 64;
    /// @notice Readers of a class.
    uint256 public constant MAX_READERS = 4096;

    /// @param place One more than its index in the list of readers; zero for no reader.
    /// @param since Version at which it was granted.
    /// @param version Newest version for which it has a wrap.
    /// @param wrapBlock Block of that wrap; it stays when the reader is revoked.
    struct Reader {
        uint32 place;
        uint32 since;
        uint32 version;
        uint64 wrapBlock;
    }

    /// @param prefix 1 for X25519, 2 or 3 for a compressed secp256k1 key; 0 for none.
    struct PublicKey {
        uint8 prefix;
        bytes32 x;
    }

    IClassOwners public immutable assets;
    /// @notice The key for which others wrap keys for this account; its owner announced it.
    mapping(address reader => PublicKey) public keyOf;
    /// @notice Newest version of a class's private content; 0 before the first.
    mapping(uint256 classId => uint32) public versionOf;
    /// @notice Content root of the sealed bytes of a version.
    mapping(uint256 classId => mapping(uint32 version => bytes32)) public sealedRootOf;
    mapping(uint256 classId => mapping(address reader => Reader)) public readerOf;
    mapping(uint256 classId => address[]) private _readers;

    event KeyAnnounced(address indexed reader, uint8 prefix, bytes32 x);
    event VersionPublished(uint256 indexed classId, uint32 indexed version, bytes32 sealedRoot);
    /// @notice ERC-7829: `valid` is true when a reader is granted and false when it is revoked.
    event UpdateReader(uint256 indexed classId, address indexed reader, bool valid);
    event KeyWrapped(
        uint256 indexed classId, address indexed reader, uint32 indexed version, uint64 previousBlock, bytes wrap
    );

    error NotClassOwner(uint256 classId, address caller);
    error BadKey(uint8 prefix, bytes32 x);
    error ZeroRoot();
    error RootUsed(uint256 classId, uint32 version);
    error NotTheVersion(uint256 classId, uint32 newest, uint32 named);
    error TooManyReaders(uint256 count);
    error ReadersAndWrapsDiffer(uint256 readers, uint256 wraps);
    error BadWrap(address reader, uint256 length);
    error AlreadyReader(uint256 classId, address reader);
    error NotReader(uint256 classId, address reader);
    error AlreadyWrapped(uint256 classId, address reader, uint32 version);
    error ZeroAddress();

    modifier onlyOwner(uint256 classId) {
        require(assets.classOwner(classId) == msg.sender, NotClassOwner(classId, msg.sender));
        _;
    }

    constructor(IClassOwners assets_) {
        assets = assets_;
    }

    /// @notice Say which key the caller reads with; a later one replaces it, and older wraps keep needing the older key.
    function announceKey(uint8 prefix, bytes32 x) external {
        require(prefix >= 1 && prefix <= 3 && x != 0, BadKey(prefix, x));
        keyOf[msg.sender] = PublicKey(prefix, x);
        emit KeyAnnounced(msg.sender, prefix, x);
    }

    /// @notice Publish the next version, and take from it the readers in `revoked`. The others need new wraps: `renew`.
    /// @param version The number that it must get, one more than the newest: content is sealed for one version.
    /// @param sealedRoot Content root of the sealed bytes; not the one of the version before.
    function publish(uint256 classId, uint32 version, bytes32 sealedRoot, address[] calldata revoked)
        external
        onlyOwner(classId)
    {
        uint32 newest = versionOf[classId];
        require(version == uint256(newest) + 1, NotTheVersion(classId, newest, version));
        require(sealedRoot != 0, ZeroRoot());
        require(sealedRoot != sealedRootOf[classId][newest], RootUsed(classId, newest));
        require(revoked.length <= MAX_BATCH, TooManyReaders(revoked.length));
        versionOf[classId] = version;
        sealedRootOf[classId][version] = sealedRoot;
        emit VersionPublished(classId, version, sealedRoot);
        for (uint256 i = 0; i < revoked.length; ++i) {
            _remove(classId, revoked[i]);
        }
    }

    /// @notice Make accounts readers of the newest version, each with its wrap.
    function grant(uint256 classId, uint32 version, address[] calldata readers, bytes[] calldata wraps)
        external
        onlyOwner(classId)
    {
        _checkBatch(classId, version, readers, wraps);
        address[] storage list = _readers[classId];
        require(list.length + readers.length <= MAX_READERS, TooManyReaders(list.length + readers.length));
        for (uint256 i = 0; i < readers.length; ++i) {
            Reader storage reader = readerOf[classId][readers[i]];
            require(readers[i] != address(0), ZeroAddress());
            require(reader.place == 0, AlreadyReader(classId, readers[i]));
            list.push(readers[i]);
            reader.place = uint32(list.length);
            reader.since = version;
            emit UpdateReader(classId, readers[i], true);
            _wrap(classId, version, readers[i], wraps[i]);
        }
    }

    /// @notice Give readers, who are readers already, their wraps of the newest version.
    function renew(uint256 classId, uint32 version, address[] calldata readers, bytes[] calldata wraps)
        external
        onlyOwner(classId)
    {
        _checkBatch(classId, version, readers, wraps);
        for (uint256 i = 0; i < readers.length; ++i) {
            Reader storage reader = readerOf[classId][readers[i]];
            require(reader.place != 0, NotReader(classId, readers[i]));
            require(reader.version != version, AlreadyWrapped(classId, readers[i], version));
            _wrap(classId, version, readers[i], wraps[i]);
        }
    }

    /// @notice ERC-7829: whether the account may read what comes next.
    function isReader(uint256 classId, address reader) external view returns (bool) {
        return readerOf[classId][reader].place != 0;
    }

    function readerCount(uint256 classId) external view returns (uint256) {
        return _readers[classId].length;
    }

    /// @notice At most `limit` readers from index `start` on; their order changes when one is revoked.
    function readersOf(uint256 classId, uint256 start, uint256 limit) external view returns (address[] memory page) {
        address[] storage list = _readers[classId];
        uint256 left = start < list.length ? list.length - start : 0;
        page = new address[](left < limit ? left : limit);
        for (uint256 i = 0; i < page.length; ++i) {
            page[i] = list[start + i];
        }
    }

    function _checkBatch(uint256 classId, uint32 version, address[] calldata readers, bytes[] calldata wraps)
        private
        view
    {
        uint32 newest = versionOf[classId];
        require(version == newest && newest != 0, NotTheVersion(classId, newest, version));
        require(readers.length <= MAX_BATCH, TooManyReaders(readers.length));
        require(readers.length == wraps.length, ReadersAndWrapsDiffer(readers.length, wraps.length));
    }

    function _wrap(uint256 classId, uint32 version, address account, bytes calldata wrap) private {
        require(wrap.length == WRAP_BYTES, BadWrap(account, wrap.length));
        Reader storage reader = readerOf[classId][account];
        emit KeyWrapped(classId, account, version, reader.wrapBlock, wrap);
        reader.version = version;
        reader.wrapBlock = uint64(block.number);
    }

    /// @dev The last of the list takes the place of the one that leaves; the way to its old wraps stays.
    function _remove(uint256 classId, address account) private {
        Reader storage reader = readerOf[classId][account];
        uint32 place = reader.place;
        require(place != 0, NotReader(classId, account));
        address[] storage list = _readers[classId];
        address last = list[list.length - 1];
        list[place - 1] = last;
        readerOf[classId][last].place = place;
        list.pop();
        reader.place = 0;
        reader.since = 0;
        emit UpdateReader(classId, account, false);
    }
}
