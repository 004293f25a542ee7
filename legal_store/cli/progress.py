"""The progress bar of long operations: the step, the bytes, the rate, the time left; on stderr, and only for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from legal_store.backup.progress import Progress
from legal_store.cli.render import say


class _Lines(Progress):
    def step(self, name: str) -> None:
        say(f"... {name}")

    def note(self, text: str) -> None:
        say(text)


class _Bar(_Lines):
    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task = bar.add_task("begin", total=None)

    def step(self, name: str) -> None:
        self._bar.reset(self._task, description=name, total=None, completed=0)

    def advance(self, done: int, total: int | None) -> None:
        # an estimate that turns out too small is no longer shown as one
        self._bar.update(self._task, completed=done, total=total if total and total >= done else None)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show progress while the block runs: a bar on a terminal, a line for each step elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.DownloadColumn(),
        rich.TransferSpeedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)
