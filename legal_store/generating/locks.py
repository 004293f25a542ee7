"""Locks on tables that others use: asked for in short tries, so that nobody queues behind a load for long.

Whoever waits for a lock makes all behind it wait as well, readers too. So each try is given up after less than a
second; in between others get through, and Ctrl-C is heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from psycopg2.errors import DeadlockDetected, LockNotAvailable, QueryCanceled

from legal_store.errors import SeedError

T = TypeVar("T")

TRY_MS = 900
_PAUSE_S = 0.4


class Holder(NamedTuple):
    """A session that holds locks on tables, as far as a person needs it to find it."""

    pid: int | None
    application: str
    state: str
    tables: str

    def __str__(self) -> str:
        if self.pid is None:
            return f"a prepared transaction (see pg_prepared_xacts) on {self.tables}"
        return f"process {self.pid} ({self.application or 'no application name'}, {self.state}) on {self.tables}"


class Patience:
    """How long a load waits for locks, each time it needs some, and who is told that it waits."""

    def __init__(self, seconds: float, say: Callable[[str], None]) -> None:
        self._seconds, self._say = seconds, say
        self._told: set[int | None] = set()

    def transaction(self, connection: Any, tables: Sequence[str], act: Callable[[Any], T], *, all_modes: bool) -> T:
        """Return what `act` does with a cursor in one transaction, tried again until it gets its locks on `tables`.

        `all_modes`: readers stand in the way as well, not writers alone. Raises SeedError when the time is over.
        """
        deadline = time.monotonic() + self._seconds
        before: set[int | None] = set()
        while True:
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute("SELECT set_config('lock_timeout', %s, true)", (str(TRY_MS),))
                    return act(cursor)
            except (LockNotAvailable, DeadlockDetected) as error:
                holders = _holders(connection, tables, all_modes=all_modes)
                self._tell([holder for holder in holders if holder.pid in before])  # not who passes by
                if time.monotonic() >= deadline:
                    raise self._gave_up(holders, tables) from error
                before = {holder.pid for holder in holders}
            time.sleep(_PAUSE_S)

    def _tell(self, holders: list[Holder]) -> None:
        new = [holder for holder in holders if holder.pid not in self._told]
        self._told.update(holder.pid for holder in new)
        if new:
            self._say(f"waiting for {_listed(new)}; Ctrl-C ends this")

    def _gave_up(self, holders: list[Holder], tables: Sequence[str]) -> SeedError:
        who = _listed(holders) or f"another session on {tables[0]}"
        return SeedError(
            f"Tables are in use: after {self._seconds:.0f} s the load still waits for {who}. What was committed stays.",
            remedy="Let that session end (`invoke db.connections` shows it), then run the same command again.",
        )


def lock_all(cursor: Any, statement: Any) -> None:
    """Run a LOCK over many tables that waits for all of them together no longer than for one."""
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", (str(TRY_MS),))
    try:
        cursor.execute(statement)
    except QueryCanceled as error:
        raise LockNotAvailable(str(error)) from error
    cursor.execute("SET LOCAL statement_timeout = 0")


def _holders(connection: Any, tables: Sequence[str], *, all_modes: bool) -> list[Holder]:
    with connection, connection.cursor() as cursor:
        cursor.execute(_HOLDERS, {"tables": list(tables), "harmless": [] if all_modes else _HARMLESS})
        return [Holder(*row) for row in cursor.fetchall()]


def _listed(holders: Sequence[Holder]) -> str:
    return "; ".join(map(str, holders))


_HARMLESS = ["AccessShareLock", "RowShareLock", "ShareLock"]
_HOLDERS = """
SELECT l.pid, coalesce(a.application_name, ''), coalesce(a.state, a.backend_type, ''),
       string_agg(DISTINCT l.relation::regclass::text, ', ' ORDER BY l.relation::regclass::text)
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation = ANY (%(tables)s::regclass[]) AND l.mode <> ALL (%(harmless)s::text[])
GROUP BY l.pid, a.application_name, a.state, a.backend_type ORDER BY l.pid
"""
