"""One round on one node: start it, send, wait for the blocks, read every receipt, compare every balance.

Invariant: what is timed is timed on raw bytes; what was answered is checked afterwards, all of it, before a figure
counts.
What it does not do: it takes no medians; see `report`.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Sequence

from interlace.cli.bench_rpc.nodes import Node, Program, running
from interlace.cli.bench_rpc.plan import CALL_CONNECTIONS, CONNECTIONS, Plan
from interlace.cli.bench_rpc.report import Figures, Report
from interlace.cli.bench_rpc.wire import Connection, closed_loop, frame, frames, lanes, result, results, wrong
from interlace.cli.bench_rpc.workload import CHAIN_ID, Signed, Workload, gain, receipt_lanes, to_lanes

WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.002
_WAKE_SECONDS = 0.5
_PENDING = (b'"result":null', b'"blockHash":null')


def measure(plan: Plan, programs: Sequence[Program], say: Callable[[str], None]) -> Report:
    """Measure the programs in turns and return what came out.

    Raises
    ------
    ChainError
        ``chain.bench`` when a node does not start, does not answer, or answers wrongly.
    """
    say("signing")
    work = Workload(plan)
    runs: dict[str, list[Figures]] = {program.name: [] for program in programs}
    versions: dict[str, str] = {}
    for turn in range(plan.rounds):
        # Who begins alternates too: what the machine does meanwhile falls on all alike.
        for program in programs if turn % 2 == 0 else reversed(programs):
            say(f"round {turn + 1} of {plan.rounds}: {program.name}")
            figures: Figures = {}
            with running(program) as node:
                with Connection(node.port) as connection:
                    versions[program.name] = str(connection.call("web3_clientVersion"))
                    if (chain_id := connection.call("eth_chainId")) != hex(CHAIN_ID):
                        raise wrong(f"the chain's id is {chain_id} instead of {hex(CHAIN_ID)}")
                figures |= _busy(node, work)
            with running(program) as node:
                figures |= _one_by_one(node, work)
                # Both starts count; their mean goes into the median.
                figures["cold_start_s"] = (float(figures["cold_start_s"] or 0) + node.start_seconds) / 2
            runs[program.name].append(figures)
    return Report(plan, {program.name: program.command for program in programs}, versions, runs)


def _busy(node: Node, work: Workload) -> Figures:
    """Transfers, token transfers, a large block, calls."""
    figures: Figures = {"cold_start_s": node.start_seconds, "rss_start_mb": node.rss_mb()}
    _prepare(node, work)
    _wake_processors()
    for name, phase, token in (("transfer", work.transfers, False), ("erc20", work.token_transfers, True)):
        figures |= _transfers(node, work, name, phase, token=token)
    figures["rss_after_mb"] = node.rss_mb()
    figures |= _large_block(node, work)
    figures |= _calls(node, work)
    return figures


def _wake_processors() -> None:
    """Keep all processors at work for a moment.

    After idleness a processor is slow for some tenths of a second, on virtual machines most of all. That would count
    against whichever node is done within them.
    """
    end = time.perf_counter() + _WAKE_SECONDS
    block = bytes(1 << 20)

    def work() -> None:
        while time.perf_counter() < end:
            hashlib.sha256(block)  # Without the interpreter's lock, so that threads suffice.

    threads = [threading.Thread(target=work) for _ in range(os.cpu_count() or 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _prepare(node: Node, work: Workload) -> None:
    with Connection(node.port) as connection:
        for part in work.setup:
            connection.batch([("eth_sendRawTransaction", [signed.raw]) for signed in part])
            _wait(connection, [signed.hash for signed in part])
            receipts = connection.batch([("eth_getTransactionReceipt", [signed.hash]) for signed in part])
            _check_receipts(receipts, [signed.hash for signed in part])


def _wait(connection: Connection, hashes: Sequence[str]) -> None:
    """Ask until each of these transactions is in a block."""
    questions = frames([("eth_getTransactionReceipt", [one]) for one in hashes])
    end = time.perf_counter() + WAIT_SECONDS
    for question in questions:
        while any(mark in (answer := connection.exchange(question)) for mark in _PENDING):
            if time.perf_counter() > end:
                raise wrong(f"a transaction is in no block after {WAIT_SECONDS:g} s: {answer[:200]!r}")
            time.sleep(_POLL_SECONDS)


def _check_receipts(receipts: Sequence[object], hashes: Sequence[str]) -> None:
    if len(receipts) != len(hashes):
        raise wrong(f"{len(receipts)} receipts of {len(hashes)} transactions")
    for receipt, one in zip(receipts, hashes, strict=True):
        if not isinstance(receipt, dict) or receipt.get("status") != "0x1" or receipt.get("transactionHash") != one:
            raise wrong(f"transaction {one} has the receipt {str(receipt)[:300]}")


def _balances(connection: Connection, work: Workload, *, token: bool) -> list[int]:
    return [int(found, 16) for found in connection.batch(work.balance_calls(token=token))]


def _transfers(node: Node, work: Workload, name: str, phase: list[list[Signed]], *, token: bool) -> Figures:
    """Send a phase over four connections, and read all its receipts over four connections, as one measurement."""
    sending, asking = to_lanes(phase), receipt_lanes(phase)
    count = sum(len(mine) for mine in phase)
    with Connection(node.port) as connection:
        before = _balances(connection, work, token=token)
        first = int(connection.call("eth_blockNumber"), 16)
        cpu = node.cpu_seconds()
        start = time.perf_counter()
        sent_seconds, sent = lanes(node.port, sending)
        _wait(connection, [mine[-1].hash for mine in phase])
        mined_seconds = time.perf_counter() - start
        receipts_seconds, received = lanes(node.port, asking)
        seconds = time.perf_counter() - start
        spent = node.cpu_seconds()
        blocks = int(connection.call("eth_blockNumber"), 16) - first
        accepted = sum(len(results(body)) for lane in sent for body in lane)
        if accepted != count:
            raise wrong(f"{accepted} of {count} transactions were accepted")
        hashes = [signed.hash for mine in phase for signed in mine]
        for lane, bodies in enumerate(received):
            receipts = [receipt for body in bodies for receipt in results(body)]
            _check_receipts(receipts, hashes[lane::CONNECTIONS])
        gains = [now - then for now, then in zip(_balances(connection, work, token=token), before, strict=True)]
        expected = gain(len(phase[0]))
        if any(one != expected for one in gains):
            raise wrong(f"targets gained {sorted(set(gains))} instead of {expected}")
    return {
        f"{name}s_tps": count / seconds,
        f"{name}s_sent_tps": count / sent_seconds,
        f"{name}s_mined_tps": count / mined_seconds,
        f"{name}s_receipts_per_s": count / receipts_seconds,
        f"{name}s_blocks": float(blocks),
        f"{name}s_cpu_us": _each_us(cpu, spent, count),
    }


def _each_us(before: float | None, after: float | None, count: int) -> float | None:
    """Processor time of the node for each of `count`, in microseconds."""
    return None if before is None or after is None else (after - before) / count * 1e6


def _large_block(node: Node, work: Workload) -> Figures:
    """Read the receipts of one block that holds all transactions of the phase, over one connection."""
    hashes = [signed.hash for mine in work.block for signed in mine]
    with Connection(node.port) as connection:
        connection.call("evm_setAutomine", False)
        for lane in to_lanes(work.block):
            for request in lane:
                results(connection.exchange(request))
        connection.call("evm_mine")
        connection.call("evm_setAutomine", True)
        _wait(connection, hashes[-1:])
        block = connection.call("eth_getBlockByNumber", "latest", False)
        if len(block["transactions"]) != len(hashes):
            raise wrong(f"the large block has {len(block['transactions'])} transactions instead of {len(hashes)}")
        questions = frames([("eth_getTransactionReceipt", [one]) for one in hashes])
        start = time.perf_counter()
        bodies = [connection.exchange(question) for question in questions]
        seconds = time.perf_counter() - start
        _check_receipts([receipt for body in bodies for receipt in results(body)], hashes)
    return {"block_receipts_per_s": len(hashes) / seconds}


def _calls(node: Node, work: Workload) -> Figures:
    """Ask a target's token balance over and over."""
    question = frame([work.balance_calls(token=True)[0]])
    expected = gain(work.plan.per_sender)

    def right(answer: bytes) -> bool:
        return int(result(json.loads(answer.partition(b"\r\n\r\n")[2])), 16) == expected

    figures: Figures = {}
    for connections in CALL_CONNECTIONS:
        cpu, start = node.cpu_seconds(), time.perf_counter()
        latencies = sorted(closed_loop(node.port, question, connections, work.plan.call_seconds, right))
        seconds, spent = time.perf_counter() - start, node.cpu_seconds()
        count = len(latencies)
        figures[f"call_{connections}_per_s"] = count / seconds
        figures[f"call_{connections}_cpu_us"] = _each_us(cpu, spent, count)
        figures[f"call_{connections}_p50_ms"] = latencies[count // 2] * 1e3
        figures[f"call_{connections}_p99_ms"] = latencies[count * 99 // 100] * 1e3
    return figures


def _one_by_one(node: Node, work: Workload) -> Figures:
    """Send transactions over one connection, each after the receipt of the one before was read: a block for each."""
    pairs = [
        (frame([("eth_sendRawTransaction", [signed.raw])]), frame([("eth_getTransactionReceipt", [signed.hash])]))
        for signed in work.one_by_one
    ]
    moments, bodies = [], []
    _wake_processors()
    with Connection(node.port) as connection:
        start = time.perf_counter()
        for sending, asking in pairs:
            sent = connection.exchange(sending)
            while any(mark in (received := connection.exchange(asking)) for mark in _PENDING):
                if time.perf_counter() - start > work.plan.one_by_one_seconds + WAIT_SECONDS:
                    raise wrong(f"a transaction is in no block after {WAIT_SECONDS:g} s")
            bodies.append((sent, received))
            moments.append(time.perf_counter() - start)
            if moments[-1] > work.plan.one_by_one_seconds:
                break
        count = len(moments)
        receipts = [result(json.loads(received)) for _, received in bodies]
        _check_receipts(receipts, [signed.hash for signed in work.one_by_one[:count]])
        blocks = {receipt["blockNumber"] for receipt in receipts}
        if len(blocks) != count:
            raise wrong(f"{count} transactions are in {len(blocks)} blocks")
        balance = int(connection.call("eth_getBalance", work.targets[0], "latest"), 16)
        if balance != gain(count):
            raise wrong(f"the target has {balance} wei instead of {gain(count)}")
    # The first hundredth is left out of the first tenth: connections and caches are cold there.
    tenth, warm = max(1, count // 10), count // 100
    first = (tenth - warm) / (moments[tenth - 1] - (moments[warm - 1] if warm else 0.0))
    last = tenth / (moments[-1] - moments[-1 - tenth])
    return {
        "one_by_one_tps": count / moments[-1],
        "one_by_one_first_tenth_tps": first,
        "one_by_one_last_tenth_tps": last,
        "one_by_one_count": float(count),
        "one_by_one_rss_mb": node.rss_mb(),
    }
