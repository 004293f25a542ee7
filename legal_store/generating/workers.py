"""Several processes that make and write portions. Each gets one number at a time, over a pipe of its own.

When the parent is killed, its end of the pipe closes: a worker finishes the portion it is at and ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from legal_store.errors import SeedError
from legal_store.generating.failures import AGAIN
from legal_store.generating.market import Catalogue
from legal_store.generating.plan import Plan, Portion

_AHEAD = 2
"""Portions a worker is given before the first is reported, so that it never waits for the parent."""


_FINISHED_S, _INTERRUPTED_S = 60, 5
"""How long processes may take to end. One that waits for a lock would take for ever."""


class Job:
    """What every worker needs to make its own market; small enough to be sent."""

    def __init__(self, folder: Path, plan: Plan, catalogue: Catalogue, parameters: dict[str, Any]) -> None:
        self.folder, self.catalogue, self.parameters = folder, catalogue, parameters
        self.seed, self.firms, self.rows = plan.seed, len(plan.firms), plan.rows


def load_portions(job: Job, portions: Iterable[Portion], workers: int, done: Callable[[int], None]) -> None:
    """Make and write `portions` on so many processes; `done` is called with the rows of each that is committed.

    Raises SeedError with what the first failing worker met; portions that were committed stay.
    """
    waiting = iter(portions)
    patience = _INTERRUPTED_S
    pool = [_Worker(job) for _ in range(workers)]
    try:
        for worker in [worker for _ in range(_AHEAD) for worker in pool]:
            worker.give(next(waiting, None))
        while busy := [worker for worker in pool if worker.at_work]:
            for ready in wait([worker.pipe for worker in busy]):
                worker = next(worker for worker in busy if worker.pipe is ready)
                done(worker.take())
                worker.give(next(waiting, None))
        patience = _FINISHED_S
    finally:
        for worker in pool:
            worker.end(patience)


class _Worker:
    """One process, seen from the parent."""

    def __init__(self, job: Job) -> None:
        self.pipe, theirs = Pipe()
        # not multiprocessing: it would import the main module again, which then needs a guard. A group of its own:
        # Ctrl-C reaches the parent alone, which decides. The same search path: the parent may have changed it
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "legal_store.generating.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            process_group=0,
        )
        theirs.close()
        self.at_work = 0
        self._send(job)

    def give(self, portion: Portion | None) -> None:
        if portion is not None:
            self._send(portion)
            self.at_work += 1

    def take(self) -> int:
        """Return the rows of the next finished portion."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            code = self.process.wait(10)
            raise SeedError(
                f"A process that loads ended with exit code {code}. What was committed stays.", remedy=AGAIN
            ) from None
        if isinstance(answer, SeedError):
            raise answer
        self.at_work -= 1
        return int(answer)

    def end(self, patience: float) -> None:
        """Let the process finish the portion it is at, for so many seconds at most."""
        self.pipe.close()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _send(self, message: Job | Portion) -> None:
        with suppress(BrokenPipeError):  # it has ended, which take() tells
            self.pipe.send(message)
