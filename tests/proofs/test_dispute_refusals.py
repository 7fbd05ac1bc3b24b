"""Every refusal of the contract Dispute by its name, every verdict, and every end, on contract and specification.

Invariant: each `error` of Dispute.sol is met by a test of this file; the last test counts them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

import pytest

from interlace import _core
from interlace.chain import Chain, Contract
from interlace.chain.programs import chunk_address
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError
from interlace.proofs import dispute as game
from interlace.proofs.board import Board
from interlace.records import hash_input, hash_output
from spec import dispute as model
from tests.proofs.dispute_bench import Bench, Pointing, changed, followed, with_claim
from tests.proofs.dispute_beside import SOURCES, fund_actors, name_of, open_chain
from tests.proofs.dispute_game import SALT, large

MLP = large((600, 300, 10))
CLAMPS = followed()
WIDE = large((8_200, 1))
MOST = large((8_192, 1))
LIE = changed(MLP, 2, 5)
END = changed(MLP, 3, 0)
TWICE = changed(CLAMPS, 1, 299)
WITHIN = 2, 5
MET: set[str] = set()


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Chain, Board]]:
    with open_chain() as chain:
        yield chain, fund_actors(chain)


Make = Callable[..., Bench]


@pytest.fixture(scope="module")
def make(world: tuple[Chain, Board]) -> Make:
    """Return what makes a bench of a fresh claim."""
    nonces = iter(range(1, 10_000))

    def made(case: object = MLP, trace: object = LIE, at: tuple[int, int] | None = None) -> Bench:
        return Bench(world, case, trace, next(nonces), at)  # type: ignore[arg-type]

    return made


def refused(name: str, found: str) -> None:
    MET.add(name)
    assert found == name


def flip(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def drop(items: list[bytes]) -> list[bytes]:
    return items[:-1]


def first(items: list[bytes]) -> list[bytes]:
    return [flip(items[0]), *items[1:]]


def test_a_claim_that_cannot_be_put_up(make: Make) -> None:
    both = make().both
    refused("NotTheProver", both.post("doubter"))
    refused("NotThisChain", both.post("prover", chain_id=both.claim.chain_id + 1))
    refused("UnknownSemantics", both.post("prover", semantics=2))
    refused("ZeroRoot", both.post("prover", root=bytes(32)))
    refused("TooLong", both.post("prover", "x" * 257))
    assert both.post("prover", "x" * 256) == ""
    refused("AlreadyPosted", both.post("prover"))


def test_a_claim_is_put_up_once_whatever_became_of_it(make: Make) -> None:
    both = make().both
    assert both.post("prover") == ""
    refused("TooEarly", both.call("third", "settle"))
    both.now = both.model.until - 1
    refused("TooEarly", both.call("third", "settle"))
    assert both.call("third", "settle") == ""
    for status in (model.STANDS, model.FELL):
        assert both.model.status == status
        refused("AlreadyPosted", both.post("prover"))
        for name in ("challenge", "settle", "timeout"):
            refused("NotInState", both.call("third", name))
        both = make().to(0).both


def test_who_may_challenge_and_when(make: Make) -> None:
    both = make().both
    refused("NotInState", both.call("doubter", "challenge"))
    assert both.post("prover") == ""
    refused("OwnClaim", both.call("prover", "challenge"))
    assert both.call("poor", "challenge") == "ERC20InsufficientBalance"
    both.now = both.model.until
    refused("TooLate", both.call("doubter", "challenge"))
    last = make().both
    assert last.post("prover") == ""
    last.now = last.model.until - 1
    assert last.call("doubter", "challenge") == ""
    refused("NotInState", last.call("third", "challenge"))


def test_only_whose_turn_it_is_moves_and_in_its_phase(make: Make) -> None:
    for trace, phases in ((LIE, range(1, 9)), (changed(CLAMPS, 1, 7), range(1, 7))):
        bench = make(MLP if trace is LIE else CLAMPS, trace)
        bench.to(model.ROOTS)
        earlier: list[tuple[str, game.Move]] = []
        for phase in phases:
            assert bench.both.model.phase == phase
            refused("NotTheProver" if phase % 2 else "NotTheChallenger", bench.wrong(who="third"))
            other = "doubter" if phase % 2 else "prover"
            refused("NotTheProver" if phase % 2 else "NotTheChallenger", bench.wrong(who=other))
            for made in earlier:
                refused("NotInPhase", bench.both.move(*made))
            refused("NotInState", bench.wrong(claimed=False))
            earlier.append(bench.due())
            assert bench.both.move(*bench.due()) == ""


@pytest.mark.parametrize("phase", range(1, 9))
def test_a_clock_ends_a_game_to_the_second(make: Make, phase: int) -> None:
    for after in (0, 1, 2):
        bench = make().to(phase)
        both, m = bench.both, bench.both.model
        end = m.moved + m.left[phase % 2]
        both.now = end - 1 if after == 1 else end + after // 2
        if after < 2:
            refused("TooEarly", both.call("third", "timeout"))
        if after == 1:
            assert (both.now, bench.wrong(), m.left[phase % 2]) == (end, "", 0)
        if after < 2:
            continue
        refused("TooLate", bench.wrong())
        before = m.balance["doubter" if phase % 2 else "prover"]
        assert both.call("third", "timeout") == ""
        if phase % 2:
            assert (m.status, m.balance["doubter"] - before) == (model.FELL, 2 * m.terms.bond)
        else:
            assert (m.status, m.balance["prover"] - before) == (model.POSTED, m.terms.bond)
            assert m.until == both.now - 1 + m.terms.window


def test_a_clock_is_for_all_moves_of_a_side(make: Make) -> None:
    bench = make().to(model.ROOTS)
    both, m = bench.both, bench.both.model
    for spent in (100, 70, 200, 150, 299, 379):
        both.now = m.moved + spent
        assert bench.wrong() == ""
    assert m.left == {0: 600 - 70 - 150 - 379, 1: 600 - 100 - 200 - 299}
    both.now = m.moved + 2
    refused("TooLate", bench.wrong())


def test_a_defended_claim_is_open_again_to_others(make: Make) -> None:
    bench = make().to(model.PICK)
    both, m = bench.both, bench.both.model
    both.now = m.moved + 601
    assert both.call("third", "timeout") == ""
    assert both.call("third", "challenge") == ""
    assert both.move(*bench.due()) == ""
    refused("NotTheChallenger", bench.wrong(who="doubter"))
    _, pick = bench.due()
    assert both.move("third", pick) == ""
    assert (m.left[0], m.value) == (m.terms.clock - 2, 2)


def test_a_second_game_starts_from_nothing_of_the_first(make: Make) -> None:
    bench = make(MLP, MLP.true, at=(2, 270)).to(model.SEGMENT)
    both, m = bench.both, bench.both.model
    narrow = game.Move("narrow", (bench.doubter.claim_hash, game.pack(bench.state.totals), 3))
    assert both.move("doubter", narrow) == ""
    assert (bench.wrong(), m.low != 0, m.position) == ("", True, 1)
    both.now = m.moved + m.left[0] + 1
    assert both.call("third", "timeout") == ""
    assert both.call("doubter", "challenge") == ""
    while m.phase != model.SEGMENT:
        assert bench.wrong() == ""
    refused("Holds", bench.wrong())
    assert (m.low, m.whole) == (0, True)


def test_what_roots_refuses(make: Make) -> None:
    bench = make().to(model.ROOTS)
    refused("WrongCount", bench.wrong(5, drop))
    refused("WrongCount", bench.wrong(5, lambda roots: [*roots, bytes(32)]))
    refused("WrongTensor", bench.wrong(2, flip))
    refused("WrongTensor", bench.wrong(3, lambda data: data[:-1]))
    refused("WrongTensor", bench.wrong(4, flip))
    refused("TooLong", bench.wrong(3, bytes(65_537)))
    refused("TooLong", bench.wrong(4, bytes(65_537)))
    refused("WrongProgram", bench.wrong(manifest=False))
    for value in range(4):
        changes = lambda roots, at=value: [*roots[:at], flip(roots[at]), *roots[at + 1 :]]  # noqa: E731
        refused("WrongRoot", bench.wrong(5, changes))


@pytest.mark.parametrize("which", ["input", "output"])
@pytest.mark.parametrize("head", [b"", b"ILTV", b"ILTV\x01\x01\0\0\0\x01", b"ILTV\x02\x01\0\0\x02\x58"])
def test_a_tensor_of_another_type_cannot_be_shown(make: Make, which: str, head: bytes) -> None:
    bench = make()
    data = head + b"\x01" * (600 if which == "input" else 40)
    hashes = {"input_hash": hash_input(SALT, data)} if which == "input" else {"output_hash": hash_output(data)}
    with_claim(bench, **hashes).to(model.ROOTS)
    refused("WrongType", bench.wrong(3 if which == "input" else 4, data))
    size = 600 if which == "input" else 40
    true = bench.due()[1].args[3 if which == "input" else 4]
    longer = with_claim(make(), **{which + "_hash": (hash_input(SALT, true + b"\0") if size == 600
                                                    else hash_output(true + b"\0"))}).to(model.ROOTS)  # fmt: skip
    refused("WrongType", longer.wrong(3 if which == "input" else 4, true + b"\0"))


@pytest.mark.parametrize("which", ["input", "output"])
def test_what_was_claimed_is_what_the_trace_begins_and_ends_with(make: Make, which: str) -> None:
    true = MLP.input_bytes if which == "input" else MLP.true.output
    false = true[:-1] + bytes([true[-1] ^ 1])
    hashes = {"input_hash": hash_input(SALT, false)} if which == "input" else {"output_hash": hash_output(false)}
    bench = with_claim(make(MLP, MLP.true), **hashes).to(model.ROOTS)
    refused("WrongRoot", bench.wrong(3 if which == "input" else 4, false))


def test_a_hidden_value_has_no_root(make: Make) -> None:
    bench = make()
    roots = list(LIE.roots)
    roots[1] = b"\x07" * 32
    tree = game.tree_path(roots, 0, game.VALUES_TAG)
    root = model.climb(roots[0], 0, len(roots), list(tree), game.VALUES_TAG)
    bench.both.root = root
    bench.to(model.ROOTS)
    refused("WrongRoot", bench.wrong(5, roots))


def test_what_pick_refuses(make: Make) -> None:
    bench = make().to(model.PICK)
    for value in (0, 1, 4, 1 << 64):
        refused("NoSuchValue", bench.wrong(2, value))
    refused("WrongRoot", bench.wrong(2, 3))
    refused("WrongRoot", bench.wrong(3, flip))
    refused("WrongRoot", bench.wrong(4, first))
    assert bench.wrong(4, drop) == "WrongPath"
    assert bench.wrong(4, lambda path: [*path, bytes(32)]) == "WrongPath"
    refused("WrongProgram", bench.wrong(manifest=False))


def test_what_reveal_and_descend_refuse(make: Make) -> None:
    bench = make().to(model.REVEAL)
    refused("WrongCount", bench.wrong(1, drop))
    refused("WrongCount", bench.wrong(1, lambda hashes: [*hashes, bytes(32)]))
    refused("WrongRoot", bench.wrong(1, first))
    assert bench.wrong() == ""
    for place in (2, 64, 1 << 40):
        refused("NoSuchPlace", bench.wrong(1, place))
    refused("WrongRoot", bench.wrong(1, 1))
    refused("WrongRoot", bench.wrong(2, flip))
    refused("WrongRoot", bench.wrong(3, first))
    assert bench.wrong(3, drop) == "WrongPath"
    assert bench.wrong(3, lambda path: [*path, bytes(32)]) == "WrongPath"


def test_a_large_value_is_revealed_in_two_steps(make: Make) -> None:
    wide = large((4, 20_000, 1))
    for place in (17_000, 19_999):
        bench = make(wide, changed(wide, 2, place)).to(model.REVEAL)
        assert (len(bench.state.roots), bench.state.level) == (4, 4)
        assert bench.wrong() == ""
        refused("NoSuchPlace", bench.wrong(1, 20))
        assert bench.wrong() == ""
        assert (bench.both.model.phase, bench.both.model.level) == (model.REVEAL, 1)
        assert bench.wrong(1, lambda hashes: [*hashes, bytes(32)]) == "WrongCount"
        assert bench.wrong() == ""
        below = 4 * bench.both.model.position
        refused("NoSuchPlace", bench.wrong(1, below - 1))
        refused("NoSuchPlace", bench.wrong(1, below + 4))
        while bench.both.model.phase:
            assert bench.wrong() == ""
        assert bench.both.model.status == model.FELL


def test_what_show_tile_and_contest_refuse(make: Make) -> None:
    bench = make().to(model.SHOW)
    assert bench.wrong(1, lambda tile: tile[:-1]) == "WrongTile"
    assert bench.wrong(1, lambda tile: tile + b"\0") == "WrongTile"
    refused("WrongRoot", bench.wrong(1, flip))
    assert bench.wrong() == ""
    refused("WrongRoot", bench.wrong(2, flip))
    refused("NoSuchPlace", bench.wrong(3, 256))
    refused("WrongProgram", bench.wrong(manifest=False))
    second = make(trace=changed(MLP, 2, 256)).to(model.ELEMENT)
    refused("NoSuchPlace", second.wrong(3, 255))
    refused("NoSuchPlace", second.wrong(3, 300))


def test_sums_and_results_are_not_taken_for_each_other(make: Make) -> None:
    sum_ = make(at=WITHIN).to(model.ELEMENT)
    assert isinstance(sum_.doubter, Pointing)
    refused("HasTerms", sum_.both.move("doubter", sum_.doubter.refute(sum_.state)))
    none = make(CLAMPS, TWICE, at=(1, 299)).to(model.ELEMENT)
    refused("HasNoTerms", none.wrong())
    assert isinstance(none.doubter, Pointing)
    assert none.both.move("doubter", none.doubter.refute(none.state)) == ""
    assert none.both.model.status == model.FELL


def test_what_sums_refuses(make: Make) -> None:
    bench = make().to(model.SUMS)
    refused("WrongCount", bench.wrong(1, lambda totals: totals[:-16]))
    refused("WrongCount", bench.wrong(1, lambda totals: totals[:-1]))
    refused("WrongCount", bench.wrong(1, lambda totals: totals + bytes(16)))
    refused("BadLargest", bench.wrong(2, 128))
    refused("BadLargest", bench.wrong(2, -129))
    assert bench.wrong(2, -128) == ""


def test_totals_are_the_ones_that_were_shown_and_end_where_they_ended(make: Make) -> None:
    bench = make(at=WITHIN).to(model.SEGMENT)
    doubter = bench.doubter
    assert isinstance(doubter, Pointing)
    state = bench.state
    wrong = game.pack([total + 1 for total in state.totals])
    for move in (doubter.refute_sum(state, 0), doubter.refute_result(state)):
        args = [*move.args[:2], wrong, *move.args[3:]]
        refused("WrongTotals", bench.both.move("doubter", game.Move(move.name, tuple(args))))
    refused("WrongTotals", bench.both.move("doubter", game.Move("narrow", (doubter.claim_hash, wrong, 0))))
    packed = game.pack(state.totals)
    refused("NoSuchPlace", bench.both.move("doubter", game.Move("narrow", (doubter.claim_hash, packed, 32))))
    refused("NoSuchPlace", bench.wrong(3, 32))
    refused("Holds", bench.wrong())
    refused("WrongProgram", bench.wrong(manifest=False))
    assert bench.both.move("doubter", game.Move("narrow", (doubter.claim_hash, packed, 3))) == ""
    high = bench.both.model.high
    refused("WrongLast", bench.wrong(1, lambda totals: totals[:-16] + game.pack([high + 1])))
    assert bench.wrong() == ""
    refused("NotWhole", bench.both.move("doubter", doubter.refute_result(bench.state)))
    one = game.Move("narrow", (doubter.claim_hash, game.pack(bench.state.totals), 0))
    refused("HasNoTerms", bench.both.move("doubter", one))
    refused("Holds", bench.wrong())


def test_a_part_of_too_many_terms_is_cut_again(make: Make) -> None:
    bench = make(WIDE, WIDE.true, at=(1, 0)).to(model.SEGMENT)
    assert bench.state.parts[0] == (0, 257)
    refused("TooManyTerms", bench.wrong())
    last = bench.doubter
    assert isinstance(last, Pointing)
    refused("Holds", bench.both.move("doubter", last.refute_sum(bench.state, 31)))
    most = make(MOST, MOST.true, at=(1, 0)).to(model.SEGMENT)
    assert most.state.parts[0] == (0, 256)
    refused("Holds", most.wrong())


def test_what_is_true_is_not_refuted(make: Make) -> None:
    bench = make(MLP, MLP.true, at=(3, 2)).to(model.SEGMENT)
    doubter = bench.doubter
    assert isinstance(doubter, Pointing)
    for part in (0, 9, len(bench.state.totals) - 1):
        refused("Holds", bench.both.move("doubter", doubter.refute_sum(bench.state, part)))
    refused("Holds", bench.both.move("doubter", doubter.refute_result(bench.state)))
    clamps = make(CLAMPS, CLAMPS.true, at=(1, 299)).to(model.ELEMENT)
    assert isinstance(clamps.doubter, Pointing)
    refused("Holds", clamps.both.move("doubter", clamps.doubter.refute(clamps.state)))


def test_what_is_opened_must_be_what_was_committed_to(make: Make) -> None:
    bench = make(at=WITHIN).to(model.SEGMENT)
    move = bench.due()[1]
    openings, chunks = move.args[4:]
    value, tile, data, path = openings[0]
    index, leaf, way = chunks[0]
    deeper = [path[:-1], [*path, bytes(32)]]
    for opening, name in (
        ((value, tile, flip(data), path), "WrongRoot"),
        ((value, tile, data[:-1], path), "WrongTile"),
        ((value, tile, data, first(path)), "WrongRoot"),
        ((value, tile + 1, data, path), "WrongRoot"),
        ((value, 3, data, path), "NoSuchTile"),
        ((9, tile, data, path), "NoSuchTile"),
        ((4, tile, data, path), "NoSuchTile"),
        ((1, tile, data, path), "NotPublished"),
        *(((value, tile, data, other), "WrongPath") for other in deeper),
    ):
        assert bench.wrong(4, [opening, *openings[1:]]) == name, opening
    count = -(-len(MLP.program.weights) // 24_575)
    for chunk, name in (
        ((index, leaf, first(way)), "WrongRoot"),
        ((index + 1, leaf, way), "WrongRoot"),
        ((count, leaf, way), "ChunkNotGiven"),
        ((index, flip(leaf), way), "WrongRoot"),
        ((index, leaf, way[:-1]), "WrongPath"),
        ((index, leaf, [*way, bytes(32)]), "WrongPath"),
    ):
        assert bench.wrong(5, [chunk, *chunks[1:]]) == name, chunk
    # As many as are allowed are looked at, and the part that they are shown for is true.
    refused("Holds", bench.wrong(4, [*openings, *openings[:1] * (128 - len(openings))]))
    refused("Holds", bench.wrong(5, [*chunks, *chunks[:1] * (32 - len(chunks))]))
    assert bench.wrong(4, openings * 129) == "TooMuchOpened"
    assert bench.wrong(5, chunks * 33) == "TooMuchOpened"
    assert bench.wrong(4, []) == "NotOpened"
    assert bench.wrong(5, []) == "ChunkNotGiven"


def test_what_is_no_manifest_is_refused(world: tuple[Chain, Board], make: Make) -> None:
    chain, board = world
    head = bytes(50) + b"\x01\x01\0\0\0\x03"
    clamp = b"\x07\0\0\x80\x7f"
    for number, (data, name) in enumerate((
        (b"", "NotAManifest"),
        (bytes(50), "NotAManifest"),
        (bytes(51), ""),
        (head + b"\0\0" + clamp, "TooManyNodes"),
        (head + b"\x04\x01" + clamp, "TooManyNodes"),
        (head + b"\0\x01\x12\0\0" + clamp, "NoSuchOperator"),
        (head + b"\0\x01\0\0\0" + clamp, "NoSuchOperator"),
        (head + b"\0\x01\x07\0\x01" + clamp, "BadOperand"),
        (head + b"\0\x01\x03\0\0\0\x01", "BadOperand"),
        (head + b"\0\x01" + clamp, "WrongCount"),
    )):  # fmt: skip
        both = make().both
        claim = dataclasses.replace(both.claim, program_id=_core.keccak256(data), job_nonce=(1 << 50) + number)
        board.contract.send(chain.accounts[1], "post", game.claim_struct(claim), b"\1" * 32, "")
        board.contract.send(chain.accounts[2], "challenge", claim.hash())
        with pytest.raises(ChainError) as caught:
            board.contract.send(chain.accounts[1], "roots", game.claim_struct(claim), data, SALT, b"", b"", [])
        assert (name_of(caught.value) == name) if name else caught.value.data in (b"", None), data


def test_weights_that_nobody_stored_cannot_be_read(world: tuple[Chain, Board], make: Make) -> None:
    chain, _ = world
    bench = make(at=WITHIN).to(model.SEGMENT)
    leaf = bench.due()[1].args[5][0][1]
    code = chain.client.code(chunk_address(leaf))
    chain.client.rpc("anvil_setCode", chunk_address(leaf), "0x" + flip(code[1:]).hex())
    try:
        move = bench.due()[1]
        with pytest.raises(ChainError) as caught:
            bench.both.board.contract.send(chain.accounts[2], move.name, *move.args)
        assert name_of(caught.value) == "ChunkMissing"
    finally:
        chain.client.rpc("anvil_setCode", chunk_address(leaf), "0x" + code.hex())


def test_verdicts_of_every_state(world: tuple[Chain, Board], make: Make) -> None:
    _, board = world

    def verdict(bench: Bench) -> int:
        return int(board.contract.call("verdict", bench.both.claim.hash(), "0x" + "77" * 20))

    never = make()
    assert verdict(never) == 0
    posted = make()
    assert posted.both.post("prover") == ""
    assert verdict(posted) == 1
    posted.both.now = posted.both.model.until
    refused("TooLate", posted.both.call("doubter", "challenge"))
    assert (verdict(posted), board.outcome(posted.both.claim.hash())) == (2, model.POSTED)
    assert posted.both.call("third", "settle") == ""
    assert verdict(posted) == 2
    # A game that outlasts the window keeps the verdict open, and what it decides is final.
    challenged = make().to(model.PICK)
    both, m = challenged.both, challenged.both.model
    both.now = m.until - 1
    refused("TooEarly", both.call("third", "timeout"))
    assert (both.now >= m.until, verdict(challenged)) == (True, 1)
    refused("TooEarly", both.call("third", "timeout"))
    assert verdict(challenged) == 1
    assert verdict(make().to(0)) == 3


def test_terms_of_nothing_are_refused(world: tuple[Chain, Board]) -> None:
    chain, board = world
    code = artifact("Dispute")
    for terms in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ChainError) as caught:
            Contract.deploy(chain.client, chain.accounts[1], code.initcode, code.abi, ADDRESSES["CreditToken"], *terms)
        refused("BadTerms", name_of(caught.value))
    made = Contract.deploy(chain.client, chain.accounts[1], code.initcode, code.abi, ADDRESSES["CreditToken"], 1, 1, 1)
    assert made.call("bond") == 1 != board.bond


def test_bits_of_a_lie_are_found_wherever_they_are(make: Make) -> None:
    for trace in (LIE, END, changed(MLP, 2, 299, 128), changed(MLP, 3, 39, 64)):
        assert make(MLP, trace).to(0).both.model.status == model.FELL
    for place in (0, 255, 256, 299):
        assert make(CLAMPS, changed(CLAMPS, 2, place)).to(0).both.model.status == model.FELL


def test_every_error_of_the_contract_was_met() -> None:
    declared = set(re.findall(r"^    error (\w+)\(", (SOURCES / "Dispute.sol").read_text(), re.M))
    assert declared - MET == set()
