"""The program `interlace`: its commands, and the one place where errors become exit codes.

Invariant: importing this module costs little (commands import their rooms when they run), so that help is instant.
What it does not do: no command's work; each has a file of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from interlace.errors import InterlaceError

from . import output
from .asset import asset
from .bench import bench
from .completions import completions
from .db import db
from .demo import demo
from .dispute import dispute
from .economy import economy
from .fixtures import blocktest, statetest
from .lanes import lanes
from .org import org
from .quorum import quorum
from .quote import quote
from .receipt import receipt
from .replay import replay
from .rpctest import rpctest
from .up import up
from .verify import verify
from .yields import yields

HELP = """An EVM chain that decides by models it can prove and pays everyone who made them, from Python.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed (the reason is shown), 2 wrong use.
"""

app = typer.Typer(
    name="interlace",
    help=HELP,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def version(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print the version of this package and of what it runs on.

    Example: interlace version --json
    """
    import platform

    from interlace import __version__

    facts = {"interlace": __version__, "python": platform.python_version(), "machine": platform.machine()}
    if json:
        output.emit_json(facts)
    else:
        output.data(f"interlace {facts['interlace']} (python {facts['python']}, {facts['machine']})")


app.command()(up)
app.command()(completions)
app.command()(demo)
app.command()(verify)
app.command()(yields)
app.command()(economy)
app.command()(lanes)
app.command()(asset)
app.command()(quote)
app.command()(replay)
app.command()(statetest)
app.command()(blocktest)
app.command()(rpctest)
app.add_typer(bench, name="bench")
app.add_typer(db, name="db")
app.add_typer(dispute, name="dispute")
app.add_typer(quorum, name="quorum")
app.add_typer(org, name="org")
app.add_typer(receipt, name="receipt")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code.

    Parameters
    ----------
    arguments
        Words after the program's name; those of this process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = app(args=words, prog_name="interlace", standalone_mode=False)
    except InterlaceError as error:
        if os.environ.get("INTERLACE_DEBUG") == "1":
            raise
        output.show_error(error, as_json="--json" in words)
        return 1
    except typer.TyperException as error:
        return _wrong_use(error, words)
    except typer.Abort:
        output.talk("aborted")
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of stdout went away (for example `| head`): nothing is left to say and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def _wrong_use(error: typer.TyperException, words: Sequence[str]) -> int:
    """Show an argument error in the same two lines as every other error."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "interlace"
    if type(error).__name__ == "NoArgsIsHelpError":
        output.talk(error.format_message())
        return 2
    shown = InterlaceError("usage", error.format_message(), hint=f"{path} --help")
    output.show_error(shown, as_json="--json" in words)
    return 2
