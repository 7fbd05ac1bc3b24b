// SPDX-License-Identifier: MIT OR Apache-2.0
// A random number for each round, by bonded commit-reveal: everyone who puts a secret in has a part in it.
// Rounds are stretches of Unix time: round r lasts from r * period; in the first commitSeconds secrets are committed to, in the rest
// they are shown. The value is keccak256(abi.encode(acc, r)), acc the XOR of keccak256(abi.encode(secret, sender)) over the secrets shown.
// Invariant: for each round that is over, paid out <= bond * committed, with equality when everyone who can has claimed: those
// who showed have their bond and an equal part of the bonds of those who did not, the first of them also the remainder; if nobody
// showed, everyone has the own bond back. The credit balance is at least what is not yet claimed.
// Source: docs/data-validation.md, "The beacon".
// What it does not do: it does not take away the last word. Who shows last knows the value with and without its secret, and can
// choose between the two for the price of one bond; with m secrets of one owner, all shown last, among 2^m for a bond each left
// out. Who alone puts in secrets chooses freely: one honest secret that is shown makes that impossible. Fewer than `quorum`
// secrets shown, and the round has no value. Who fills all places keeps others out for the time of a round, and gets its bonds
// back; MAX_COMMITTERS * bond is the price of holding a round. What rides on a draw must be worth less.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IBeacon} from "./interfaces/IBeacon.sol";

