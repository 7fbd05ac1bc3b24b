// SPDX-License-Identifier: MIT OR Apache-2.0
// What clients say of agents: ERC-8004's reputation registry, and beside it which of it was said by who had paid.
// Invariant: for each agent, client and pair of tags, count and total are those of its feedback that is not revoked, in 18 decimals; who acts for an
// agent gives it none. Feedback is marked paid if Settlement paid the agent's wallet, at that time, for a call of this client's; one for each call.
// Source: ERC-8004, text of erc-8004-contracts at b9e466c.
// What it does not do: it makes no score. Clients are easily made up, so a summary asks for a list of them; paid feedback costs its
// author what of the fees goes to others than the node, and no more, since a node can buy from itself.
pragma solidity ^0.8.28;

import {AgentRegistry} from "./AgentRegistry.sol";
import {Agents} from "./Agents.sol";
import {Settlement} from "./Settlement.sol";

contract ReputationRegistry is AgentRegistry {
    uint8 public constant DECIMALS = 18;

    struct Feedback {
        int128 value;
        uint8 decimals;
        bool isRevoked;
        bool isPaid;
        string tag1;
        string tag2;
    }

    /// @dev One word. A value is below 2^127 and a count below 2^64, so a total fits.
    struct Sum {
        uint64 count;
        int192 total;
    }

    Settlement public immutable settlement;
    mapping(uint256 agentId => mapping(address client => Feedback[])) private _feedback;
    mapping(uint256 agentId => address[]) private _clients;
    /// @dev By agent, client, hash of each tag (zero: any), and whether only paid feedback counts.
    mapping(bytes32 key => Sum) private _sums;
    /// @dev By agent, client, index and responder (zero: any).
    mapping(bytes32 key => uint64) private _responses;
    mapping(bytes32 leafId => bool) public wasSpokenOf;

    event NewFeedback(
        uint256 indexed agentId, address indexed clientAddress, uint64 feedbackIndex, int128 value, uint8 valueDecimals,
        string indexed indexedTag1, string tag1, string tag2, string endpoint, string feedbackURI, bytes32 feedbackHash
    );
    event FeedbackPaid(uint256 indexed agentId, address indexed clientAddress, uint64 feedbackIndex, bytes32 indexed leafId);
    event FeedbackRevoked(uint256 indexed agentId, address indexed clientAddress, uint64 indexed feedbackIndex);
    event ResponseAppended(
        uint256 indexed agentId, address indexed clientAddress, uint64 feedbackIndex, address indexed responder,
        string responseURI, bytes32 responseHash
    );

    error OwnAgent(uint256 agentId, address caller);
    error BadValue(int128 value, uint8 decimals);
    error NoSuchFeedback(uint256 agentId, address client, uint64 index);
    error AlreadyRevoked(uint256 agentId, address client, uint64 index);
    error NoClients();
    error NotPaid(bytes32 leafId);
    error AlreadySpokenOf(bytes32 leafId);

    constructor(Agents agents_, Settlement settlement_) AgentRegistry(agents_) {
        settlement = settlement_;
    }

    /// @notice Say something of an agent that is not one's own. Tags, endpoint and URI may be empty.
    /// @param value In units of 10^-valueDecimals; below 2^127 / 10^18 in whole units.
    function giveFeedback(
        uint256 agentId, int128 value, uint8 valueDecimals, string calldata tag1, string calldata tag2, string calldata endpoint,
        string calldata feedbackURI, bytes32 feedbackHash
    ) external {
        uint64 index = _give(agentId, Feedback(value, valueDecimals, false, false, tag1, tag2));
        _announce(agentId, index, tag1, tag2, endpoint, feedbackURI, feedbackHash);
    }

    /// @notice The same of a call that the caller paid the agent's wallet for, which counts as paid; once for each call.
    /// @param leafId Of the call, with an assurance of 1 or above: of others Settlement does not keep the node.
    function givePaidFeedback(
        bytes32 leafId, uint256 agentId, int128 value, uint8 valueDecimals, string calldata tag1, string calldata tag2,
        string calldata endpoint, string calldata feedbackURI, bytes32 feedbackHash
    ) external {
        Settlement.Entry memory entry = settlement.entryOf(leafId);
        bool theirs = entry.payer == msg.sender && entry.node != address(0) && entry.node == _agents.getAgentWallet(agentId);
        bool paid = entry.status == Settlement.Status.Released && entry.cost != 0;
        require(theirs && paid, NotPaid(leafId));
        require(!wasSpokenOf[leafId], AlreadySpokenOf(leafId));
        wasSpokenOf[leafId] = true;
        uint64 index = _give(agentId, Feedback(value, valueDecimals, false, true, tag1, tag2));
        emit FeedbackPaid(agentId, msg.sender, index, leafId);
        _announce(agentId, index, tag1, tag2, endpoint, feedbackURI, feedbackHash);
    }

    /// @notice Take back one's own feedback; it stays readable, and counts no more.
    function revokeFeedback(uint256 agentId, uint64 feedbackIndex) external {
        Feedback storage it = _at(agentId, msg.sender, feedbackIndex);
        require(!it.isRevoked, AlreadyRevoked(agentId, msg.sender, feedbackIndex));
        it.isRevoked = true;
        _count(agentId, it, -1);
        emit FeedbackRevoked(agentId, msg.sender, feedbackIndex);
    }

    /// @notice Answer to feedback; anyone may, and readers choose whose answers they look at.
    function appendResponse(
        uint256 agentId, address clientAddress, uint64 feedbackIndex, string calldata responseURI, bytes32 responseHash
    ) external {
        _at(agentId, clientAddress, feedbackIndex);
        _short(responseURI, MAX_URI);
        ++_responses[_responseKey(agentId, clientAddress, feedbackIndex, address(0))];
        ++_responses[_responseKey(agentId, clientAddress, feedbackIndex, msg.sender)];
        emit ResponseAppended(agentId, clientAddress, feedbackIndex, msg.sender, responseURI, responseHash);
    }

    // ---- views -----------------------------------------------------------------------------------

    /// @notice How often these clients spoke, and the mean of what they gave, rounded towards zero, in 18 decimals.
    /// @param clientAddresses At least one: clients whom nobody knows are easily made up.
    function getSummary(uint256 agentId, address[] calldata clientAddresses, string calldata tag1, string calldata tag2)
        external
        view
        returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals)
    {
        return _summary(agentId, clientAddresses, tag1, tag2, false);
    }

    /// @notice The same of paid feedback alone.
    function getPaidSummary(uint256 agentId, address[] calldata clientAddresses, string calldata tag1, string calldata tag2)
        external
        view
        returns (uint64 count, int128 summaryValue, uint8 summaryValueDecimals)
    {
        return _summary(agentId, clientAddresses, tag1, tag2, true);
    }

    function readFeedback(uint256 agentId, address clientAddress, uint64 feedbackIndex)
        external
        view
        returns (int128 value, uint8 valueDecimals, string memory tag1, string memory tag2, bool isRevoked)
    {
        Feedback storage it = _at(agentId, clientAddress, feedbackIndex);
        return (it.value, it.decimals, it.tag1, it.tag2, it.isRevoked);
    }

    function isPaid(uint256 agentId, address clientAddress, uint64 feedbackIndex) external view returns (bool) {
        return _at(agentId, clientAddress, feedbackIndex).isPaid;
    }

    /// @notice Feedback of these clients, or of all when none is named; at most MAX_LIST are looked at, or it reverts.
    function readAllFeedback(
        uint256 agentId, address[] calldata clientAddresses, string calldata tag1, string calldata tag2, bool includeRevoked
    )
        external
        view
        returns (
            address[] memory clients, uint64[] memory feedbackIndexes, int128[] memory values, uint8[] memory valueDecimals,
            string[] memory tag1s, string[] memory tag2s, bool[] memory revokedStatuses
        )
    {
        address[] memory asked = clientAddresses.length == 0 ? getClients(agentId) : clientAddresses;
        (clients, feedbackIndexes) = _matching(agentId, asked, _tag(tag1), _tag(tag2), includeRevoked);
        uint256 count = clients.length;
        (values, valueDecimals) = (new int128[](count), new uint8[](count));
        (tag1s, tag2s, revokedStatuses) = (new string[](count), new string[](count), new bool[](count));
        for (uint256 i = 0; i < count; ++i) {
            Feedback storage it = _feedback[agentId][clients[i]][feedbackIndexes[i] - 1];
            (values[i], valueDecimals[i], revokedStatuses[i]) = (it.value, it.decimals, it.isRevoked);
            (tag1s[i], tag2s[i]) = (it.tag1, it.tag2);
        }
    }

    /// @notice Answers to one feedback, or to all of a client (index 0); of these responders, or of all.
    function getResponseCount(uint256 agentId, address clientAddress, uint64 feedbackIndex, address[] calldata responders)
        external
        view
        returns (uint64 count)
    {
        require(responders.length <= MAX_FILTER, TooManyEntries(responders.length, MAX_FILTER));
        uint256 length = _feedback[agentId][clientAddress].length;
        require(length <= MAX_LIST, TooManyEntries(length, MAX_LIST));
        (uint64 from, uint64 to) = feedbackIndex == 0 ? (1, uint64(length)) : (feedbackIndex, feedbackIndex);
        for (uint64 index = from; index <= to; ++index) {
            if (responders.length == 0) count += _responses[_responseKey(agentId, clientAddress, index, address(0))];
            for (uint256 i = 0; i < responders.length; ++i) {
                if (responders[i] == address(0) || _isRepeated(responders, i)) continue;
                count += _responses[_responseKey(agentId, clientAddress, index, responders[i])];
            }
        }
    }

    /// @notice Who ever spoke of an agent; with more than MAX_LIST of them use clientsOf.
    function getClients(uint256 agentId) public view returns (address[] memory) {
        uint256 length = _clients[agentId].length;
        require(length <= MAX_LIST, TooManyEntries(length, MAX_LIST));
        return _clients[agentId];
    }

    /// @notice `count` clients from the one at `from` on, or as many as there are.
    function clientsOf(uint256 agentId, uint256 from, uint256 count) external view returns (address[] memory page) {
        uint256 end = _end(from, count, _clients[agentId].length);
        page = new address[](end - from);
        for (uint256 i = from; i < end; ++i) page[i - from] = _clients[agentId][i];
    }

    /// @notice Feedback of a client is numbered from 1 to this.
    function getLastIndex(uint256 agentId, address clientAddress) external view returns (uint64) {
        return uint64(_feedback[agentId][clientAddress].length);
    }

    // ---- inner -----------------------------------------------------------------------------------

    function _give(uint256 agentId, Feedback memory it) private returns (uint64 index) {
        require(!_actsFor(agentId, msg.sender), OwnAgent(agentId, msg.sender));
        require(it.decimals <= DECIMALS, BadValue(it.value, it.decimals));
        int256 scaled = _scaled(it.value, it.decimals);
        require(scaled == int256(int128(scaled)) && scaled != type(int128).min, BadValue(it.value, it.decimals));
        Feedback[] storage list = _feedback[agentId][msg.sender];
        if (list.length == 0) _clients[agentId].push(msg.sender);
        list.push(it);
        index = uint64(list.length);
        _count(agentId, list[index - 1], 1);
    }

    /// @dev Checks the lengths, too: what was written before is undone with the call.
    function _announce(
        uint256 agentId, uint64 index, string calldata tag1, string calldata tag2, string calldata endpoint,
        string calldata feedbackURI, bytes32 feedbackHash
    ) private {
        _short(tag1, MAX_TAG);
        _short(tag2, MAX_TAG);
        _short(endpoint, MAX_URI);
        _short(feedbackURI, MAX_URI);
        Feedback storage it = _feedback[agentId][msg.sender][index - 1];
        emit NewFeedback(
            agentId, msg.sender, index, it.value, it.decimals, tag1, tag1, tag2, endpoint, feedbackURI, feedbackHash
        );
    }

    function _scaled(int128 value, uint8 decimals) private pure returns (int256) {
        return int256(value) * int256(10 ** (DECIMALS - decimals));
    }

    function _count(uint256 agentId, Feedback storage it, int8 sign) private {
        bytes32 first = bytes(it.tag1).length == 0 ? bytes32(0) : keccak256(bytes(it.tag1));
        bytes32 second = bytes(it.tag2).length == 0 ? bytes32(0) : keccak256(bytes(it.tag2));
        int192 value = int192(_scaled(it.value, it.decimals));
        for (uint256 paid = 0; paid < (it.isPaid ? 2 : 1); ++paid) {
            _add(_key(agentId, msg.sender, 0, 0, paid == 1), sign, value);
            if (first != 0) _add(_key(agentId, msg.sender, first, 0, paid == 1), sign, value);
            if (second != 0) _add(_key(agentId, msg.sender, 0, second, paid == 1), sign, value);
            if (first != 0 && second != 0) _add(_key(agentId, msg.sender, first, second, paid == 1), sign, value);
        }
    }

    /// @dev What is subtracted was added before.
    function _add(bytes32 key, int8 sign, int192 value) private {
        Sum storage sum = _sums[key];
        sum.count = sign > 0 ? sum.count + 1 : sum.count - 1;
        sum.total += sign > 0 ? value : -value;
    }

    function _key(uint256 agentId, address client, bytes32 tag1, bytes32 tag2, bool paid) private pure returns (bytes32) {
        return keccak256(abi.encode(agentId, client, tag1, tag2, paid));
    }

    function _responseKey(uint256 agentId, address client, uint64 index, address responder) private pure returns (bytes32) {
        return keccak256(abi.encode(agentId, client, index, responder));
    }

    function _at(uint256 agentId, address client, uint64 index) private view returns (Feedback storage) {
        Feedback[] storage list = _feedback[agentId][client];
        require(index != 0 && index <= list.length, NoSuchFeedback(agentId, client, index));
        return list[index - 1];
    }

    function _summary(
        uint256 agentId, address[] calldata clients, string calldata tag1, string calldata tag2, bool paid
    ) private view returns (uint64 count, int128 value, uint8 decimals) {
        require(clients.length != 0, NoClients());
        require(clients.length <= MAX_FILTER, TooManyEntries(clients.length, MAX_FILTER));
        int256 total = 0;
        for (uint256 i = 0; i < clients.length; ++i) {
            if (_isRepeated(clients, i)) continue;
            Sum storage sum = _sums[_key(agentId, clients[i], _tag(tag1), _tag(tag2), paid)];
            (count, total) = (count + sum.count, total + sum.total);
        }
        return (count, count == 0 ? int128(0) : int128(total / int256(uint256(count))), DECIMALS);
    }

    /// @dev Clients and indexes of what matches, in their order; looks at MAX_LIST at most.
    function _matching(uint256 agentId, address[] memory asked, bytes32 tag1, bytes32 tag2, bool includeRevoked)
        private
        view
        returns (address[] memory clients, uint64[] memory indexes)
    {
        require(asked.length <= MAX_LIST, TooManyEntries(asked.length, MAX_LIST));
        uint256 all = 0;
        for (uint256 i = 0; i < asked.length; ++i) all += _feedback[agentId][asked[i]].length;
        require(all <= MAX_LIST, TooManyEntries(all, MAX_LIST));
        (clients, indexes) = (new address[](all), new uint64[](all));
        uint256 count = 0;
        for (uint256 i = 0; i < asked.length; ++i) {
            Feedback[] storage list = _feedback[agentId][asked[i]];
            for (uint256 j = 0; j < list.length; ++j) {
                if (list[j].isRevoked && !includeRevoked) continue;
                if (tag1 != 0 && keccak256(bytes(list[j].tag1)) != tag1) continue;
                if (tag2 != 0 && keccak256(bytes(list[j].tag2)) != tag2) continue;
                (clients[count], indexes[count]) = (asked[i], uint64(j + 1));
                ++count;
            }
        }
        // Both lists keep their place in memory and become as long as what they hold.
        assembly ("memory-safe") {
            mstore(clients, count)
            mstore(indexes, count)
        }
    }
}
