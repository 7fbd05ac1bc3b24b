// SPDX-License-Identifier: MIT OR Apache-2.0
// Members of an organisation and their votes: people, and agents by their ERC-8004 identity, whose votes are capped.
// Invariant: credits held == Σ deposits + Σ bonds of open challenges. Votes are given by the timelock, or by the admission that it set;
// they cannot be moved or delegated. At any time all agents together count for at most agentsCap of all votes and one agent for
// at most agentCap; an agent counts only while its identity names the account as its wallet; an identity is one member.
// Source: OpenZeppelin's Votes (checkpoints by time), draft ERC-8004; docs/organisations.md.
// What it does not do: it cannot tell one person from two; admission by approval is for that. It keeps no list; events are the list.
pragma solidity ^0.8.28;

import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {ERC6372Utils} from "@openzeppelin/contracts/utils/ERC6372Utils.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";
import {Agents} from "../Agents.sol";
import {Policy} from "./Policy.sol";

contract Members is Votes {
    using SafeERC20 for IERC20;
    using Checkpoints for Checkpoints.Trace208;

    enum Status {
        None,
        Applied,
        Member,
        Leaving
    }

    /// @param deposit Credit-wei that come back `exitDelay` after leaving.
    /// @param agentId The identity of an agent; zero for a person. It stays for ever, so that an account is one or the other.
    struct Member {
        Status status;
        bool known;
        uint64 leftAt;
        uint96 weight;
        uint128 deposit;
        uint256 agentId;
    }

    /// @notice Basis points and delays that never change.
    struct Terms {
        uint16 agentsCap;
        uint16 agentCap;
        uint32 exitDelay;
        uint32 challengePeriod;
        uint128 challengeBond;
    }

    /// @notice An open challenge; no challenger, no challenge.
    struct Challenge {
        address challenger;
        uint64 endsAt;
        uint128 bond;
    }

    /// @notice Members that one call founds or awards.
    uint256 public constant MAX_BATCH = 64;
    uint256 public constant BASIS_POINTS = 10_000;

    address public immutable timelock;
    Policy public immutable policy;
    IERC20 public immutable credit;
    Agents public immutable agents;
    Terms private _terms;
    mapping(address account => Member) private _members;
    /// @notice The member that an identity is now; zero for none.
    mapping(uint256 agentId => address) public memberOfAgent;
    mapping(bytes32 report => bool) public awarded;
    mapping(address account => Challenge) private _challenges;
    mapping(address account => uint256) public challengesOf;
    mapping(bytes32 ballot => bool) private _voted;
    mapping(bytes32 tally => uint256) private _tallies;
    Checkpoints.Trace208 private _agentVotes;

    event Applied(address indexed account, uint256 indexed agentId, uint256 deposit);
    event Joined(address indexed account, uint256 indexed agentId);
    event WeightChanged(address indexed account, uint256 oldWeight, uint256 newWeight);
    event Left(address indexed account, uint256 depositFreeAt);
    event DepositReturned(address indexed account, uint256 amount);
    /// @notice Someone could not be awarded: is leaving, is another agent, or does not act for the identity.
    event Skipped(address indexed account, uint256 indexed agentId);
    event Awarded(bytes32 indexed report, uint256 members);
    event Challenged(address indexed account, address indexed challenger, bytes32 evidence, uint256 endsAt);
    event ChallengeVote(address indexed account, address indexed councillor, bool uphold);
    event ChallengeEnded(address indexed account, bool upheld, uint256 slashed);

    error NotTimelock(address caller);
    error BadTerms();
    error BadBatch(uint256 count);
    error WrongStatus(address account, Status status);
    error NotWallet(uint256 agentId, address account);
    error IdentityTaken(uint256 agentId, address member);
    error OtherIdentity(address account, uint256 agentId);
    error ZeroWeight(address account);
    error AlreadyAwarded(bytes32 report);
    error StillActing(uint256 agentId, address account);
    error DepositLocked(address account, uint256 until);
    error UnderChallenge(address account);
    error NoChallenge(address account);
    error TooLate(address account, uint256 until);
    error ChallengeOpen(address account, uint256 endsAt);
    error NotCouncillor(address account);
    error AlreadyVoted(address councillor);
    error NoDelegation();

    modifier onlyTimelock() {
        require(msg.sender == timelock, NotTimelock(msg.sender));
        _;
    }

    constructor(
        Policy policy_,
        Agents agents_,
        Terms memory terms_,
        address[] memory founders,
        uint256[] memory agentIds,
        uint96[] memory weights
    ) EIP712("Interlace Members", "1") {
        // Agents never have half of the votes: an organisation is its people's.
        require(terms_.agentsCap <= BASIS_POINTS / 2 && terms_.agentCap <= terms_.agentsCap, BadTerms());
        require(terms_.challengePeriod != 0, BadTerms());
        timelock = policy_.timelock();
        policy = policy_;
        credit = policy_.credit();
        agents = agents_;
        _terms = terms_;
        _grant(founders, agentIds, weights, true);
    }

    // ---- joining and leaving -------------------------------------------------------------------------

    /// @notice Ask to join, with the deposit of the day; where admission is open, join.
    /// @param agentId The identity whose wallet the caller is; zero for a person.
    function join(uint256 agentId) external {
        Member storage member = _members[msg.sender];
        require(member.status == Status.None, WrongStatus(msg.sender, member.status));
        _identify(member, msg.sender, agentId);
        Policy.Admission memory admission = policy.admission();
        member.status = Status.Applied;
        member.deposit = admission.deposit;
        emit Applied(msg.sender, agentId, admission.deposit);
        if (admission.openWeight != 0) _join(msg.sender, admission.openWeight);
        if (admission.deposit != 0) credit.safeTransferFrom(msg.sender, address(this), admission.deposit);
    }

    /// @notice Admit an applicant.
    function admit(address account, uint96 weight) external onlyTimelock {
        Status status = _members[account].status;
        require(status == Status.Applied, WrongStatus(account, status));
        _join(account, weight);
    }

    /// @notice Give votes for measured contributions; whoever is no member becomes one, without a deposit.
    /// @param report Hash of the report that anyone can compute again; it counts once.
    function award(bytes32 report, address[] calldata accounts, uint256[] calldata agentIds, uint96[] calldata weights)
        external
        onlyTimelock
    {
        require(!awarded[report], AlreadyAwarded(report));
        awarded[report] = true;
        emit Awarded(report, accounts.length);
        _grant(accounts, agentIds, weights, false);
    }

    /// @notice Give up all votes, or an application. The deposit of a member comes back after the delay.
    function resign() external {
        _leave(msg.sender);
    }

    function remove(address account) external onlyTimelock {
        Status status = _members[account].status;
        require(status == Status.Member, WrongStatus(account, status));
        _leave(account);
    }

    /// @notice End the membership of an agent whose identity has another wallet now; anyone may.
    function lapse(address account) external {
        Member storage member = _members[account];
        bool acting = member.agentId == 0 || agents.getAgentWallet(member.agentId) == account;
        require(!acting, StillActing(member.agentId, account));
        _leave(account);
    }

    /// @notice Take the deposit back after having left.
    function withdraw() external {
        Member storage member = _members[msg.sender];
        require(member.status == Status.Leaving, WrongStatus(msg.sender, member.status));
        uint256 until = uint256(member.leftAt) + _terms.exitDelay;
        require(block.timestamp >= until, DepositLocked(msg.sender, until));
        require(_challenges[msg.sender].challenger == address(0), UnderChallenge(msg.sender));
        uint256 amount = member.deposit;
        member.deposit = 0;
        member.status = Status.None;
        emit DepositReturned(msg.sender, amount);
        if (amount != 0) credit.safeTransfer(msg.sender, amount);
    }

    // ---- challenges ----------------------------------------------------------------------------------

    /// @notice Accuse a member, also one who is leaving and whose delay is not over, with a bond; the council decides.
    /// @param evidence Hash of what the council is to look at.
    function challenge(address account, bytes32 evidence) external {
        Status status = _members[account].status;
        require(status == Status.Member || status == Status.Leaving, WrongStatus(account, status));
        require(_challenges[account].challenger == address(0), UnderChallenge(account));
        // Else whoever accuses again and again could keep a deposit for ever.
        uint256 until = status == Status.Leaving ? uint256(_members[account].leftAt) + _terms.exitDelay : type(uint256).max;
        require(block.timestamp < until, TooLate(account, until));
        uint64 endsAt = uint64(block.timestamp + _terms.challengePeriod);
        _challenges[account] = Challenge(msg.sender, endsAt, _terms.challengeBond);
        ++challengesOf[account];
        emit Challenged(account, msg.sender, evidence, endsAt);
        if (_terms.challengeBond != 0) credit.safeTransferFrom(msg.sender, address(this), _terms.challengeBond);
    }

    /// @notice Vote on a challenge as one of the council. Upheld: the votes and the deposit are lost, to the organisation, and the bond
    /// goes back. Dismissed: the bond is the accused's.
    function judge(address account, bool uphold) external {
        Challenge memory open = _challenges[account];
        require(open.challenger != address(0) && block.timestamp < open.endsAt, NoChallenge(account));
        require(policy.isCouncillor(msg.sender) && msg.sender != account, NotCouncillor(msg.sender));
        bytes32 ballot = keccak256(abi.encode(account, challengesOf[account], msg.sender));
        require(!_voted[ballot], AlreadyVoted(msg.sender));
        _voted[ballot] = true;
        emit ChallengeVote(account, msg.sender, uphold);
        (, uint16 threshold) = policy.council();
        if (++_tallies[keccak256(abi.encode(account, challengesOf[account], uphold))] < threshold) return;
        _end(account, uphold, uphold ? open.challenger : account, open.bond);
    }

    /// @notice End a challenge that nobody decided in time: the bond goes back and nothing else happens.
    function expire(address account) external {
        Challenge memory open = _challenges[account];
        require(open.challenger != address(0), NoChallenge(account));
        require(block.timestamp >= open.endsAt, ChallengeOpen(account, open.endsAt));
        _end(account, false, open.challenger, open.bond);
    }

    // ---- votes ---------------------------------------------------------------------------------------

    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public view override returns (string memory) {
        return ERC6372Utils.timestampClockMode(clock);
    }

    /// @notice Everyone votes for themselves.
    function delegates(address account) public pure override returns (address) {
        return account;
    }

    function getVotes(address account) public view override returns (uint256) {
        return _counted(account, super.getVotes(account), _agentVotes.latest(), _getTotalSupply());
    }

    /// @inheritdoc Votes
    function getPastVotes(address account, uint256 timepoint) public view override returns (uint256) {
        uint256 weight = super.getPastVotes(account, timepoint);
        return _counted(account, weight, _agentVotes.upperLookupRecent(uint48(timepoint)), super.getPastTotalSupply(timepoint));
    }

    /// @notice All votes that count: those of people, and those of agents up to their cap.
    function getPastTotalSupply(uint256 timepoint) public view override returns (uint256) {
        uint256 total = super.getPastTotalSupply(timepoint);
        uint256 ofAgents = _agentVotes.upperLookupRecent(uint48(timepoint));
        return total - ofAgents + _countedAgents(ofAgents, total - ofAgents);
    }

    function memberOf(address account) external view returns (Member memory) {
        return _members[account];
    }

    function challengeOf(address account) external view returns (Challenge memory) {
        return _challenges[account];
    }

    function terms() external view returns (Terms memory) {
        return _terms;
    }

    /// @dev Weight as it counts: an agent's is scaled with all agents' to their cap, then cut at its own.
    function _counted(address account, uint256 weight, uint256 ofAgents, uint256 total) private view returns (uint256) {
        uint256 agentId = _members[account].agentId;
        if (agentId == 0 || weight == 0) return weight;
        if (agents.getAgentWallet(agentId) != account) return 0;
        uint256 ofPeople = total - ofAgents;
        uint256 scaled = weight * _countedAgents(ofAgents, ofPeople) / ofAgents;
        uint256 most = _share(ofPeople, _terms.agentCap);
        return scaled < most ? scaled : most;
    }

    function _countedAgents(uint256 ofAgents, uint256 ofPeople) private view returns (uint256) {
        uint256 most = _share(ofPeople, _terms.agentsCap);
        return ofAgents < most ? ofAgents : most;
    }

    /// @dev The most that can stand beside `rest` and be at most `cap` of both together.
    function _share(uint256 rest, uint256 cap) private pure returns (uint256) {
        return rest * cap / (BASIS_POINTS - cap);
    }

    function _delegate(address, address) internal pure override {
        revert NoDelegation();
    }

    function _getVotingUnits(address account) internal view override returns (uint256) {
        return _members[account].weight;
    }

    // ---- within --------------------------------------------------------------------------------------

    /// @dev Note who `account` is; an identity is taken once and an account never becomes another.
    function _identify(Member storage member, address account, uint256 agentId) private {
        require(!member.known || member.agentId == agentId, OtherIdentity(account, member.agentId));
        if (agentId != 0) {
            require(agents.getAgentWallet(agentId) == account, NotWallet(agentId, account));
            address holder = memberOfAgent[agentId];
            require(holder == address(0), IdentityTaken(agentId, holder));
            memberOfAgent[agentId] = account;
        }
        (member.known, member.agentId) = (true, agentId);
    }

    /// @dev Whoever cannot be given votes is passed over, unless `strict`: no one can stop the others' award by leaving.
    function _grant(address[] memory accounts, uint256[] memory agentIds, uint96[] memory weights, bool strict) private {
        uint256 count = accounts.length;
        require(count != 0 && count <= MAX_BATCH && count == agentIds.length && count == weights.length, BadBatch(count));
        for (uint256 i = 0; i < count; ++i) {
            (address account, uint256 agentId) = (accounts[i], agentIds[i]);
            require(weights[i] != 0, ZeroWeight(account));
            Member storage member = _members[account];
            Status status = member.status;
            bool fits = status == Status.None ? _free(member, account, agentId) : member.agentId == agentId;
            if (account == address(0) || !fits || status == Status.Leaving) {
                require(!strict, WrongStatus(account, status));
                emit Skipped(account, agentId);
                continue;
            }
            if (status == Status.None) _identify(member, account, agentId);
            if (status == Status.Member) _setWeight(account, member.weight + weights[i]);
            else _join(account, weights[i]);
        }
    }

    function _free(Member storage member, address account, uint256 agentId) private view returns (bool) {
        if (member.known && member.agentId != agentId) return false;
        return agentId == 0 || (agents.getAgentWallet(agentId) == account && memberOfAgent[agentId] == address(0));
    }

    function _join(address account, uint96 weight) private {
        require(weight != 0, ZeroWeight(account));
        Member storage member = _members[account];
        member.status = Status.Member;
        emit Joined(account, member.agentId);
        _setWeight(account, weight);
    }

    function _leave(address account) private {
        Member storage member = _members[account];
        bool applied = member.status == Status.Applied;
        require(applied || member.status == Status.Member, WrongStatus(account, member.status));
        if (member.agentId != 0) delete memberOfAgent[member.agentId];
        _setWeight(account, 0);
        // An applicant has done nothing yet that a challenge could be about.
        member.leftAt = uint64(applied ? block.timestamp - _terms.exitDelay : block.timestamp);
        member.status = Status.Leaving;
        emit Left(account, uint256(member.leftAt) + _terms.exitDelay);
    }

    function _setWeight(address account, uint96 weight) private {
        Member storage member = _members[account];
        uint96 old = member.weight;
        if (old == weight) return;
        member.weight = weight;
        emit WeightChanged(account, old, weight);
        if (weight > old) _transferVotingUnits(address(0), account, weight - old);
        else _transferVotingUnits(account, address(0), old - weight);
        if (member.agentId != 0) _agentVotes.push(clock(), uint208(_agentVotes.latest() + weight - old));
    }

    function _end(address account, bool upheld, address bondTo, uint256 bond) private {
        delete _challenges[account];
        Member storage member = _members[account];
        uint256 slashed = 0;
        if (upheld) {
            if (member.status == Status.Member) _leave(account);
            slashed = member.deposit;
            member.deposit = 0;
        }
        emit ChallengeEnded(account, upheld, slashed);
        if (slashed != 0) credit.safeTransfer(timelock, slashed);
        if (bond != 0) credit.safeTransfer(bondTo, bond);
    }
}
