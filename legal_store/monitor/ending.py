"""Ending somebody else's session, or the statement that it runs."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, NamedTuple

import psycopg2.errors

from legal_store.database.scope import STATEMENT_SQL
from legal_store.errors import OperationFailedError, WrongUseError
from legal_store.monitor.inspection import Inspector

PATIENCE_S = 5.0


class Session(NamedTuple):
    """A session of the database, as it was found. Of others' a login without pg_read_all_stats sees no more than who.

    `transaction_s`: seconds since its transaction began; None outside one.
    """

    pid: int
    user: str
    application: str
    client: str
    state: str | None
    transaction_s: float | None
    statement: str
    began: datetime | None
    statement_began: datetime | None

    def __str__(self) -> str:
        return f"session {self.pid} ({self.user}, {self.application or 'no application name'}, {self.client})"


def end_session(inspector: Inspector, pid: int) -> Session:
    """End the session `pid` of this database, and return what it was; its transaction is rolled back.

    Raises WrongUseError where there is no such session or it is the asking one; OperationFailedError where the login
    may not do that, or where the session has not ended within 5 s.
    """
    found = _find(inspector, pid)
    _signal(inspector, "pg_terminate_backend", found)
    _await_no_row(inspector, found, "TRUE", "It ends when what it waits for lets it: see `invoke db.connections`.")
    return found


def cancel_statement(inspector: Inspector, pid: int) -> Session:
    """Cancel the statement that the session `pid` runs, and return what it was; the session goes on, with an error.

    Raises what `end_session` raises, and WrongUseError where it runs none.
    """
    found = _find(inspector, pid)
    if found.state not in (None, "active"):
        raise WrongUseError(
            f"There is no statement to cancel: {found} is {found.state}.",
            remedy="Without --cancel the session itself is ended.",
        )
    _signal(inspector, "pg_cancel_backend", found)
    still = "state = 'active' AND query_start = %(statement_began)s"
    _await_no_row(inspector, found, still, f"End the session: `invoke db.end {pid}`.")
    return found


def _find(inspector: Inspector, pid: int) -> Session:
    row = inspector.row(_SESSION, {"pid": pid})
    if not row:
        database = inspector.connection.info.dbname
        raise WrongUseError(
            f"{pid} is no session of {database} that can be ended.", remedy="See `invoke db.connections`."
        )
    return Session(**row)


def _signal(inspector: Inspector, function: str, found: Session) -> None:
    try:
        inspector.rows(f"SELECT {function}(pid) FROM pg_stat_activity WHERE {_SAME}", found._asdict())
    except psycopg2.errors.InsufficientPrivilege:
        raise OperationFailedError(
            f"This login may not end {found}.",
            remedy="Connect as its user or as a superuser, or GRANT pg_signal_backend to this login.",
        ) from None


def _await_no_row(inspector: Inspector, found: Session, condition: str, remedy: str) -> None:
    """Wait until no session is `found` and meets `condition`. Raises OperationFailedError after 5 s."""
    deadline = time.monotonic() + PATIENCE_S
    parameters: dict[str, Any] = found._asdict()
    while inspector.rows(f"SELECT 1 FROM pg_stat_activity WHERE {_SAME} AND {condition}", parameters):
        if time.monotonic() > deadline:
            raise OperationFailedError(f"It was asked, but {found} goes on after {PATIENCE_S:g} s.", remedy=remedy)
        time.sleep(0.05)


_SAME = "pid = %(pid)s AND backend_start IS NOT DISTINCT FROM %(began)s"  # systems use a number again

_SESSION = f"""
SELECT pid, usename AS user, application_name AS application, coalesce(client_addr::text, 'local') AS client, state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_s,
       left({STATEMENT_SQL}, 80) AS statement, backend_start AS began, query_start AS statement_began
FROM pg_stat_activity
WHERE pid = %(pid)s AND datname = current_database() AND pid <> pg_backend_pid()
      AND coalesce(backend_type, 'client backend') = 'client backend'
"""
