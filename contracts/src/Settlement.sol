// SPDX-License-Identifier: MIT OR Apache-2.0
// Receipts become payments: a node commits a Merkle root, anyone opens its leaves, each is paid, or held and decided.
// Invariant: each (payer, node, nonce) is paid at most once; a leaf's cost is units(program) * unitPrice <= maxCost and
// sits in exactly one place: escrow -> pending -> router or back to escrow; credit balance >= escrows + pending + bonds.
// A leaf of assurance 1 is open to challenge while now < windowEnd; it can be released from windowEnd on. A challenge is
// voted on while now < voteEnd and may be resolved as soon as one side has the validators' threshold. From voteEnd on,
// without a threshold, it is refunded: undecided means refund.
// A leaf of a tier (assurance 2 to 6) is released only when the tier's contract says that its claim holds, and refunded only when
// that says it fails, or knows nothing of it from windowEnd on, or has not decided undecidedSeconds later.
// Source: the life of a leaf in docs/contracts.md; OpenZeppelin MerkleProof (sorted pairs), ERC-1271.
// What it does not do: it runs no program. That an output is right is the validators' vote or a tier's verdict; with assurance 0
// nobody is asked. It has no owner and no pause.
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Escrow} from "./Escrow.sol";
import {FeeRouter} from "./FeeRouter.sol";
import {Programs} from "./Programs.sol";
import {Records} from "./Records.sol";
import {Validators} from "./Validators.sol";
import {IAssurance} from "./interfaces/IAssurance.sol";

