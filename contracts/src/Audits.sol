// SPDX-License-Identifier: MIT OR Apache-2.0
// Sampled audits: a beacon draws some of a node's claims after they are fixed; those must stand in a dispute, or cost its stake.
// Invariant: the credit balance is at least the sum of all stakes. A claim is entered once, by its prover, for a round that nobody
// has put anything into; what that round's value draws never changes. A claim that fails is paid for once: half of the fine goes to
// who convicts, the rest to the validators. inFlight counts a node's claims that are entered and not closed, at most
// maxInFlight for each whole fine that its stake had when they were entered; nobody leaves with one in flight.
// Source: docs/audits.md, "On chain".
// What it does not do: it runs no program; Dispute decides about a claim that is drawn. It does not know what a call is worth: terms that
// deter for one price do not for a larger one. A node that shows the last secret of a round can choose between two values
// for the beacon's bond (Beacon), so what that bond is and what rides on one round belong together.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Claims, Records} from "./Records.sol";
import {Validators} from "./Validators.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";
import {IBeacon} from "./interfaces/IBeacon.sol";

contract Audits is IAssurance {
    using SafeERC20 for IERC20;

    /// @notice Claims in one call of enter() or close().
    uint256 public constant MAX_BATCH = 64;
    uint256 public constant BASIS_POINTS = 10_000;

    /// @param rateBp Chance in 10,000 that a claim is drawn.
    /// @param answerSeconds How long after its round a claim that was drawn can be put up.
    /// @param unbondingSeconds How long a stake stays after its owner asked for it.
    /// @param maxRounds Rounds that a claim is entered into, if the ones before had no value.
    /// @param maxInFlight Claims in flight for each fine that the stake has.
    /// @param fine Credit-wei that a claim which fails costs.
    struct Terms {
        uint256 rateBp;
        uint256 answerSeconds;
        uint256 unbondingSeconds;
        uint256 maxRounds;
        uint256 maxInFlight;
        uint256 fine;
    }

    /// @param leavesAt Unix second from which on the stake can be had back; zero for a node that stays.
    struct Node {
        uint128 stake;
        uint64 inFlight;
        uint64 leavesAt;
    }

    /// @param rounds How many rounds it was entered into.
    /// @param answered Whether Dispute had it in time.
    /// @param closed Whether it is no longer in flight.
    struct Entry {
        address node;
        uint64 round;
        uint8 rounds;
        bool answered;
        bool closed;
    }

    IERC20 public immutable credit;
    IBeacon public immutable beacon;
    /// @notice Who decides about a claim that was drawn.
    IAssurance public immutable dispute;
    Validators public immutable validators;
    uint256 public immutable rateBp;
    uint256 public immutable answerSeconds;
    uint256 public immutable unbondingSeconds;
    uint256 public immutable maxRounds;
    uint256 public immutable maxInFlight;
    uint256 public immutable fine;
    mapping(address node => Node) private _nodes;
    mapping(bytes32 claimHash => Entry) private _entries;

    event Joined(address indexed node, uint256 amount);
    event Leaving(address indexed node, uint256 leavesAt);
    event Withdrawn(address indexed node, address indexed to, uint256 amount);
    event Entered(bytes32 indexed claimHash, address indexed node, uint256 indexed round);
    event Answered(bytes32 indexed claimHash);
    event Closed(bytes32 indexed claimHash, Verdict verdict);
    event Convicted(bytes32 indexed claimHash, address indexed node, address indexed by, uint256 amount);

    error BadTerms();
    error ZeroAmount();
    error TooMuch(uint256 amount);
    error IsLeaving(address node);
    error NotLeaving(address node);
    error TooEarly(uint256 until);
    error ClaimsInFlight(address node, uint256 inFlight);
    error BatchSize(uint256 count);
    error NotTheProver(bytes32 claimHash, address caller);
    error NotThisChain(uint256 chainId);
    error AlreadyEntered(bytes32 claimHash);
    error AlreadyPutUp(bytes32 claimHash);
    error TooManyInFlight(address node, uint256 wanted, uint256 most);
    error NotEntered(bytes32 claimHash);
    error RoundHasValue(bytes32 claimHash, uint256 round);
    error NoMoreRounds(bytes32 claimHash);
    error NotDrawn(bytes32 claimHash);
    error AlreadyAnswered(bytes32 claimHash);
    error TooLate(bytes32 claimHash, uint256 until);
    error NotPutUp(bytes32 claimHash);
    error AlreadyClosed(bytes32 claimHash);
    error NotDecided(bytes32 claimHash, Verdict verdict);
    error NotFailed(bytes32 claimHash, Verdict verdict);

    constructor(IERC20 credit_, IBeacon beacon_, IAssurance dispute_, Validators validators_, Terms memory terms) {
        require(terms.rateBp != 0 && terms.rateBp <= BASIS_POINTS && terms.fine > 1 && terms.fine <= type(uint112).max, BadTerms());
        require(terms.answerSeconds != 0 && terms.answerSeconds <= 30 days && terms.unbondingSeconds <= 365 days, BadTerms());
        require(terms.maxRounds != 0 && terms.maxRounds <= 16 && terms.maxInFlight != 0 && terms.maxInFlight <= 65_536, BadTerms());
        require(terms.unbondingSeconds > terms.maxRounds * beacon_.maxWait() + terms.answerSeconds, BadTerms());
        (credit, beacon, dispute, validators) = (credit_, beacon_, dispute_, validators_);
        (rateBp, answerSeconds, unbondingSeconds) = (terms.rateBp, terms.answerSeconds, terms.unbondingSeconds);
        (maxRounds, maxInFlight, fine) = (terms.maxRounds, terms.maxInFlight, terms.fine);
        require(credit_.approve(address(validators_), type(uint256).max), BadTerms());
    }

    // ---- stakes

    /// @notice Put up a stake, or more of it.
    function join(uint256 amount) external {
        Node storage node = _nodes[msg.sender];
        require(amount != 0, ZeroAmount());
        require(amount <= type(uint112).max && node.stake + amount <= type(uint112).max, TooMuch(amount));
        require(node.leavesAt == 0, IsLeaving(msg.sender));
        node.stake += uint128(amount);
        emit Joined(msg.sender, amount);
        credit.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Ask for the stake back; from now on nothing more can be entered.
    function resign() external {
        Node storage node = _nodes[msg.sender];
        require(node.leavesAt == 0, IsLeaving(msg.sender));
        require(node.stake != 0, ZeroAmount());
        node.leavesAt = uint64(block.timestamp + unbondingSeconds);
        emit Leaving(msg.sender, node.leavesAt);
    }

    /// @notice Have the stake back, when its time is over and no claim is in flight.
    function withdraw(address to) external returns (uint256 amount) {
        Node storage node = _nodes[msg.sender];
        require(node.leavesAt != 0, NotLeaving(msg.sender));
        require(block.timestamp >= node.leavesAt, TooEarly(node.leavesAt));
        require(node.inFlight == 0, ClaimsInFlight(msg.sender, node.inFlight));
        amount = node.stake;
        (node.stake, node.leavesAt) = (0, 0);
        emit Withdrawn(msg.sender, to, amount);
        credit.safeTransfer(to, amount);
    }

    // ---- claims

    /// @notice Enter claims of one's own into the next round of the beacon, which is open to nobody yet.
    function enter(Records.Claim[] calldata claims) external {
        uint256 count = claims.length;
        require(count != 0 && count <= MAX_BATCH, BatchSize(count));
        Node storage node = _nodes[msg.sender];
        require(node.leavesAt == 0, IsLeaving(msg.sender));
        uint256 wanted = node.inFlight + count;
        require(wanted <= capacityOf(msg.sender), TooManyInFlight(msg.sender, wanted, capacityOf(msg.sender)));
        node.inFlight = uint64(wanted);
        uint64 round = uint64(beacon.nextRound());
        for (uint256 i = 0; i < count; ++i) {
            bytes32 claimHash = claimHashOf(claims[i]);
            require(claims[i].prover == msg.sender, NotTheProver(claimHash, msg.sender));
            require(claims[i].chainId == block.chainid, NotThisChain(claims[i].chainId));
            require(_entries[claimHash].node == address(0), AlreadyEntered(claimHash));
            // Who put it up before the draw could have let its window pass while nobody looked.
            require(dispute.verdict(claimHash, address(0)) == Verdict.None, AlreadyPutUp(claimHash));
            _entries[claimHash] = Entry(msg.sender, round, 1, false, false);
            emit Entered(claimHash, msg.sender, round);
        }
    }

    /// @notice Anyone, when a claim's round is over and has no value: into the next one, `maxRounds` in all.
    function enterAgain(bytes32 claimHash) external {
        Entry storage entry = _entered(claimHash);
        require(!beacon.hasValue(entry.round), RoundHasValue(claimHash, entry.round));
        require(entry.rounds < maxRounds, NoMoreRounds(claimHash));
        entry.round = uint64(beacon.nextRound());
        ++entry.rounds;
        emit Entered(claimHash, entry.node, entry.round);
    }

    /// @notice Anyone, in time, when a claim that was drawn has been put up on Dispute: from now on Dispute decides.
    function answer(bytes32 claimHash) external {
        Entry storage entry = _entered(claimHash);
        require(!entry.answered, AlreadyAnswered(claimHash));
        require(isDrawn(claimHash), NotDrawn(claimHash));
        uint256 until = beacon.endsAt(entry.round) + answerSeconds;
        require(block.timestamp < until, TooLate(claimHash, until));
        require(dispute.verdict(claimHash, address(0)) != Verdict.None, NotPutUp(claimHash));
        entry.answered = true;
        emit Answered(claimHash);
    }

    /// @notice Anyone: claims that hold, or that no round decided, are no longer in flight.
    function close(bytes32[] calldata claimHashes) external {
        uint256 count = claimHashes.length;
        require(count != 0 && count <= MAX_BATCH, BatchSize(count));
        for (uint256 i = 0; i < count; ++i) {
            bytes32 claimHash = claimHashes[i];
            Entry storage entry = _entered(claimHash);
            Verdict found = verdict(claimHash, address(0));
            require(found == Verdict.Holds || found == Verdict.None, NotDecided(claimHash, found));
            _close(claimHash, entry, found);
        }
    }

    /// @notice Anyone: fine the node of a claim that fails, and have half of it.
    function convict(bytes32 claimHash) external returns (uint256 reward) {
        Entry storage entry = _entered(claimHash);
        Verdict found = verdict(claimHash, address(0));
        require(found == Verdict.Fails, NotFailed(claimHash, found));
        _close(claimHash, entry, found);
        Node storage node = _nodes[entry.node];
        uint256 amount = node.stake < fine ? node.stake : fine;
        node.stake -= uint128(amount);
        reward = amount / 2;
        emit Convicted(claimHash, entry.node, msg.sender, amount);
        if (amount != 0) validators.addReward(amount - reward);
        credit.safeTransfer(msg.sender, reward);
    }

    // ---- views

    /// @inheritdoc IAssurance
    /// @dev None also for a claim whose rounds all had no value: undecided, for ever.
    function verdict(bytes32 claimHash, address payer) public view returns (Verdict) {
        Entry storage entry = _entries[claimHash];
        if (entry.node == address(0)) return Verdict.None;
        if (entry.answered) return dispute.verdict(claimHash, payer);
        uint256 end = beacon.endsAt(entry.round);
        if (block.timestamp < end) return Verdict.Open;
        if (!beacon.hasValue(entry.round)) return entry.rounds < maxRounds ? Verdict.Open : Verdict.None;
        if (!isDrawn(claimHash)) return Verdict.Holds;
        return block.timestamp < end + answerSeconds ? Verdict.Open : Verdict.Fails;
    }

    /// @notice Whether the value of its round draws a claim; reverts with NotOver or NoValue before there is one.
    function isDrawn(bytes32 claimHash) public view returns (bool) {
        bytes32 value = beacon.value(_entered(claimHash).round);
        return uint256(keccak256(abi.encode(value, claimHash))) % BASIS_POINTS < rateBp;
    }

    /// @notice Claims that a node may have in flight with its stake.
    function capacityOf(address node) public view returns (uint256) {
        return _nodes[node].stake / fine * maxInFlight;
    }

    function nodeOf(address node) external view returns (Node memory) {
        return _nodes[node];
    }

    function entryOf(bytes32 claimHash) external view returns (Entry memory) {
        return _entries[claimHash];
    }

    function claimHashOf(Records.Claim calldata claim) public pure returns (bytes32) {
        return Claims.hash(claim);
    }

    function _entered(bytes32 claimHash) private view returns (Entry storage entry) {
        entry = _entries[claimHash];
        require(entry.node != address(0), NotEntered(claimHash));
    }

    function _close(bytes32 claimHash, Entry storage entry, Verdict found) private {
        require(!entry.closed, AlreadyClosed(claimHash));
        entry.closed = true;
        --_nodes[entry.node].inFlight;
        emit Closed(claimHash, found);
    }
}
