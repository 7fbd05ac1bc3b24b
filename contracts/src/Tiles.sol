// SPDX-License-Identifier: MIT OR Apache-2.0
// Trees over tiles, what was opened under their roots, and weights that lie on the chain as code.
// Invariant: an element is read only from a tile whose way to the trace's root was checked, with the number of tiles and
// values that the program has; a weight only from code whose hash is a leaf under the program's weights root.
// Source: docs/disputes.md, "The trace"; docs/integer-programs.md, "The file".
// What it does not do: it fetches nothing; what was not opened is refused.
pragma solidity ^0.8.28;

import {Graphs} from "./Graphs.sol";

library Tiles {
    using Graphs for uint256;

    uint256 internal constant TILE = 256;
    uint256 internal constant CHUNK = 24_575;
    /// A node of a trace's trees has four children.
    uint256 internal constant BITS = 2;
    uint8 internal constant TILE_TAG = 2;
    uint8 internal constant NODE_TAG = 3;
    uint8 internal constant VALUES_TAG = 4;
    uint8 internal constant WEIGHTS_TAG = 1;
    /// At most so many tiles and chunks are opened at once: what one move can cost.
    uint256 internal constant MAX_OPENED = 128;
    uint256 internal constant MAX_CHUNKS = 32;

    /// @param path Siblings from the tile to its value's root, then from there to the trace's.
    struct Opening {
        uint256 value;
        uint256 tile;
        bytes data;
        bytes32[] path;
    }

    /// @param path Siblings from the leaf to the weights root.
    struct Chunk {
        uint256 index;
        bytes32 leaf;
        bytes32[] path;
    }

    /// What was opened and checked.
    struct Evidence {
        uint256[] keys;
        bytes[] tiles;
        uint256[] indices;
        address[] places;
    }

    error WrongPath(uint256 got, uint256 expected);
    error WrongRoot(bytes32 found, bytes32 expected);
    error NoSuchTile(uint256 value, uint256 tile);
    error WrongTile(uint256 length, uint256 expected);
    error NotOpened(uint256 value, uint256 tile);
    error NotPublished(uint256 value);
    error TooMuchOpened(uint256 count);
    error ChunkMissing(bytes32 leaf);
    error ChunkNotGiven(uint256 index);

    /// Number of tiles of so many bytes.
    function tilesOf(uint256 size) internal pure returns (uint256) {
        return (size + TILE - 1) / TILE;
    }

    /// Nodes at a level of a tree over `leaves` leaves.
    function nodesAt(uint256 leaves, uint256 level) internal pure returns (uint256) {
        return (leaves + (1 << (BITS * level)) - 1) >> (BITS * level);
    }

    /// Levels above the leaves of a tree whose nodes have `1 << bits` children.
    function height(uint256 leaves, uint256 bits) internal pure returns (uint256 levels) {
        while ((1 << (bits * levels)) < leaves) levels++;
    }

    function leafOf(bytes memory tile) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(TILE_TAG, tile));
    }

    /// The root over hashes, which it overwrites: four are one, a last one that is alone goes up unchanged.
    function fold(bytes32[] memory hashes, uint8 tag) internal pure returns (bytes32) {
        uint256 length = hashes.length;
        while (length > 1) {
            uint256 groups = (length + 3) / 4;
            for (uint256 i = 0; i < groups; i++) {
                uint256 first = 4 * i;
                uint256 size = length - first < 4 ? length - first : 4;
                if (size == 1) {
                    hashes[i] = hashes[first];
                    continue;
                }
                // Group i is behind hash i, so nothing is overwritten before it is read.
                assembly ("memory-safe") {
                    let buffer := mload(0x40)
                    mstore8(buffer, tag)
                    mcopy(add(buffer, 1), add(add(hashes, 32), mul(32, first)), mul(32, size))
                    mstore(add(add(hashes, 32), mul(32, i)), keccak256(buffer, add(1, mul(32, size))))
                }
            }
            length = groups;
        }
        return hashes[0];
    }

    /// The root over the tiles of `data`.
    function rootOf(bytes calldata data) internal pure returns (bytes32) {
        uint256 tiles = tilesOf(data.length);
        bytes32[] memory leaves = new bytes32[](tiles);
        for (uint256 i = 0; i < tiles; i++) {
            uint256 end = (i + 1) * TILE;
            leaves[i] = leafOf(data[i * TILE:end < data.length ? end : data.length]);
        }
        return fold(leaves, NODE_TAG);
    }

    /// A kind of tree: the tag of its nodes, and children of a node as a power of two.
    function kind(uint8 tag, uint256 bits) internal pure returns (uint256) {
        return (bits << 8) | tag;
    }

    /// The hash `levels` levels above one at `place` of `width`; takes siblings from `path` at `from` on, returns how far it came.
    function climb(bytes32 hash, uint256 place, uint256 width, uint256 levels, bytes32[] calldata path, uint256 from, uint256 kind_)
        internal
        pure
        returns (bytes32, uint256)
    {
        uint256 bits = kind_ >> 8;
        for (uint256 level = 0; level < levels; level++) {
            uint256 first = (place >> bits) << bits;
            uint256 size = width - first < (1 << bits) ? width - first : (1 << bits);
            if (size > 1) {
                require(from + size - 1 <= path.length, WrongPath(path.length, from + size - 1));
                hash = _group(hash, place - first, size, path, from, kind_);
                from += size - 1;
            }
            (place, width) = (place >> bits, (width + (1 << bits) - 1) >> bits);
        }
        return (hash, from);
    }

    /// The hash over `size` hashes: this one at `place`, around it those that stand in `path` from `from` on.
    function _group(bytes32 hash, uint256 place, uint256 size, bytes32[] calldata path, uint256 from, uint256 kind_)
        private
        pure
        returns (bytes32 result)
    {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, kind_)
            let to := add(buffer, 1)
            let source := add(path.offset, mul(32, from))
            calldatacopy(to, source, mul(32, place))
            mstore(add(to, mul(32, place)), hash)
            let rest := sub(sub(size, 1), place)
            calldatacopy(add(to, mul(32, add(place, 1))), add(source, mul(32, place)), mul(32, rest))
            result := keccak256(buffer, add(1, mul(32, size)))
        }
    }

    /// Checks that a hash at `place` of `width` leads to `root` by exactly this path.
    function check(bytes32 hash, uint256 place, uint256 width, uint256 levels, bytes32[] calldata path, uint256 kind_, bytes32 root)
        internal
        pure
    {
        uint256 used;
        (hash, used) = climb(hash, place, width, levels, path, 0, kind_);
        require(used == path.length, WrongPath(path.length, used));
        require(hash == root, WrongRoot(hash, root));
    }

    /// Checks tiles against a trace's root, and chunks against the weights root and what lies on the chain.
    function open(Graphs.Graph memory g, bytes32 traceRoot, Opening[] calldata openings, Chunk[] calldata chunks)
        internal
        view
        returns (Evidence memory e)
    {
        require(openings.length <= MAX_OPENED, TooMuchOpened(openings.length));
        require(chunks.length <= MAX_CHUNKS, TooMuchOpened(chunks.length));
        (e.keys, e.tiles) = (new uint256[](openings.length), new bytes[](openings.length));
        (e.indices, e.places) = (new uint256[](chunks.length), new address[](chunks.length));
        for (uint256 i = 0; i < openings.length; i++) {
            (uint256 value, uint256 tile) = (openings[i].value, openings[i].tile);
            _open(g, traceRoot, openings[i]);
            (e.keys[i], e.tiles[i]) = ((value << 64) | tile, openings[i].data);
        }
        uint256 leaves = (g.weightsLength + CHUNK - 1) / CHUNK;
        for (uint256 i = 0; i < chunks.length; i++) {
            Chunk calldata chunk = chunks[i];
            require(chunk.index < leaves, ChunkNotGiven(chunk.index));
            check(chunk.leaf, chunk.index, leaves, height(leaves, 1), chunk.path, kind(WEIGHTS_TAG, 1), g.weightsRoot);
            address place = address(uint160(uint256(keccak256(abi.encodePacked("interlace.chunk", chunk.leaf)))));
            require(place.codehash == chunk.leaf, ChunkMissing(chunk.leaf));
            (e.indices[i], e.places[i]) = (chunk.index, place);
        }
    }

    function _open(Graphs.Graph memory g, bytes32 traceRoot, Opening calldata opening) private pure {
        (uint256 value, uint256 tile) = (opening.value, opening.tile);
        require(value < g.types.length, NoSuchTile(value, tile));
        uint256 ty = g.types[value];
        require(!ty.hidden(), NotPublished(value));
        uint256 size = ty.size();
        uint256 tiles = tilesOf(size);
        require(tile < tiles, NoSuchTile(value, tile));
        checkLength(size, tile, opening.data.length);
        (bytes32 hash, uint256 used) = climb(leafOf(opening.data), tile, tiles, height(tiles, BITS), opening.path, 0, kind(NODE_TAG, BITS));
        uint256 values = g.types.length;
        (hash, used) = climb(hash, value, values, height(values, BITS), opening.path, used, kind(VALUES_TAG, BITS));
        require(used == opening.path.length, WrongPath(opening.path.length, used));
        require(hash == traceRoot, WrongRoot(hash, traceRoot));
    }

    /// Checks that a tile of a value of `size` bytes has all of its bytes and no more.
    function checkLength(uint256 size, uint256 tile, uint256 length) internal pure {
        uint256 rest = size - tile * TILE;
        uint256 expected = rest < TILE ? rest : TILE;
        require(length == expected, WrongTile(length, expected));
    }

    /// An element of a value that was opened; `bytes_` is the width of its elements.
    function element(Evidence memory e, uint256 value, uint256 bytes_, uint256 index) internal pure returns (int256) {
        uint256 place = index * bytes_;
        uint256 key = (value << 64) | (place / TILE);
        uint256 opened = e.keys.length;
        for (uint256 i = 0; i < opened; i++) {
            if (e.keys[i] == key) return elementAt(e.tiles[i], place % TILE, bytes_);
        }
        revert NotOpened(value, place / TILE);
    }

    /// An element of a tile, little-endian, at byte `place`.
    function elementAt(bytes memory tile, uint256 place, uint256 bytes_) internal pure returns (int256) {
        if (bytes_ == 1) return int8(uint8(tile[place]));
        uint32 word = uint32(uint8(tile[place])) | (uint32(uint8(tile[place + 1])) << 8);
        word |= (uint32(uint8(tile[place + 2])) << 16) | (uint32(uint8(tile[place + 3])) << 24);
        return int32(word);
    }

    /// A weight of 8 bits.
    function weight8(Evidence memory e, uint256 offset) internal view returns (int256) {
        return int8(uint8(_byte(e, offset)));
    }

    /// A weight of 16 bits without sign, little-endian.
    function weight16(Evidence memory e, uint256 offset) internal view returns (int256) {
        return int256(_byte(e, offset) | (_byte(e, offset + 1) << 8));
    }

    /// A weight of 32 bits, little-endian.
    function weight32(Evidence memory e, uint256 offset) internal view returns (int256) {
        uint256 low = _byte(e, offset) | (_byte(e, offset + 1) << 8);
        return int32(uint32(low | (_byte(e, offset + 2) << 16) | (_byte(e, offset + 3) << 24)));
    }

    /// A byte of the weights, from the code of its chunk's account, which is 0x00 ‖ chunk.
    function _byte(Evidence memory e, uint256 offset) private view returns (uint256 value) {
        uint256 index = offset / CHUNK;
        uint256 given = e.indices.length;
        for (uint256 i = 0; i < given; i++) {
            if (e.indices[i] != index) continue;
            (address place, uint256 start) = (e.places[i], offset % CHUNK + 1);
            assembly ("memory-safe") {
                mstore(0, 0)
                extcodecopy(place, 0, start, 1)
                value := byte(0, mload(0))
            }
            return value;
        }
        revert ChunkNotGiven(index);
    }
}
