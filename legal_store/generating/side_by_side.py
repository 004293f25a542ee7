"""Long work on tables, over two connections at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import psycopg2

T = TypeVar("T")

BUILD_MEMORY = "256MB"
"""maintenance_work_mem of each of the two connections: the vectors of 40,000 documents fit."""


def builder(parameters: dict[str, Any]) -> Any:
    """Return a connection for long work on tables: no time limit, memory for sorting, no workers besides.

    Its commits do not wait for the disk, as those of the portions: work and note in the ledger are lost together.
    """
    connection = psycopg2.connect(**parameters)
    with connection, connection.cursor() as cursor:
        # two connections at work use the cores; workers in addition would need shared memory that containers lack
        cursor.execute("SET statement_timeout = 0; SET max_parallel_maintenance_workers = 0")
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", (BUILD_MEMORY,))
    return connection


def side_by_side(parameters: dict[str, Any], work: Iterable[Sequence[T]], act: Callable[[Any, T], None]) -> None:
    """Call `act` with a connection and an item, for all items of a piece of work one after the other, for two pieces
    at a time in their order. The first error is raised when both connections have stopped; Ctrl-C stops them."""
    waiting: SimpleQueue[Sequence[T]] = SimpleQueue()
    for items in work:
        waiting.put(items)

    def run(connection: Any) -> None:
        with suppress(Empty):
            while True:
                for item in waiting.get_nowait():
                    act(connection, item)

    with closing(builder(parameters)) as first, closing(builder(parameters)) as second, ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(run, connection) for connection in (first, second)]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            _stop(futures, (first, second))
            raise


def _stop(futures: Sequence[Future[None]], connections: Sequence[Any]) -> None:
    """Cancel what the connections are at until both threads have ended, however often Ctrl-C is pressed."""
    while True:
        with suppress(KeyboardInterrupt):
            if not wait(futures, timeout=0.2).not_done:
                return
            for connection in connections:  # again and again: a thread can have been between two statements
                connection.cancel()
