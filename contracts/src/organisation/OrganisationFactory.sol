// SPDX-License-Identifier: MIT OR Apache-2.0
// Founds organisations: timelock, policy, members and organisation in one transaction, from code whose hashes are fixed at genesis.
// Invariant: what it lists was made from exactly that code and bound together here; afterwards only the organisation has power over its
// timelock, and the factory has none.
// Source: docs/organisations.md.
// What it does not do: it keeps no code (together it passes EIP-170), so the founder sends it; it judges no name and no terms
// beyond what the constructors demand.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Agents} from "../Agents.sol";
import {IDATCore} from "../interfaces/IDATCore.sol";
import {Members} from "./Members.sol";
import {Organisation} from "./Organisation.sol";
import {Policy} from "./Policy.sol";
import {Timelock} from "./Timelock.sol";

contract OrganisationFactory {
    /// @param timelockDelay Seconds between queueing and execution, in which the council may veto.
    struct Terms {
        string name;
        Organisation.Voting voting;
        uint32 timelockDelay;
        Members.Terms members;
        Policy.Admission admission;
        address[] council;
        uint16 threshold;
    }

    struct Founders {
        address[] accounts;
        uint256[] agentIds;
        uint96[] weights;
    }

    struct Made {
        address organisation;
        address timelock;
        address members;
        address policy;
    }

    /// @notice Bytes of an organisation's name.
    uint256 public constant MAX_NAME = 64;
    bytes32 public immutable timelockCode;
    bytes32 public immutable policyCode;
    bytes32 public immutable membersCode;
    bytes32 public immutable organisationCode;
    IERC20 public immutable credit;
    Agents public immutable agents;
    IDATCore public immutable assets;
    /// @notice Organisations are numbered from 1 to this.
    uint256 public count;
    mapping(uint256 number => Made) private _made;
    /// @notice The number of an organisation; zero for what was not founded here.
    mapping(address organisation => uint256) public numberOf;

    event Founded(uint256 indexed number, address indexed organisation, string name, Made made);

    error OtherCode(bytes32 expected, bytes32 given);
    error BadName();
    error ExitTooSoon(uint256 exitDelay, uint256 least);
    error NotMade();

    constructor(
        bytes32 timelock,
        bytes32 policy,
        bytes32 members,
        bytes32 organisation,
        IERC20 credit_,
        Agents agents_,
        IDATCore assets_
    ) {
        (timelockCode, policyCode, membersCode, organisationCode) = (timelock, policy, members, organisation);
        (credit, agents, assets) = (credit_, agents_, assets_);
    }

    /// @notice Found an organisation.
    /// @param code Creation code, without arguments, of Timelock, Policy, Members and Organisation.
    function create(Terms calldata terms, Founders calldata founders, bytes[4] calldata code)
        external
        returns (Made memory made)
    {
        require(bytes(terms.name).length != 0 && bytes(terms.name).length <= MAX_NAME, BadName());
        // Whoever votes and leaves can still be challenged when what was voted is executed.
        Organisation.Voting calldata voting = terms.voting;
        uint256 least = uint256(voting.period) + voting.extension + terms.timelockDelay;
        require(terms.members.exitDelay >= least, ExitTooSoon(terms.members.exitDelay, least));

        made.timelock = _make(timelockCode, code[0], abi.encode(uint256(terms.timelockDelay), assets));
        made.policy = _make(
            policyCode, code[1], abi.encode(made.timelock, credit, terms.admission, terms.council, terms.threshold)
        );
        made.members = _make(
            membersCode,
            code[2],
            abi.encode(made.policy, agents, terms.members, founders.accounts, founders.agentIds, founders.weights)
        );
        made.organisation = _make(
            organisationCode, code[3], abi.encode(terms.name, voting, made.members, made.policy, made.timelock)
        );

        Timelock timelock = Timelock(payable(made.timelock));
        timelock.bind(Policy(made.policy));
        timelock.grantRole(timelock.PROPOSER_ROLE(), made.organisation);
        timelock.grantRole(timelock.CANCELLER_ROLE(), made.organisation);
        timelock.grantRole(timelock.EXECUTOR_ROLE(), made.organisation);
        timelock.renounceRole(timelock.DEFAULT_ADMIN_ROLE(), address(this));

        uint256 number = ++count;
        _made[number] = made;
        numberOf[made.organisation] = number;
        emit Founded(number, made.organisation, terms.name, made);
    }

    /// @notice The contracts of organisation `number`; zeros if there is none.
    function madeOf(uint256 number) external view returns (Made memory) {
        return _made[number];
    }

    function _make(bytes32 expected, bytes calldata code, bytes memory arguments) private returns (address made) {
        bytes32 given = keccak256(code);
        require(given == expected, OtherCode(expected, given));
        bytes memory initcode = bytes.concat(code, arguments);
        assembly ("memory-safe") {
            made := create(0, add(initcode, 32), mload(initcode))
            // The constructor's own reason says more than ours.
            if iszero(made) {
                if returndatasize() {
                    returndatacopy(0, 0, returndatasize())
                    revert(0, returndatasize())
                }
            }
        }
        require(made != address(0), NotMade());
    }
}
