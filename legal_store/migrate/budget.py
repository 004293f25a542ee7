"""How long a statement may wait for its lock, and who is in the way when that time is over.

A statement that waits for a lock that blocks writes makes everybody behind it wait as well: it gets a short
lock_timeout and is tried again, after a pause of random length. One that blocks nobody while it waits (CONCURRENTLY,
VALIDATE) may wait long: a short timeout would only cancel it again and again.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from legal_store.database.scope import STATEMENT_SQL
from legal_store.migrate.statements import leading_words


class LockBudget(NamedTuple):
    """Times in seconds: one wait that blocks others, one that does not, and all waits of a migration together."""

    lock_timeout: float = 2.0
    patient_timeout: float = 3600.0
    total: float = 120.0

    def timeout_for(self, statements: list[str]) -> float:
        """Return the lock_timeout for statements that run in one transaction."""
        return self.patient_timeout if all(map(is_patient, statements)) else self.lock_timeout


def is_patient(statement: str) -> bool:
    """Return whether others can go on writing while this statement waits for its lock."""
    words = leading_words(statement, 12)
    return "CONCURRENTLY" in words or "VALIDATE" in words or words[:1] in (["VACUUM"], ["ANALYZE"])


def pause(attempt: int) -> float:
    """Return how many seconds to leave the table to others before try `attempt` + 1: growing, random, at most 5."""
    return random.uniform(0.5, 1.0) * min(5.0, 0.2 * 2.0**attempt)  # noqa: S311


class Blocker(NamedTuple):
    """A session that holds a lock we waited for."""

    pid: int
    user: str
    application: str
    state: str
    transaction_seconds: float
    query: str

    def __str__(self) -> str:
        return (
            f"session {self.pid} ({self.user}, {self.application or 'no application name'}, {self.state}, "
            f"transaction of {self.transaction_seconds:.0f} s): {self.query[:120]}"
        )


class BlockerWatch:
    """Looks, beside a running statement, at who blocks it; keeps what it saw last."""

    def __init__(self, connection: Any, worker: Any) -> None:
        self._connection = connection
        self._pid = worker.info.backend_pid
        self._seen: list[Blocker] = []

    @contextmanager
    def watching(self) -> Iterator[BlockerWatch]:
        """Look every 0.2 s, from another thread, until the block ends."""
        self._seen = []
        done = threading.Event()
        thread = threading.Thread(target=self._look_until, args=(done,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()

    def report(self) -> str:
        """Return who was in the way, one session to a line; empty when nobody was seen."""
        return "".join(f"\n  - blocked by {blocker}" for blocker in self._seen)

    def _look_until(self, done: threading.Event) -> None:
        import psycopg2

        while not done.wait(0.2):
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute(_BLOCKERS, {"pid": self._pid})
                    self._seen = [Blocker(*row) for row in cursor.fetchall()] or self._seen
            except psycopg2.Error:
                return


_BLOCKERS = f"""
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(state, ''),
       coalesce(extract(epoch FROM now() - xact_start), 0)::float, coalesce({STATEMENT_SQL}, '')
FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%(pid)s))
"""
