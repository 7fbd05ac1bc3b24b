// SPDX-License-Identifier: MIT OR Apache-2.0
// Validation of data: drawn validators recompute a score, commit, reveal, are paid, and lose stake when they were wrong.
// The life of a request: requested -> drawn (commit, then reveal) -> proposed (open to appeal) -> [appealed] -> validated, unavailable or refunded.
// Invariant: every fee, bond and slashed stake is in one place until it is owed, to the last unit; undecided means refund. Each state
// ends by a call that anyone can make from a known second on, so no request keeps a member from leaving. What was proposed stands
// unless more than two thirds of the disinterested stake vote for something else. A refused appeal opens the window anew, for
// twice the bond, so that a false appeal shields nothing; MAX_APPEALS bound it.
// Source: docs/data-validation.md; docs/data-value.md for the score, which is exact, so that honest validators agree to the last bit.
// What it does not do: it reads no data and computes no score. Validators who tell each other the answer, or of whom one does the work
// for all, look like honest ones as long as the answer is right. A majority of the drawn that lies is undone only by an appeal, and a third
// of the stake can keep an appeal undecided. Whether the rules (`rulesHash`) and the data are any good is for the reader of a score.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Assets} from "./Assets.sol";
import {ValidationSet} from "./ValidationSet.sol";
import {IBeacon} from "./interfaces/IBeacon.sol";
import {IRouter} from "./interfaces/IRouter.sol";

