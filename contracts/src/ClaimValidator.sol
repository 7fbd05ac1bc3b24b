// SPDX-License-Identifier: MIT OR Apache-2.0
// The validator that is a contract: it answers requests of the validation registry with what a tier of assurance decided about a claim.
// Invariant: an answer is 100 only when the tier says Holds and 0 only when it says Fails, for a claim whose prover is the agent's wallet or
// owner; anyone may call for it, and nobody can have another.
// Source: IAssurance.sol for the tiers; ERC-8004 for requests and answers.
// What it does not do: it decides nothing, and an undecided claim gets no answer. It judges one claim: that an agent chose which of
// its claims to have validated is for the reader to remember.
pragma solidity ^0.8.28;

import {AgentRegistry} from "./AgentRegistry.sol";
import {Agents} from "./Agents.sol";
import {Claims, Records} from "./Records.sol";
import {ValidationRegistry} from "./ValidationRegistry.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";

contract ClaimValidator is AgentRegistry {
    /// @notice The first tier that has a contract of its own.
    uint8 public constant FIRST = 2;
    uint8 public constant HOLDS = 100;
    uint8 public constant FAILS = 0;

    /// @param payer For whom the claim is to hold; tiers that depend on what a payer accepts look at it.
    /// @param salt Random, so that nobody can take the request's hash first.
    struct Request {
        uint256 agentId;
        uint8 assurance;
        address payer;
        Records.Claim claim;
        bytes32 salt;
    }

    ValidationRegistry public immutable registry;
    mapping(uint8 assurance => IAssurance) public tierOf;

    event Answered(bytes32 indexed requestHash, bytes32 indexed claimHash, uint8 assurance, uint8 response);

    error TooManyTiers(uint256 count);
    error NoSuchTier(uint8 assurance);
    error NotTheAgents(uint256 agentId, address prover);
    error Undecided(uint8 assurance, bytes32 claimHash, IAssurance.Verdict verdict);

    /// @param tiers Of tier 2, 3, …; zero where the chain has none.
    constructor(Agents agents_, ValidationRegistry registry_, IAssurance[] memory tiers) AgentRegistry(agents_) {
        require(tiers.length <= _names().length, TooManyTiers(tiers.length));
        registry = registry_;
        for (uint8 i = 0; i < tiers.length; ++i) tierOf[FIRST + i] = tiers[i];
    }

    /// @notice What to ask the registry with: validationRequest(this contract, agentId, URI, requestHashOf(request)).
    function requestHashOf(Request calldata request) public pure returns (bytes32) {
        return keccak256(abi.encode("interlace.validation.v1", request));
    }

    /// @notice Answer a request that was made, as its tier decided; again later if need be. The answer's hash is the claim's.
    function answer(Request calldata request) external returns (uint8 response) {
        address prover = request.claim.prover;
        bool theirs = prover == _agents.getAgentWallet(request.agentId) || prover == _agents.ownerOf(request.agentId);
        require(theirs && prover != address(0), NotTheAgents(request.agentId, prover));
        IAssurance tier = tierOf[request.assurance];
        require(address(tier) != address(0), NoSuchTier(request.assurance));
        bytes32 claimHash = Claims.hash(request.claim);
        IAssurance.Verdict verdict = tier.verdict(claimHash, request.payer);
        bool decided = verdict == IAssurance.Verdict.Holds || verdict == IAssurance.Verdict.Fails;
        require(decided, Undecided(request.assurance, claimHash, verdict));
        response = verdict == IAssurance.Verdict.Holds ? HOLDS : FAILS;
        bytes32 requestHash = requestHashOf(request);
        emit Answered(requestHash, claimHash, request.assurance, response);
        registry.validationResponse(requestHash, response, "", claimHash, _names()[request.assurance - FIRST]);
    }

    function _names() private pure returns (string[5] memory) {
        return ["audit", "quorum", "dispute", "sumcheck", "zk"];
    }
}
