"""Holders: two stake at different times, fees come in by two meters, each claims what was released while he held."""

import sys
from pathlib import Path

import numpy as np

import interlace
from interlace.cli.main import main

draw = np.random.default_rng(5)
inputs = draw.normal(size=(90, 4))
labels = (inputs[:, 0] > 0).astype(int)

with interlace.devnet() as net:
    owner, maker, buyer, early, late = net.accounts("owner", "maker", "buyer", "early", "late")
    period = net.contract("StakingVault").call("streamSeconds")
    model = maker.publish(maker.train(owner.anchor((inputs, labels), name="drawn", licence="CC0-1.0"), "logistic"))

    early.stake("30")
    with maker.serve(model, price="0.01/call") as service:
        buyer.ask_all(service, list(inputs[:20]), budget="1")  # the compute meter
        service.settle()
    net.contract("TransactionFees").send(maker.account, "distribute")  # the tips of all blocks up to here

    net.pass_time(2 * period)  # what came in one period is released in the next
    released = early.balances().earned
    late.stake("90")
    print(f"released before the second staked: {released} for the first, {late.balances().earned} for the second")

    with maker.serve(model, price="0.01/call") as service:
        buyer.ask_all(service, list(inputs[:20]), budget="1")
        service.settle()
    net.pass_time(2 * period)
    print(f"released after: {interlace.Credits(early.balances().earned - released)} and {late.balances().earned}")

    print(f"claimed in credits: {early.claim('holder')} and {late.claim('holder')}")
    print(f"claimed in native tokens: {early.claim_native('holder')} and {late.claim_native('holder')}")
    late.unstake("40")
    net.pass_time(net.contract("StakingVault").call("unbondingSeconds"))
    print(f"withdrawn after the unbonding time: {late.withdraw_stake()}\n", flush=True)

    chart = Path(sys.argv[1] if len(sys.argv) > 1 else "flows.svg")
    main(["economy", "--url", net.url, "--chart", str(chart)])
