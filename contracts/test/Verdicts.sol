// SPDX-License-Identifier: MIT OR Apache-2.0
// A tier of assurance whose verdicts the tests set. Nothing ships it.
// Invariant: it answers for a claim and a payer what was set last for both; four of the answers are what no tier should give.
// Source: IAssurance.
// What it does not do: it decides nothing, and anyone may set.
pragma solidity ^0.8.28;

contract Verdicts {
    uint8 public constant REVERTS = 4;
    uint8 public constant BURNS = 5;
    uint8 public constant SILENT = 6;
    uint8 public constant RUBBISH = 7;

    mapping(bytes32 claimHash => mapping(address payer => uint8)) private _answers;

    function set(bytes32 claimHash, address payer, uint8 answer) external {
        _answers[claimHash][payer] = answer;
    }

    /// @notice Not as IAssurance declares it, so that it can answer with what is no verdict; the selector is the same.
    function verdict(bytes32 claimHash, address payer) external view returns (uint256 answer) {
        answer = _answers[claimHash][payer];
        require(answer != REVERTS);
        if (answer == BURNS) while (gasleft() > 0) {}
        if (answer == SILENT) {
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        if (answer == RUBBISH) answer = type(uint256).max;
    }
}
