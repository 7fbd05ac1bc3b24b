"""The verbs one by one: what they keep on chain and on disk, and what they refuse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_iris

import interlace
from interlace.assets.content import content_root
from interlace.assets.registry import Parent
from interlace.assets.table import decode, labelled
from interlace.contracts import ADDRESSES
from interlace.errors import AssetError, BudgetError, ChainError, ServiceError, UsageError, VerificationError


@pytest.fixture(scope="module")
def people(net):
    return net.accounts("alice", "bob")


@pytest.fixture(scope="module")
def flowers(people):
    """An anchored data set and a published model of it."""
    alice, _ = people
    data = alice.anchor(load_iris(), name="iris", licence="CC-BY-4.0")
    return data, alice.publish(alice.train(data, "logistic"))


@pytest.fixture(scope="module")
def service(people, flowers):
    alice, _ = people
    with alice.serve(flowers[1], "0.001/call") as running:
        yield running


def test_names_are_accounts(net, people):
    alice, bob = people
    assert net.accounts("bob", "alice") == [bob, alice]
    assert alice.address != bob.address
    assert net.client.balance(bob.address) > 0
    assert alice.account.key.hex() not in repr(alice)
    with pytest.raises(UsageError, match=r"^sdk\.bad-name: "):
        net.accounts("Alice Liddell")


def test_anchored_data_can_be_found_again_from_the_chain(net, flowers):
    data, model = flowers
    assert net.registry.read_dataset(data.class_id) == data.descriptor
    assert decode(net.store.get(data.root)) == labelled(load_iris().data, load_iris().target)
    card = net.registry.read_model(model.class_id)
    assert card == model.card
    assert card.describes(model.program)
    assert card.dataset == "0x" + data.root.hex()
    with pytest.raises(ChainError, match="UnknownClass"):
        net.registry.read_dataset(999)
    with pytest.raises(AssetError, match=r"^asset\.bad-descriptor: "):
        net.registry.read_dataset(model.class_id)


def test_lineage_leads_from_the_model_to_its_data(net, people, flowers):
    data, model = flowers
    lineage = net.registry.lineage(model.class_id)
    assert (lineage.kind, lineage.owner.lower()) == ("model", people[0].address.lower())
    assert [(p.class_id, p.kind, p.weight, p.parents) for p in lineage.parents] == [
        (data.class_id, "dataset", 10_000, ())
    ]


def test_files_bytes_tables_and_matrices_are_anchored(net, people, tmp_path):
    alice, _ = people
    place = tmp_path / "notes.txt"
    place.write_bytes(b"some text")
    for value, encoding in [
        (place, "raw"),
        (str(place), "raw"),
        (b"some text", "raw"),
        (np.ones((3, 2)), "table"),
        (([[1.0], [2.0]], [0, 1]), "table"),
        (labelled([[1.0], [2.0]], [0, 1]), "table"),
    ]:
        data = alice.anchor(value, name="thing", licence="CC0-1.0")
        assert data.descriptor.encoding == encoding
        assert content_root(net.store.get(data.root)) == data.root
    raw = alice.anchor(place, name="notes", licence="CC0-1.0")
    with pytest.raises(AssetError, match=r"^asset\.not-a-table: "):
        alice.train(raw)


def test_what_cannot_be_anchored_is_refused_and_nothing_is_registered(net, people, tmp_path):
    alice, _ = people
    before = net.contract("Assets").call("classCount")
    for value, code in [(tmp_path / "missing", "asset.unreadable"), (b"", "asset.empty"), (5, "asset.bad-table")]:
        with pytest.raises(AssetError, match=f"^{code}: "):
            alice.anchor(value, name="thing", licence="CC0-1.0")
    with pytest.raises(AssetError, match=r"^asset\.bad-descriptor: "):
        alice.anchor(b"x", name="thing", licence="")
    assert net.contract("Assets").call("classCount") == before


def test_a_model_is_published_once_and_only_with_its_own_card(net, people, flowers):
    alice, bob = people
    data, model = flowers
    with pytest.raises(AssetError, match=r"^asset\.published: "):
        alice.publish(model)
    other = alice.train(data, "mlp", hidden=(8,))
    with pytest.raises(AssetError, match=r"^asset\.not-published: "):
        alice.claim(other)
    with pytest.raises(AssetError, match=r"^asset\.wrong-card: "):
        net.registry.register_model(bob.account, model.card, other.program, ())
    for weights in ((5_000, 4_999), (10_001, -1)):
        parents = tuple(Parent(i + 1, weight) for i, weight in enumerate(weights))
        with pytest.raises(AssetError, match=r"^asset\.bad-parents: "):
            net.registry.register_model(bob.account, other.card, other.program, parents)
    with pytest.raises(ChainError, match="AlreadyRegistered"):
        net.registry.register_model(bob.account, model.card, model.program, ())


def test_an_answer_carries_its_evidence(people, flowers, service):
    _, bob = people
    answer = bob.ask(service, flowers[1].held_back[0], budget="0.001")
    assert answer.cost == service.cost <= interlace.parse_amount("0.001")
    assert answer.verify().ok
    stored = list(bob.receipts.glob("*.json"))
    assert [path for path in stored if interlace.ReceiptFile.loads(path.read_bytes()) == answer.receipt]
    changed = bytearray(flowers[1].program.to_bytes())
    changed[-1] ^= 1
    with pytest.raises(VerificationError, match=r"^verify\.weights: "):
        answer.verify(bytes(changed))


def test_integers_and_urls_do_as_well(people, flowers, service):
    _, bob = people
    model = flowers[1]
    integers = model.card.prepare(model.held_back[:2])
    answers = bob.ask_all(service.url, list(integers), budget="0.1")
    assert [a.label for a in answers] == [str(x) for x in model.trained.quantised.predict(model.held_back[:2])]
    # Whoever has only the URL finds the scales of the input in the card that the chain keeps.
    assert bob.ask(service.url, model.held_back[0], budget="0.1").label == answers[0].label
    with pytest.raises(UsageError, match=r"^sdk\.no-program: "):
        answers[0].verify()
    assert answers[0].verify(model.program).ok


def test_threads_of_one_party_keep_their_own_budgets(net, flowers, service):
    (judy,) = net.accounts("judy")
    images, model = flowers[1].held_back, flowers[1]

    def ask(number: int) -> str:
        if number % 3:
            return judy.ask(service, images[number], budget="0.001", assurance=number % 2).label
        with pytest.raises(BudgetError, match=r"^budget\.total: "):
            judy.ask(service, images[number], budget="0.0001")
        return ""

    with ThreadPoolExecutor(6) as pool:
        labels = list(pool.map(ask, range(12)))
    expected = model.trained.quantised.predict(images[:12])
    assert labels == [str(label) if number % 3 else "" for number, label in enumerate(expected)]


def test_the_budget_stops_a_question_before_it_is_signed(people, flowers, service):
    _, bob = people
    escrow = bob.balances().escrow
    with pytest.raises(BudgetError, match=r"^budget\.total: "):
        bob.ask(service, flowers[1].held_back[0], budget="0.0005")
    with pytest.raises(BudgetError, match=r"^budget\.bad-amount: "):
        bob.ask(service, flowers[1].held_back[0], budget=0.05)
    with pytest.raises(BudgetError, match=r"^budget\.bad-price: "):
        people[0].serve(flowers[1], "1/word")
    assert bob.balances().escrow == escrow


def test_escrow_is_put_up_ahead_of_the_questions(net, flowers):
    """A service believes for a while what it last saw of the escrow; no question may fail for that."""
    greta, heidi = net.accounts("greta", "heidi")
    image = flowers[1].held_back[0]
    with greta.serve(flowers[1], "0.3/call") as service:
        answers = [heidi.ask(service, image, budget="0.3") for _ in range(25)]
        paid = sum(answer.cost for answer in answers)
        assert heidi.balances().escrow > paid
        service.settle()
        shared, escrow = interlace.Budget(interlace.parse_amount("1.5")), heidi.balances().escrow
        (ivan,) = net.accounts("ivan")
        for _ in range(5):
            ivan.ask(service, image, budget=shared)
        assert ivan.balances().escrow == shared.total
        with pytest.raises(BudgetError, match=r"^budget\.total: "):
            ivan.ask(service, image, budget=shared)
        assert heidi.balances().escrow == escrow
    assert greta.claim("node") == paid // 2


def test_a_killed_service_loses_no_receipt(net, people, flowers):
    """Everything up to the last claim also works when the service died in between."""
    alice, bob = people
    (nina,) = net.accounts("nina")
    data, model = flowers
    service = nina.serve(model, "0.002/call")
    cost = sum(bob.ask(service, image, budget="0.01").cost for image in model.held_back[:3])
    os.kill(service.pid, signal.SIGKILL)
    service.stop()
    with pytest.raises(ServiceError, match=r"^service\.unreachable: "):
        bob.ask(service, model.held_back[0], budget="0.01")
    progress = service.settle()
    assert (progress.opened, progress.waiting, progress.failed) == (3, 0, 0)
    assert service.settle().opened == 0
    assert nina.claim("node") == cost * 5_000 // 10_000
    assert alice.claim(data) > 0
    assert alice.claim(model) > 0
    assert alice.claim(data) == 0
    with pytest.raises(ChainError, match="NotTokenOwner"):
        bob.claim(data)
    with nina.serve(model, "0.002/call") as again:
        assert bob.ask(again, model.held_back[4], budget="0.01").receipt.voucher.nonce > 3
        again.settle()
    assert nina.claim("node") > 0
    with pytest.raises(UsageError, match=r"^sdk\.unknown-role: "):
        bob.claim("king")  # type: ignore[arg-type]


def test_a_service_that_cannot_start_says_why(net, flowers):
    (mallory,) = net.accounts("mallory")
    folder = net.workdir / "nodes" / mallory.address
    folder.mkdir(parents=True)
    (folder / "journal.sqlite").write_text("this is no journal")
    with pytest.raises(ServiceError, match=r"^service\.start: .*service\.journal"):
        mallory.serve(flowers[1], "0.001/call")


def test_a_node_has_one_service_at_a_time_and_stopping_ends_its_process(net, flowers):
    (carol,) = net.accounts("carol")
    with carol.serve(flowers[1], "0.001/call") as service:
        assert service.running
        assert (service.folder / "receipt-key.hex").stat().st_mode & 0o077 == 0
        with pytest.raises(UsageError, match=r"^sdk\.serving: "):
            carol.serve(flowers[1], "0.001/call")
    assert not service.running
    service.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(service.pid, 0)


def test_a_program_that_fails_leaves_no_service_behind(tmp_path):
    program = """
