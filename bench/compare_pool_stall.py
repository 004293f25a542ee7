"""One connection attempt hangs for five seconds: the checkouts of other threads, with our pool and with Peewee's.

Each thread wants a connection every 5 ms, whether it got the last one or not, and waits are counted from then: else
a pool that serves nobody for five seconds would show four long waits among thousands of short ones.
"""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

from playhouse.pool import PooledPostgresqlDatabase

from bench.measure import Result
from bench.servers import server
from legal_store.database import Database
from legal_store.database.options import PoolOptions
from tests.proxy import TcpProxy

GOAL = 2.0
WORKERS = 4
EVERY_S = 0.005


def run(*, quick: bool) -> list[Result]:
    seconds = 0.4 if quick else 5.0
    with server() as own:
        socket = f"{own.parameters['host']}/.s.PGSQL.5432"
        return [_stall(name, socket, seconds) for name in ("legal_store", "Peewee")]


def _stall(name: str, socket: str, seconds: float) -> Result:
    with TcpProxy(socket) as proxy:
        parameters = {"host": proxy.host, "port": proxy.port, "user": "legal_store", "sslmode": "disable"}
        if name == "legal_store":
            database: Any = Database()
            database.init("legal_store", pool=PoolOptions(size=8, idle_timeout=0), **parameters)
        else:
            database = PooledPostgresqlDatabase("legal_store", max_connections=8, timeout=30, **parameters)
        load = _Load(database)
        load.measure(0.2)
        before = load.measure(seconds)
        blackhole = threading.Timer(seconds, proxy.heal)
        stalled = load.measure(seconds, at_full_use=lambda: _ask_for_one_more(database, proxy, blackhole))
        blackhole.join()
        load.end()
        database.close_all()
    p99 = {"before": before, "during": stalled}
    goal = f"at most {GOAL}" if name == "legal_store" else "for comparison"
    return Result(f"p99 of a checkout with {name}, one attempt blackholed", p99, "ms", stalled / before, goal)


def _ask_for_one_more(database: Any, proxy: TcpProxy, heal_later: threading.Timer) -> None:
    def ask() -> None:
        with database.connection_context():
            pass

    proxy.blackhole_next()
    heal_later.start()
    threading.Thread(target=ask, daemon=True).start()
    time.sleep(0.05)


class _Load:
    """Threads that borrow, hold for a millisecond and return, without end."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.times: list[float] = []
        self.full = threading.Barrier(WORKERS + 1)
        self.meet = threading.Event()
        self.ended = False
        self.threads = [threading.Thread(target=self._work) for _ in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def _work(self) -> None:
        due = time.perf_counter()
        while not self.ended:
            due += EVERY_S
            time.sleep(max(0.0, due - time.perf_counter()))
            with self.database.connection_context():
                self.times.append(time.perf_counter() - due)
                time.sleep(0.001)
                if self.meet.is_set():
                    self.full.wait()  # all hold a connection
                    self.full.wait()  # the one more has been asked for
                    due = time.perf_counter()

    def measure(self, seconds: float, at_full_use: Any = None) -> float:
        """Return the p99 of the checkouts in so many seconds, in ms."""
        if at_full_use is not None:
            self.meet.set()
            self.full.wait()
            self.meet.clear()
            at_full_use()
            self.times.clear()
            self.full.wait()
        else:
            self.times.clear()
        time.sleep(seconds)
        if at_full_use is not None:
            time.sleep(0.5)  # who was stalled to the end has to be counted
        return statistics.quantiles(list(self.times), n=100)[98] * 1000

    def end(self) -> None:
        self.ended = True
        for thread in self.threads:
            thread.join()
