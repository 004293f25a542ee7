"""The pool's housekeeper: one thread that is there only while the pool has connections."""

from __future__ import annotations

import logging
import threading
import weakref
from time import monotonic, sleep
from typing import TYPE_CHECKING

from legal_store.database.borrower import describe_loan, describe_stack

if TYPE_CHECKING:
    from legal_store.database.pool import Pool
    from legal_store.database.pooled import PooledConnection

TICK_S = 0.25

logger = logging.getLogger("legal_store.pool")


class Keeper:
    """Closes what is idle or old, cuts what got no answer, takes back what a dead thread held, warns of the rest."""

    def __init__(self, pool: Pool) -> None:
        self._pool = weakref.ref(pool)
        self._thread: threading.Thread | None = None

    def ensure(self) -> None:
        """Start the thread if it is not there. The pool's lock is held."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="legal_store-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            sleep(TICK_S)
            pool = self._pool()
            if pool is None or not self._tend(pool):
                return
            del pool  # while this thread sleeps it keeps no pool alive

    def _tend(self, pool: Pool) -> bool:
        """Do what is due. False when there is nothing left to look after."""
        now = monotonic()
        with pool.lock:
            if pool._keeper is not self or (pool.total == 0 and not pool.waiting and not _wanted(pool)):
                self._thread = None
                return False
            closing = self._retire(pool, now)
            lent = pool.in_use.copy()
            dead = [c for c in lent if (borrower := c.borrower) is not None and not borrower.is_alive()]
            for connection in lent.difference(dead):
                self._look_after(pool, connection, now)
            self._refill(pool, now)
        for connection in closing:
            connection.close()
        for connection in dead:
            self._reclaim(pool, connection)
        return True

    def _retire(self, pool: Pool, now: float) -> list[PooledConnection]:
        """Take out of the pool what has been idle for too long, or is too old."""
        options = pool.options
        spare = pool.total - options.min_size
        closing: list[PooledConnection] = []
        for connection in pool.idle.copy():  # the longest idle first
            unused = options.idle_timeout and now - connection.last_used > options.idle_timeout
            if (now > connection.expires_at or (unused and len(closing) < spare)) and pool.take(connection):
                closing.append(connection)
        pool.connections.difference_update(closing)
        return closing

    def _look_after(self, pool: Pool, connection: PooledConnection, now: float) -> None:
        if connection.is_stuck(now, pool.options.stuck_after):
            pool.counters.cut += 1
            logger.warning("A statement had no answer in time; its connection to %s is cut.", pool.target)
            connection.cut()
        held = now - connection.borrowed_at
        if connection.borrower and not connection.warned and 0 < pool.options.leak_warning < held:
            connection.warned = True
            logger.warning(
                "A connection is held by %s. Is it ever returned? It was borrowed here:\n%s",
                describe_loan(connection, now),
                describe_stack(connection.stack),
            )

    def _reclaim(self, pool: Pool, connection: PooledConnection) -> None:
        logger.warning(
            "A thread ended without returning its connection: %s. It was borrowed here:\n%s",
            describe_loan(connection, monotonic()),
            describe_stack(connection.stack),
        )
        with pool.lock:
            pool.counters.reclaimed += 1
        pool.discard(connection)

    def _refill(self, pool: Pool, now: float) -> None:
        """Try again for those who wait, once the server may be asked again, and keep the minimum open."""
        if pool.closed or pool.backoff.forbids(now):
            return
        if pool.total < pool.options.size and (pool.waiting or pool.total < pool.options.min_size):
            pool.open_in_background()


def _wanted(pool: Pool) -> bool:
    return pool.options.min_size > 0 and not pool.closed
