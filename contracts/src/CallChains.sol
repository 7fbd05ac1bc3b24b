// SPDX-License-Identifier: MIT OR Apache-2.0
// A claim about a whole chain of calls, put up with a bond and decided by one step when somebody doubts it.
// Invariant: the credit balance is at least one bond for each claim that is posted and two for each that is challenged; a decided
// game pays both bonds to its winner, once. Each state ends by a move or by a clock, so nobody's money stays. A prover whose
// trace is true loses no game that it answers in time, if it could show every step: its programs are registered, and its tensors
// are within the bounds. A challenger who moves in time and says truly which prefixes are its own wins against every other trace.
// Source: docs/call-chains.md, "On chain".
// What it does not do: it keeps no plan and no program, and settles no vouchers; `verdict` says how a claim stands. A prover who put up
// a chain whose programs are not registered, or with a step that no transaction can hold, loses: it knew both before it posted.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Graphs} from "./Graphs.sol";
import {Interlace} from "./Interlace.sol";
import {Claims, Records} from "./Records.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";

contract CallChains is IAssurance {
    using SafeERC20 for IERC20;
    using Graphs for uint256;

    uint8 public constant POSTED = 1; // open to a challenge until its window ends
    uint8 public constant CHALLENGED = 2; // a game is on
    uint8 public constant STANDS = 3; // its window ended unchallenged
    uint8 public constant FELL = 4; // a challenger won

    // Whose turn it is, and for what: odd ones are the prover's.
    uint8 public constant BEGIN = 1;
    uint8 public constant ASK = 2;
    uint8 public constant OPEN = 3;
    uint8 public constant STEP = 5;

    uint16 public constant SEMANTICS = 1;
    /// @notice Steps of a chain that can be put up; with the other bounds, all of a move fits in a transaction of 128 KiB.
    uint256 public constant MAX_STEPS = 1_024;
    uint256 public constant MAX_PARTS = 16;
    uint256 public constant MAX_PLAN = 49_152;
    /// @notice Bytes of all tensors that a step uses, and of its output.
    uint256 public constant MAX_TENSORS = 16_384;
    uint256 public constant MAX_PROOF = 32;
    uint256 public constant MAX_WHERE = 256;

    /// @param agreed Steps whose prefix both have; `low` is that prefix.
    /// @param differs Steps whose prefix the challenger has another of; `high` is the prover's.
    /// @param asked Steps whose prefix was asked for, or has been opened as `opened`; zero: none yet.
    struct Game {
        address prover;
        uint64 until;
        uint8 status;
        uint8 phase;
        uint16 steps;
        address challenger;
        uint64 moved;
        uint32 proverLeft;
        uint32 challengerLeft;
        uint16 agreed;
        uint16 differs;
        uint16 asked;
        bytes32 root;
        bytes32 last;
        bytes32 whole;
        bytes32 low;
        bytes32 high;
        bytes32 opened;
    }

    /// @param plan The canonical bytes of the plan.
    /// @param manifest Of the program of the step.
    /// @param salt Of the chain's input.
    /// @param before The prefix before the first source that is an output; of no account if there is none.
    /// @param hashes Hashes of the outputs from that one on, up to the step.
    /// @param numbers Sources of the step's parts, each once; `tensors` has them, encoded.
    /// @param output The step's own output, encoded.
    struct Shown {
        bytes plan;
        bytes manifest;
        bytes32 salt;
        bytes32 before;
        bytes32[] hashes;
        uint16[] numbers;
        bytes[] tensors;
        bytes output;
    }

    IERC20 public immutable credit;
    /// @notice Credit-wei that each side puts up.
    uint256 public immutable bond;
    uint64 public immutable windowSeconds;
    /// @notice Seconds that each side may think, in all its moves of one game together.
    uint32 public immutable clockSeconds;
    mapping(bytes32 claim => Game) private _games;

    event ChainPosted(bytes32 indexed claimHash, address indexed prover, Records.Claim claim, uint256 steps, bytes32 root, uint64 until, string where);
    event ChainChallenged(bytes32 indexed claimHash, address indexed challenger);
    event Asked(bytes32 indexed claimHash, uint256 steps);
    event Opened(bytes32 indexed claimHash, uint256 steps, bytes32 prefix);
    event ChainDecided(bytes32 indexed claimHash, address indexed winner, address indexed loser, bool stands);
    event ChainSettled(bytes32 indexed claimHash);

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
    error TooLong(uint256 length, uint256 most);
    error BadSteps(uint256 steps);
    error WrongOutputHash(bytes32 found, bytes32 expected);
    error WrongPrefix(bytes32 found, bytes32 expected);
    error NotInTree(uint256 steps, bytes32 prefix);
    error NothingAsked();
    error WrongCount(uint256 got, uint256 expected);
    error Holds(int256 value);
    error WrongPlan(bytes32 found, bytes32 expected);
    error NoSuchSource(uint256 source);
    error WrongTensor(bytes32 found, bytes32 expected);
    error WrongProgram(bytes32 found);
    error WrongType(uint256 value);
    error WrongOutput(bytes32 found, bytes32 expected);

    constructor(IERC20 credit_, uint256 bond_, uint64 windowSeconds_, uint32 clockSeconds_) {
        require(bond_ != 0 && windowSeconds_ != 0 && clockSeconds_ != 0, BadTerms());
        (credit, bond, windowSeconds, clockSeconds) = (credit_, bond_, windowSeconds_, clockSeconds_);
    }

    // ---- claims

    /// @notice Put up a claim of one's own about a chain, with a bond; a claim is put up once.
    /// @param steps Number of the plan's steps.
    /// @param root Root over the prefixes of the trace.
    /// @param last Hash of the last output; with the two before it makes the claim's output hash.
    /// @param where Where plan, input and salt can be had until the claim is settled.
    function post(Records.Claim calldata claim, uint256 steps, bytes32 root, bytes32 last, string calldata where) external {
        bytes32 claimHash = claimHashOf(claim);
        require(claim.prover == msg.sender, NotTheProver(claimHash, msg.sender));
        require(claim.chainId == block.chainid, NotThisChain(claim.chainId));
        require(claim.semantics == SEMANTICS, UnknownSemantics(claim.semantics));
        require(steps != 0 && steps <= MAX_STEPS, BadSteps(steps));
        bytes32 found = keccak256(abi.encodePacked("interlace.chain-output.v1", uint64(steps), root, last));
        require(found == claim.outputHash, WrongOutputHash(found, claim.outputHash));
        require(bytes(where).length <= MAX_WHERE, TooLong(bytes(where).length, MAX_WHERE));
        Game storage game = _games[claimHash];
        require(game.status == 0, AlreadyPosted(claimHash));
        (game.prover, game.status, game.until) = (msg.sender, POSTED, uint64(block.timestamp) + windowSeconds);
        (game.steps, game.root, game.last) = (uint16(steps), root, last);
        emit ChainPosted(claimHash, msg.sender, claim, steps, root, game.until, where);
        credit.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice Doubt a claim, with a bond; one game at a time.
    function challenge(Records.Claim calldata claim) external {
        bytes32 claimHash = claimHashOf(claim);
        Game storage game = _games[claimHash];
        require(game.status == POSTED, NotInState(claimHash, game.status));
        require(block.timestamp < game.until, TooLate(claimHash, block.timestamp, game.until));
        require(msg.sender != game.prover, OwnClaim(claimHash));
        (game.challenger, game.status, game.phase, game.moved) = (msg.sender, CHALLENGED, BEGIN, uint64(block.timestamp));
        (game.proverLeft, game.challengerLeft) = (clockSeconds, clockSeconds);
        (game.agreed, game.differs, game.asked) = (0, game.steps, 0);
        game.low = keccak256(abi.encodePacked("interlace.chain.v1", claim.programId, claim.inputHash));
        emit ChainChallenged(claimHash, msg.sender);
        credit.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice Anyone, when the window has ended: the claim stands, and its prover has the bond back.
    function settle(bytes32 claimHash) external {
        Game storage game = _games[claimHash];
        require(game.status == POSTED, NotInState(claimHash, game.status));
        require(block.timestamp >= game.until, TooEarly(claimHash, game.until));
        game.status = STANDS;
        emit ChainSettled(claimHash);
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

    /// @notice Prover: open the prefix of all steps, and show that it was made with the claim's last output.
    /// @param before The prefix of all steps but the last.
    function begin(bytes32 claimHash, bytes32 before, bytes32[] calldata proof) external {
        Game storage game = _turn(claimHash, BEGIN);
        bytes32 prefix = _next(before, game.steps, game.last);
        _inTree(game, game.steps, prefix, proof);
        (game.whole, game.high, game.phase) = (prefix, prefix, ASK);
        emit Opened(claimHash, game.steps, prefix);
    }

    /// @notice Challenger: say whether the prefix that was opened last is another than one's own, and ask for the middle of what is left.
    function ask(bytes32 claimHash, bool differs) external {
        Game storage game = _turn(claimHash, ASK);
        uint16 asked = game.asked;
        // The prefix of all steps is taken to differ; who has the same one has another root, and says so by refuteRoot.
        require(asked != 0 || differs, NothingAsked());
        if (asked != 0 && differs) (game.differs, game.high) = (asked, game.opened);
        else if (asked != 0) (game.agreed, game.low) = (asked, game.opened);
        bool near = game.differs - game.agreed == 1;
        game.asked = near ? game.differs : (game.agreed + game.differs) / 2;
        game.phase = near ? STEP : OPEN;
        emit Asked(claimHash, game.asked);
    }

    /// @notice Prover: open the prefix that was asked for.
    function open(bytes32 claimHash, bytes32 prefix, bytes32[] calldata proof) external {
        Game storage game = _turn(claimHash, OPEN);
        _inTree(game, game.asked, prefix, proof);
        (game.opened, game.phase) = (prefix, ASK);
        emit Opened(claimHash, game.asked, prefix);
    }

    /// @notice Prover: show the step at which the two part, have its program run, and win.
    function show(Records.Claim calldata claim, Shown calldata s) external {
        bytes32 claimHash = claimHashOf(claim);
        Game storage game = _turn(claimHash, STEP);
        uint256 number = game.differs;
        bytes32 found = keccak256(abi.encodePacked("interlace.output.v1", s.output));
        require(_next(game.low, number, found) == game.high, WrongPrefix(_next(game.low, number, found), game.high));
        (bytes32 program, bytes calldata parts) = _stepOf(claim, game, s.plan, number);
        require(keccak256(s.manifest) == program, WrongProgram(keccak256(s.manifest)));
        _sources(claim, game, s, number);
        Graphs.Graph memory g = Graphs.read(s.manifest);
        bytes memory input = _input(parts, s, g.types[0]);
        bytes memory output = Interlace.infer(program, input);
        uint256 ty = g.types[g.types.length - 1];
        bytes memory expected = bytes.concat(ty.head(), ty.width() == 4 ? _swapped(output) : output);
        bytes32 right = keccak256(expected);
        require(right == keccak256(s.output), WrongOutput(keccak256(s.output), right));
        _decide(claimHash, game, true);
    }

    /// @notice Challenger: show that the prover's root is not over the prefixes that its last one was made of, and win.
    /// @param hashes Hashes of the outputs of all steps.
    function refuteRoot(Records.Claim calldata claim, bytes32[] calldata hashes) external {
        bytes32 claimHash = claimHashOf(claim);
        Game storage game = _turn(claimHash, ASK);
        uint256 steps = game.steps;
        require(hashes.length == steps, WrongCount(hashes.length, steps));
        // As in the settlement's tree: the children of node i are 2 i + 1 and 2 i + 2, leaf k is node 2 n - 2 - k.
        bytes32[] memory nodes = new bytes32[](2 * steps - 1);
        bytes32 prefix = keccak256(abi.encodePacked("interlace.chain.v1", claim.programId, claim.inputHash));
        for (uint256 i = 1; i <= steps; ++i) {
            prefix = _next(prefix, i, hashes[i - 1]);
            nodes[2 * steps - 1 - i] = _leaf(i, prefix);
        }
        require(prefix == game.whole, WrongPrefix(prefix, game.whole));
        for (uint256 i = steps - 1; i > 0; --i) {
            (bytes32 a, bytes32 b) = (nodes[2 * i - 1], nodes[2 * i]);
            nodes[i - 1] = a < b ? keccak256(abi.encodePacked(a, b)) : keccak256(abi.encodePacked(b, a));
        }
        require(nodes[0] != game.root, Holds(int256(steps)));
        _decide(claimHash, game, false);
    }

    /// @notice Challenger: show that the plan has another number of steps than the claim, and win.
    function refuteSteps(Records.Claim calldata claim, bytes calldata plan) external {
        bytes32 claimHash = claimHashOf(claim);
        Game storage game = _turn(claimHash, ASK);
        uint256 steps = _stepsOf(claim, plan);
        require(steps != game.steps, Holds(int256(steps)));
        _decide(claimHash, game, false);
    }

    // ---- views

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

    /// The winner has both bonds. A claim that was defended is open to others for a whole window more.
    function _decide(bytes32 claimHash, Game storage game, bool stands) private {
        (address prover, address challenger) = (game.prover, game.challenger);
        game.phase = 0;
        if (stands) {
            uint64 until = uint64(block.timestamp) + windowSeconds;
            (game.status, game.until) = (POSTED, until > game.until ? until : game.until);
            emit ChainDecided(claimHash, prover, challenger, true);
            credit.safeTransfer(prover, bond);
        } else {
            game.status = FELL;
            emit ChainDecided(claimHash, challenger, prover, false);
            credit.safeTransfer(challenger, 2 * bond);
        }
    }

    // ---- checks

    function _next(bytes32 prefix, uint256 number, bytes32 outputHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked("interlace.step.v1", prefix, uint64(number), outputHash));
    }

    function _leaf(uint256 number, bytes32 prefix) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encodePacked(uint64(number), prefix))));
    }

    function _inTree(Game storage game, uint256 number, bytes32 prefix, bytes32[] calldata proof) private view {
        require(proof.length <= MAX_PROOF, TooLong(proof.length, MAX_PROOF));
        require(MerkleProof.verifyCalldata(proof, game.root, _leaf(number, prefix)), NotInTree(number, prefix));
    }

    /// Checks a plan's bytes against the claim; returns the number of steps that they state.
    function _stepsOf(Records.Claim calldata claim, bytes calldata plan) private pure returns (uint256) {
        require(plan.length <= MAX_PLAN, TooLong(plan.length, MAX_PLAN));
        bytes32 id = keccak256(abi.encodePacked("interlace.plan.v1", plan));
        require(id == claim.programId && bytes5(plan[0:5]) == 0x494c435001, WrongPlan(id, claim.programId));
        return uint16(bytes2(plan[5:7]));
    }

    /// The program of a step, and its parts of ten bytes each.
    function _stepOf(Records.Claim calldata claim, Game storage game, bytes calldata plan, uint256 number)
        private
        view
        returns (bytes32 program, bytes calldata parts)
    {
        uint256 steps = _stepsOf(claim, plan);
        require(steps == game.steps, WrongCount(steps, game.steps));
        uint256 place = 7;
        for (uint256 i = 1; i < number; ++i) place += 33 + 10 * uint256(uint8(plan[place + 32]));
        uint256 count = uint8(plan[place + 32]);
        require(count != 0 && count <= MAX_PARTS, TooLong(count, MAX_PARTS));
        (program, parts) = (bytes32(plan[place:place + 32]), plan[place + 33:place + 33 + 10 * count]);
    }

    /// Ties every tensor that was shown to the claim's input, or to the prefix that both have: an opening in the prover's tree
    /// alone would not do, since nobody has looked at its other leaves.
    function _sources(Records.Claim calldata claim, Game storage game, Shown calldata s, uint256 number) private view {
        uint256 count = s.numbers.length;
        require(count <= MAX_PARTS && s.tensors.length == count, WrongCount(s.tensors.length, count));
        require(s.hashes.length < number, TooLong(s.hashes.length, number - 1));
        uint256 first = number - s.hashes.length;
        bytes32 prefix = s.before;
        for (uint256 i = first; i < number; ++i) prefix = _next(prefix, i, s.hashes[i - first]);
        require(s.hashes.length == 0 || prefix == game.low, WrongPrefix(prefix, game.low));
        uint256 total = s.output.length;
        for (uint256 i = 0; i < count; ++i) {
            uint256 source = s.numbers[i];
            bytes calldata data = s.tensors[i];
            total += data.length;
            bool input = source == 0;
            require(input || (source >= first && source < number), NoSuchSource(source));
            bytes32 expected = input ? claim.inputHash : s.hashes[source - first];
            bytes32 found = keccak256(
                input ? abi.encodePacked("interlace.input.v1", s.salt, data) : abi.encodePacked("interlace.output.v1", data)
            );
            require(found == expected, WrongTensor(found, expected));
        }
        require(total <= MAX_TENSORS, TooLong(total, MAX_TENSORS));
    }

    /// The elements of a step's input, as its program takes them.
    function _input(bytes calldata parts, Shown calldata s, uint256 ty) private pure returns (bytes memory input) {
        uint256 width = ty.width();
        for (uint256 p = 0; p < parts.length; p += 10) {
            uint256 start = width * uint32(bytes4(parts[p + 2:p + 6]));
            uint256 length = width * uint32(bytes4(parts[p + 6:p + 10]));
            bytes calldata data = _tensorOf(uint16(bytes2(parts[p:p + 2])), s);
            require(uint8(data[4]) == uint8(ty >> 136), WrongType(0));
            uint256 head = 6 + 4 * uint256(uint8(data[5]));
            input = bytes.concat(input, data[head + start:head + start + length]);
            require(input.length <= ty.size(), WrongType(0));
        }
        require(input.length == ty.size(), WrongType(0));
        if (width == 4) input = _swapped(input);
    }

    function _tensorOf(uint256 source, Shown calldata s) private pure returns (bytes calldata) {
        for (uint256 i = 0; i < s.numbers.length; ++i) {
            if (s.numbers[i] == source) return s.tensors[i];
        }
        revert NoSuchSource(source);
    }

    /// Elements of four bytes the other way round: tensors have the lowest first, instructions the highest.
    function _swapped(bytes memory data) private pure returns (bytes memory out) {
        out = new bytes(data.length);
        for (uint256 i = 0; i < data.length; ++i) out[i] = data[i ^ 3];
    }
}
