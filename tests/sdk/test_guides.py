"""Every code block of the README and the guides runs, and every command they show exists."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from interlace.cli.main import main

from .snippets import ROOT, Page, pages


@pytest.mark.parametrize("page", pages("python"), ids=lambda page: page.name)
def test_python_blocks_run(page: Page, tmp_path: Path):
    program = tmp_path / "page.py"
    program.write_text(page.program("python"))
    done = subprocess.run(
        [sys.executable, "-W", "error", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", pages("js"), ids=lambda page: page.name)
def test_javascript_blocks_run(page: Page, tmp_path: Path):
    from interlace.chain import Chain

    modules = ROOT / "tests/clients/node_modules"
    assert modules.is_dir(), "hint: run `make test`, which installs the JavaScript clients"
    (tmp_path / "node_modules").symlink_to(modules)
    with Chain(port=0) as chain:
        program = page.program("js").replace("http://127.0.0.1:8545", chain.url)
        (tmp_path / "page.mjs").write_text(program)
        done = subprocess.run(
            ["node", "page.mjs"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "NODE_NO_WARNINGS": "1"},
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", pages("solidity"), ids=lambda page: page.name)
def test_solidity_is_what_is_compiled(page: Page):
    sources = [
        path.read_text() for folder in ("src", "examples") for path in (ROOT / "contracts" / folder).glob("*.sol")
    ]
    for block in page.blocks("solidity"):
        assert any(block in source for source in sources), block


@pytest.mark.parametrize("page", pages("console"), ids=lambda page: page.name)
def test_commands_exist_with_their_options(page: Page, capsys):
    for words in page.commands():
        # A command of a group is two words; what else stands before the options is ignored beside --help.
        names = list(takewhile(lambda word: not word.startswith("--"), words[1:]))
        assert main([*names, "--help"]) == 0, words
        shown = capsys.readouterr().out
        for word in words[2:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in shown, f"{page.name}: {' '.join(words)}"
