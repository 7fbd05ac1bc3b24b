"""A settler as a process that stops where it is told, so that a test can kill it there.

Invariant: it uses the package's own settler; only the pause at a step is added.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from interlace.chain import Account, Client
from interlace.serving import Journal, Ledger, Settler
from interlace.serving.tiers import Means, works_of


def main() -> None:
    told = json.loads(sys.argv[1])

    def on_step(name: str) -> None:
        sys.stdout.write(name + "\n")
        sys.stdout.flush()
        if name == told["stop_at"]:
            time.sleep(60)

    journal = Journal(told["journal"], "settler")
    account = Account.from_key(os.environ["SETTLER_KEY"])
    client = Client(told["rpc"])
    works = {}
    if "program" in told:
        works = works_of([4], Means(client, told["node"], Path(told["program"]).read_bytes(), account, "", on_step))
    settler = Settler(journal, Ledger(client), told["node"], account, open_size=2, works=works, on_step=on_step)
    settler.run_once()
    journal.close()


if __name__ == "__main__":
    main()
