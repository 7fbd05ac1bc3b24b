"""Watchers and their commands: inputs from provers and folders, games that go on after a stop, trouble with a claim."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from interlace.chain import Chain
from interlace.cli.main import main
from interlace.contracts import economy_deployments
from interlace.errors import VerificationError
from interlace.proofs.board import FELL, POSTED, Watcher
from interlace.proofs.fetch import MAX_BODY_BYTES, fetch_folder, fetch_http
from interlace.proofs.standing import Standing
from interlace.records import to_base64
from tests.proofs.dispute_bench import changed
from tests.proofs.dispute_beside import fund_actors, open_chain
from tests.proofs.dispute_chain import OnChain, sides
from tests.proofs.dispute_game import SALT, Case, large

MLP = large((600, 300, 10))
LIE = changed(MLP, 2, 5)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with open_chain() as made:
        fund_actors(made)
        yield made


def document(case: Case) -> bytes:
    return json.dumps({"salt": "0x" + SALT.hex(), "input": to_base64(case.input_bytes)}).encode()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Return what starts a prover's HTTP server that answers so, and tells its address."""
    servers: list[HTTPServer] = []

    def start(body: bytes, status: int = 200, pause: float = 0.0, path: str = "") -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if not path or self.path == path else 404)
                self.send_header("location", "http://127.0.0.1:1/")
                self.end_headers()
                for at in range(0, len(body), 1 << 14):
                    try:
                        self.wfile.write(body[at : at + (1 << 14)])
                    except OSError:
                        return
                    time.sleep(pause)

            def log_message(self, *_: Any) -> None: ...

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_input_is_had_from_its_prover_and_from_a_folder(serve: Callable[..., str], tmp_path: Path) -> None:
    claim = MLP.claim(MLP.true)
    name = f"0x{claim.hash().hex()}"
    where = serve(document(MLP), path=f"/node/v1/claims/{name}") + "/node/"
    assert fetch_http(where, claim, private=True) == (SALT, MLP.input_bytes)
    (tmp_path / f"{name}.json").write_bytes(document(MLP))
    assert fetch_folder(tmp_path, claim) == (SALT, MLP.input_bytes)


def test_what_cannot_be_had_is_refused(serve: Callable[..., str], tmp_path: Path) -> None:
    claim, good = MLP.claim(MLP.true), document(MLP)
    other = json.dumps({"salt": "0x" + "01" * 32, "input": to_base64(MLP.input_bytes)}).encode()
    slow = serve(b"x" * 100_000, pause=0.2)
    for where, says in (
        (serve(good, status=404), "answered 404"),
        (serve(good, status=302), "answered 302"),
        (serve(b"[" * 9 + good), "no JSON"),
        (serve(b'{"salt": 1, "input": 2}'), "no JSON"),
        (serve(b"x" * (MAX_BODY_BYTES + 1)), "more than"),
        (serve(other), "not the claim's"),
        ("http://127.0.0.1:1", "refused"),
        ("ftp://127.0.0.1", "no http"),
        ("http://u:p@127.0.0.1", "no http"),
        ("http://[", "no address"),
        ("http://127.0.0.1/a b", "characters"),
        ("https://" + serve(good).removeprefix("http://"), "SSL"),
    ):
        with pytest.raises(VerificationError, match=r"^verify\.fetch: ") as caught:
            fetch_http(where, claim, private=True)
        assert says in str(caught.value), where
    began = time.monotonic()
    with pytest.raises(VerificationError, match=r"^verify\.fetch: "):
        fetch_http(slow, claim, private=True, timeout_seconds=0.3)
    assert time.monotonic() - began < 1.0
    for where in (
        serve(good),
        serve(good).replace("127.0.0.1", "localhost"),
        "http://169.254.169.254",
        "http://[::1]:9",
    ):
        with pytest.raises(VerificationError, match="not public"):
            fetch_http(where, claim)
    (tmp_path / f"0x{claim.hash().hex()}.json").write_bytes(b" " * (MAX_BODY_BYTES + 1))
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(VerificationError, match=r"^verify\.fetch: "):
            fetch_folder(folder, claim)


