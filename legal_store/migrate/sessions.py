"""Database sessions of the engine, and the lock that lets one deployer work at a time.

The lock is an advisory lock on a connection of its own: no snapshot, no transaction, polled and never waited for
inside a statement, because a session that waits there deadlocks with CREATE INDEX CONCURRENTLY. The session that runs
migrations holds a second lock; whoever finds it held while holding the first has found an orphan: the backend of a
deployer that was killed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from legal_store.database import plain
from legal_store.errors import OperationFailedError, RefusedError, ServerUnavailableError

APPLICATION_NAME = "legal_store migrate"
_LOCK_KEY = "hashtext('legal_store migrations')"
_WORKER_KEY = "hashtext('legal_store migration worker')"
# a backend in the middle of a statement notices soon that its deployer is gone
WORKER_SETTINGS = "SET statement_timeout = 0; SET client_connection_check_interval = '500ms'"
_POLL_SECONDS = (0.05, 0.25)


class Holder(NamedTuple):
    """The session that holds the lock."""

    pid: int
    user: str
    address: str
    since: str
    query: str

    def __str__(self) -> str:
        where = f" from {self.address}" if self.address else ""
        return f"session {self.pid} ({self.user}{where}, since {self.since})"


def connect(parameters: dict[str, Any]) -> Any:
    """Return an autocommitting psycopg2 connection without a statement timeout. Raises ServerUnavailableError.

    Behind a pooler that refuses start-up options the timeout stays: setting it could reach another client's session.
    """
    named = {**parameters, "application_name": APPLICATION_NAME}
    try:
        options = f"{parameters.get('options', '')} -c statement_timeout=0"
        connection = plain.connect({**named, "options": options})
    except ServerUnavailableError as error:
        if "unsupported startup parameter" not in error.message:
            raise
        connection = plain.connect({name: value for name, value in named.items() if name != "options"})
    connection.autocommit = True
    return connection


@contextmanager
def taken_back(connection: Any) -> Iterator[Any]:
    """Yield a cursor in a transaction that is rolled back at the end, whatever happened in it."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK")


@contextmanager
def deploy_lock(
    parameters: dict[str, Any], *, wait_seconds: float, say: Callable[[str], None] = lambda line: None
) -> Iterator[Any]:
    """Hold the deploy lock of a database; yield the autocommitting connection that holds it.

    Waits up to `wait_seconds` for another deployer. Raises OperationFailedError that names the holder when the wait
    ends, RefusedError behind a pooler that would make the lock worthless.
    """
    with closing(connect(parameters)) as connection, connection.cursor() as cursor:
        refuse_transaction_pooler(connection, parameters)
        cursor.execute("SET statement_timeout = 0")  # a pooler may not have passed it on at the start
        _acquire(cursor, wait_seconds, say)
        yield connection


def refuse_transaction_pooler(connection: Any, parameters: dict[str, Any]) -> None:
    """Raise RefusedError when another session may be given the server process of this one between statements.

    A pooler gives the client a process id of its own. Then it is put to the test: a second session opens a
    transaction; if it is served by our process, or we are served by another one meanwhile, sessions are not kept apart.
    """
    before = _backend(connection)
    if before == connection.info.backend_pid:
        return
    with closing(connect(parameters)) as second, second.cursor() as cursor:
        cursor.execute("BEGIN")
        # in this order: while the second has our process, there may be none left to answer us
        kept_apart = _backend(second) != before and _backend(connection) == before
        cursor.execute("ROLLBACK")
    if not kept_apart:
        raise RefusedError(
            "DATABASE_URL leads to a pooler in transaction mode: it gives the same server process to several "
            "clients, so that the lock between deployers is worthless.",
            remedy="Deploy through the direct address of PostgreSQL, or a pool in session mode.",
        )


def still_locked(connection: Any) -> bool:
    """Return whether this connection is alive and really holds the deploy lock."""
    import psycopg2

    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT EXISTS (SELECT FROM pg_locks WHERE {_lock_condition(_LOCK_KEY)} AND pid = pg_backend_pid())"
            )
            return bool(cursor.fetchone()[0])
    except psycopg2.Error:
        return False


@contextmanager
def worker_session(parameters: dict[str, Any], lock: Any, say: Callable[[str], None]) -> Iterator[Any]:
    """Yield the connection that migrations run on, after ending what a killed deployer left running.

    Its own backend ends soon after this process does, even in the middle of a statement.
    """
    with closing(connect(parameters)) as connection, connection.cursor() as cursor:
        cursor.execute(WORKER_SETTINGS)
        _end_orphan(lock, cursor, say)
        yield connection


def _acquire(cursor: Any, wait_seconds: float, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + wait_seconds
    told = None
    while not _try_lock(cursor, _LOCK_KEY):
        holder = _holder(cursor, _LOCK_KEY)
        if time.monotonic() >= deadline:
            raise OperationFailedError(
                f"Another deploy holds the lock since before this one began to wait ({wait_seconds:g} s): "
                f"{holder or 'it ended just now'}.",
                remedy=f"Nothing was changed. Wait for it{_or_end(holder)}.",
            )
        if holder is not None and holder.pid != told:
            say(f"waiting for another deploy: {holder}")
            told = holder.pid
        time.sleep(random.uniform(*_POLL_SECONDS))  # noqa: S311


def _or_end(holder: Holder | None) -> str:
    return f", or end that session: `invoke db.end {holder.pid}`" if holder else ""


def _end_orphan(lock: Any, cursor: Any, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + 60
    ended: set[int] = set()
    while not _try_lock(cursor, _WORKER_KEY):
        orphan = _holder(cursor, _WORKER_KEY)
        if orphan is not None and orphan.pid not in ended:
            say(f"ending what a killed deploy left running: {orphan}: {orphan.query[:80]}")
            _terminate(lock, orphan)
            ended.add(orphan.pid)
        if time.monotonic() >= deadline:
            raise OperationFailedError(
                f"What a killed deploy left running does not end: {orphan}.", remedy="End that session by hand."
            )
        time.sleep(0.05)


def _terminate(lock: Any, orphan: Holder) -> None:
    import psycopg2

    try:
        with lock.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", (orphan.pid,))
    except psycopg2.errors.InsufficientPrivilege:
        raise OperationFailedError(
            f"What a killed deploy left running belongs to a login that this one may not end: {orphan}.",
            remedy="Nothing was changed. Deploy as that login, or have an administrator end the session.",
        ) from None


def _try_lock(cursor: Any, key: str) -> bool:
    cursor.execute(f"SELECT pg_try_advisory_lock({key})")
    return bool(cursor.fetchone()[0])


def _holder(cursor: Any, key: str) -> Holder | None:
    cursor.execute(
        "SELECT a.pid, coalesce(a.usename, ''), coalesce(host(a.client_addr), ''),"
        " coalesce(to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), ''), coalesce(a.query, '')"
        f" FROM pg_locks JOIN pg_stat_activity a USING (pid) WHERE {_lock_condition(key)}"
    )
    row = cursor.fetchone()
    return None if row is None else Holder(*row)


def _lock_condition(key: str) -> str:
    # a bigint key is kept in two halves
    return (
        "locktype = 'advisory' AND objsubid = 1 AND granted"
        " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        f" AND (classid::bigint << 32 | objid::bigint) = {key}::bigint"
    )


def _backend(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])
