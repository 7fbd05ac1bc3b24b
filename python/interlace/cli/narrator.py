"""Narrators for people: bars and ticks on a terminal, one plain line per step everywhere else.

Invariant: everything goes to stderr; without a terminal no line is ever rewritten, so that logs stay readable.
What it does not do: it keeps no results.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from interlace.sdk.narrate import Narrator, Step

from . import output

_TITLE_WIDTH = 9


def narrator() -> Narrator:
    """Choose the narrator that fits stderr."""
    console = output.console()
    return Terminal(console) if console.is_terminal else Plain()


class Line:
    """What a step says while it runs; kept until it ends."""

    def __init__(self) -> None:
        self.text = ""
        self.remarks: list[str] = []

    def advance(self, count: int = 1) -> None:
        """Nothing is shown between begin and end."""

    def conclude(self, text: str) -> None:
        """Keep the step's one line."""
        self.text = text

    def remark(self, text: str) -> None:
        """Keep one more line."""
        self.remarks.append(text)


class Plain:
    """One line per step when it ends: title, what came out, seconds."""

    @contextmanager
    def step(self, title: str, parts: int = 0) -> Iterator[Step]:  # noqa: ARG002 - parts are for bars
        """Begin a step."""
        started, line = time.monotonic(), Line()
        yield line
        output.talk(f"{title:<{_TITLE_WIDTH}} {line.text} ({time.monotonic() - started:.1f} s)")
        for remark in line.remarks:
            output.talk(f"{'':<{_TITLE_WIDTH}} {remark}")


class _Bar(Line):
    """A step whose progress moves a bar."""

    def __init__(self, progress: Progress, title: str, parts: int) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task(title, total=parts or None)

    def advance(self, count: int = 1) -> None:
        """Move the bar."""
        self._progress.advance(self._task, count)


class Terminal:
    """A spinner or bar while a step runs, a ticked line when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, title: str, parts: int = 0) -> AbstractContextManager[Step]:
        """Begin a step."""
        return self._step(title, parts)

    @contextmanager
    def _step(self, title: str, parts: int) -> Iterator[Step]:
        columns = [SpinnerColumn(), TextColumn("[bold]{task.description}")]
        if parts:
            columns += [BarColumn(bar_width=36), MofNCompleteColumn()]
        started = time.monotonic()
        with Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True) as progress:
            bar = _Bar(progress, f"{title:<{_TITLE_WIDTH}}", parts)
            yield bar
        seconds = f"[dim]({time.monotonic() - started:.1f} s)[/dim]"
        self._console.print(f"[green]✔[/green] [bold]{title:<{_TITLE_WIDTH}}[/bold] {escape(bar.text)} {seconds}")
        for remark in bar.remarks:
            self._console.print(f"  {'':<{_TITLE_WIDTH}} [dim]{escape(remark)}[/dim]")
