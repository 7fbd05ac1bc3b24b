// SPDX-License-Identifier: MIT OR Apache-2.0
// How an organisation decides: proposals, votes that may be divided, a quorum, a delay in which the validators' council may veto.
// Invariant: votes are those of the snapshot; nothing is executed that was not voted, has not waited, or was vetoed; a veto is cast by
// members of the present council, only while the proposal waits, and never against a new council alone. Delay, period and threshold
// never change.
// Source: OpenZeppelin's Governor and its extensions; docs/organisations.md.
// What it does not do: the council stops and never starts anything; the organisation holds nothing itself, its timelock does.
pragma solidity ^0.8.28;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {GovernorCountingFractional} from "@openzeppelin/contracts/governance/extensions/GovernorCountingFractional.sol";
import {GovernorPreventLateQuorum} from "@openzeppelin/contracts/governance/extensions/GovernorPreventLateQuorum.sol";
import {GovernorTimelockControl} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {GovernorVotesQuorumFraction} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {Members} from "./Members.sol";
import {Policy} from "./Policy.sol";
import {Timelock} from "./Timelock.sol";

contract Organisation is
    Governor,
    GovernorCountingFractional,
    GovernorVotes,
    GovernorVotesQuorumFraction,
    GovernorPreventLateQuorum,
    GovernorTimelockControl
{
    /// @param delay Seconds from a proposal to the snapshot of votes.
    /// @param period Seconds in which votes are cast.
    /// @param extension Seconds that are left at least once the quorum is reached.
    /// @param quorum Hundredths of all votes that must be for or abstain.
    /// @param threshold Votes that a proposer has.
    struct Voting {
        uint48 delay;
        uint32 period;
        uint48 extension;
        uint8 quorum;
        uint96 threshold;
    }

    /// @notice Calls in one proposal.
    uint256 public constant MAX_CALLS = 16;
    /// @notice Bytes of all calldata and the description of one proposal.
    uint256 public constant MAX_BYTES = 16_384;

    Policy public immutable policy;
    uint48 private immutable _delay;
    uint32 private immutable _period;
    uint96 private immutable _threshold;
    mapping(uint256 proposalId => mapping(address councillor => bool)) public vetoedBy;

    event Veto(uint256 indexed proposalId, address indexed councillor);

    error BadVoting();
    error TooLarge(uint256 calls, uint256 bytesInAll);
    error NotCouncillor(address account);
    error TooLate(uint256 proposalId, uint256 eta);
    error NotVetoable(uint256 proposalId);

    constructor(string memory name_, Voting memory voting, Members members, Policy policy_, Timelock timelock_)
        Governor(name_)
        GovernorVotes(members)
        GovernorVotesQuorumFraction(voting.quorum)
        GovernorPreventLateQuorum(voting.extension)
        GovernorTimelockControl(timelock_)
    {
        policy = policy_;
        (_delay, _period, _threshold) = (voting.delay, voting.period, voting.threshold);
        // A proposer without votes could fill the list, and a quorum of nothing is none.
        require(voting.delay != 0 && voting.quorum != 0 && voting.threshold != 0, BadVoting());
        // The constructor of the extension saw a period of zero; its setter sees this one.
        require(voting.period != 0 && voting.extension <= voting.period, BadVoting());
    }

    /// @notice Veto a queued proposal as one of the council; with the council's threshold of vetoes it is cancelled.
    /// @dev A proposal that only names a new council is not vetoed: no council keeps itself in place.
    function veto(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) external {
        uint256 proposalId = hashProposal(targets, values, calldatas, descriptionHash);
        _validateStateBitmap(proposalId, _encodeStateBitmap(ProposalState.Queued));
        uint256 eta = proposalEta(proposalId);
        require(block.timestamp < eta, TooLate(proposalId, eta));
        bool ofCouncil = targets.length == 1 && targets[0] == address(policy) && calldatas[0].length >= 4;
        require(!ofCouncil || bytes4(calldatas[0]) != Policy.setCouncil.selector, NotVetoable(proposalId));
        (address[] memory council, uint16 threshold) = policy.council();
        vetoedBy[proposalId][msg.sender] = true;
        bool isOne = false;
        uint256 count = 0;
        for (uint256 i = 0; i < council.length; ++i) {
            if (council[i] == msg.sender) isOne = true;
            if (vetoedBy[proposalId][council[i]]) ++count;
        }
        require(isOne, NotCouncillor(msg.sender));
        emit Veto(proposalId, msg.sender);
        if (count >= threshold) _cancel(targets, values, calldatas, descriptionHash);
    }

    function votingDelay() public view override returns (uint256) {
        return _delay;
    }

    function votingPeriod() public view override returns (uint256) {
        return _period;
    }

    function proposalThreshold() public view override returns (uint256) {
        return _threshold;
    }

    // ---- what several extensions define ----------------------------------------------------------------

    function state(uint256 proposalId) public view override(Governor, GovernorTimelockControl) returns (ProposalState) {
        return super.state(proposalId);
    }

    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function proposalDeadline(uint256 proposalId)
        public
        view
        override(Governor, GovernorPreventLateQuorum)
        returns (uint256)
    {
        return super.proposalDeadline(proposalId);
    }

    function _propose(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        string memory description,
        address proposer
    ) internal override returns (uint256) {
        uint256 size = bytes(description).length;
        require(targets.length <= MAX_CALLS && calldatas.length <= MAX_CALLS, TooLarge(targets.length, size));
        for (uint256 i = 0; i < calldatas.length; ++i) size += calldatas[i].length;
        require(size <= MAX_BYTES, TooLarge(targets.length, size));
        return super._propose(targets, values, calldatas, description, proposer);
    }

    function _tallyUpdated(uint256 proposalId) internal override(Governor, GovernorPreventLateQuorum) {
        super._tallyUpdated(proposalId);
    }

    /// @dev The constructor of the late-quorum extension runs before the period is known; this bound does not need it.
    function _maxLateQuorumVoteExtension() internal view override returns (uint256) {
        return _period == 0 ? type(uint48).max : _period;
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }
}
