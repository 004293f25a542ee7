"""Several processes that make and write portions. Each gets one number at a time, over a pipe of its own.

When the parent is killed, its end of the pipe closes: a worker finishes the portion it is at and ends.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from legal_store.errors import SeedError
from legal_store.generating.market import Catalogue
from legal_store.generating.plan import Plan, Portion, make_plan

_AHEAD = 2
"""Portions a worker is given before the first is reported, so that it never waits for the parent."""


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
    pool = [_Worker(job) for _ in range(workers)]
    try:
        for worker in [worker for _ in range(_AHEAD) for worker in pool]:
            worker.give(next(waiting, None))
        while busy := [worker for worker in pool if worker.at_work]:
            for ready in wait([worker.pipe for worker in busy]):
                worker = next(worker for worker in busy if worker.pipe is ready)
                done(worker.take())
                worker.give(next(waiting, None))
    finally:
        for worker in pool:
            worker.end()


class _Worker:
    """One process, seen from the parent."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(job, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.at_work = 0

    def give(self, portion: Portion | None) -> None:
        if portion is not None:
            with suppress(BrokenPipeError):  # it has ended, which take() tells
                self.pipe.send(portion)
            self.at_work += 1

    def take(self) -> int:
        """Return the rows of the next finished portion."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(10)
            answer = f"a process that loads ended with exit code {self.process.exitcode}"
        if isinstance(answer, str):
            raise SeedError(
                f"Generating stopped: {answer}. What was committed stays.",
                remedy="Run the same command again: it goes on from there and puts the indexes back.",
            )
        self.at_work -= 1
        return int(answer)

    def end(self) -> None:
        self.pipe.close()
        self.process.join(60)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def work(job: Job, pipe: Connection) -> None:
    """Serve one parent: make and write the portions it sends, until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; Ctrl-C reaches the whole group
    try:
        _serve(job, pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:  # noqa: BLE001  (told to the parent, which raises)
        from legal_store.database.explain import statement_failure

        pipe.send(str(statement_failure(error, "Writing a portion")) if hasattr(error, "pgcode") else repr(error))


def _serve(job: Job, pipe: Connection) -> None:
    from contextlib import closing

    from legal_store.generating.copying import connect, write_portion
    from legal_store.generating.market import Market, rows_of
    from legal_store.generating.recipe import read_recipe

    recipe = read_recipe(job.folder)
    plan = make_plan(recipe, seed=job.seed, firms=job.firms, rows=job.rows)
    market = Market.of(recipe, plan, job.catalogue)
    with closing(connect(job.parameters)) as connection:
        while True:
            portion: Portion = pipe.recv()
            write_portion(connection, portion.number, rows_of(market, portion))
            pipe.send(portion.rows)