contract DataValidation is ValidationSet {
    using SafeERC20 for IERC20;

    /// @notice Validators of one request; an odd number from MIN_DRAWN to MAX_DRAWN.
    uint8 public constant MIN_DRAWN = 3;
    uint8 public constant MAX_DRAWN = 15;
    /// @notice Requests that are not finished. Bounds what validators can be asked to do at a time.
    uint256 public constant MAX_OPEN = 256;
    /// @notice Rounds without a value, or draws that nobody called in time, before a request is refunded.
    uint8 public constant MAX_POSTPONED = 8;
    /// @notice Part of what an appeal slashes that the appellant gets, in basis points.
    uint256 public constant APPELLANT_BP = 5_000;
    /// @notice Appeals of one request, one at a time; each needs twice the bond of the one before.
    uint8 public constant MAX_APPEALS = 16;
    uint32 public constant MAX_SCORE_PPM = 1_000_000;
    /// @notice What the router counts these fees as.
    uint8 public constant METER = 1;
    /// @notice The report of a validator who could not get the data, or whose data are not what was requested; its score is zero.
    bytes32 public constant UNAVAILABLE = bytes32(uint256(1));

    enum State {
        None,
        Requested,
        Drawn,
        Proposed,
        Appealed,
        Validated,
        Unavailable,
        Refunded
    }

    enum PartState {
        Drawn,
        Committed,
        Revealed
    }

    /// @param drawSeconds How long after its round a draw can be called.
    /// @param minFee Least credit-wei of a fee for each validator.
    struct Terms {
        uint64 drawSeconds;
        uint64 commitSeconds;
        uint64 revealSeconds;
        uint64 windowSeconds;
        uint64 voteSeconds;
        uint64 unbondingSeconds;
        uint16 slashBp;
        uint128 minStake;
        uint128 minFee;
        uint128 appealBond;
    }

    /// @param asOf Second at which the set counts.
    /// @param until Second at which the state's time is over; of Drawn the reveal's.
    /// @param appeals How many there were, a running one included.
    /// @param report Result or proposal; zero: none.
    struct Request {
        address requester;
        State state;
        uint8 k;
        uint8 postponed;
        uint8 revealed;
        uint32 score;
        uint8 appeals;
        uint256 classId;
        bytes32 contentHash;
        bytes32 rulesHash;
        bytes32 report;
        uint128 fee;
        uint64 asOf;
        uint64 until;
        uint256 round;
    }

    /// @param word The commitment, after the reveal the report.
    struct Part {
        address validator;
        PartState state;
        uint32 score;
        bytes32 word;
    }

    /// @param total Stake that may vote.
    struct Appeal {
        address appellant;
        uint64 asOf;
        uint32 score;
        bytes32 report;
        uint256 total;
        uint256 inFavour;
        uint256 against;
    }

    /// @param requestId Zero: the class was never validated.
    struct Score {
        uint256 requestId;
        bytes32 contentHash;
        bytes32 rulesHash;
        bytes32 report;
        uint32 scorePpm;
        uint64 validatedAt;
    }

    Assets public immutable assets;
    IBeacon public immutable beacon;
    IRouter public immutable router;
    uint64 public immutable drawSeconds;
    uint64 public immutable commitSeconds;
    uint64 public immutable revealSeconds;
    uint64 public immutable windowSeconds;
    uint64 public immutable voteSeconds;
    uint128 public immutable minFee;
    uint128 public immutable appealBond;
    /// @notice Requests are numbered from 1 to this.
    uint256 public requestCount;
    uint256 public openRequests;
    /// @notice Credit-wei of the fee that collect() routes for a validator.
    mapping(uint256 requestId => mapping(address validator => uint256)) public feeOf;
    mapping(uint256 requestId => Request) private _requests;
    mapping(uint256 requestId => Part[]) private _parts;
    /// @dev Place in _parts, from 1; zero: not drawn.
    mapping(uint256 requestId => mapping(address validator => uint256)) private _placeOf;
    mapping(uint256 requestId => Appeal) private _appeals;
    /// @dev By request and number of the appeal, as _ballot puts them together.
    mapping(uint256 ballot => mapping(address validator => bool)) private _hasVoted;
    mapping(uint256 ballot => mapping(bool inFavour => address[])) private _voters;
    mapping(uint256 classId => Score) private _scores;

    event ValidationRequested(
        uint256 indexed requestId, uint256 indexed classId, address indexed requester, bytes32 contentHash, bytes32 rulesHash,
        uint128 fee, uint8 k, uint256 round
    );
    event ValidationPostponed(uint256 indexed requestId, uint256 indexed classId, uint256 round);
    event ValidatorsDrawn(uint256 indexed requestId, uint256 indexed classId, address[] validators, uint64 commitEnd, uint64 revealEnd);
    event ScoreCommitted(uint256 indexed requestId, address indexed validator, bytes32 commitment);
    event ScoreRevealed(uint256 indexed requestId, address indexed validator, bytes32 report, uint32 scorePpm);
    /// @notice More than half of the drawn agree; a report of zero says that they do not.
    event ValidationProposed(uint256 indexed requestId, uint256 indexed classId, bytes32 report, uint32 scorePpm, uint64 windowEnd);
    event ValidationAppealed(
        uint256 indexed requestId, uint256 indexed classId, address indexed appellant, bytes32 report, uint32 scorePpm,
        uint256 total, uint64 voteEnd
    );
    event AppealRefused(uint256 indexed requestId, uint256 indexed classId, uint64 windowEnd);
    event AppealVoted(uint256 indexed requestId, address indexed validator, bool inFavour, uint256 weight);
    event Validated(uint256 indexed requestId, uint256 indexed classId, bytes32 report, uint32 scorePpm, bytes32 contentHash, bytes32 rulesHash);
    event ValidationUnavailable(uint256 indexed requestId, uint256 indexed classId);
    event ValidationRefunded(uint256 indexed requestId, uint256 indexed classId, address indexed requester, uint128 fee);
    event FeeCollected(uint256 indexed requestId, uint256 indexed classId, address indexed validator, uint256 amount);

    error NotClassOwner(uint256 classId, address caller);
    error BadCount(uint8 k);
    error FeeTooSmall(uint128 fee, uint256 least);
    error ZeroHash();
    error TooManyOpen(uint256 count);
    error NotInState(uint256 requestId, State state);
    error NotDrawn(uint256 requestId, address caller);
    error CommitOver(uint256 requestId, uint256 end, uint256 nowAt);
    error NotRevealing(uint256 requestId, uint256 from, uint256 until, uint256 nowAt);
    error WrongPartState(uint256 requestId, address validator, PartState state);
    error WrongReveal(uint256 requestId, address validator);
    error BadReport(bytes32 report, uint32 scorePpm);
    error TooEarly(uint256 requestId, uint64 until, uint256 nowAt);
    error TooLate(uint256 requestId, uint64 until, uint256 nowAt);
    error SameReport(uint256 requestId);
    error NotEligible(uint256 requestId, address caller);
    error InterestedVoter(uint256 requestId, address caller);
    error AlreadyVoted(uint256 requestId, address caller);
    error NothingToCollect(uint256 requestId, address validator);

    constructor(IERC20 credit_, Assets assets_, IBeacon beacon_, IRouter router_, Terms memory terms)
        ValidationSet(credit_, terms.unbondingSeconds, terms.slashBp, terms.minStake)
    {
        (assets, beacon, router) = (assets_, beacon_, router_);
        (drawSeconds, commitSeconds, revealSeconds) = (terms.drawSeconds, terms.commitSeconds, terms.revealSeconds);
        (windowSeconds, voteSeconds, minFee, appealBond) =
            (terms.windowSeconds, terms.voteSeconds, terms.minFee, terms.appealBond);
        bool times = _isTime(drawSeconds) && _isTime(commitSeconds) && _isTime(revealSeconds);
        require(times && _isTime(windowSeconds) && _isTime(voteSeconds), BadTerms());
        require(minFee != 0 && appealBond != 0 && appealBond <= type(uint112).max, BadTerms());
        // Otherwise a member could leave the seats, and with it the draw, between the number and the draw.
        require(unbondingSeconds > freezeSeconds(), BadTerms());
        credit_.approve(address(router_), type(uint256).max);
    }

    // ---- a request -------------------------------------------------------------------------------

    /// @notice Ask for a validation of the class's data; takes the fee. Only the class's owner, who is not drawn for it.
    /// @param contentHash Root of the rows, as reports name it.
    /// @param rulesHash What the score is computed by: evaluation, base and weights.
    /// @param k Validators to draw, an odd number.
    function request(uint256 classId, bytes32 contentHash, bytes32 rulesHash, uint128 fee, uint8 k)
        external
        returns (uint256 requestId)
    {
        require(assets.classOwner(classId) == msg.sender, NotClassOwner(classId, msg.sender));
        require(k >= MIN_DRAWN && k <= MAX_DRAWN && k % 2 == 1, BadCount(k));
        require(fee >= uint256(minFee) * k, FeeTooSmall(fee, uint256(minFee) * k));
        require(contentHash != 0 && rulesHash != 0, ZeroHash());
        require(openRequests < MAX_OPEN, TooManyOpen(openRequests));
        ++openRequests;
        requestId = ++requestCount;
        Request storage r = _requests[requestId];
        (r.requester, r.state, r.k, r.classId) = (msg.sender, State.Requested, k, classId);
        (r.contentHash, r.rulesHash, r.fee) = (contentHash, rulesHash, fee);
        (r.asOf, r.round) = (uint64(block.timestamp), beacon.nextRound());
        emit ValidationRequested(requestId, classId, msg.sender, contentHash, rulesHash, fee, k, r.round);
        credit.safeTransferFrom(msg.sender, address(this), fee);
    }

    /// @notice Draw the validators when the request's round is over; anyone may. Without a value, or later than drawSeconds after the
    /// round, a later round is taken; after MAX_POSTPONED of them, and if not more than k members are eligible, the fee goes back.
    function draw(uint256 requestId) external {
        Request storage r = _in(requestId, State.Requested);
        bool inTime = block.timestamp <= beacon.endsAt(r.round) + drawSeconds;
        if (!beacon.hasValue(r.round) || !inTime) return _postpone(requestId, r);
        (address[] memory accounts, uint256[] memory weights, uint256 count, uint256 total) = _weights(r.asOf, r.requester);
        // At least one must be left to vote on an appeal.
        if (count <= r.k) return _refund(requestId, r);
        bytes32 seed = keccak256(abi.encode(beacon.value(r.round), address(this), requestId));
        address[] memory drawn = _draw(seed, r.k, accounts, weights, total);
        for (uint256 i = 0; i < drawn.length; ++i) {
            _parts[requestId].push(Part(drawn[i], PartState.Drawn, 0, 0));
            _placeOf[requestId][drawn[i]] = i + 1;
        }
        uint64 commitEnd = uint64(block.timestamp) + commitSeconds;
        (r.state, r.until) = (State.Drawn, commitEnd + revealSeconds);
        emit ValidatorsDrawn(requestId, r.classId, drawn, commitEnd, r.until);
    }

    /// @notice A drawn validator: commit to a score.
    /// @param commitment commitmentOf(...): bound to its sender, so a copy of it opens for nobody else.
    function commit(uint256 requestId, bytes32 commitment) external {
        Request storage r = _in(requestId, State.Drawn);
        Part storage part = _part(requestId);
        require(block.timestamp < r.until - revealSeconds, CommitOver(requestId, r.until - revealSeconds, block.timestamp));
        require(part.state == PartState.Drawn, WrongPartState(requestId, msg.sender, part.state));
        (part.state, part.word) = (PartState.Committed, commitment);
        emit ScoreCommitted(requestId, msg.sender, commitment);
    }

    /// @notice A drawn validator: show what it committed to, when nobody can commit any more.
    function reveal(uint256 requestId, bytes32 report, uint32 scorePpm, bytes32 salt) external {
        Request storage r = _in(requestId, State.Drawn);
        Part storage part = _part(requestId);
        uint256 from = r.until - revealSeconds;
        bool open = block.timestamp >= from && block.timestamp < r.until;
        require(open, NotRevealing(requestId, from, r.until, block.timestamp));
        require(part.state == PartState.Committed, WrongPartState(requestId, msg.sender, part.state));
        bytes32 commitment = commitmentOf(requestId, msg.sender, report, scorePpm, salt);
        require(part.word == commitment, WrongReveal(requestId, msg.sender));
        _checkReport(report, scorePpm);
        (part.state, part.word, part.score) = (PartState.Revealed, report, scorePpm);
        ++r.revealed;
        emit ScoreRevealed(requestId, msg.sender, report, scorePpm);
    }

    /// @notice Count what was revealed, at the end of that time or when everyone has revealed; anyone may. Begins the time for appeals.
    function tally(uint256 requestId) external {
        Request storage r = _in(requestId, State.Drawn);
        bool over = r.revealed == r.k || block.timestamp >= r.until;
        require(over, TooEarly(requestId, r.until, block.timestamp));
        (r.report, r.score) = _majority(_parts[requestId]);
        (r.state, r.until) = (State.Proposed, uint64(block.timestamp) + windowSeconds);
        emit ValidationProposed(requestId, r.classId, r.report, r.score, r.until);
    }

    /// @notice Say that another report is right, while the window is open; takes the bond. Everyone who was a member before this second
    /// may vote, but the requester, the appellant and the drawn.
    function appeal(uint256 requestId, bytes32 report, uint32 scorePpm) external {
        Request storage r = _in(requestId, State.Proposed);
        require(block.timestamp < r.until, TooLate(requestId, r.until, block.timestamp));
        _checkReport(report, scorePpm);
        require(report != r.report || scorePpm != r.score, SameReport(requestId));
        uint64 nowAt = uint64(block.timestamp);
        (address[] memory accounts, uint256[] memory weights, , uint256 total) = _weights(nowAt, r.requester);
        for (uint256 i = 0; i < accounts.length; ++i) {
            bool interested = accounts[i] == msg.sender || _placeOf[requestId][accounts[i]] != 0;
            if (interested) total -= weights[i];
        }
        (r.state, r.until) = (State.Appealed, nowAt + voteSeconds);
        ++r.appeals;
        _appeals[requestId] = Appeal(msg.sender, nowAt, scorePpm, report, total, 0, 0);
        emit ValidationAppealed(requestId, r.classId, msg.sender, report, scorePpm, total, r.until);
        credit.safeTransferFrom(msg.sender, address(this), _bondOf(r));
    }

    /// @notice A member's vote, by the weight of its stake: the appellant's report is right, or it is not.
    function vote(uint256 requestId, bool inFavour) external {
        Request storage r = _in(requestId, State.Appealed);
        require(block.timestamp < r.until, TooLate(requestId, r.until, block.timestamp));
        Appeal storage a = _appeals[requestId];
        uint256 weight = _weightAt(msg.sender, a.asOf);
        require(weight != 0, NotEligible(requestId, msg.sender));
        bool interested = msg.sender == r.requester || msg.sender == a.appellant || _placeOf[requestId][msg.sender] != 0;
        require(!interested, InterestedVoter(requestId, msg.sender));
        uint256 ballot = _ballot(requestId, r);
        require(!_hasVoted[ballot][msg.sender], AlreadyVoted(requestId, msg.sender));
        _hasVoted[ballot][msg.sender] = true;
        if (inFavour) a.inFavour += weight;
        else a.against += weight;
        _voters[ballot][inFavour].push(msg.sender);
        emit AppealVoted(requestId, msg.sender, inFavour, weight);
    }

    /// @notice End a request: from the end of the window, or as soon as a vote is decided, or from the end of the vote. Anyone may.
    /// A refused appeal does not end it, but for the last one: the window opens anew.
    function finish(uint256 requestId) external {
        Request storage r = _requests[requestId];
        Appeal storage a = _appeals[requestId];
        bool appealed = r.state == State.Appealed;
        require(appealed || r.state == State.Proposed, NotInState(requestId, r.state));
        bool accepted = appealed && 3 * a.inFavour > 2 * a.total;
        bool rejected = appealed && 3 * a.against > 2 * a.total;
        if (!accepted && !rejected) require(block.timestamp >= r.until, TooEarly(requestId, r.until, block.timestamp));
        if (accepted) (r.report, r.score) = (a.report, a.score);
        else if (appealed && !rejected) (r.report, r.score) = (0, 0);
        if (appealed) _payBond(requestId, r, a, accepted, rejected);
        if (rejected && r.appeals < MAX_APPEALS) {
            (r.state, r.until) = (State.Proposed, uint64(block.timestamp) + windowSeconds);
            emit AppealRefused(requestId, r.classId, r.until);
            return;
        }
        _settle(requestId, r, accepted ? a.appellant : address(0));
    }

    /// @notice Route a validator's part of the fee; anyone may. Not done by finish(), so that nothing about fees can hold up stakes.
    function collect(uint256 requestId, address validator) external {
        uint256 amount = feeOf[requestId][validator];
        require(amount != 0, NothingToCollect(requestId, validator));
        feeOf[requestId][validator] = 0;
        uint256 classId = _requests[requestId].classId;
        emit FeeCollected(requestId, classId, validator, amount);
        router.route(METER, validator, classId, amount);
    }

    // ---- views -----------------------------------------------------------------------------------

    /// @notice The result of the newest request of a class that was validated. Compare contentHash and rulesHash with what you expect.
    function scoreOf(uint256 classId) external view returns (Score memory) {
        return _scores[classId];
    }

    function requestOf(uint256 requestId) external view returns (Request memory) {
        return _requests[requestId];
    }

    /// @notice The drawn of a request and what they did, in the order of the draw.
    function partsOf(uint256 requestId) external view returns (Part[] memory) {
        return _parts[requestId];
    }

    /// @notice Credit-wei that the next appeal of a request puts up.
    function bondOfNextAppeal(uint256 requestId) external view returns (uint256) {
        return uint256(appealBond) << _requests[requestId].appeals;
    }

    function hasVoted(uint256 requestId, address validator) external view returns (bool) {
        return _hasVoted[_ballot(requestId, _requests[requestId])][validator];
    }

    /// @notice The newest appeal of a request.
    function appealOf(uint256 requestId) external view returns (Appeal memory) {
        return _appeals[requestId];
    }

    /// @notice Most seconds for which the draw of a request depends on the set of one second.
    function freezeSeconds() public view returns (uint256) {
        return beacon.maxWait() + drawSeconds;
    }

    /// @notice What `validator` commits to: of this chain, this contract and this request only.
    function commitmentOf(uint256 requestId, address validator, bytes32 report, uint32 scorePpm, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), requestId, validator, report, scorePpm, salt));
    }

    // ---- inner -----------------------------------------------------------------------------------

    function _isTime(uint64 time) private pure returns (bool) {
        return time != 0 && time <= 30 days;
    }

    function _checkReport(bytes32 report, uint32 scorePpm) private pure {
        bool fits = report != 0 && scorePpm <= MAX_SCORE_PPM && (report != UNAVAILABLE || scorePpm == 0);
        require(fits, BadReport(report, scorePpm));
    }

    function _in(uint256 requestId, State state) private view returns (Request storage r) {
        r = _requests[requestId];
        require(r.state == state, NotInState(requestId, r.state));
    }

    function _part(uint256 requestId) private view returns (Part storage) {
        uint256 place = _placeOf[requestId][msg.sender];
        require(place != 0, NotDrawn(requestId, msg.sender));
        return _parts[requestId][place - 1];
    }

    function _postpone(uint256 requestId, Request storage r) private {
        if (r.postponed == MAX_POSTPONED) return _refund(requestId, r);
        ++r.postponed;
        (r.asOf, r.round) = (uint64(block.timestamp), beacon.nextRound());
        emit ValidationPostponed(requestId, r.classId, r.round);
    }

    function _refund(uint256 requestId, Request storage r) private {
        r.state = State.Refunded;
        --openRequests;
        owed[r.requester] += r.fee;
        emit ValidationRefunded(requestId, r.classId, r.requester, r.fee);
    }

    /// @dev Bond of the appeal that runs.
    function _bondOf(Request storage r) private view returns (uint256) {
        return uint256(appealBond) << (r.appeals - 1);
    }

    function _ballot(uint256 requestId, Request storage r) private view returns (uint256) {
        return (requestId << 8) | r.appeals;
    }

    /// @dev Report and score that more than half of the drawn revealed, or zeros.
    function _majority(Part[] memory parts) private pure returns (bytes32, uint32) {
        for (uint256 i = 0; i < parts.length; ++i) {
            uint256 alike = 0;
            for (uint256 j = 0; j < parts.length; ++j) if (_revealed(parts[j], parts[i].word, parts[i].score)) ++alike;
            if (parts[i].state == PartState.Revealed && 2 * alike > parts.length) return (parts[i].word, parts[i].score);
        }
        return (0, 0);
    }

    function _revealed(Part memory part, bytes32 report, uint32 score) private pure returns (bool) {
        return part.state == PartState.Revealed && part.word == report && part.score == score;
    }

    /// @dev Back to who was right or heard by as much stake as was against; else to those who voted against.
    function _payBond(uint256 requestId, Request storage r, Appeal storage a, bool accepted, bool rejected) private {
        bool lost = rejected || (!accepted && a.against > a.inFavour);
        if (!lost) {
            owed[a.appellant] += _bondOf(r);
            return;
        }
        address[] memory voters = _voters[_ballot(requestId, r)][false];
        _oweEqually(voters, voters.length, _bondOf(r));
    }

    /// @dev Decided (r.report is not zero): who revealed it shares fee and what the others are slashed; after an appeal the
    /// appellant has its part of that first, and who voted in favour shares too. Undecided: the fee goes back, and only who did
    /// not reveal is slashed, for those who did; nobody is if nobody did.
    function _settle(uint256 requestId, Request storage r, address appellant) private {
        Part[] memory parts = _parts[requestId];
        address[] memory voters = appellant == address(0) ? new address[](0) : _voters[_ballot(requestId, r)][true];
        address[] memory right = new address[](parts.length + voters.length);
        (bool decided, uint256 count, uint256 pot) = (r.report != 0, 0, 0);
        for (uint256 i = 0; i < parts.length; ++i) {
            bool shown = parts[i].state == PartState.Revealed;
            bool isRight = decided ? _revealed(parts[i], r.report, r.score) : shown;
            if (isRight) right[count++] = parts[i].validator;
            pot += _finishFor(parts[i].validator, requestId, !isRight && (decided || r.revealed != 0));
        }
        if (!decided || count == 0) owed[r.requester] += r.fee;
        else _shareFee(requestId, r.fee, right, count);
        if (appellant != address(0)) {
            for (uint256 i = 0; i < voters.length; ++i) right[count++] = voters[i];
            uint256 reward = (pot * APPELLANT_BP) / BASIS_POINTS;
            owed[appellant] += reward;
            pot -= reward;
        }
        _oweEqually(right, count, pot);
        _close(requestId, r);
    }

    /// @dev Equal parts; the first of the drawn has what is left.
    function _shareFee(uint256 requestId, uint256 fee, address[] memory right, uint256 count) private {
        uint256 each = fee / count;
        for (uint256 i = 0; i < count; ++i) feeOf[requestId][right[i]] = each;
        feeOf[requestId][right[0]] += fee - each * count;
    }

    function _close(uint256 requestId, Request storage r) private {
        --openRequests;
        if (r.report == 0) {
            r.state = State.Refunded;
            emit ValidationRefunded(requestId, r.classId, r.requester, r.fee);
        } else if (r.report == UNAVAILABLE) {
            r.state = State.Unavailable;
            emit ValidationUnavailable(requestId, r.classId);
        } else {
            r.state = State.Validated;
            emit Validated(requestId, r.classId, r.report, r.score, r.contentHash, r.rulesHash);
            // A request that was made later counts, whichever is finished first.
            if (requestId > _scores[r.classId].requestId) {
                _scores[r.classId] =
                    Score(requestId, r.contentHash, r.rulesHash, r.report, r.score, uint64(block.timestamp));
            }
        }
    }
}