def posted(chain: Chain, trace: Any, nonce: int, where: str = "", case: Case = MLP, **fields: Any) -> OnChain:
    """Put up a claim of account 1."""
    return OnChain(chain, case, trace, nonce, challenged=False, where=where, **fields)


def now(chain: Chain) -> int:
    return chain.client.block().timestamp


def test_a_watcher_that_was_stopped_takes_its_games_up_again(chain: Chain) -> None:
    first = chain.client.block_number()
    board = posted(chain, LIE, 1)
    programs, fetch = {MLP.program.id: MLP.program.core}, lambda *_: (SALT, MLP.input_bytes)
    liar, _ = sides(MLP, LIE, board.claim, random.Random(1))
    assert Watcher(board.board, None, programs, fetch).look(first) == [board.claim.hash()]
    assert board.board.outcome(board.claim.hash()) == POSTED
    assert Watcher(board.board, board.doubter, programs, fetch).look(first) == [board.claim.hash()]
    for _ in range(12):
        board.board.step(board.prover, liar)
        fresh = Watcher(board.board, board.doubter, programs, fetch)
        assert fresh.look(first) == []
        fresh.step(now(chain))
    assert board.fell
    stranger = Watcher(board.board, chain.accounts[3], programs, fetch)
    assert (stranger.look(first), stranger.sides) == ([], {})


def test_a_claim_in_trouble_keeps_a_watcher_from_no_other(chain: Chain) -> None:
    first = chain.client.block_number()
    false, lost = posted(chain, LIE, 2), posted(chain, LIE, 3)
    true, gone = posted(chain, MLP.true, 4), dict[bytes, bool]({lost.claim.hash(): True})

    def fetch(claim: Any, _where: str) -> tuple[bytes, bytes]:
        if gone.get(claim.hash()):
            raise VerificationError("verify.fetch", "the prover does not answer")
        return SALT, MLP.input_bytes

    watcher = Watcher(false.board, chain.accounts[4], {MLP.program.id: MLP.program.core}, fetch)
    assert watcher.look(first) == []
    assert "InsufficientBalance" in watcher.refused[false.claim.hash()]
    watcher.account = false.doubter
    assert watcher.look(first) == [false.claim.hash()]
    assert watcher.missing == {lost.claim.hash(): "the prover does not answer"}
    assert true.claim.hash() in watcher.seen
    gone.clear()
    watcher.most = 1
    assert watcher.look(first) == []
    watcher.most = 2
    assert (watcher.look(first), watcher.missing) == ([lost.claim.hash()], {})
    # Both provers are silent: their clocks decide.
    chain.client.rpc("evm_increaseTime", 2_000)
    chain.client.rpc("evm_mine")
    watcher.step(now(chain))
    assert [one.board.outcome(one.claim.hash()) for one in (false, lost, true)] == [FELL, FELL, POSTED]


def test_an_input_that_no_program_takes_is_doubted(chain: Chain) -> None:
    first = chain.client.block_number()
    bench = posted(chain, MLP.true, 5, data=b"ILTV no tensor")
    programs = {MLP.program.id: MLP.program.core}
    watcher = Watcher(bench.board, bench.doubter, programs, lambda *_: (SALT, b"ILTV no tensor"))
    assert watcher.look(first) == [bench.claim.hash()]
    assert watcher.sides == {bench.claim.hash(): None}
    assert watcher.step(now(chain)) == []
    chain.client.rpc("evm_increaseTime", 2_000)
    chain.client.rpc("evm_mine")
    watcher.step(now(chain))
    assert (watcher.refused, bench.fell) == ({}, True)


