"""Borrowing a connection and giving it back, beside the pools of psycopg, SQLAlchemy and Peewee; and fairness.

Over TCP, as services connect: that is what a pool pays that asks the server for a sign of life at every checkout.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import sqlalchemy
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2.extensions import parse_dsn
from psycopg_pool import ConnectionPool

from bench.measure import Result, alternate
from bench.servers import server
from legal_store.database import Database
from legal_store.database.options import PoolOptions
from legal_store.embedded.server import free_port

GOAL = 2.0
GOAL_AGAINST_PEEWEE = 8.0
GOAL_FAIRNESS = 1.5
SATURATED = 8  # connections for 32 threads: each waits for three others
PEEWEES_SHARE = 20  # of the cycles; enough for threads to take turns, at its price

Borrow = Callable[[], AbstractContextManager[Any]]


def run(*, quick: bool) -> list[Result]:
    cycles, rounds = (200, 1) if quick else (100_000, 7)
    results: list[Result] = []
    with server(free_port(), max_connections="200") as own:
        url = f"{own.postgres.tcp_url()}?sslmode=disable"
        for threads, size in ((1, 10), (8, 10), (32, 32), (32, SATURATED)):
            with _pools(url, size) as pools:
                results += _compare(pools, threads, size, cycles, rounds)
        with _pools(url, SATURATED) as pools:
            results.append(_fairness(pools, holds=5 if quick else 60))
    return results


@contextmanager
def _pools(url: str, size: int) -> Iterator[dict[str, Borrow]]:
    """The four pools, each with all its connections open."""
    parameters = parse_dsn(url)
    name = parameters.pop("dbname")
    ours = Database()
    ours.init(name, pool=PoolOptions(size=size, idle_timeout=0, leak_warning=0), **parameters)
    theirs = PooledPostgresqlDatabase(name, max_connections=size, timeout=30, **parameters)
    engine = sqlalchemy.create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://"), pool_size=size, max_overflow=0
    )
    with ExitStack() as stack:
        psycopg = stack.enter_context(ConnectionPool(url, min_size=size, max_size=size))
        psycopg.wait()
        ours.pool.warm_up()
        _open_all(lambda: _closing(engine.pool.connect()), size)
        _open_all(theirs.connection_context, size)
        stack.callback(ours.close_all)
        stack.callback(theirs.close_all)
        stack.callback(engine.dispose)
        yield {
            "legal_store": ours.connection_context,
            "psycopg_pool": psycopg.connection,
            "SQLAlchemy QueuePool": lambda: _closing(engine.pool.connect()),
            "Peewee": theirs.connection_context,
        }


def _open_all(borrow: Borrow, size: int) -> None:
    """Borrow so many connections at once."""
    all_borrowed = threading.Barrier(size)

    def work() -> None:
        with borrow():
            all_borrowed.wait()

    _in_threads(work, size)


@contextmanager
def _closing(connection: Any) -> Iterator[Any]:
    try:
        yield connection
    finally:
        connection.close()


def _compare(pools: dict[str, Borrow], threads: int, size: int, cycles: int, rounds: int) -> list[Result]:
    counts = {name: cycles // PEEWEES_SHARE if name == "Peewee" else cycles for name in pools}
    contestants = {
        name: (lambda borrow=borrow, count=counts[name]: _cycle(borrow, threads, count))
        for name, borrow in pools.items()
    }
    times = alternate(contestants, rounds)
    micros = {name: milliseconds * 1000 / counts[name] for name, milliseconds in times.items()}
    what = f"checkout and return, {threads} threads on {size} connections"
    best = min(micros["psycopg_pool"], micros["SQLAlchemy QueuePool"])
    peewee = {name: micros[name] for name in ("legal_store", "Peewee")}
    queueing = threads > size  # then each return wakes a thread, whatever else it does
    beside_peewee = "for comparison; no claim" if queueing else f"at least {GOAL_AGAINST_PEEWEE}"
    return [
        Result(what, micros, "us", micros["legal_store"] / best, f"at most {GOAL} of the better one"),
        Result(what, peewee, "us", micros["Peewee"] / micros["legal_store"], beside_peewee),
    ]


def _cycle(borrow: Borrow, threads: int, cycles: int) -> None:
    def work() -> None:
        for _ in range(cycles // threads):
            with borrow():
                pass

    _in_threads(work, threads)


def _fairness(pools: dict[str, Borrow], holds: int) -> Result:
    """Longest wait over shortest, when 32 threads share few connections and hold each for 20 ms."""
    ratios = {name: _longest_over_shortest(borrow, holds) for name, borrow in pools.items() if name != "Peewee"}
    ratios["Peewee"] = _longest_over_shortest(pools["Peewee"], holds)
    return Result(
        f"longest wait over shortest, 32 threads on {SATURATED} connections",
        ratios,
        "",
        ratios["legal_store"],
        f"at most {GOAL_FAIRNESS}",
    )


def _longest_over_shortest(borrow: Borrow, holds: int) -> float:
    waits: list[float] = []
    ready = threading.Barrier(32)

    def work() -> None:
        ready.wait()
        for turn in range(holds):
            began = time.perf_counter()
            with borrow():
                waited = time.perf_counter() - began
                time.sleep(0.02)
            if 2 <= turn < holds - 2:  # not while the queue fills and empties
                waits.append(waited)

    _in_threads(work, 32)
    return max(waits) / min(waits) if waits else 0.0


def _in_threads(work: Callable[[], None], count: int) -> None:
    if count == 1:
        work()
        return
    with ThreadPoolExecutor(count) as threads:
        for future in [threads.submit(work) for _ in range(count)]:
            future.result()
