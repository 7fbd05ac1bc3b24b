// SPDX-License-Identifier: MIT OR Apache-2.0
// Identities of agents: an ERC-721 token for each, with a file that describes it, metadata, and a wallet that acts for it.
// Invariant: a wallet stands for an agent only if it signed so itself (or owned the identity when it was registered), and it is cleared
// whenever the identity changes hands; so a wallet always acts for the present owner. Numbers begin at 1 and are never used twice.
// Source: draft ERC-8004, identity registry; EIP-712 and ERC-1271 for a wallet's consent.
// What it does not do: it reads no file and vouches for nobody. ReputationRegistry and ValidationRegistry are the draft's other two.
pragma solidity ^0.8.28;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721URIStorage} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721URIStorage.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

contract Agents is ERC721URIStorage, EIP712 {
    struct MetadataEntry {
        string metadataKey;
        bytes metadataValue;
    }

    /// @notice Entries that one registration brings.
    uint256 public constant MAX_METADATA = 16;
    /// @notice How far ahead the deadline of a wallet's consent may lie.
    uint256 public constant MAX_CONSENT_SECONDS = 1 hours;
    bytes32 public constant AGENT_WALLET_SET_TYPEHASH =
        keccak256("AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)");
    bytes32 private constant _WALLET_KEY = keccak256("agentWallet");

    /// @notice Agents are numbered from 1 to this.
    uint256 public agentCount;
    mapping(uint256 agentId => mapping(bytes32 key => bytes)) private _metadata;
    mapping(uint256 agentId => address) private _wallets;

    event Registered(uint256 indexed agentId, string agentURI, address indexed owner);
    event URIUpdated(uint256 indexed agentId, string newURI, address indexed updatedBy);
    event MetadataSet(uint256 indexed agentId, string indexed indexedMetadataKey, string metadataKey, bytes metadataValue);

    error NotAuthorised(uint256 agentId, address caller);
    error ReservedKey(string key);
    error TooManyEntries(uint256 count);
    error BadDeadline(uint256 deadline);
    error BadConsent(address wallet);

    constructor() ERC721("Interlace Agents", "AGENT") EIP712("ERC8004IdentityRegistry", "1") {}

    function register() external returns (uint256) {
        return _register("", new MetadataEntry[](0));
    }

    function register(string memory agentURI) external returns (uint256) {
        return _register(agentURI, new MetadataEntry[](0));
    }

    /// @notice Make an identity that the caller owns; the caller is its wallet at first.
    function register(string memory agentURI, MetadataEntry[] memory metadata) external returns (uint256) {
        return _register(agentURI, metadata);
    }

    function setAgentURI(uint256 agentId, string calldata newURI) external {
        _demandAuthorised(agentId);
        _setTokenURI(agentId, newURI);
        emit URIUpdated(agentId, newURI, msg.sender);
    }

    function setMetadata(uint256 agentId, string memory metadataKey, bytes memory metadataValue) external {
        _demandAuthorised(agentId);
        _setMetadata(agentId, metadataKey, metadataValue);
    }

    function getMetadata(uint256 agentId, string memory metadataKey) external view returns (bytes memory) {
        bytes32 key = keccak256(bytes(metadataKey));
        if (key != _WALLET_KEY) return _metadata[agentId][key];
        address wallet = _wallets[agentId];
        return wallet == address(0) ? bytes("") : abi.encodePacked(wallet);
    }

    /// @notice Let `newWallet`, which signed so, act for the agent.
    /// @param deadline Until when the consent may be used; at most MAX_CONSENT_SECONDS from now.
    function setAgentWallet(uint256 agentId, address newWallet, uint256 deadline, bytes calldata signature) external {
        _demandAuthorised(agentId);
        require(newWallet != address(0), BadConsent(newWallet));
        require(block.timestamp <= deadline && deadline <= block.timestamp + MAX_CONSENT_SECONDS, BadDeadline(deadline));
        bytes32 consent = keccak256(abi.encode(AGENT_WALLET_SET_TYPEHASH, agentId, newWallet, ownerOf(agentId), deadline));
        require(SignatureChecker.isValidSignatureNow(newWallet, _hashTypedDataV4(consent), signature), BadConsent(newWallet));
        _setWallet(agentId, newWallet);
    }

    function unsetAgentWallet(uint256 agentId) external {
        _demandAuthorised(agentId);
        _setWallet(agentId, address(0));
    }

    /// @notice Who acts for the agent; zero after a transfer, until the new owner names somebody.
    function getAgentWallet(uint256 agentId) external view returns (address) {
        return _wallets[agentId];
    }

    function _register(string memory agentURI, MetadataEntry[] memory metadata) private returns (uint256 agentId) {
        require(metadata.length <= MAX_METADATA, TooManyEntries(metadata.length));
        agentId = ++agentCount;
        // Not _safeMint: a call of the owner's code in between would see an identity that is half made.
        _mint(msg.sender, agentId);
        if (bytes(agentURI).length != 0) _setTokenURI(agentId, agentURI);
        emit Registered(agentId, agentURI, msg.sender);
        for (uint256 i = 0; i < metadata.length; ++i) _setMetadata(agentId, metadata[i].metadataKey, metadata[i].metadataValue);
        _setWallet(agentId, msg.sender);
    }

    function _setMetadata(uint256 agentId, string memory key, bytes memory value) private {
        require(keccak256(bytes(key)) != _WALLET_KEY, ReservedKey(key));
        _metadata[agentId][keccak256(bytes(key))] = value;
        emit MetadataSet(agentId, key, key, value);
    }

    function _setWallet(uint256 agentId, address wallet) private {
        _wallets[agentId] = wallet;
        emit MetadataSet(agentId, "agentWallet", "agentWallet", wallet == address(0) ? bytes("") : abi.encodePacked(wallet));
    }

    function _demandAuthorised(uint256 agentId) private view {
        require(_isAuthorized(ownerOf(agentId), msg.sender, agentId), NotAuthorised(agentId, msg.sender));
    }

    /// @dev Every change of hands comes through here; the wallet goes with the old owner.
    function _update(address to, uint256 agentId, address auth) internal override returns (address from) {
        from = super._update(to, agentId, auth);
        if (from != address(0) && _wallets[agentId] != address(0)) _setWallet(agentId, address(0));
    }
}