contract Beacon is IBeacon {
    using SafeERC20 for IERC20;

    /// @notice Secrets of one round. No loop runs over them.
    uint256 public constant MAX_COMMITTERS = 1_024;

    enum State {
        None,
        Committed,
        Revealed,
        Claimed
    }

    /// @param firstRevealer Who is paid what the division of the forfeited bonds leaves.
    /// @param acc XOR of what the secrets shown so far give.
    struct Round {
        uint32 committed;
        uint32 revealed;
        address firstRevealer;
        bytes32 acc;
    }

    struct Part {
        State state;
        bytes32 commitment;
    }

    IERC20 public immutable credit;
    uint64 public immutable commitSeconds;
    uint64 public immutable revealSeconds;
    /// @notice Secrets that must be shown for a round to have a value.
    uint32 public immutable quorum;
    /// @notice Credit-wei that each secret costs until it is shown.
    uint256 public immutable bond;
    mapping(uint256 round => Round) private _rounds;
    mapping(uint256 round => mapping(address who => Part)) private _parts;

    event SecretCommitted(uint256 indexed round, address indexed who, bytes32 commitment);
    event SecretRevealed(uint256 indexed round, address indexed who, bytes32 secret);
    event BondClaimed(uint256 indexed round, address indexed who, address indexed to, uint256 amount);

    error BadTerms();
    error NotCommitting(uint256 round, uint256 nowAt);
    error NotRevealing(uint256 round, uint256 nowAt);
    error AlreadyCommitted(uint256 round, address who);
    error RoundFull(uint256 round);
    error NotCommitted(uint256 round, address who, State state);
    error WrongSecret(uint256 round, address who);
    error BondForfeited(uint256 round, address who);
    error NothingToClaim(uint256 round, address who, State state);

    constructor(IERC20 credit_, uint64 commitSeconds_, uint64 revealSeconds_, uint32 quorum_, uint256 bond_) {
        bool times = commitSeconds_ != 0 && revealSeconds_ != 0 && commitSeconds_ <= 30 days && revealSeconds_ <= 30 days;
        require(times && quorum_ != 0 && quorum_ <= MAX_COMMITTERS, BadTerms());
        require(bond_ != 0 && bond_ <= type(uint128).max, BadTerms());
        (credit, commitSeconds, revealSeconds, quorum, bond) = (credit_, commitSeconds_, revealSeconds_, quorum_, bond_);
    }

    /// @notice Commit to a secret of 32 random bytes, in the round that runs; takes the bond.
    /// @param commitment commitmentOf(round, sender, secret): bound to its sender, so a copy of it opens for nobody else.
    function commit(uint256 round, bytes32 commitment) external {
        bool open = round == currentRound() && block.timestamp % _period() < commitSeconds;
        require(open, NotCommitting(round, block.timestamp));
        Part storage part = _parts[round][msg.sender];
        require(part.state == State.None, AlreadyCommitted(round, msg.sender));
        Round storage r = _rounds[round];
        require(r.committed < MAX_COMMITTERS, RoundFull(round));
        ++r.committed;
        (part.state, part.commitment) = (State.Committed, commitment);
        emit SecretCommitted(round, msg.sender, commitment);
        credit.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice Show the secret, in the second part of its round; the bond can be claimed when the round is over.
    function reveal(uint256 round, bytes32 secret) external {
        bool open = round == currentRound() && block.timestamp % _period() >= commitSeconds;
        require(open, NotRevealing(round, block.timestamp));
        Part storage part = _parts[round][msg.sender];
        require(part.state == State.Committed, NotCommitted(round, msg.sender, part.state));
        require(part.commitment == commitmentOf(round, msg.sender, secret), WrongSecret(round, msg.sender));
        part.state = State.Revealed;
        Round storage r = _rounds[round];
        if (r.revealed == 0) r.firstRevealer = msg.sender;
        ++r.revealed;
        r.acc ^= keccak256(abi.encode(secret, msg.sender));
        emit SecretRevealed(round, msg.sender, secret);
    }

    /// @notice Pay what is the caller's of a round that is over; there is no last day for it.
    function claim(uint256 round, address to) external returns (uint256 amount) {
        _over(round);
        Round storage r = _rounds[round];
        Part storage part = _parts[round][msg.sender];
        State state = part.state;
        require(state == State.Committed || state == State.Revealed, NothingToClaim(round, msg.sender, state));
        amount = bond;
        if (r.revealed != 0) {
            require(state == State.Revealed, BondForfeited(round, msg.sender));
            uint256 forfeited = bond * (r.committed - r.revealed);
            amount += forfeited / r.revealed;
            if (msg.sender == r.firstRevealer) amount += forfeited % r.revealed;
        }
        part.state = State.Claimed;
        emit BondClaimed(round, msg.sender, to, amount);
        credit.safeTransfer(to, amount);
    }

    // ---- views -----------------------------------------------------------------------------------

    /// @notice The round that runs now.
    function currentRound() public view returns (uint256) {
        return block.timestamp / _period();
    }

    /// @inheritdoc IBeacon
    function nextRound() external view returns (uint256) {
        return currentRound() + 1;
    }

    /// @inheritdoc IBeacon
    function endsAt(uint256 round) public view returns (uint256) {
        return (round + 1) * _period();
    }

    /// @inheritdoc IBeacon
    function maxWait() external view returns (uint256) {
        return 2 * _period();
    }

    /// @inheritdoc IBeacon
    function hasValue(uint256 round) public view returns (bool) {
        _over(round);
        return _rounds[round].revealed >= quorum;
    }

    /// @inheritdoc IBeacon
    function value(uint256 round) external view returns (bytes32) {
        require(hasValue(round), NoValue(round));
        return keccak256(abi.encode(_rounds[round].acc, round));
    }

    function roundOf(uint256 round) external view returns (Round memory) {
        return _rounds[round];
    }

    function partOf(uint256 round, address who) external view returns (Part memory) {
        return _parts[round][who];
    }

    /// @notice What `who` commits to for a secret: of this chain, this contract and this round only.
    function commitmentOf(uint256 round, address who, bytes32 secret) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), round, who, secret));
    }

    function _period() private view returns (uint256) {
        return uint256(commitSeconds) + revealSeconds;
    }

    function _over(uint256 round) private view {
        require(block.timestamp >= endsAt(round), NotOver(round, endsAt(round)));
    }
}
