// SPDX-License-Identifier: MIT OR Apache-2.0
// Requests to have an agent's work validated, and the validators' answers from 0 to 100: ERC-8004's validation registry.
// Invariant: for each agent, validator and tag, count and total are those of the last answers to its requests. A request is made once, by
// who acts for the agent, and answered by the validator that it names alone.
// Source: ERC-8004, text of erc-8004-contracts at b9e466c.
// What it does not do: it does not know whether a validator is any good; ClaimValidator is one that repeats what the chain decided.
// Anybody can name any validator, and whoever sees a request under way can take its hash first: put a random number into what is hashed.
pragma solidity ^0.8.28;

import {AgentRegistry} from "./AgentRegistry.sol";
import {Agents} from "./Agents.sol";

contract ValidationRegistry is AgentRegistry {
    uint8 public constant MAX_RESPONSE = 100;

    /// @param lastUpdate Unix second of the last answer; zero: there is none.
    struct Entry {
        address validator;
        uint8 response;
        uint64 lastUpdate;
        uint256 agentId;
        bytes32 responseHash;
        string tag;
    }

    struct Sum {
        uint128 count;
        uint128 total;
    }

    mapping(bytes32 requestHash => Entry) private _entries;
    mapping(uint256 agentId => bytes32[]) private _ofAgent;
    mapping(address validator => bytes32[]) private _ofValidator;
    /// @dev By agent, validator (zero: any) and hash of the tag (zero: any).
    mapping(bytes32 key => Sum) private _sums;

    event ValidationRequest(
        address indexed validatorAddress, uint256 indexed agentId, string requestURI, bytes32 indexed requestHash
    );
    event ValidationResponse(
        address indexed validatorAddress, uint256 indexed agentId, bytes32 indexed requestHash, uint8 response,
        string responseURI, bytes32 responseHash, string tag
    );

    error NotAuthorised(uint256 agentId, address caller);
    error ZeroValidator();
    error ZeroRequest();
    error AlreadyRequested(bytes32 requestHash);
    error UnknownRequest(bytes32 requestHash);
    error NotTheValidator(bytes32 requestHash, address caller);
    error BadResponse(uint8 response);

    constructor(Agents agents_) AgentRegistry(agents_) {}

    /// @notice Ask `validatorAddress` to validate what `requestHash` commits to; for the agent's owner or an operator.
    function validationRequest(address validatorAddress, uint256 agentId, string calldata requestURI, bytes32 requestHash)
        external
    {
        require(_actsFor(agentId, msg.sender), NotAuthorised(agentId, msg.sender));
        require(validatorAddress != address(0), ZeroValidator());
        require(requestHash != 0, ZeroRequest());
        _short(requestURI, MAX_URI);
        Entry storage entry = _entries[requestHash];
        require(entry.validator == address(0), AlreadyRequested(requestHash));
        (entry.validator, entry.agentId) = (validatorAddress, agentId);
        _ofAgent[agentId].push(requestHash);
        _ofValidator[validatorAddress].push(requestHash);
        emit ValidationRequest(validatorAddress, agentId, requestURI, requestHash);
    }

    /// @notice Answer a request, again if need be; the last answer counts.
    /// @param response 0 (refuted) to 100 (confirmed).
    function validationResponse(
        bytes32 requestHash, uint8 response, string calldata responseURI, bytes32 responseHash, string calldata tag
    ) external {
        Entry storage entry = _entries[requestHash];
        require(entry.validator != address(0), UnknownRequest(requestHash));
        require(entry.validator == msg.sender, NotTheValidator(requestHash, msg.sender));
        require(response <= MAX_RESPONSE, BadResponse(response));
        _short(responseURI, MAX_URI);
        _short(tag, MAX_TAG);
        if (entry.lastUpdate != 0) {
            bytes32 before = bytes(entry.tag).length == 0 ? bytes32(0) : keccak256(bytes(entry.tag));
            _count(entry.agentId, msg.sender, before, -1, -int256(uint256(entry.response)));
        }
        (entry.response, entry.lastUpdate) = (response, uint64(block.timestamp));
        (entry.responseHash, entry.tag) = (responseHash, tag);
        _count(entry.agentId, msg.sender, _tag(tag), 1, int256(uint256(response)));
        emit ValidationResponse(msg.sender, entry.agentId, requestHash, response, responseURI, responseHash, tag);
    }

    // ---- views -----------------------------------------------------------------------------------

    /// @notice The last answer; `lastUpdate` is zero while there is none.
    function getValidationStatus(bytes32 requestHash)
        external
        view
        returns (
            address validatorAddress, uint256 agentId, uint8 response, bytes32 responseHash, string memory tag, uint256 lastUpdate
        )
    {
        Entry storage entry = _entries[requestHash];
        require(entry.validator != address(0), UnknownRequest(requestHash));
        return (entry.validator, entry.agentId, entry.response, entry.responseHash, entry.tag, entry.lastUpdate);
    }

    /// @notice How many requests were answered, and the mean of the answers, rounded down.
    /// @param validatorAddresses Whose answers count; all if it is empty. Whom one does not know is easily made up.
    /// @param tag Which answers count; all if it is empty.
    function getSummary(uint256 agentId, address[] calldata validatorAddresses, string calldata tag)
        external
        view
        returns (uint64 count, uint8 averageResponse)
    {
        uint256 length = validatorAddresses.length;
        require(length <= MAX_FILTER, TooManyEntries(length, MAX_FILTER));
        bytes32 tagHash = _tag(tag);
        Sum memory sum = length == 0 ? _sums[_key(agentId, address(0), tagHash)] : Sum(0, 0);
        for (uint256 i = 0; i < length; ++i) {
            if (validatorAddresses[i] == address(0) || _isRepeated(validatorAddresses, i)) continue;
            Sum storage part = _sums[_key(agentId, validatorAddresses[i], tagHash)];
            (sum.count, sum.total) = (sum.count + part.count, sum.total + part.total);
        }
        if (sum.count == 0) return (0, 0);
        return (uint64(sum.count), uint8(sum.total / sum.count));
    }

    /// @notice All requests of an agent; with more than MAX_LIST of them use agentValidations.
    function getAgentValidations(uint256 agentId) external view returns (bytes32[] memory) {
        return _all(_ofAgent[agentId]);
    }

    /// @notice All requests to a validator; with more than MAX_LIST of them use validatorRequests.
    function getValidatorRequests(address validatorAddress) external view returns (bytes32[] memory) {
        return _all(_ofValidator[validatorAddress]);
    }

    /// @notice `count` requests of an agent from the one at `from` on, or as many as there are.
    function agentValidations(uint256 agentId, uint256 from, uint256 count) external view returns (bytes32[] memory) {
        return _page(_ofAgent[agentId], from, count);
    }

    /// @notice Likewise of a validator.
    function validatorRequests(address validator, uint256 from, uint256 count) external view returns (bytes32[] memory) {
        return _page(_ofValidator[validator], from, count);
    }

    // ---- inner -----------------------------------------------------------------------------------

    function _count(uint256 agentId, address validator, bytes32 tag, int256 count, int256 total) private {
        _add(_key(agentId, address(0), 0), count, total);
        _add(_key(agentId, validator, 0), count, total);
        if (tag == 0) return;
        _add(_key(agentId, address(0), tag), count, total);
        _add(_key(agentId, validator, tag), count, total);
    }

    /// @dev What is subtracted was added before.
    function _add(bytes32 key, int256 count, int256 total) private {
        Sum storage sum = _sums[key];
        sum.count = uint128(uint256(int256(uint256(sum.count)) + count));
        sum.total = uint128(uint256(int256(uint256(sum.total)) + total));
    }

    function _key(uint256 agentId, address validator, bytes32 tag) private pure returns (bytes32) {
        return keccak256(abi.encode(agentId, validator, tag));
    }

    function _all(bytes32[] storage list) private view returns (bytes32[] memory) {
        require(list.length <= MAX_LIST, TooManyEntries(list.length, MAX_LIST));
        return list;
    }

    function _page(bytes32[] storage list, uint256 from, uint256 count) private view returns (bytes32[] memory page) {
        uint256 end = _end(from, count, list.length);
        page = new bytes32[](end - from);
        for (uint256 i = from; i < end; ++i) page[i - from] = list[i];
    }
}