import interlace
net = interlace.devnet()
(alice,) = net.accounts("alice")
data = alice.anchor(([[i % 5, i % 3] for i in range(60)], [i % 2 for i in range(60)]), name="n", licence="CC0-1.0")
print(alice.serve(alice.train(data, "logistic"), "0.001/call").pid, net.workdir, flush=True)
raise SystemExit(3)
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    pid, workdir = done.stdout.split()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert not os.path.exists(workdir)


def test_money_goes_where_it_is_put(net):
    (henry,) = net.accounts("henry")
    assert henry.fund("3") == interlace.parse_amount("3")
    assert henry.deposit("2.5") == interlace.parse_amount("2.5")
    assert henry.stake("7") == interlace.parse_amount("7")
    balances = henry.balances()
    assert str(balances.credits) == "0.5 credits"
    assert str(balances.escrow) == "2.5 credits"
    assert str(balances.staked) == "7 credits"
    assert balances.earned == 0


def test_another_process_would_connect_by_url(net, people, flowers, service, tmp_path):
    data, model = flowers
    with interlace.connect(net.url, workdir=tmp_path) as other:
        assert not other.is_developer_chain
        bob = other.party(people[1].account, "bob")
        bob.deposit("0.1")
        answer = bob.ask(service.url, model.card.prepare(model.held_back[:1])[0], budget="0.1", program=model.program)
        assert answer.verify().ok
        for verb in (lambda: other.accounts("eve"), lambda: other.pass_time(1), lambda: other.validators):
            with pytest.raises(UsageError, match=r"^sdk\.not-a-devnet: "):
                verb()
    assert net.registry.read_dataset(data.class_id) == data.descriptor


def test_a_chain_without_the_economy_is_refused():
    with interlace.Chain(port=0) as bare:
        with pytest.raises(UsageError, match=r"^sdk\.no-economy: "):
            interlace.connect(bare.url)
        from interlace.explorer.economy import Economy

        assert Economy(bare.client).facts() == {"present": False}


def test_time_passes_at_least_as_far_as_asked(net):
    before = net.client.block().timestamp
    net.pass_time(100)
    assert net.client.block().timestamp >= before + 100


def test_closing_twice_is_harmless():
    net = interlace.devnet()
    workdir = net.workdir
    assert net.client.code(ADDRESSES["Assets"])
    net.close()
    net.close()
    assert not workdir.exists()
