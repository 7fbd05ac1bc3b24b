"""A contract tells a wine's cultivar from its chemistry and pays by what it finds, in one transaction."""

import json
from pathlib import Path

from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from interlace.chain import ETHER, Chain, Contract
from interlace.models import on_chain, train_classifier

wine = load_wine()  # 13 measurements of 178 wines of three cultivars
measured = StandardScaler().fit_transform(wine.data)
model = train_classifier(measured, wine.target, hidden=(16,), held_back=0.3)
compiled = json.loads((Path(__file__).parent / "compiled/WineEscrow.json").read_text())

with Chain(port=None) as chain:
    client, (buyer, seller, laboratory) = chain.client, chain.accounts[:3]
    program = model.quantised.program
    on_chain.register(client, seller, program)
    escrow = Contract.deploy(client, buyer, compiled["initcode"], compiled["abi"], program.id)

    right, gas, before = 0, 0, client.balance(seller.address)
    for deal, row in enumerate(model.held_back):
        honest = deal % 3 != 0  # every third bottle is not what its label says
        promised = int(wine.target[row]) if honest else (int(wine.target[row]) + 1) % 3
        escrow.send(buyer, "open", seller.address, laboratory.address, promised, value_wei=ETHER)
        (integers,) = model.quantised.prepare(measured[row : row + 1])
        delivery = escrow.send(laboratory, "deliver", deal, on_chain.to_elements(program, integers))
        (settled,) = escrow.events(delivery)
        right += settled.args["cultivar"] == wine.target[row]
        gas += delivery.gas_used
    earned = (client.balance(seller.address) - before) // ETHER

bottles = len(model.held_back)
print(f"{right} of {bottles} wines that the model had never seen were told rightly")
print(f"{earned} ether went to the seller, {bottles - earned} back to the buyer")
print(f"a delivery took {gas // bottles:,} gas, inference and payment; the model does {program.units:,} units of work")
