"""The progress bars of long operations, on stderr: what is done, how much of it, at which rate, and the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
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


@contextmanager
def stage_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on stderr for each stage: how much is done, at which rate, and how long the rest takes."""
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[rate]}"),
        rich.TimeRemainingColumn(),
    )
    bars = rich.Progress(*columns, console=Console(stderr=True))
    shown: dict[str, tuple[rich.TaskID, float, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if not total:  # such as indexes, when none were taken away
            return
        bars.start()  # not before: an empty display leaves an empty line above an error
        if stage not in shown:
            shown[stage] = (bars.add_task(stage, total=total, rate=""), bars.get_time(), done)
        bar, began, at_start = shown[stage]
        seconds = max(bars.get_time() - began, 0.001)
        bars.update(bar, completed=done, rate=f"{(done - at_start) / seconds:,.0f}/s" if done > at_start else "")

    try:
        yield progress
    finally:
        if shown:
            bars.stop()
