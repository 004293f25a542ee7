"""A connection as the pool keeps it: it knows its age, its borrower, and whether its session is as good as new."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.extensions

from legal_store.database.scope import ScopedConnection, ScopedCursor
from legal_store.database.traces import Trace, traces_of
from legal_store.errors import NotConnectedError

if TYPE_CHECKING:
    from legal_store.database.borrower import Stack
    from legal_store.database.pool import Pool

# What DISCARD ALL does, except that cached plans stay: foreign keys and triggers would have to be planned anew.
RESET_SESSION = (
    "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; DEALLOCATE ALL; UNLISTEN *; "
    "SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"
)

_IDLE = psycopg2.extensions.TRANSACTION_STATUS_IDLE
_UNKNOWN = psycopg2.extensions.TRANSACTION_STATUS_UNKNOWN
_ACTIVE = psycopg2.extensions.TRANSACTION_STATUS_ACTIVE


class PooledCursor(ScopedCursor):
    """A cursor whose connection knows what is executed on it, and which carries the scope of the firm."""

    connection: PooledConnection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (the driver's name)
        self.connection.note(traces_of(query, vars))
        super().execute(query, vars)

    def callproc(self, procname: str, parameters: Any = None) -> None:
        self.connection.note(Trace.STATE)
        super().callproc(procname, parameters)

    def copy_from(self, *arguments: Any, **options: Any) -> None:
        self.connection.note(Trace.STATE)
        super().copy_from(*arguments, **options)

    def copy_to(self, *arguments: Any, **options: Any) -> None:
        self.connection.note(Trace.STATE)
        super().copy_to(*arguments, **options)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        self.connection.note(Trace.STATE)
        super().copy_expert(sql, file, size)

    def _settings(self) -> str:
        return self.connection.lost_settings() + super()._settings()


class PooledConnection(ScopedConnection):
    """A connection in autocommit mode that belongs to a pool."""

    pool: Pool

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            super().__init__(*arguments, **options)
        except BaseException:
            super().close()  # the pool keeps the error, and that this frame: the server would wait for us
            raise
        self.cursor_factory = PooledCursor
        self.autocommit = True
        self.opened_at = self.last_used = self.borrowed_at = monotonic()
        self.expires_at = float("inf")
        self.epoch = 0  # of the pool, when it was opened
        self.waited = 0.0  # seconds that the borrower waited for it
        self.borrower: threading.Thread | None = threading.current_thread()  # it prepares the session
        self.stack: Stack = []
        self.warned = False  # that it is held for long
        self.traces: int = Trace.NONE
        self.answer_within: float | None = None  # for the statement that the pool itself runs
        self.statements = 0
        self._lost: dict[str, str] = {}
        self._seen = (-1, 0.0)  # the statement the keeper saw running, and when first
        self._encoding = self.encoding
        self._guard = threading.Lock()
        # Our own handle of the socket: libpq may close its own at any time, and another file may get that number.
        self._socket: int | None = os.dup(self.fileno())
        self._news = select.poll()
        self._news.register(self._socket, select.POLLIN)

    def lent(self, now: float, waited: float, stack: Stack) -> None:
        """Take note of the calling thread as borrower, who waited for so many seconds."""
        self.borrowed_at = now
        self.waited = waited
        self.stack = stack
        self.warned = False
        self.borrower = threading.current_thread()

    def lose(self, settings: dict[str, str]) -> None:
        """Take note of start-up settings that a pooler does not pass on: each statement has to bring them."""
        self._lost = {name: f"SET LOCAL {name} = '{value}';\n" for name, value in settings.items()}

    def lost_settings(self) -> str:
        """Return SQL that makes them for one transaction, without a statement_timeout that the borrower has set."""
        if not self._lost:
            return ""
        own_timeout = self.traces & Trace.TIMEOUT
        return "".join(sql for name, sql in self._lost.items() if not (own_timeout and name == "statement_timeout"))

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """Return a cursor. Those with a name or a factory of their own are not followed, so the session is reset."""
        if arguments or options:
            self.traces |= Trace.STATE | Trace.TIMEOUT
        return super().cursor(*arguments, **options)

    def note(self, traces: int) -> None:
        """Take note that a statement starts which may leave `traces`.

        Raises NotConnectedError where the connection was given back: who has it now would get the statement into a
        transaction of theirs.
        """
        if self.borrower is not threading.current_thread() and not self.closed:  # the driver says of a closed one
            raise NotConnectedError(
                "This cursor's connection was given back to the pool, or belongs to another thread.",
                remedy="Keep no cursor or connection beyond its `with db:`; ask db for another.",
            )
        self.statements += 1
        if traces:
            self.traces |= traces

    def run(self, statement: str, within: float) -> None:
        """Execute a statement of the pool itself, which leaves no trace; `within` seconds, or the keeper cuts."""
        self._run(statement, within, lambda cursor: None)

    def ask(self, question: str, within: float) -> Any:
        """Return the first value of the answer to a question of the pool itself; `within` as in `run`."""
        return self._run(question, within, lambda cursor: cursor.fetchone()[0])

    def _run(self, statement: str, within: float, fetch: Callable[[Any], Any]) -> Any:
        self.statements += 1
        self.answer_within = within
        try:
            with psycopg2.extensions.cursor(self) as cursor:
                cursor.execute(statement)
                return fetch(cursor)
        finally:
            self.answer_within = None

    def has_news(self) -> bool:
        """Say whether the server has sent something unasked: most often that it has closed the connection."""
        return bool(self._news.poll(0))

    def answers(self, within: float) -> bool:
        """Ask the server for a sign of life and say whether it came within so many seconds."""
        try:
            self.run("SELECT 1", within=within)
        except psycopg2.Error:
            return False
        return True

    def is_as_new(self) -> bool:
        """Say whether the borrower has left nothing behind, without asking the server: what ran cannot leave any."""
        return bool(
            self.get_transaction_status() == _IDLE
            and not self.traces
            and not self.notifies
            and self.autocommit
            and self.isolation_level is None
            and self.readonly is None
            and self.deferrable is None
            and self.encoding == self._encoding
            and not self.closed
        )

    def make_as_new(self, within: float) -> bool:
        """Undo what the borrower left behind: transaction, settings, role, locks and so on. False if that fails."""
        if self.closed or self.get_transaction_status() == _UNKNOWN:
            return False
        try:
            if self.get_transaction_status() != _IDLE:
                self.run("ROLLBACK", within=within)
            if self.traces & Trace.STATE:
                self.run(RESET_SESSION, within=within)
        except psycopg2.Error:
            return False
        self.traces = Trace.NONE
        self.notifies.clear()
        return self.is_as_new()

    def is_stuck(self, now: float, limit: float) -> bool:
        """Say whether one statement has been without an answer for longer than it may; asked at every tick."""
        with self._guard:
            if self._socket is None or self.closed or self.get_transaction_status() != _ACTIVE:
                self._seen = (-1, now)
                return False
            if self._seen[0] != self.statements:
                self._seen = (self.statements, now)
                return False
            if self.answer_within is not None:
                limit = self.answer_within
            elif self.traces & Trace.TIMEOUT:
                return False
            return now - self._seen[1] > limit

    def cut(self) -> None:
        """Shut the socket down: whoever waits for an answer on it gets an error now. Any thread may do this."""
        with self._guard, suppress(OSError):
            if self._socket is not None:
                handle = socket.socket(fileno=self._socket)
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                finally:
                    handle.detach()

    def close(self) -> None:
        """Close the connection to the server. No error if it is gone already."""
        with self._guard:
            handle, self._socket = self._socket, None
        with suppress(psycopg2.Error):
            super().close()
        if handle is not None:
            os.close(handle)

    def abandon(self) -> None:
        """Let go of a parent process's connection, in its child, without a word to the server.

        The file numbers stay taken, by the null device, so that nothing that still knows them can do harm.
        """
        self._guard = threading.Lock()
        with suppress(OSError, psycopg2.Error):
            void = os.open(os.devnull, os.O_RDWR)
            if not self.closed:
                os.dup2(void, self.fileno())
            if self._socket is not None:
                os.close(self._socket)
            os.close(void)
        self._socket = None
