// SPDX-License-Identifier: MIT OR Apache-2.0
// A claim that a program gave an output, put up with a bond and decided by one element when somebody doubts it.
// Invariant: the credit balance is at least one bond for each claim that is posted and two for each that is challenged; a
// decided game pays both bonds to its winner, once. Each state ends by a move or by a clock, so nobody's money stays.
// A prover whose trace is true loses no game that it answers in time; a challenger who moves in time and picks the first value,
// tile and element that differ from its own run wins against every other trace. No move costs more than its bounds allow.
// Source: docs/disputes.md. The referee's arithmetic is in Referee.sol.
// What it does not do: it keeps no program, and does not check that a manifest is one: nobody should rely on a claim for a
// program that is not valid. It settles no vouchers; `outcome` says how a claim ended, `verdict` what Settlement asks.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Graphs} from "./Graphs.sol";
import {Claims, Records} from "./Records.sol";
import {Referee} from "./Referee.sol";
import {Tiles} from "./Tiles.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";

contract Dispute is IAssurance {
    using SafeERC20 for IERC20;
    using Graphs for uint256;

    uint8 public constant POSTED = 1; // open to a challenge until its window ends
    uint8 public constant CHALLENGED = 2; // a game is on
    uint8 public constant STANDS = 3; // its window ended unchallenged
    uint8 public constant FELL = 4; // a challenger won

    // Whose turn it is, and for what: odd ones are the prover's.
    uint8 public constant ROOTS = 1;
    uint8 public constant PICK = 2;
    uint8 public constant REVEAL = 3;
    uint8 public constant DESCEND = 4;
    uint8 public constant TILE = 5;
    uint8 public constant ELEMENT = 6;
    uint8 public constant SUMS = 7;
    uint8 public constant SEGMENT = 8;

    uint16 public constant SEMANTICS = 1;
    /// @notice Levels of a tree that one answer reveals, and parts that a sum is cut into.
    uint256 public constant LEVELS = 3;
    uint256 public constant PARTS = 32;
    /// @notice Terms that the referee adds in one move.
    uint256 public constant MAX_TERMS = 256;
    /// @notice Bytes of an input, of an output, and of what a prover says where the input can be had.
    uint256 public constant MAX_TENSOR = 65_536;
    uint256 public constant MAX_WHERE = 256;

    /// @param until Unix second from which on the claim stands, if it is not challenged before.
    /// @param moved Unix second of the last move.
    /// @param proverLeft Seconds that the prover may still think, in this game; likewise the challenger.
    /// @param node What `hash` is: the node at `position` of `level` in the tree over the tiles of this node's result.
    /// @param size Bytes of that result; `width` those of an element.
    /// @param from The terms in dispute: from this one to before `to`. Before them they add to `low`, behind them to `high`.
    /// @param whole Whether these are all of the element's terms.
    struct Game {
        address prover;
        uint64 until;
        uint8 status;
        uint8 phase;
        address challenger;
        uint64 moved;
        uint32 proverLeft;
        uint32 challengerLeft;
        uint32 position;
        uint16 node;
        uint8 level;
        int16 largest;
        bool whole;
        uint8 width;
        uint64 element;
        int32 claimed;
        uint32 size;
        uint32 from;
        uint32 to;
        int128 low;
        int128 high;
        bytes32 traceRoot;
        bytes32 hash;
        bytes32 totals;
    }

    IERC20 public immutable credit;
    /// @notice Who computes an element again.
    Referee public immutable referee;
    /// @notice Credit-wei that each side puts up.
    uint256 public immutable bond;
    uint64 public immutable windowSeconds;
    /// @notice Seconds that each side may think, in all its moves of one game together.
    uint32 public immutable clockSeconds;
    mapping(bytes32 claim => Game) private _games;


    event Posted(bytes32 indexed claimHash, address indexed prover, Records.Claim claim, bytes32 traceRoot, uint64 until, string where);
    event Challenged(bytes32 indexed claimHash, address indexed challenger);
    event Rooted(bytes32 indexed claimHash, bytes32 salt, bytes input, bytes output, bytes32[] roots);
    event Picked(bytes32 indexed claimHash, uint256 value);
    event Revealed(bytes32 indexed claimHash, bytes32[] hashes);
    event Descended(bytes32 indexed claimHash, uint256 level, uint256 position);
    event TileShown(bytes32 indexed claimHash, bytes tile);
    event Contested(bytes32 indexed claimHash, uint256 element, int256 claimed, uint256 terms);
    event Summed(bytes32 indexed claimHash, bytes totals, int16 largest);
    event Narrowed(bytes32 indexed claimHash, uint256 from, uint256 to);
    event Decided(bytes32 indexed claimHash, address indexed winner, address indexed loser, bool stands);
    event Settled(bytes32 indexed claimHash);

    error BadTerms();
    error NotThisChain(uint256 chainId);
    error UnknownSemantics(uint16 semantics);
    error NotTheProver(bytes32 claimHash, address caller);
    error NotTheChallenger(bytes32 claimHash, address caller);
    error OwnClaim(bytes32 claimHash);
    error AlreadyPosted(bytes32 claimHash);
    error NotInState(bytes32 claimHash, uint8 status);
    error NotInPhase(bytes32 claimHash, uint8 phase);
    error TooLate(bytes32 claimHash, uint256 spent, uint256 left);
    error TooEarly(bytes32 claimHash, uint256 until);
    error ZeroRoot();
    error TooLong(uint256 length, uint256 most);
    error WrongProgram(bytes32 found);
    error WrongTensor(bytes32 found, bytes32 expected);
    error WrongType(uint256 value);
    error WrongCount(uint256 got, uint256 expected);
    error WrongRoot(bytes32 found, bytes32 expected);
    error NoSuchValue(uint256 value);
    error NoSuchPlace(uint256 place);
    error HasTerms(uint256 terms);
    error HasNoTerms();
    error WrongTotals();
    error WrongLast(int128 got, int128 expected);
    error BadLargest(int16 largest);
    error TooManyTerms(uint256 terms);
    error NotWhole();
    error Holds(int256 value);

    constructor(IERC20 credit_, uint256 bond_, uint64 windowSeconds_, uint32 clockSeconds_) {
        require(bond_ != 0 && windowSeconds_ != 0 && clockSeconds_ != 0, BadTerms());
        (credit, bond, windowSeconds, clockSeconds) = (credit_, bond_, windowSeconds_, clockSeconds_);
        referee = new Referee();
    }

    // ---- claims

    /// @notice Put up a claim of one's own, with a bond; a claim is put up once.
    /// @param traceRoot Root over every value that the run computed.
    /// @param where Where the input and its salt can be had until the claim is settled.
    function post(Records.Claim calldata claim, bytes32 traceRoot, string calldata where) external {
        bytes32 claimHash = claimHashOf(claim);
        require(claim.prover == msg.sender, NotTheProver(claimHash, msg.sender));
        require(claim.chainId == block.chainid, NotThisChain(claim.chainId));
        require(claim.semantics == SEMANTICS, UnknownSemantics(claim.semantics));
        require(traceRoot != 0, ZeroRoot());
        require(bytes(where).length <= MAX_WHERE, TooLong(bytes(where).length, MAX_WHERE));
        Game storage game = _games[claimHash];
        require(game.status == 0, AlreadyPosted(claimHash));
        (game.prover, game.status, game.until) = (msg.sender, POSTED, uint64(block.timestamp) + windowSeconds);
        game.traceRoot = traceRoot;
        emit Posted(claimHash, msg.sender, claim, traceRoot, game.until, where);
        credit.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice Doubt a claim, with a bond; one game at a time.
    function challenge(bytes32 claimHash) external {
        Game storage game = _games[claimHash];
        require(game.status == POSTED, NotInState(claimHash, game.status));
        require(block.timestamp < game.until, TooLate(claimHash, block.timestamp, game.until));
        require(msg.sender != game.prover, OwnClaim(claimHash));
        (game.challenger, game.status, game.phase, game.moved) = (msg.sender, CHALLENGED, ROOTS, uint64(block.timestamp));
        (game.proverLeft, game.challengerLeft) = (clockSeconds, clockSeconds);
        emit Challenged(claimHash, msg.sender);
        credit.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice Anyone, when the window has ended: the claim stands, and its prover has the bond back.
    function settle(bytes32 claimHash) external {
        Game storage game = _games[claimHash];
        require(game.status == POSTED, NotInState(claimHash, game.status));
        require(block.timestamp >= game.until, TooEarly(claimHash, game.until));
        game.status = STANDS;
        emit Settled(claimHash);
        credit.safeTransfer(game.prover, bond);
    }

    /// @notice Anyone, when the side that is to move has no time left: it loses.
    function timeout(bytes32 claimHash) external {
        Game storage game = _games[claimHash];
        require(game.status == CHALLENGED, NotInState(claimHash, game.status));
        bool provers = game.phase % 2 == 1;
        uint256 end = uint256(game.moved) + (provers ? game.proverLeft : game.challengerLeft);
        require(block.timestamp > end, TooEarly(claimHash, end));
        _decide(claimHash, game, !provers);
    }

    // ---- the game

    /// @notice Prover: show input and output, and the root of every value.
    function roots(
        Records.Claim calldata claim,
        bytes calldata manifest,
        bytes32 salt,
        bytes calldata input,
        bytes calldata output,
        bytes32[] calldata roots_
    ) external {
        (bytes32 claimHash, Game storage game) = _move(claim, ROOTS);
        Graphs.Graph memory g = _graph(claim, manifest);
        uint256 last = g.types.length - 1;
        require(roots_.length == last + 1, WrongCount(roots_.length, last + 1));
        _tensor(keccak256(abi.encodePacked("interlace.input.v1", salt, input)), claim.inputHash, input, 0, g, roots_);
        _tensor(keccak256(abi.encodePacked("interlace.output.v1", output)), claim.outputHash, output, last, g, roots_);
        for (uint256 value = 1; value < last; value++) {
            if (g.types[value].hidden()) require(roots_[value] == 0, WrongRoot(roots_[value], 0));
        }
        _equal(Tiles.fold(roots_, Tiles.VALUES_TAG), game.traceRoot);
        game.phase = PICK;
        emit Rooted(claimHash, salt, input, output, roots_);
    }

    /// @notice Challenger: name the first value whose root is another in its own run.
    /// @param root The value's root, and the siblings from it to the trace's root.
    function pick(Records.Claim calldata claim, bytes calldata manifest, uint256 value, bytes32 root, bytes32[] calldata path)
        external
    {
        (bytes32 claimHash, Game storage game) = _move(claim, PICK);
        Graphs.Graph memory g = _graph(claim, manifest);
        uint256 values = g.types.length;
        require(value != 0 && value < values && !g.types[value].hidden(), NoSuchValue(value));
        Tiles.check(root, value, values, Tiles.height(values, Tiles.BITS), path, Tiles.kind(Tiles.VALUES_TAG, Tiles.BITS), game.traceRoot);
        uint256 size = g.types[value].size();
        uint256 level = Tiles.height(Tiles.tilesOf(size), Tiles.BITS);
        (game.node, game.size, game.level, game.position) = (uint16(value - 1), uint32(size), uint8(level), 0);
        game.width = uint8(g.types[value].width());
        game.hash = root;
        game.phase = level == 0 ? TILE : REVEAL;
        emit Picked(claimHash, value);
    }

    /// @notice Prover: show the hashes up to three levels below the one in dispute.
    function reveal(bytes32 claimHash, bytes32[] calldata hashes) external {
        Game storage game = _turn(claimHash, REVEAL);
        (, uint256 first, uint256 end) = _span(game);
        require(hashes.length == end - first, WrongCount(hashes.length, end - first));
        _equal(Tiles.fold(hashes, Tiles.NODE_TAG), game.hash);
        game.phase = DESCEND;
        emit Revealed(claimHash, hashes);
    }

    /// @notice Challenger: name the first of the revealed hashes that is another in its own run.
    /// @param position Its place in its level; `path` has the siblings from it to the hash in dispute.
    function descend(bytes32 claimHash, uint256 position, bytes32 hash, bytes32[] calldata path) external {
        Game storage game = _turn(claimHash, DESCEND);
        (uint256 below, uint256 first, uint256 end) = _span(game);
        require(position >= first && position < end, NoSuchPlace(position));
        uint256 width = Tiles.nodesAt(Tiles.tilesOf(game.size), below);
        Tiles.check(hash, position, width, game.level - below, path, Tiles.kind(Tiles.NODE_TAG, Tiles.BITS), game.hash);
        (game.hash, game.position, game.level) = (hash, uint32(position), uint8(below));
        game.phase = below == 0 ? TILE : REVEAL;
        emit Descended(claimHash, below, position);
    }

    /// @notice Prover: show the tile in dispute.
    function showTile(bytes32 claimHash, bytes calldata tile) external {
        Game storage game = _turn(claimHash, TILE);
        Tiles.checkLength(game.size, game.position, tile.length);
        _equal(Tiles.leafOf(tile), game.hash);
        game.phase = ELEMENT;
        emit TileShown(claimHash, tile);
    }

    /// @notice Challenger: name the first element that is another in its own run, if it is a sum.
    /// @param tile The tile that was shown.
    function contest(Records.Claim calldata claim, bytes calldata manifest, bytes calldata tile, uint256 element) external {
        (bytes32 claimHash, Game storage game) = _proof(claim, manifest, ELEMENT);
        Referee.Task memory t = _task(game, tile, element);
        uint256 terms = referee.termsOf(manifest, t);
        require(terms != 0, HasNoTerms());
        (game.element, game.claimed) = (uint64(element), int32(t.claimed));
        (game.from, game.to, game.low, game.whole, game.phase) = (0, uint32(terms), 0, true, SUMS);
        emit Contested(claimHash, element, t.claimed, terms);
    }

    /// @notice Challenger: show that an element which follows from one or two others is wrong, and win.
    function refute(
        Records.Claim calldata claim,
        bytes calldata manifest,
        bytes calldata tile,
        uint256 element,
        Tiles.Opening[] calldata openings,
        Tiles.Chunk[] calldata chunks
    ) external {
        (bytes32 claimHash, Game storage game) = _proof(claim, manifest, ELEMENT);
        Referee.Task memory t = _task(game, tile, element);
        (int256 found, uint256 terms) = referee.resultOf(manifest, game.traceRoot, t, 0, openings, chunks);
        require(terms == 0, HasTerms(terms));
        require(found != t.claimed, Holds(found));
        _decide(claimHash, game, false);
    }

    /// @notice Prover: show what the terms add to, up to the end of each part of those in dispute.
    /// @param totals Sixteen bytes for each part, the highest first, two's complement.
    /// @param largest Of a softmax's row, once; of no account otherwise.
    function sums(bytes32 claimHash, bytes calldata totals, int16 largest) external {
        Game storage game = _turn(claimHash, SUMS);
        (, uint256 parts) = _parts(game);
        require(totals.length == 16 * parts, WrongCount(totals.length, 16 * parts));
        require(largest >= -128 && largest <= 127, BadLargest(largest));
        if (game.whole) game.largest = largest;
        else require(_total(totals, parts - 1) == game.high, WrongLast(_total(totals, parts - 1), game.high));
        game.totals = keccak256(totals);
        game.phase = SEGMENT;
        emit Summed(claimHash, totals, game.largest);
    }

    /// @notice Challenger: name the first part whose terms add to something else, to be cut again.
    function narrow(bytes32 claimHash, bytes calldata totals, uint256 part) external {
        Game storage game = _turn(claimHash, SEGMENT);
        (uint256 from, uint256 to, int128 low, int128 high) = _part(game, totals, part);
        require(to - from > 1, HasNoTerms());
        (game.from, game.to, game.low, game.high) = (uint32(from), uint32(to), low, high);
        (game.whole, game.phase) = (false, SUMS);
        emit Narrowed(claimHash, from, to);
    }

    /// @notice Challenger: show that the terms of a part add to something else, and win.
    function refuteSum(
        Records.Claim calldata claim,
        bytes calldata manifest,
        bytes calldata totals,
        uint256 part,
        Tiles.Opening[] calldata openings,
        Tiles.Chunk[] calldata chunks
    ) external {
        (bytes32 claimHash, Game storage game) = _proof(claim, manifest, SEGMENT);
        (uint256 from, uint256 to, int128 low, int128 high) = _part(game, totals, part);
        require(to - from <= MAX_TERMS, TooManyTerms(to - from));
        int256 found = referee.sumOf(manifest, game.traceRoot, _contested(game), from, to, openings, chunks);
        require(found != int256(high) - low, Holds(found));
        _decide(claimHash, game, false);
    }

    /// @notice Challenger: show that the element does not follow from the sum of all its terms, and win.
    function refuteResult(
        Records.Claim calldata claim,
        bytes calldata manifest,
        bytes calldata totals,
        Tiles.Opening[] calldata openings,
        Tiles.Chunk[] calldata chunks
    ) external {
        (bytes32 claimHash, Game storage game) = _proof(claim, manifest, SEGMENT);
        require(game.whole, NotWhole());
        require(keccak256(totals) == game.totals, WrongTotals());
        Referee.Task memory t = _contested(game);
        int128 total = _total(totals, totals.length / 16 - 1);
        (int256 found,) = referee.resultOf(manifest, game.traceRoot, t, total, openings, chunks);
        require(found != t.claimed, Holds(found));
        _decide(claimHash, game, false);
    }

    // ---- views

    /// @notice How a claim stands: 0 was never posted; see POSTED to FELL.
    function outcome(bytes32 claimHash) external view returns (uint8 status) {
        return _games[claimHash].status;
    }

    /// @inheritdoc IAssurance
    /// @dev Holds from the end of the window on, whether or not anybody called settle().
    function verdict(bytes32 claimHash, address) external view returns (Verdict) {
        Game storage game = _games[claimHash];
        uint8 status = game.status;
        if (status == 0) return Verdict.None;
        if (status == FELL) return Verdict.Fails;
        bool over = status == STANDS || (status == POSTED && block.timestamp >= game.until);
        return over ? Verdict.Holds : Verdict.Open;
    }

    function gameOf(bytes32 claimHash) external view returns (Game memory) {
        return _games[claimHash];
    }

    function claimHashOf(Records.Claim calldata claim) public pure returns (bytes32) {
        return Claims.hash(claim);
    }

    // ---- turns

    function _move(Records.Claim calldata claim, uint8 phase) private returns (bytes32 claimHash, Game storage game) {
        claimHash = claimHashOf(claim);
        game = _turn(claimHash, phase);
    }

    function _proof(Records.Claim calldata claim, bytes calldata manifest, uint8 phase)
        private
        returns (bytes32 claimHash, Game storage game)
    {
        bytes32 id = keccak256(manifest);
        require(id == claim.programId, WrongProgram(id));
        return _move(claim, phase);
    }

    /// Takes the time of a move off the clock of the side that makes it.
    function _turn(bytes32 claimHash, uint8 phase) private returns (Game storage game) {
        game = _games[claimHash];
        require(game.status == CHALLENGED, NotInState(claimHash, game.status));
        require(game.phase == phase, NotInPhase(claimHash, game.phase));
        uint256 spent = block.timestamp - game.moved;
        bool provers = phase % 2 == 1;
        uint256 left = provers ? game.proverLeft : game.challengerLeft;
        if (provers) require(msg.sender == game.prover, NotTheProver(claimHash, msg.sender));
        else require(msg.sender == game.challenger, NotTheChallenger(claimHash, msg.sender));
        require(spent <= left, TooLate(claimHash, spent, left));
        if (provers) game.proverLeft = uint32(left - spent);
        else game.challengerLeft = uint32(left - spent);
        game.moved = uint64(block.timestamp);
    }

    /// The winner has both bonds. A claim that was defended is open to others for a whole window more, so a challenger who
    /// loses on purpose keeps nobody from it.
    function _decide(bytes32 claimHash, Game storage game, bool stands) private {
        (address prover, address challenger) = (game.prover, game.challenger);
        game.phase = 0;
        if (stands) {
            uint64 until = uint64(block.timestamp) + windowSeconds;
            (game.status, game.until) = (POSTED, until > game.until ? until : game.until);
            emit Decided(claimHash, prover, challenger, true);
            credit.safeTransfer(prover, bond);
        } else {
            game.status = FELL;
            emit Decided(claimHash, challenger, prover, false);
            credit.safeTransfer(challenger, 2 * bond);
        }
    }

    // ---- checks

    function _graph(Records.Claim calldata claim, bytes calldata manifest) private pure returns (Graphs.Graph memory) {
        bytes32 id = keccak256(manifest);
        require(id == claim.programId, WrongProgram(id));
        return Graphs.read(manifest);
    }

    /// Checks a tensor against its hash, its type and the root of its value.
    function _tensor(bytes32 hash, bytes32 expected, bytes calldata data, uint256 value, Graphs.Graph memory g, bytes32[] calldata roots_)
        private
        pure
    {
        require(data.length <= MAX_TENSOR, TooLong(data.length, MAX_TENSOR));
        require(hash == expected, WrongTensor(hash, expected));
        bytes memory head = g.types[value].head();
        bool fits = data.length == head.length + g.types[value].size() && keccak256(data[:head.length]) == keccak256(head);
        require(fits, WrongType(value));
        _equal(Tiles.rootOf(data[head.length:]), roots_[value]);
    }

    function _equal(bytes32 found, bytes32 expected) private pure {
        require(found == expected, WrongRoot(found, expected));
    }

    /// The level that is revealed next, and which of its hashes lie under the one in dispute.
    function _span(Game storage game) private view returns (uint256 below, uint256 first, uint256 end) {
        uint256 level = game.level;
        below = level > LEVELS ? level - LEVELS : 0;
        uint256 bits = Tiles.BITS * (level - below);
        first = uint256(game.position) << bits;
        end = first + (1 << bits);
        uint256 width = Tiles.nodesAt(Tiles.tilesOf(game.size), below);
        if (end > width) end = width;
    }

    /// The task of an element of the tile that was shown.
    function _task(Game storage game, bytes calldata tile, uint256 element) private view returns (Referee.Task memory) {
        _equal(Tiles.leafOf(tile), game.hash);
        uint256 place = element * game.width;
        uint256 start = uint256(game.position) * Tiles.TILE;
        require(place >= start && place < start + tile.length, NoSuchPlace(element));
        return Referee.Task(game.node, element, Tiles.elementAt(tile, place - start, game.width), 0, 0);
    }

    function _contested(Game storage game) private view returns (Referee.Task memory) {
        return Referee.Task(game.node, game.element, game.claimed, game.largest, 0);
    }

    /// Terms of a part, and the number of parts.
    function _parts(Game storage game) private view returns (uint256 step, uint256 parts) {
        uint256 terms = uint256(game.to) - game.from;
        step = (terms + PARTS - 1) / PARTS;
        parts = (terms + step - 1) / step;
    }

    function _part(Game storage game, bytes calldata totals, uint256 part)
        private
        view
        returns (uint256 from, uint256 to, int128 low, int128 high)
    {
        require(keccak256(totals) == game.totals, WrongTotals());
        require(part < totals.length / 16, NoSuchPlace(part));
        (uint256 step,) = _parts(game);
        from = game.from + part * step;
        to = from + step < game.to ? from + step : game.to;
        (low, high) = (part == 0 ? game.low : _total(totals, part - 1), _total(totals, part));
    }

    /// One of the totals, which have 16 bytes each, the highest first.
    function _total(bytes calldata totals, uint256 part) private pure returns (int128) {
        return int128(uint128(bytes16(totals[16 * part:16 * part + 16])));
    }
}
