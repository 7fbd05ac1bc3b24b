"""`interlace completions SHELL`: the script that completes this program's words in a shell.

Invariant: stdout is the script and nothing else, so that it can be evaluated or written to a file.
What it does not do: it changes no file of the user's; `--install-completion` does.
"""

from __future__ import annotations

from typing import Annotated

import typer

from . import output

SHELLS = ("bash", "zsh", "fish")


def completions(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")],
    json: Annotated[bool, typer.Option("--json", help="Print shell and script as JSON.")] = False,
) -> None:
    """Print the script that completes commands and options in a shell.

    Example: interlace completions bash > ~/.local/share/bash-completion/completions/interlace
    """
    from typer._completion_shared import get_completion_script

    if shell not in SHELLS:
        raise typer.BadParameter(f"{shell!r} is none of {', '.join(SHELLS)}")
    script = get_completion_script(prog_name="interlace", complete_var="_INTERLACE_COMPLETE", shell=shell)
    if json:
        output.emit_json({"shell": shell, "script": script})
    else:
        output.data(script)