def test_who_lost_a_game_does_not_bet_on_it_again(chain: Chain) -> None:
    first = chain.client.block_number()
    board = posted(chain, LIE, 6)
    programs = {MLP.program.id: MLP.program.core}
    watcher = Watcher(board.board, board.doubter, programs, lambda *_: (SALT, MLP.input_bytes))
    assert watcher.look(first) == [board.claim.hash()]
    liar, _ = sides(MLP, LIE, board.claim, random.Random(1))
    board.board.step(board.prover, liar)
    board.late()
    assert board.board.outcome(board.claim.hash()) == POSTED
    watcher.step(now(chain))
    assert (watcher.look(first), watcher.sides) == ([], {})


def test_the_commands_show_and_watch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlace.chain.transport.CONNECT_RETRY_SECONDS", 0.0)
    with Chain(port=0, deployments=economy_deployments(), balance_ether=1_000_000) as served:
        fund_actors(served)
        rpc, key = ("--rpc", served.url), tmp_path / "key"
        programs = tmp_path / "programs"
        programs.mkdir()
        MLP.program.save(programs / "mlp.ilp")
        board = posted(served, LIE, 1, where="http://127.0.0.1:1\x1b[2J")
        name = f"0x{board.claim.hash().hex()}"
        (tmp_path / f"{name}.json").write_bytes(document(MLP))
        key.write_text(f"0x{board.doubter.key.hex()}\n")

        def run(*words: str) -> tuple[int, str, str]:
            code = main(["dispute", *words])
            told = capsys.readouterr()
            return code, told.out, told.err

        code, out, err = run("show", name, *rpc)
        assert (code, "state       posted; verdict: open" in out, "\x1b" in out, err) == (0, True, False, "")
        code, out, err = run("watch", str(programs), "--once", *rpc)
        assert (code, f"missing   {name}" in out) == (0, True)
        folder = ("--inputs", str(tmp_path))
        code, out, err = run("watch", str(programs), "--once", *folder, *rpc)
        assert (code, out.split()[:2]) == (1, ["doubted", name])
        assert "hint: with --key-file they are challenged" in err
        assert board.board.outcome(board.claim.hash()) == POSTED
        argument = ("--key-file", str(key), "--json", *folder, *rpc)
        code, out, _ = run("watch", str(programs), "--once", *argument)
        assert (code, json.loads(out)["games"]) == (1, [name])
        code, out, _ = run("show", name, "--json", *rpc)
        told = json.loads(out)
        assert (told["turn"], told["due"], told["bonds_wei"]) == ("prover", "roots", 2 * board.board.bond)
        assert told["challenger"] == board.doubter.address
        assert [one["name"] for one in told["events"]] == ["Posted", "Challenged"]
        liar, _ = sides(MLP, LIE, board.claim, random.Random(1))
        board.board.step(board.prover, liar)
        began = time.monotonic()
        code, out, _ = run("watch", str(programs), "--until", "0.3", "--every", "0.05", *argument)
        assert 0.3 <= time.monotonic() - began < 5
        assert [row["what"] for row in json.loads(out)["events"]] == ["pick"]
        served.client.rpc("evm_increaseTime", 2_000)
        served.client.rpc("evm_mine")
        code, out, err = run("show", name, *rpc)
        assert "turn        prover: reveal; -" in out
        assert "hint: the side that is to move has no time left" in err
        code, out, _ = run("watch", str(programs), "--once", *argument)
        assert Standing.read(board.board, board.claim.hash()).state == "fell"
        for words, code_ in (
            (("show", "0x12"), "cli.claim-hash"),
            (("watch", str(tmp_path / "none")), "cli.file"),
            (("watch", str(tmp_path)), "cli.programs"),
            (("watch", str(programs), "--key-file", str(tmp_path / "no")), "cli.file"),
            (("watch", str(programs), "--key-file", str(programs / "mlp.ilp")), "cli.key-file"),
        ):
            code, _, err = run(*words, *rpc)
            assert (code, code_ in err, "hint" in err) == (1, True, True), words
    code, _, err = run("watch", str(programs), "--once", *rpc)
    assert (code, "chain.unreachable" in err) == (1, True)