contract Settlement is Records, Escrow, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using BitMaps for BitMaps.BitMap;

    /// @notice What one call takes at most.
    uint256 public constant MAX_OPEN = 64;
    uint256 public constant MAX_RELEASE = 256;
    uint256 public constant MAX_PROOF = 32;
    /// @notice Gas that a contract payer gets to answer for one signature (ERC-1271); the node pays for it.
    uint256 public constant SIGNATURE_GAS = 500_000;
    /// @notice Gas that a tier's contract gets to tell a verdict; who calls release() or refund() brings it.
    uint256 public constant VERDICT_GAS = 300_000;
    uint16 public constant SEMANTICS = 1;
    /// @dev The meter of the fees that are settled here (IRouter).
    uint8 private constant COMPUTE = 0;
    /// @notice Highest assurance there is; those from FIRST_TIER on are decided by other contracts.
    uint8 public constant MAX_ASSURANCE = 6;
    uint8 public constant FIRST_TIER = 2;

    enum Status {
        Unknown,
        Pending,
        Challenged,
        Released,
        Refunded
    }

    /// @param voteSeconds How long validators may vote on a challenge.
    /// @param graceSeconds How long after its deadline a voucher can still be opened.
    /// @param undecidedSeconds How long behind its window a leaf waits for a tier that has its claim but no verdict.
    /// @param bond Credit-wei that a challenger puts up.
    struct Terms {
        uint64 windowSeconds;
        uint64 voteSeconds;
        uint64 graceSeconds;
        uint64 withdrawalDelay;
        uint64 undecidedSeconds;
        uint256 bond;
    }

    struct Leaf {
        Voucher voucher;
        bytes payerSignature;
        Claim claim;
        Receipt receipt;
        bytes nodeSignature;
    }

    /// @param count Leaves that the root is said to have; not more can be opened.
    struct Batch {
        bytes32 root;
        address node;
        uint32 count;
        uint32 opened;
    }

    /// @dev Three words. A leaf of assurance 0 keeps only the first.
    struct Entry {
        address payer;
        uint64 windowEnd;
        Status status;
        uint8 assurance;
        address node;
        uint96 classId;
        uint128 cost;
    }

    struct Challenge {
        address challenger;
        uint64 voteEnd;
        uint8 upholds;
        uint8 refunds;
    }

    /// @dev Cost of consecutive leaves with one node and class, routed together.
    struct Sum {
        address node;
        uint256 classId;
        uint256 amount;
    }

    Programs public immutable programs;
    Validators public immutable validators;
    FeeRouter public immutable router;
    uint64 public immutable windowSeconds;
    uint64 public immutable voteSeconds;
    uint64 public immutable graceSeconds;
    uint64 public immutable undecidedSeconds;
    uint256 public immutable bond;
    IAssurance private immutable _audits;
    IAssurance private immutable _quorum;
    IAssurance private immutable _dispute;
    IAssurance private immutable _sumcheck;
    IAssurance private immutable _zk;

    /// @notice The hot key that signs a node's receipts and may commit for it; zero when there is none.
    mapping(address node => address) public receiptKeyOf;
    uint256 public batchCount;
    mapping(uint256 batchId => Batch) private _batches;
    mapping(bytes32 leafId => Entry) private _entries;
    mapping(bytes32 leafId => Challenge) private _challenges;
    mapping(bytes32 leafId => mapping(address validator => bool)) public hasVoted;
    /// @notice The claim that a leaf of a tier is decided by.
    mapping(bytes32 leafId => bytes32) public claimOf;
    mapping(address payer => mapping(address node => BitMaps.BitMap)) private _nonces;

    event ReceiptKeyChanged(address indexed node, address indexed previous, address indexed key);
    event Committed(uint256 indexed batchId, address indexed node, bytes32 root, uint32 count);
    /// @notice A leaf was accepted; with assurance 0 (windowEnd is zero) Released follows in the same transaction.
    event Opened(
        bytes32 indexed leafId, address indexed payer, address indexed node, uint256 batchId, uint256 classId,
        uint64 nonce, uint256 cost, uint64 windowEnd
    );
    /// @notice Beside Opened, for a leaf of a tier: which tier decides it, by which claim.
    event AwaitsVerdict(bytes32 indexed leafId, bytes32 indexed claimHash, uint8 indexed assurance);
    event Challenged(bytes32 indexed leafId, address indexed challenger, uint64 voteEnd);
    event Voted(bytes32 indexed leafId, address indexed validator, bool uphold);
    event Released(bytes32 indexed leafId, address indexed node, uint256 cost);
    event Refunded(bytes32 indexed leafId, address indexed payer, uint256 cost);
    event BondPaid(bytes32 indexed leafId, address indexed to, uint256 amount);

    error BadTerms();
    error NotNodeOrKey(address node, address caller);
    error EmptyBatch();
    error UnknownBatch(uint256 batchId);
    error TooMany(uint256 count, uint256 limit);
    error LengthsDiffer(uint256 leaves, uint256 proofs);
    error TooManyLeaves(uint256 batchId, uint32 count);
    error NotInBatch(uint256 batchId, bytes32 leafId);
    error WrongNode(address expected, address found);
    error WrongToken(address expected, address found);
    error UnknownAssurance(uint8 assurance);
    error WrongVoucherHash(bytes32 expected, bytes32 found);
    error WrongClaimHash(bytes32 expected, bytes32 found);
    error WrongChain(uint256 expected, uint256 found);
    error WrongRegistry(address expected, address found);
    error WrongProgram(bytes32 expected, bytes32 found);
    error WrongSemantics(uint16 expected, uint16 found);
    error WrongInput(bytes32 expected, bytes32 found);
    error WrongProver(address expected, address found);
    error WrongJobNonce(uint64 expected, uint64 found);
    error WrongAsset(uint256 expected, uint256 found);
    error WrongUnits(uint64 expected, uint64 found);
    error NotLicensedForPay(uint256 classId);
    error WrongCost(uint256 expected, uint256 found);
    error CostOverMax(uint64 units, uint256 unitPrice, uint256 maxCost);
    error CostTooLarge(uint256 cost);
    error ServedLate(uint64 servedAt, uint64 deadline);
    error ServedInFuture(uint64 servedAt, uint256 nowAt);
    error SettledLate(uint64 deadline, uint64 graceSeconds, uint256 nowAt);
    error NonceUsed(address payer, address node, uint64 nonce);
    error BadPayerSignature(address payer, bytes32 digest);
    error BadNodeSignature(address node, bytes32 digest);
    error WrongStatus(bytes32 leafId, Status status);
    error WindowOver(bytes32 leafId, uint64 windowEnd, uint256 nowAt);
    error WindowOpen(bytes32 leafId, uint64 windowEnd, uint256 nowAt);
    error NotByVote(bytes32 leafId, uint8 assurance);
    error NotByVerdict(bytes32 leafId, uint8 assurance);
    error NotHeld(bytes32 leafId, IAssurance.Verdict verdict);
    error NotRefundable(bytes32 leafId, IAssurance.Verdict verdict, uint256 refundFrom, uint256 nowAt);
    error TooLittleGas(uint256 left, uint256 needed);
    error VoteOver(bytes32 leafId, uint64 voteEnd, uint256 nowAt);
    error VoteOpen(bytes32 leafId, uint64 voteEnd, uint256 nowAt);
    error NotValidator(address account);
    error InterestedVoter(bytes32 leafId, address validator);
    error AlreadyVoted(bytes32 leafId, address validator);

    /// @param tiers Who decides assurance 2 to 6: audits, quorum, dispute, sumcheck, zk. Zero: this chain has no such tier.
    constructor(
        IERC20 credit_,
        Programs programs_,
        Validators validators_,
        FeeRouter router_,
        IAssurance[MAX_ASSURANCE + 1 - FIRST_TIER] memory tiers,
        Terms memory terms
    ) Escrow(credit_, terms.withdrawalDelay) {
        require(terms.windowSeconds != 0 && terms.voteSeconds != 0 && terms.undecidedSeconds != 0, BadTerms());
        require(terms.withdrawalDelay > terms.graceSeconds, BadTerms());
        programs = programs_;
        validators = validators_;
        router = router_;
        windowSeconds = terms.windowSeconds;
        voteSeconds = terms.voteSeconds;
        graceSeconds = terms.graceSeconds;
        undecidedSeconds = terms.undecidedSeconds;
        bond = terms.bond;
        (_audits, _quorum, _dispute, _sumcheck, _zk) = (tiers[0], tiers[1], tiers[2], tiers[3], tiers[4]);
        credit_.approve(address(router_), type(uint256).max);
    }

    // ---- node ------------------------------------------------------------------------------------

    /// @notice Set the calling node's hot key; receipts signed by the one before can no longer be opened. Zero revokes.
    function setReceiptKey(address key) external {
        emit ReceiptKeyChanged(msg.sender, receiptKeyOf[msg.sender], key);
        receiptKeyOf[msg.sender] = key;
    }

    /// @notice Commit to `count` leaves; the node itself or its receipt key may.
    function commit(address node, bytes32 root, uint32 count) external returns (uint256 batchId) {
        require(msg.sender == node || msg.sender == receiptKeyOf[node], NotNodeOrKey(node, msg.sender));
        require(count != 0 && root != 0, EmptyBatch());
        batchId = ++batchCount;
        _batches[batchId] = Batch(root, node, count, 0);
        emit Committed(batchId, node, root, count);
    }

    /// @notice Open leaves of a batch; anyone may. One leaf that does not hold reverts the whole call: check() tells why.
    /// @param proofs For each leaf the siblings up to the root.
    function open(uint256 batchId, Leaf[] calldata leaves, bytes32[][] calldata proofs) external nonReentrant {
        require(leaves.length <= MAX_OPEN, TooMany(leaves.length, MAX_OPEN));
        require(leaves.length == proofs.length, LengthsDiffer(leaves.length, proofs.length));
        Batch storage batch = _batch(batchId);
        require(leaves.length <= batch.count - batch.opened, TooManyLeaves(batchId, batch.count));
        batch.opened += uint32(leaves.length);
        Sum memory sum;
        for (uint256 i = 0; i < leaves.length; ++i) {
            (bytes32 leafId, uint256 cost) = check(batchId, leaves[i], proofs[i]);
            _open(batchId, leafId, leaves[i], cost, sum);
        }
        _flush(sum);
    }

    /// @notice Everything that open() demands of a leaf but enough escrow; reverts with the first thing that is wrong.
    function check(uint256 batchId, Leaf calldata leaf, bytes32[] calldata proof)
        public
        view
        returns (bytes32 leafId, uint256 cost)
    {
        Batch storage batch = _batch(batchId);
        Voucher calldata voucher = leaf.voucher;
        bytes32 digest = voucherDigest(voucher);
        bytes32 receipt = receiptDigest(leaf.receipt);
        leafId = leafOf(digest, receipt);
        require(proof.length <= MAX_PROOF, TooMany(proof.length, MAX_PROOF));
        require(MerkleProof.verifyCalldata(proof, batch.root, leafId), NotInBatch(batchId, leafId));
        require(voucher.node == batch.node, WrongNode(batch.node, voucher.node));
        _checkLinks(leaf, digest);
        _checkTimes(voucher.deadline, leaf.receipt.servedAt);
        cost = _checkCost(voucher, leaf.receipt);
        require(
            !nonceUsed(voucher.payer, voucher.node, voucher.nonce),
            NonceUsed(voucher.payer, voucher.node, voucher.nonce)
        );
        require(
            _accepts(voucher.payer, digest, leaf.payerSignature), BadPayerSignature(voucher.payer, digest)
        );
        (address signer, ECDSA.RecoverError err, ) = ECDSA.tryRecoverCalldata(receipt, leaf.nodeSignature);
        require(
            err == ECDSA.RecoverError.NoError && signer == receiptKeyOf[voucher.node],
            BadNodeSignature(voucher.node, receipt)
        );
    }

    /// @notice Route leaves whose window is over without a challenge, and those of tiers whose claim holds; anyone may. One
    /// that is neither reverts the whole call, so the caller leaves it out.
    function release(bytes32[] calldata leafIds) external nonReentrant {
        require(leafIds.length <= MAX_RELEASE, TooMany(leafIds.length, MAX_RELEASE));
        Sum memory sum;
        for (uint256 i = 0; i < leafIds.length; ++i) {
            Entry storage entry = _entries[leafIds[i]];
            require(entry.status == Status.Pending, WrongStatus(leafIds[i], entry.status));
            if (entry.assurance < FIRST_TIER) {
                require(
                    block.timestamp >= entry.windowEnd, WindowOpen(leafIds[i], entry.windowEnd, block.timestamp)
                );
            } else {
                (IAssurance.Verdict verdict, ) = _verdict(leafIds[i], entry);
                require(verdict == IAssurance.Verdict.Holds, NotHeld(leafIds[i], verdict));
            }
            _release(leafIds[i], entry, sum);
        }
        _flush(sum);
    }

    /// @notice Give payers back what leaves of tiers cost whose claim fails, or was not decided in time; anyone may. One that
    /// is not due reverts the whole call, so the caller leaves it out.
    function refund(bytes32[] calldata leafIds) external nonReentrant {
        require(leafIds.length <= MAX_RELEASE, TooMany(leafIds.length, MAX_RELEASE));
        for (uint256 i = 0; i < leafIds.length; ++i) {
            bytes32 leafId = leafIds[i];
            Entry storage entry = _entries[leafId];
            require(entry.status == Status.Pending, WrongStatus(leafId, entry.status));
            require(entry.assurance >= FIRST_TIER, NotByVerdict(leafId, entry.assurance));
            (IAssurance.Verdict verdict, uint256 from) = _verdict(leafId, entry);
            require(block.timestamp >= from, NotRefundable(leafId, verdict, from, block.timestamp));
            _refund(leafId, entry);
        }
    }

    // ---- dispute ---------------------------------------------------------------------------------

    /// @notice Doubt a pending leaf while its window is open; takes the bond. A leaf is challenged at most once.
    function challenge(bytes32 leafId) external nonReentrant {
        Entry storage entry = _entries[leafId];
        require(entry.status == Status.Pending, WrongStatus(leafId, entry.status));
        require(entry.assurance < FIRST_TIER, NotByVote(leafId, entry.assurance));
        require(block.timestamp < entry.windowEnd, WindowOver(leafId, entry.windowEnd, block.timestamp));
        entry.status = Status.Challenged;
        uint64 voteEnd = uint64(block.timestamp) + voteSeconds;
        _challenges[leafId] = Challenge(msg.sender, voteEnd, 0, 0);
        emit Challenged(leafId, msg.sender, voteEnd);
        if (bond != 0) credit.safeTransferFrom(msg.sender, address(this), bond);
    }

    /// @notice A validator's vote: `uphold` the receipt, or refund. Who gains from the outcome has no vote.
    function vote(bytes32 leafId, bool uphold) external {
        Entry storage entry = _entries[leafId];
        Challenge storage dispute = _challenges[leafId];
        require(entry.status == Status.Challenged, WrongStatus(leafId, entry.status));
        require(block.timestamp < dispute.voteEnd, VoteOver(leafId, dispute.voteEnd, block.timestamp));
        require(validators.isValidator(msg.sender), NotValidator(msg.sender));
        bool interested = msg.sender == entry.node || msg.sender == entry.payer || msg.sender == dispute.challenger;
        require(!interested, InterestedVoter(leafId, msg.sender));
        require(!hasVoted[leafId][msg.sender], AlreadyVoted(leafId, msg.sender));
        hasVoted[leafId][msg.sender] = true;
        if (uphold) ++dispute.upholds;
        else ++dispute.refunds;
        emit Voted(leafId, msg.sender, uphold);
    }

    /// @notice End a challenge; anyone may. Upheld: the fee is routed and the bond is the node's. Refunded or
    /// undecided: the payer's escrow gets the cost and the challenger the bond back.
    function resolve(bytes32 leafId) external nonReentrant {
        Entry storage entry = _entries[leafId];
        Challenge storage dispute = _challenges[leafId];
        require(entry.status == Status.Challenged, WrongStatus(leafId, entry.status));
        uint256 threshold = validators.threshold();
        address bondTo = dispute.challenger;
        if (dispute.upholds >= threshold) {
            bondTo = entry.node;
            Sum memory sum;
            _release(leafId, entry, sum);
            _flush(sum);
        } else {
            bool decided = dispute.refunds >= threshold || block.timestamp >= dispute.voteEnd;
            require(decided, VoteOpen(leafId, dispute.voteEnd, block.timestamp));
            _refund(leafId, entry);
        }
        emit BondPaid(leafId, bondTo, bond);
        if (bond != 0) credit.safeTransfer(bondTo, bond);
    }

    // ---- views -----------------------------------------------------------------------------------

    function nonceUsed(address payer, address node, uint64 nonce) public view returns (bool) {
        return _nonces[payer][node].get(nonce);
    }

    function batchOf(uint256 batchId) external view returns (Batch memory) {
        return _batch(batchId);
    }

    /// @notice Who decides an assurance; zero if this chain has no such tier, or if it is decided here.
    function tierOf(uint8 assurance) public view returns (IAssurance) {
        if (assurance == 2) return _audits;
        if (assurance == 3) return _quorum;
        if (assurance == 4) return _dispute;
        if (assurance == 5) return _sumcheck;
        return assurance == 6 ? _zk : IAssurance(address(0));
    }

    /// @notice What the tier of a leaf says of its claim now, and the second from which refund() takes the leaf if it goes on
    /// to say that: the highest number if the claim holds, which is never refunded.
    function verdictOf(bytes32 leafId) external view returns (IAssurance.Verdict verdict, uint256 refundFrom) {
        Entry storage entry = _entries[leafId];
        require(entry.assurance >= FIRST_TIER, NotByVerdict(leafId, entry.assurance));
        return _verdict(leafId, entry);
    }

    /// @notice State of a leaf; of assurance 0 only payer and status are kept.
    function entryOf(bytes32 leafId) external view returns (Entry memory) {
        return _entries[leafId];
    }

    function challengeOf(bytes32 leafId) external view returns (Challenge memory) {
        return _challenges[leafId];
    }

    // ---- inner -----------------------------------------------------------------------------------

    function _batch(uint256 batchId) private view returns (Batch storage batch) {
        batch = _batches[batchId];
        require(batch.count != 0, UnknownBatch(batchId));
    }

    /// @dev The payer's own key, or a contract's word (ERC-1271). The key comes first and always counts: an account that
    /// delegates its code (EIP-7702) after it was served cannot take its signature back. A contract can; it gets
    /// SIGNATURE_GAS and one word to answer in, so that it cannot make the node pay for more.
    function _accepts(address payer, bytes32 digest, bytes calldata signature) private view returns (bool accepted) {
        (address signer, ECDSA.RecoverError err, ) = ECDSA.tryRecoverCalldata(digest, signature);
        if (err == ECDSA.RecoverError.NoError && signer == payer) return true;
        if (payer.code.length == 0) return false;
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes32 answer;
        assembly ("memory-safe") {
            accepted := staticcall(SIGNATURE_GAS, payer, add(question, 0x20), mload(question), 0x00, 0x20)
            accepted := and(accepted, gt(returndatasize(), 0x1f))
            answer := mload(0x00)
        }
        return accepted && answer == bytes32(IERC1271.isValidSignature.selector);
    }

    /// @dev The receipt is for this voucher and this claim, and the claim answers this voucher on this chain.
    function _checkLinks(Leaf calldata leaf, bytes32 digest) private view {
        Voucher calldata voucher = leaf.voucher;
        Claim calldata claim = leaf.claim;
        require(voucher.token == address(credit), WrongToken(address(credit), voucher.token));
        bool known = voucher.assurance < FIRST_TIER || address(tierOf(voucher.assurance)) != address(0);
        require(known, UnknownAssurance(voucher.assurance));
        require(leaf.receipt.voucherHash == digest, WrongVoucherHash(digest, leaf.receipt.voucherHash));
        bytes32 hash = claimHash(claim);
        require(leaf.receipt.claimHash == hash, WrongClaimHash(hash, leaf.receipt.claimHash));
        require(claim.chainId == block.chainid, WrongChain(block.chainid, claim.chainId));
        require(claim.registry == address(programs), WrongRegistry(address(programs), claim.registry));
        require(claim.programId == voucher.programId, WrongProgram(voucher.programId, claim.programId));
        require(claim.semantics == SEMANTICS, WrongSemantics(SEMANTICS, claim.semantics));
        require(claim.inputHash == voucher.requestHash, WrongInput(voucher.requestHash, claim.inputHash));
        require(claim.prover == voucher.node, WrongProver(voucher.node, claim.prover));
        require(claim.jobNonce == voucher.nonce, WrongJobNonce(voucher.nonce, claim.jobNonce));
    }

    function _checkTimes(uint64 deadline, uint64 servedAt) private view {
        require(servedAt <= deadline, ServedLate(servedAt, deadline));
        require(servedAt <= block.timestamp, ServedInFuture(servedAt, block.timestamp));
        uint256 last = uint256(deadline) + graceSeconds;
        require(block.timestamp <= last, SettledLate(deadline, graceSeconds, block.timestamp));
    }

    /// @dev cost = units(program) * unitPrice; neither the node nor the payer chooses it.
    function _checkCost(Voucher calldata voucher, Receipt calldata receipt) private view returns (uint256 cost) {
        Programs.Program memory program = programs.get(voucher.programId);
        require(program.classId == voucher.assetClass, WrongAsset(program.classId, voucher.assetClass));
        require(receipt.units == program.units, WrongUnits(program.units, receipt.units));
        bool paid = voucher.unitPrice != 0;
        require(!paid || programs.mayBeCharged(program.classId), NotLicensedForPay(program.classId));
        bool fits;
        (fits, cost) = Math.tryMul(program.units, voucher.unitPrice);
        require(fits && cost <= voucher.maxCost, CostOverMax(program.units, voucher.unitPrice, voucher.maxCost));
        require(receipt.cost == cost, WrongCost(cost, receipt.cost));
        require(cost <= type(uint128).max, CostTooLarge(cost));
    }

    /// @dev Take the cost from escrow; add it to `sum`, or hold it for the window or the tier's verdict.
    function _open(uint256 batchId, bytes32 leafId, Leaf calldata leaf, uint256 cost, Sum memory sum) private {
        Voucher calldata voucher = leaf.voucher;
        _nonces[voucher.payer][voucher.node].set(voucher.nonce);
        _take(voucher.payer, cost);
        Entry storage entry = _entries[leafId];
        entry.payer = voucher.payer;
        bool held = voucher.assurance != 0;
        uint64 windowEnd = held ? uint64(block.timestamp) + windowSeconds : 0;
        emit Opened(
            leafId, voucher.payer, voucher.node, batchId, voucher.assetClass, voucher.nonce, cost, windowEnd
        );
        if (held) {
            entry.windowEnd = windowEnd;
            entry.status = Status.Pending;
            entry.assurance = voucher.assurance;
            entry.node = voucher.node;
            entry.classId = uint96(voucher.assetClass); // Assets numbers classes from 1; Programs knows this one
            entry.cost = uint128(cost);
            if (voucher.assurance >= FIRST_TIER) {
                claimOf[leafId] = leaf.receipt.claimHash; // check() compared it with the claim
                emit AwaitsVerdict(leafId, leaf.receipt.claimHash, voucher.assurance);
            }
        } else {
            entry.status = Status.Released;
            emit Released(leafId, voucher.node, cost);
            _add(sum, voucher.node, voucher.assetClass, cost);
        }
    }

    function _release(bytes32 leafId, Entry storage entry, Sum memory sum) private {
        entry.status = Status.Released;
        emit Released(leafId, entry.node, entry.cost);
        _add(sum, entry.node, entry.classId, entry.cost);
    }

    function _refund(bytes32 leafId, Entry storage entry) private {
        entry.status = Status.Refunded;
        escrowOf[entry.payer] += entry.cost;
        emit Refunded(leafId, entry.payer, entry.cost);
    }

    /// @dev A tier that reverts, takes more than VERDICT_GAS or answers with something else has decided nothing: the leaf is
    /// refunded at the end of its time, and no money stays. It always has all of that gas: else who calls with little could
    /// make a claim that holds look undecided.
    function _verdict(bytes32 leafId, Entry storage entry)
        private
        view
        returns (IAssurance.Verdict verdict, uint256 refundFrom)
    {
        address tier = address(tierOf(entry.assurance));
        bytes memory question = abi.encodeCall(IAssurance.verdict, (claimOf[leafId], entry.payer));
        // A call gets at most 63 of 64 parts; a few thousand beside are for finding the contract.
        uint256 needed = VERDICT_GAS + VERDICT_GAS / 63 + 10_000;
        require(gasleft() >= needed, TooLittleGas(gasleft(), needed));
        bool answered;
        uint256 answer;
        assembly ("memory-safe") {
            answered := staticcall(VERDICT_GAS, tier, add(question, 0x20), mload(question), 0x00, 0x20)
            answered := and(answered, gt(returndatasize(), 0x1f))
            answer := mload(0x00)
        }
        verdict = IAssurance.Verdict.Open;
        if (answered && answer <= uint256(type(IAssurance.Verdict).max)) verdict = IAssurance.Verdict(answer);
        if (verdict == IAssurance.Verdict.Holds) refundFrom = type(uint256).max;
        else if (verdict == IAssurance.Verdict.None) refundFrom = entry.windowEnd;
        else if (verdict == IAssurance.Verdict.Open) refundFrom = uint256(entry.windowEnd) + undecidedSeconds;
    }

    function _add(Sum memory sum, address node, uint256 classId, uint256 cost) private {
        if (sum.node != node || sum.classId != classId) {
            _flush(sum);
            (sum.node, sum.classId) = (node, classId);
        }
        sum.amount += cost;
    }

    function _flush(Sum memory sum) private {
        if (sum.amount == 0) return;
        router.route(COMPUTE, sum.node, sum.classId, sum.amount);
        sum.amount = 0;
    }
}
