"""The program's manners: exit codes, two streams, hints, no tracebacks, and help that comes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

import interlace
from interlace.cli.main import app, main
from interlace.errors import ServiceError

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "interlace.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def test_version_is_data_on_stdout():
    done = run("version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"interlace {interlace.__version__} ")
    assert done.stderr == ""
    assert json.loads(run("version", "--json").stdout)["interlace"] == interlace.__version__


@pytest.mark.parametrize("words", [["nonsense"], ["version", "--nonsense"], ["version", "word"]])
def test_wrong_use_is_exit_code_2_with_a_hint(words):
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error[usage]: ")
    assert "\nhint: interlace" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_use_with_json_is_one_document():
    done = run("version", "--json", "--nonsense")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


def test_no_words_show_the_help_and_exit_2():
    done = run()
    assert done.returncode == 2
    assert "Usage: interlace" in done.stderr


def raising(error: BaseException):
    def version() -> None:
        raise error

    return version


@pytest.fixture
def failing(monkeypatch):
    """Make `interlace version` fail with a given error, to see what the program makes of it."""

    def install(error: BaseException) -> None:
        command = next(c for c in app.registered_commands if c.callback and c.callback.__name__ == "version")
        monkeypatch.setattr(command, "callback", raising(error))

    return install


def test_an_error_of_the_package_is_two_lines_and_exit_code_1(failing, capsys):
    failing(ServiceError("service.example", "it broke", hint="mend it"))
    assert main(["version"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error[service.example]: it broke\nhint: mend it\n"


def test_debug_shows_the_traceback(failing, monkeypatch):
    monkeypatch.setenv("INTERLACE_DEBUG", "1")
    failing(ServiceError("service.example", "it broke"))
    with pytest.raises(ServiceError):
        main(["version"])


def test_an_interrupt_is_130(failing):
    failing(KeyboardInterrupt())
    assert main(["version"]) == 130


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(command, capsys):
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example: interlace " in shown
    assert "--json" in shown


def test_help_is_instant():
    """Best of three, so that a busy machine does not fail it; a heavy import would cost each of them."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert run("--help").returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5, f"interlace --help takes {min(seconds):.2f} s"


def test_importing_the_package_loads_no_heavy_module():
    heavy = "('numpy', 'sklearn', 'httpx', 'interlace._core')"
    code = f"import sys, interlace; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
