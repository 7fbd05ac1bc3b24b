"""The pages of the proofs show programs that run and commands that exist."""

from __future__ import annotations

import pytest

from interlace.cli.main import main
from tests.sdk.snippets import ROOT, Page


@pytest.mark.parametrize("name", ["audits", "call-chains", "proofs", "sumcheck"])
def test_the_program_of_a_page_runs(name: str) -> None:
    program = Page(ROOT / f"docs/{name}.md").program("python")
    assert "assert" in program
    exec(compile(program, name, "exec"), {})


def test_the_command_of_the_page_on_quotes_has_these_options(capsys: pytest.CaptureFixture[str]) -> None:
    ((first, *words),) = [words[1:] for words in Page(ROOT / "docs/tee.md").commands()]
    assert main([first, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in words if word.startswith("--"))
