"""A service as a process of its own: ``python -m interlace.serving CONFIG.json``.

Invariant: the first line on stdout is one JSON object with the service's URL, written when it answers; everything else
goes to stderr. SIGTERM and SIGINT drain: no new calls, those under way are answered, the journal is closed.
What it does not do: it takes no key from the command line.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading

from interlace.chain import Client
from interlace.errors import InterlaceError, ServiceError
from interlace.models import ModelCard, Program
from interlace.serving import logs
from interlace.serving.config import ServiceConfig
from interlace.serving.journal import Journal
from interlace.serving.ledger import Ledger
from interlace.serving.server import ServiceServer
from interlace.serving.service import Service
from interlace.serving.settlement import Settler
from interlace.serving.tiers import Means, works_of


def main(arguments: list[str]) -> int:
    """Run a service until it is told to stop; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m interlace.serving CONFIG.json\n")
        return 2
    try:
        config = ServiceConfig.load(arguments[0])
        logs.configure(as_json=config.log_json)
        _run(config)
    except InterlaceError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        sys.stderr.write(f"error[{error.code}]: {error.message}{hint}\n")
        return 1
    return 0


def _run(config: ServiceConfig) -> None:
    ledger = Ledger(Client(config.rpc))
    try:
        card = ModelCard.from_json(config.card.read_bytes()) if config.card is not None else None
    except OSError as error:
        raise ServiceError("service.config", f"{config.card}: {error.strerror}") from None
    service = Service(
        Program.load(config.program).to_bytes(),
        node=config.node,
        receipt_account=config.receipt_account,
        ledger=ledger,
        unit_price=config.unit_price,
        journal=config.journal,
        card=card,
        name=config.name,
        assurances=config.assurances,
        prices=config.prices,
        limits=config.limits,
    )
    stop, settling = threading.Event(), None
    try:
        server = ServiceServer(service, host=config.host, port=config.port, allowed_hosts=config.allowed_hosts)
        if config.settle is not None:
            journal, account = Journal(config.journal, "settler"), config.settle.account
            where = config.public_url or server.url
            means = Means(ledger.client, config.node, Program.load(config.program).to_bytes(), account, where)
            works = works_of(service.offer.prices, means)
            for work in works.values():
                work.check(sum(journal.assured().result().values()))
            settler = Settler(journal, ledger, config.node, account, works=works)
            settling = threading.Thread(target=settler.run, args=(stop, config.settle.every_s), name="settler")
            settling.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn takes these over while it serves; this is for the moments before and after, and its way to end
            # the process by the signal it was stopped with.
            signal.signal(number, lambda *_: server.request_stop())
        threading.Thread(target=_announce, args=(server, config), daemon=True).start()
        server.run()
    finally:
        stop.set()
        if settling is not None:
            settling.join()
        service.close()


def _announce(server: ServiceServer, config: ServiceConfig) -> None:
    """Write the line that says where the service is, once it answers."""
    server.wait_started()
    line = {"url": server.url, "program_id": "0x" + server.service.offer.program_id.hex(), "node": config.node}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    logs.event("serving", level=logging.INFO, url=server.url, name=server.service.offer.name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
