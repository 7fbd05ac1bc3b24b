"""A process that works on a chain in a data directory until it is killed, and tells what it was told.

Usage: ``python victim.py FOLDER process|power SEED [HISTORY]``. With a history it keeps as many states, else all; it
writes a checkpoint every few blocks. Each line on stdout is a JSON object: ``will`` says what is tried next, ``did``
what the chain acknowledged.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any, Literal, cast

from interlace.chain import Chain
from interlace.errors import RpcError

RECEIVER = "0x" + "51" * 20
EDITED = "0x" + "52" * 20
CHECKPOINT_BYTES = 4_000
"""A few blocks."""


def tell(**event: Any) -> None:
    """Write one event at once."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def work(folder: str, durability: Literal["process", "power"], seed: int, history: int | None) -> None:
    """Change the chain in `folder` for ever."""
    dice = random.Random(seed)
    with Chain(
        port=None,
        data_dir=folder,
        durability=durability,
        history=history,
        checkpoint_bytes=CHECKPOINT_BYTES,
        state_memory_mib=dice.choice((None, 1)),
    ) as chain:
        tell(did="start", block=chain.client.block_number())
        sender = chain.accounts[0]
        value = chain.client.balance(EDITED)
        while True:
            what = dice.random()
            if what < 0.05:
                value += 1
                tell(will="edit", value=value)
                chain.set_balance(EDITED, value)
                tell(did="edit", value=value, block=chain.client.block_number())
            elif what < 0.08 and chain.client.block_number() > 3:
                depth = dice.randrange(1, 4)
                if history is None and dice.random() < 0.05:
                    # Far back, to a state that is on disk.
                    depth = dice.randrange(1, chain.client.block_number())
                to = chain.client.block_number() - depth
                tell(will="back", block=to)
                try:
                    chain.client.rpc("anvil_rollback", hex(depth))
                except RpcError as error:
                    # Shortly after a start, a chain that keeps few states has those from the checkpoint on only.
                    if history is None or "no longer kept" not in error.message:
                        raise
                    continue
                value = chain.client.balance(EDITED)
                tell(did="back", block=to)
            else:
                receipt = chain.client.send(sender, RECEIVER, value_wei=1)
                tell(did="send", hash=receipt.transaction_hash, block=receipt.block_number)


if __name__ == "__main__":
    work(
        sys.argv[1],
        cast(Literal["process", "power"], sys.argv[2]),
        int(sys.argv[3]),
        int(sys.argv[4]) if sys.argv[4:] else None,
    )
