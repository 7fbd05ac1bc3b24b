"""Licences through the SDK: what data may be used for decides what a model of it may be."""

from __future__ import annotations

import numpy as np
import pytest

from interlace.assets.licence import LICENCES, RESERVED, Licence, Permission
from interlace.assets.registry import Parent
from interlace.errors import AssetError, ChainError

ROWS = np.arange(60) % 5, np.arange(60) % 3


@pytest.fixture(scope="module")
def alice(net):
    return net.accounts("licensor")[0]


def anchored(party, name, licence):
    """Anchor sixty rows that differ by the name; return the data."""
    features = np.column_stack([*ROWS, np.full(60, len(name))])
    return party.anchor((features, np.arange(60) % 2), name=name, licence=licence)


def test_a_model_is_as_permissive_as_its_data_lets_it_be(net, alice):
    for name, licence in (("by", "CC-BY-4.0"), ("alike", "CC-BY-SA-4.0"), ("unpaid", "CC-BY-NC-4.0")):
        data = anchored(alice, name, licence)
        model = alice.publish(alice.train(data, "logistic"))
        assert net.registry.licence_of(data.class_id) == LICENCES[licence]
        assert net.registry.licence_of(model.class_id) == LICENCES[licence]
        (parent,) = net.registry.lineage(model.class_id).parents
        assert (parent.class_id, parent.relation, parent.licence) == (data.class_id, "trained on", LICENCES[licence])


def test_nothing_is_charged_for_what_may_not_be(net, alice):
    data = anchored(alice, "not for sale", "CC-BY-NC-4.0")
    model = alice.publish(alice.train(data, "logistic"))
    with pytest.raises(AssetError, match=r"^asset\.not-for-pay: "):
        alice.serve(model, "0.001/call")
    # Its owner changes its mind, and the model's owner follows.
    wider = LICENCES["CC-BY-4.0"]
    with pytest.raises(ChainError, match="MorePermissive"):
        net.registry.widen_licence(alice.account, model.class_id, wider)
    net.registry.widen_licence(alice.account, data.class_id, wider)
    net.registry.widen_licence(alice.account, model.class_id, wider)
    with alice.serve(model, "0.001/call"):
        pass
    with pytest.raises(ChainError, match="LicenceNarrowed"):
        net.registry.widen_licence(alice.account, data.class_id, Licence(Permission.DERIVING))


def test_what_is_reserved_has_no_children(net, alice):
    data = anchored(alice, "reserved", "all rights reserved, ask me")
    assert net.registry.licence_of(data.class_id) == RESERVED
    with pytest.raises(AssetError, match=r"^asset\.not-derivable: "):
        alice.publish(alice.train(data, "logistic"))


def test_a_fine_tuned_model_names_what_it_comes_from(net, alice):
    data = anchored(alice, "base data", "CC-BY-4.0")
    base, tuned = (alice.train(data, kind) for kind in ("logistic", "trees"))
    alice.publish(base)
    account = alice.account
    wrong = (Parent(base.class_id, 10_000, "inspired by"),)
    with pytest.raises(AssetError, match=r"^asset\.bad-parents: "):
        net.registry.register_model(account, tuned.card, tuned.program, wrong)
    parents = (Parent(base.class_id, 9_000, "fine-tuned from"), Parent(data.class_id, 1_000, "evaluated by"))
    made = net.registry.register_model(account, tuned.card, tuned.program, parents)
    lineage = net.registry.lineage(made.class_id)
    assert [(p.class_id, p.weight, p.relation) for p in lineage.parents] == [
        (data.class_id, 1_000, "evaluated by"),
        (base.class_id, 9_000, "fine-tuned from"),
    ]
    assert lineage.parents[1].parents[0].class_id == data.class_id
