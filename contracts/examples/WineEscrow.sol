// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Interlace} from "../src/Interlace.sol";

/// A buyer pays for wine of one cultivar; what a laboratory measured decides who gets the money.
///
/// The cultivar is told by an integer program that was trained on 13 measurements of 178 wines (scikit-learn's `load_wine`). It runs inside
/// `deliver`: nobody is asked, nobody can answer otherwise, and the decision is in the same transaction as the payment.
///
/// What it does not do: it does not know that the laboratory measured that bottle. Who deals agrees on a laboratory, as on a program.
contract WineEscrow {
    struct Deal {
        address buyer;
        address seller;
        address laboratory;
        uint8 cultivar;
        uint256 price;
    }

    /// What tells cultivars: takes `MEASUREMENTS` bytes, gives a score of 32 bits for each of `CULTIVARS`.
    bytes32 public immutable program;
    uint256 public constant MEASUREMENTS = 13;
    uint256 public constant CULTIVARS = 3;

    Deal[] public deals;

    event Opened(uint256 indexed deal, address indexed buyer, address indexed seller, uint8 cultivar, uint256 price);
    event Settled(uint256 indexed deal, uint256 cultivar, address paid);

    error UnknownCultivar(uint8 cultivar);
    error NotTheLaboratory(address caller);
    error NoSuchDeal(uint256 deal);
    error PaymentFailed(address to);

    constructor(bytes32 program_) {
        // Whoever deploys it with a program that is not there, or is another kind of program, is told now.
        require(Interlace.infer(program_, new bytes(MEASUREMENTS)).length == 4 * CULTIVARS, "not a program for wine");
        program = program_;
    }

    /// Puts the price aside, for whoever `laboratory`'s measurements say.
    function open(address seller, address laboratory, uint8 cultivar) external payable returns (uint256 deal) {
        if (cultivar >= CULTIVARS) revert UnknownCultivar(cultivar);
        deal = deals.length;
        deals.push(Deal(msg.sender, seller, laboratory, cultivar, msg.value));
        emit Opened(deal, msg.sender, seller, cultivar, msg.value);
    }

    /// Tells the wine from its measurements, and pays the seller if it is what was bought, else the buyer.
    function deliver(uint256 deal, bytes calldata measurements) external returns (uint256 cultivar) {
        if (deal >= deals.length || deals[deal].buyer == address(0)) revert NoSuchDeal(deal);
        Deal memory settled = deals[deal];
        if (msg.sender != settled.laboratory) revert NotTheLaboratory(msg.sender);
        delete deals[deal];
        cultivar = tell(measurements);
        address paid = cultivar == settled.cultivar ? settled.seller : settled.buyer;
        emit Settled(deal, cultivar, paid);
        (bool sent,) = paid.call{value: settled.price}("");
        if (!sent) revert PaymentFailed(paid);
    }

    /// The cultivar with the highest score, the lowest of equals.
    function tell(bytes calldata measurements) public view returns (uint256 cultivar) {
        bytes memory scores = Interlace.infer(program, measurements);
        int32 best = Interlace.int32At(scores, 0);
        for (uint256 other = 1; other < CULTIVARS; other++) {
            int32 score = Interlace.int32At(scores, other);
            if (score > best) (cultivar, best) = (other, score);
        }
    }
}
