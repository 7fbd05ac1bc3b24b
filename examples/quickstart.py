"""Publish data and a model, sell a verified answer, and pay everyone who made it."""

from sklearn.datasets import load_digits

import interlace

with interlace.devnet() as net:  # a chain in this process, the economy's contracts in its genesis
    alice, bob = net.accounts("alice", "bob")
    data = alice.anchor(load_digits(), name="digits", licence="CC-BY-4.0")  # 1,797 real images
    model = alice.train(data, kind="mlp")  # trained, then turned into integers; the data is its parent
    with alice.serve(model, price="0.002/call") as service:  # a process of its own
        answer = bob.ask(service, model.held_back[0], budget="0.05")  # a signed voucher pays for it
        answer.verify()  # runs the program again: no node, no trust
        service.settle()  # receipts become payments on the chain
    print(f"it is a {answer.label} for {answer.cost}")
    print(f"data earned {alice.claim(data)}, model {alice.claim(model)}, node {alice.claim('node')}")
