// SPDX-License-Identifier: MIT OR Apache-2.0
// A claim run again by members whom the beacon draws: more than half of them decide, by output and by trace of the run.
// The life of a claim: asked -> drawn (commit, then reveal) -> upheld, refuted or undecided; without a draw it is forgotten.
// Invariant: a fee is in one place until it is owed, to the last unit; so is what is slashed. Each state ends by a call that anyone can
// make from a known second on. What was upheld or refuted never changes. One job (registry, program, input, prover, nonce) is drawn for
// once, whatever output is claimed, so nobody can ask until a panel pleases. No reveal is possible while a commitment is.
// Source: docs/audits.md, "A quorum on chain". Draws and stakes are ValidationSet's.
// What it does not do: it runs nothing and is no proof: k members who collude decide falsely, and are not convicted. Who votes with the
// minority loses nothing but its part. It cannot tell a member who ran the program from one whom another told output and trace.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Claims, Records} from "./Records.sol";
import {ValidationSet} from "./ValidationSet.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";
import {IBeacon} from "./interfaces/IBeacon.sol";

contract Quorum is ValidationSet, IAssurance {
    using SafeERC20 for IERC20;

    /// @notice Members of one panel; an odd number from leastDrawn to MAX_DRAWN, and never below MIN_DRAWN.
    uint8 public constant MIN_DRAWN = 3;
    uint8 public constant MAX_DRAWN = 15;
    /// @notice Panels that are not finished. Bounds what members can be asked to do at a time.
    uint256 public constant MAX_OPEN = 256;
    /// @notice Rounds without a value, or draws that nobody called in time, before a claim is forgotten and its fee goes back.
    uint8 public constant MAX_POSTPONED = 8;
    /// @notice Bytes of what a prover says where input and salt can be had.
    uint256 public constant MAX_WHERE = 256;

    enum State {
        None,
        Asked,
        Drawn,
        Upheld,
        Refuted,
        Undecided
    }

    enum PartState {
        Drawn,
        Committed,
        Revealed
    }

    /// @param drawSeconds How long after its round a draw can be called.
    /// @param minFee Least credit-wei of a fee for each member; also what each who revealed has when the panel decides nothing.
    /// @param leastDrawn Fewest members of a panel.
    struct Terms {
        uint64 drawSeconds;
        uint64 commitSeconds;
        uint64 revealSeconds;
        uint64 unbondingSeconds;
        uint16 slashBp;
        uint128 minStake;
        uint128 minFee;
        uint8 leastDrawn;
    }

    /// @param asOf Second at which the set counts.
    /// @param until Second at which reveals are over; zero before the draw.
    /// @param outputHash The claim's.
    /// @param foundOutput What the deciding members got, with its trace; zeros: nothing.
    struct Panel {
        address prover;
        State state;
        uint8 n;
        uint8 postponed;
        uint8 committed;
        uint8 revealed;
        uint64 asOf;
        uint64 until;
        uint128 fee;
        uint256 round;
        bytes32 job;
        bytes32 outputHash;
        bytes32 foundOutput;
        bytes32 foundTrace;
    }

    /// @param word The commitment, after the reveal the output's hash.
    struct Part {
        address member;
        PartState state;
        bytes32 word;
        bytes32 traceRoot;
    }

    IBeacon public immutable beacon;
    uint64 public immutable drawSeconds;
    uint64 public immutable commitSeconds;
    uint64 public immutable revealSeconds;
    uint128 public immutable minFee;
    uint8 public immutable leastDrawn;
    uint256 public openPanels;
    /// @notice Which claim of a job a panel was asked about; zero: none.
    mapping(bytes32 job => bytes32 claimHash) public askedFor;
    mapping(bytes32 claimHash => Panel) private _panels;
    mapping(bytes32 claimHash => Part[]) private _parts;
    /// @dev Place in _parts, from 1; zero: not drawn.
    mapping(bytes32 claimHash => mapping(address member => uint256)) private _placeOf;


    event PanelAsked(
        bytes32 indexed claimHash, address indexed prover, Records.Claim claim, uint128 fee, uint8 n, uint256 round, string where
    );
    event PanelPostponed(bytes32 indexed claimHash, uint256 round);
    event PanelDrawn(bytes32 indexed claimHash, address[] members, uint64 commitEnd, uint64 revealEnd);
    event VoteCommitted(bytes32 indexed claimHash, address indexed member, bytes32 commitment, uint64 revealEnd);
    event VoteRevealed(bytes32 indexed claimHash, address indexed member, bytes32 outputHash, bytes32 traceRoot);
    /// @notice More than half of the drawn agree; zeros say that they do not, or that they had no output.
    event PanelDecided(bytes32 indexed claimHash, State state, bytes32 outputHash, bytes32 traceRoot);
    /// @notice There was no draw; the prover can ask again.
    event PanelForgotten(bytes32 indexed claimHash, address indexed prover, uint128 fee);

    error NotThisChain(uint256 chainId);
    error NotTheProver(address prover, address caller);
    error BadCount(uint8 n);
    error FeeTooSmall(uint128 fee, uint256 least);
    error ZeroHash();
    error TooLong(uint256 length, uint256 most);
    error TooManyOpen(uint256 count);
    error AlreadyAsked(bytes32 claimHash);
    error NotInState(bytes32 claimHash, State state);
    error NotDrawn(bytes32 claimHash, address caller);
    error CommitOver(bytes32 claimHash, uint256 end, uint256 nowAt);
    error NotRevealing(bytes32 claimHash, uint256 from, uint256 until, uint256 nowAt);
    error WrongPartState(bytes32 claimHash, address member, PartState state);
    error WrongReveal(bytes32 claimHash, address member);
    error BadVote(bytes32 outputHash, bytes32 traceRoot);
    error TooEarly(bytes32 claimHash, uint64 until, uint256 nowAt);

    constructor(IERC20 credit_, IBeacon beacon_, Terms memory terms)
        ValidationSet(credit_, terms.unbondingSeconds, terms.slashBp, terms.minStake)
    {
        (beacon, minFee, leastDrawn) = (beacon_, terms.minFee, terms.leastDrawn);
        (drawSeconds, commitSeconds, revealSeconds) = (terms.drawSeconds, terms.commitSeconds, terms.revealSeconds);
        require(_isTime(drawSeconds) && _isTime(commitSeconds) && _isTime(revealSeconds), BadTerms());
        require(minFee != 0 && minFee <= type(uint112).max, BadTerms());
        require(leastDrawn >= MIN_DRAWN && leastDrawn <= MAX_DRAWN && leastDrawn % 2 == 1, BadTerms());
        // Otherwise a member could leave the seats, and with it the draw, between the number and the draw.
        require(unbondingSeconds > freezeSeconds(), BadTerms());
    }

    // ---- a panel ---------------------------------------------------------------------------------

    /// @notice Ask for a panel about a claim of one's own; takes the fee. Only the prover: who could ask about the claims of others
    /// could use up their one panel, with the least number of members and nowhere to get the input.
    /// @param fee Credit-wei for the members who decide.
    /// @param n Members to draw, an odd number.
    /// @param where Where input and salt can be had until the panel is finished.
    function request(Records.Claim calldata claim_, uint128 fee, uint8 n, string calldata where) external returns (bytes32 claimHash) {
        require(claim_.prover == msg.sender, NotTheProver(claim_.prover, msg.sender));
        require(claim_.chainId == block.chainid, NotThisChain(claim_.chainId));
        // Zero is the vote of who has no output.
        require(claim_.outputHash != 0, ZeroHash());
        require(n >= leastDrawn && n <= MAX_DRAWN && n % 2 == 1, BadCount(n));
        require(fee >= uint256(minFee) * n, FeeTooSmall(fee, uint256(minFee) * n));
        require(bytes(where).length <= MAX_WHERE, TooLong(bytes(where).length, MAX_WHERE));
        require(openPanels < MAX_OPEN, TooManyOpen(openPanels));
        bytes32 job = jobOf(claim_);
        require(askedFor[job] == 0, AlreadyAsked(askedFor[job]));
        claimHash = claimHashOf(claim_);
        askedFor[job] = claimHash;
        ++openPanels;
        Panel storage p = _panels[claimHash];
        (p.prover, p.state, p.n, p.fee, p.job, p.outputHash) = (msg.sender, State.Asked, n, fee, job, claim_.outputHash);
        (p.asOf, p.round) = (uint64(block.timestamp), beacon.nextRound());
        emit PanelAsked(claimHash, msg.sender, claim_, fee, n, p.round, where);
        credit.safeTransferFrom(msg.sender, address(this), fee);
    }

    /// @notice Draw the members when the panel's round is over; anyone may. Without a value, or later than drawSeconds after the round,
    /// a later round is taken; after MAX_POSTPONED of them, and if fewer than n members are eligible, the claim is forgotten.
    function draw(bytes32 claimHash) external {
        Panel storage p = _in(claimHash, State.Asked);
        bool inTime = block.timestamp <= beacon.endsAt(p.round) + drawSeconds;
        if (!beacon.hasValue(p.round) || !inTime) return _postpone(claimHash, p);
        (address[] memory accounts, uint256[] memory weights, uint256 count, uint256 total) = _weights(p.asOf, p.prover);
        if (count < p.n) return _forget(claimHash, p);
        bytes32 seed = keccak256(abi.encode(beacon.value(p.round), address(this), claimHash));
        address[] memory drawn = _draw(seed, p.n, accounts, weights, total);
        for (uint256 i = 0; i < drawn.length; ++i) {
            _parts[claimHash].push(Part(drawn[i], PartState.Drawn, 0, 0));
            _placeOf[claimHash][drawn[i]] = i + 1;
        }
        uint64 commitEnd = uint64(block.timestamp) + commitSeconds;
        (p.state, p.until) = (State.Drawn, commitEnd + revealSeconds);
        emit PanelDrawn(claimHash, drawn, commitEnd, p.until);
    }

    /// @notice A drawn member: commit to a vote. With the last commitment the reveals begin.
    /// @param commitment commitmentOf(...): bound to its sender, so a copy of it opens for nobody else.
    function commit(bytes32 claimHash, bytes32 commitment) external {
        Panel storage p = _in(claimHash, State.Drawn);
        Part storage part = _part(claimHash);
        require(block.timestamp < p.until - revealSeconds, CommitOver(claimHash, p.until - revealSeconds, block.timestamp));
        require(part.state == PartState.Drawn, WrongPartState(claimHash, msg.sender, part.state));
        (part.state, part.word) = (PartState.Committed, commitment);
        if (++p.committed == p.n) p.until = uint64(block.timestamp) + revealSeconds;
        emit VoteCommitted(claimHash, msg.sender, commitment, p.until);
    }

    /// @notice A drawn member: show what it committed to, when nobody can commit any more. Two zeros: no output could be had, because the
    /// input is not there, is another, or the program refuses it.
    /// @param traceRoot Root over every value of the run, which the claim does not tell.
    function reveal(bytes32 claimHash, bytes32 outputHash, bytes32 traceRoot, bytes32 salt) external {
        Panel storage p = _in(claimHash, State.Drawn);
        Part storage part = _part(claimHash);
        uint256 from = p.until - revealSeconds;
        bool open = block.timestamp >= from && block.timestamp < p.until;
        require(open, NotRevealing(claimHash, from, p.until, block.timestamp));
        require(part.state == PartState.Committed, WrongPartState(claimHash, msg.sender, part.state));
        bytes32 commitment = commitmentOf(claimHash, msg.sender, outputHash, traceRoot, salt);
        require(part.word == commitment, WrongReveal(claimHash, msg.sender));
        require((outputHash == 0) == (traceRoot == 0), BadVote(outputHash, traceRoot));
        (part.state, part.word, part.traceRoot) = (PartState.Revealed, outputHash, traceRoot);
        ++p.revealed;
        emit VoteRevealed(claimHash, msg.sender, outputHash, traceRoot);
    }

    /// @notice Count, pay and slash, at the end of the reveals or when everyone has revealed; anyone may.
    function finish(bytes32 claimHash) external {
        Panel storage p = _in(claimHash, State.Drawn);
        bool over = p.revealed == p.n || block.timestamp >= p.until;
        require(over, TooEarly(claimHash, p.until, block.timestamp));
        Part[] memory parts = _parts[claimHash];
        (p.foundOutput, p.foundTrace) = _majority(parts);
        bool decided = p.foundOutput != 0;
        p.state = !decided ? State.Undecided : p.foundOutput == p.outputHash ? State.Upheld : State.Refuted;
        --openPanels;
        emit PanelDecided(claimHash, p.state, p.foundOutput, p.foundTrace);
        _pay(claimHash, p, parts, decided);
    }

    // ---- views -----------------------------------------------------------------------------------

    /// @inheritdoc IAssurance
    /// @dev Undecided is None: whoever pays for a claim of which nothing is known has the money back.
    function verdict(bytes32 claimHash, address) external view returns (Verdict) {
        State state = _panels[claimHash].state;
        if (state == State.Upheld) return Verdict.Holds;
        if (state == State.Refuted) return Verdict.Fails;
        return state == State.Asked || state == State.Drawn ? Verdict.Open : Verdict.None;
    }

    function panelOf(bytes32 claimHash) external view returns (Panel memory) {
        return _panels[claimHash];
    }

    /// @notice The drawn of a panel and what they did, in the order of the draw.
    function partsOf(bytes32 claimHash) external view returns (Part[] memory) {
        return _parts[claimHash];
    }

    /// @notice Most seconds for which the draw of a panel depends on the set of one second.
    function freezeSeconds() public view returns (uint256) {
        return beacon.maxWait() + drawSeconds;
    }

    /// @notice What `member` commits to: of this chain, this contract and this claim only.
    function commitmentOf(bytes32 claimHash, address member, bytes32 outputHash, bytes32 traceRoot, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), claimHash, member, outputHash, traceRoot, salt));
    }

    function claimHashOf(Records.Claim calldata claim_) public pure returns (bytes32) {
        return Claims.hash(claim_);
    }

    /// @notice What a claim answers, without the answer: a paid call fixes all of it before it is answered.
    function jobOf(Records.Claim calldata claim_) public pure returns (bytes32) {
        return keccak256(abi.encode(claim_.registry, claim_.programId, claim_.inputHash, claim_.prover, claim_.jobNonce));
    }

    // ---- inner -----------------------------------------------------------------------------------

    function _isTime(uint64 time) private pure returns (bool) {
        return time != 0 && time <= 30 days;
    }

    function _in(bytes32 claimHash, State state) private view returns (Panel storage p) {
        p = _panels[claimHash];
        require(p.state == state, NotInState(claimHash, p.state));
    }

    function _part(bytes32 claimHash) private view returns (Part storage) {
        uint256 place = _placeOf[claimHash][msg.sender];
        require(place != 0, NotDrawn(claimHash, msg.sender));
        return _parts[claimHash][place - 1];
    }

    function _postpone(bytes32 claimHash, Panel storage p) private {
        if (p.postponed == MAX_POSTPONED) return _forget(claimHash, p);
        ++p.postponed;
        (p.asOf, p.round) = (uint64(block.timestamp), beacon.nextRound());
        emit PanelPostponed(claimHash, p.round);
    }

    /// @dev Nobody was drawn, so the prover learned nothing and may ask again.
    function _forget(bytes32 claimHash, Panel storage p) private {
        (address prover, uint128 fee) = (p.prover, p.fee);
        delete askedFor[p.job];
        delete _panels[claimHash];
        --openPanels;
        owed[prover] += fee;
        emit PanelForgotten(claimHash, prover, fee);
    }

    /// @dev Output and trace that more than half of the drawn revealed, or zeros.
    function _majority(Part[] memory parts) private pure returns (bytes32, bytes32) {
        for (uint256 i = 0; i < parts.length; ++i) {
            uint256 alike = 0;
            for (uint256 j = 0; j < parts.length; ++j) if (_voted(parts[j], parts[i].word, parts[i].traceRoot)) ++alike;
            if (parts[i].state == PartState.Revealed && 2 * alike > parts.length) return (parts[i].word, parts[i].traceRoot);
        }
        return (0, 0);
    }

    function _voted(Part memory part, bytes32 outputHash, bytes32 traceRoot) private pure returns (bool) {
        return part.state == PartState.Revealed && part.word == outputHash && part.traceRoot == traceRoot;
    }

    /// @dev Decided: who voted so shares the fee. Undecided: who revealed has minFee, so that empty questions are not free, and the prover
    /// has the rest back. Who did not reveal is slashed for those who did; nobody is if nobody did.
    function _pay(bytes32 claimHash, Panel storage p, Part[] memory parts, bool decided) private {
        address[] memory paid = new address[](parts.length);
        address[] memory shown = new address[](parts.length);
        (uint256 payees, uint256 count, uint256 pot) = (0, 0, 0);
        for (uint256 i = 0; i < parts.length; ++i) {
            bool revealed = parts[i].state == PartState.Revealed;
            if (revealed) shown[count++] = parts[i].member;
            bool pays = decided ? _voted(parts[i], p.foundOutput, p.foundTrace) : revealed;
            if (pays) paid[payees++] = parts[i].member;
            pot += _finishFor(parts[i].member, uint256(claimHash), !revealed && p.revealed != 0);
        }
        uint256 fee = decided ? p.fee : uint256(minFee) * payees;
        owed[p.prover] += p.fee - fee;
        _oweEqually(paid, payees, fee);
        _oweEqually(shown, count, pot);
    }
}
