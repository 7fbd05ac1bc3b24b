"""The life of an asset from the chain's events: everything that happened, in order, and nothing of others."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_iris

from interlace.assets.life import life
from interlace.assets.private import PrivateContent
from interlace.assets.registry import Parent
from interlace.errors import AssetError


@pytest.fixture(scope="module")
def lived(net):
    """Data and a model of it that was served, settled and claimed, and a model derived from that."""
    ann, ben = net.accounts("annalist", "reader")
    data = ann.anchor(
        (load_iris().data[::-1].copy(), load_iris().target[::-1].copy()), name="life", licence="CC-BY-4.0"
    )
    model = ann.publish(ann.train(data, "logistic"))
    with ann.serve(model, "0.001/call") as service:
        ben.ask_all(service, list(np.asarray(model.held_back[:3])), budget="0.003")
        service.settle()
    ann.claim(model)
    child = ann.train(data, "trees")
    parents = (Parent(model.class_id, 10_000, "fine-tuned from"),)
    made = net.registry.register_model(ann.account, child.card, child.program, parents)
    return data, model, made


def test_a_life_is_told_in_order(net, lived):
    data, model, child = lived
    told = life(net.client, model.class_id)
    words = [moment.what for moment in told]
    beginning = [
        "created",
        "owned",
        "licensed",
        "earns in",
        "earns in",
        "derived",
        "minted",
        "transferred",
        "program registered",
    ]
    assert words[: len(beginning)] == beginning
    assert words.count("called") == words.count("call released") == 3
    rest = [word for word in words[len(beginning) :] if word not in ("called", "call released")]
    assert rest == ["fee divided", "paid", "claimed", f"became a parent of class {child.class_id}"]
    places = [(moment.block_number, moment.log_index) for moment in told]
    assert places == sorted(set(places))
    paid = [moment.args["amount"] for moment in told if moment.what == "paid"]
    (divided,) = (moment.args for moment in told if moment.what == "fee divided")
    assert paid == [divided["modelPart"]]
    assert [moment.what for moment in life(net.client, data.class_id)].count("paid") == 1
    assert [moment.what for moment in life(net.client, child.class_id)][-1] == "program registered"


def test_nothing_of_others_is_told(net, lived):
    data, model, child = lived
    lives = [life(net.client, number) for number in (data.class_id, model.class_id, child.class_id)]
    for number, moments in zip((data.class_id, model.class_id, child.class_id), lives, strict=True):
        for moment in moments:
            named = moment.args.get("classId", number)
            assert named == number or moment.what == f"became a parent of class {named}"
    with pytest.raises(AssetError, match=r"^asset\.no-class: "):
        life(net.client, 10**6)


def test_the_command_shows_it(net, lived):
    _, model, _ = lived
    command = [sys.executable, "-m", "interlace.cli", "asset", str(model.class_id), "--rpc", net.url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "  fee divided  " in shown
    document = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert document["class"] == model.class_id
    assert [moment["what"] for moment in document["moments"]] == [m.what for m in life(net.client, model.class_id)]


def test_readers_of_private_content_are_part_of_it(net):
    owner, reader = (party.account for party in net.accounts("keeper", "peruser"))
    net.contract("Assets").send(owner, "createClass", "", bytes(32), 0, "")
    number = net.contract("Assets").call("classCount")
    private = PrivateContent(net.client, net.store)
    private.announce(reader)
    private.publish(owner, number, b"what only some may read")
    private.grant(owner, number, reader.address)
    private.revoke(owner, number, reader.address)
    words = [moment.what for moment in life(net.client, number)]
    assert words.count("sealed version published") == 2
    assert words.index("reader granted") < words.index("reader revoked")
