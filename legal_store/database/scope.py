"""Whose data a piece of code may see: one firm's, or, with a reason, all firms'.

A scope says who asks; it opens no connection and no transaction. It is held in a context variable, so each thread
and each asyncio task has its own. Three layers act on it:

- models name the firm in every query and refuse to run outside a scope (legal_store/models/scoped.py);
- every text sent on a connection of `db` begins with the role and the firm, as settings of its own transaction
  (ScopedCursor below), so that nothing that happened before on the connection matters;
- PostgreSQL's row-level security compares that firm with each row and refuses when there is none.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from psycopg2 import IntegrityError, extensions

from legal_store.errors import FirmScopeError

SERVICE_ROLE = "legal_store_service"
FIRM_SETTING = "legal_store.firm_id"

_logger = logging.getLogger("legal_store.isolation")


class Scope:
    """One firm, or all of them with the reason why. It counts until its `with` block is left, wherever that happens.

    A generator, a task or a thread may outlive the block it was started in, and may even leave blocks in another
    order than they were entered; a scope that was left never comes back.
    """

    __slots__ = ("firm_id", "is_open", "outer", "reason", "settings")

    def __init__(self, firm_id: uuid.UUID | None, reason: str = "") -> None:
        self.firm_id = firm_id
        self.reason = reason
        self.settings = _set("none") if firm_id is None else _set(SERVICE_ROLE, str(firm_id))  # of each statement
        self.outer = current_scope()
        self.is_open = True


_current: ContextVar[Scope | None] = ContextVar("legal_store_scope", default=None)


@contextmanager
def firm(firm: Any) -> Iterator[uuid.UUID]:
    """Limit everything inside to one firm; `firm` is its id (UUID or text) or a Firm.

    Scopes nest only on the same firm, or inside all_firms(). Raises FirmScopeError otherwise.
    """
    firm_id = as_firm_id(firm)
    outer = current_firm()
    if outer not in (None, firm_id):
        raise FirmScopeError(
            f"The scope of firm {firm_id} was opened inside that of firm {outer}.",
            remedy="Leave the outer scope first; work that spans firms goes into all_firms(reason=...).",
        )
    with _entered(Scope(firm_id)):
        yield firm_id


@contextmanager
def all_firms(*, reason: str) -> Iterator[None]:
    """Allow everything inside to see all firms, as the owner of the schema; `reason` is logged.

    Not possible inside the scope of one firm (FirmScopeError). A login that does not own the schema stays under
    row-level security and is refused by PostgreSQL.
    """
    if not reason.strip():
        raise FirmScopeError("all_firms() needs a reason.", remedy='Say why: all_firms(reason="nightly report").')
    outer = current_firm()
    if outer is not None:
        raise FirmScopeError(
            f"all_firms() was opened inside the scope of firm {outer}.", remedy="Leave that scope first."
        )
    _logger.info("all firms: %s", reason)
    with _entered(Scope(None, reason)):
        yield


@contextmanager
def _entered(scope: Scope) -> Iterator[None]:
    _current.set(scope)
    try:
        yield
    finally:
        scope.is_open = False
        _current.set(current_scope())


def current_scope() -> Scope | None:
    """Return the scope of this thread or task, None outside any."""
    scope = _current.get()
    while scope is not None and not scope.is_open:
        scope = scope.outer
    return scope


def current_firm() -> uuid.UUID | None:
    """Return the firm of this thread or task; None outside any scope and inside all_firms()."""
    scope = current_scope()
    return None if scope is None else scope.firm_id


def required_scope(what: str) -> Scope:
    """Return the current scope. Raises FirmScopeError that shows both ways to open one for `what`."""
    scope = current_scope()
    if scope is None:
        raise FirmScopeError(
            f"{what} belongs to a firm, and no firm was named.",
            remedy="Use `with legal_store.firm(firm_id): ...`, or, for work that truly spans firms, "
            '`with legal_store.all_firms(reason="..."): ...`.',
        )
    return scope


def as_firm_id(firm: Any) -> uuid.UUID:
    """Return the id of `firm`: a UUID, its text, or a Firm. Raises FirmScopeError for anything else."""
    if isinstance(firm, uuid.UUID):
        return firm
    given = firm
    if hasattr(firm, "_meta"):
        if firm._meta.table_name != "firms":
            raise FirmScopeError(f"A {type(firm).__name__} is no firm.", remedy="Give its firm_id.")
        given = firm.id
    try:
        return given if isinstance(given, uuid.UUID) else uuid.UUID(str(given))
    except ValueError:
        raise FirmScopeError(f"{given!r} is no firm's id.", remedy="Give a UUID, its text, or a Firm.") from None


class ScopedCursor(extensions.cursor):
    """A cursor whose statements carry the scope: role and firm, as settings of the statement's own transaction.

    PostgreSQL runs `settings; statement` sent together as one implicit transaction, or inside the open one. Either
    way the settings end with it, and each statement brings them anew, so that no savepoint, rollback, exception,
    thread or reuse of the connection can leave another firm's behind.
    """

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        try:
            super().execute(self._with_settings(query), vars)
        except IntegrityError as error:
            _leave_row_out(error)
            raise

    def executemany(self, query: Any, vars_list: Sequence[Any]) -> None:
        for values in vars_list:
            self.execute(query, values)

    def callproc(self, procname: str, parameters: Any = None) -> Any:
        """Call a function by name, with positional parameters; the result is read like that of a query."""
        from psycopg2 import sql

        name = sql.SQL(".").join(map(sql.Identifier, procname.split(".")))
        marks = sql.SQL(", ").join([sql.Placeholder()] * len(parameters or ()))
        ScopedCursor.execute(self, sql.SQL("SELECT * FROM {}({})").format(name, marks), parameters)
        return parameters

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        try:
            super().copy_expert(self._with_settings(sql), file, size)
        except IntegrityError as error:
            _leave_row_out(error)
            raise

    def copy_from(
        self, file: Any, table: str, sep: str = "\t", null: str = "\\N", size: int = 8192, columns: Any = None
    ) -> None:
        ScopedCursor.copy_expert(self, _copy(table, "FROM STDIN", sep, null, columns), file, size)

    def copy_to(self, file: Any, table: str, sep: str = "\t", null: str = "\\N", columns: Any = None) -> None:
        ScopedCursor.copy_expert(self, _copy(table, "TO STDOUT", sep, null, columns), file)

    def _with_settings(self, query: Any) -> Any:
        if hasattr(query, "as_string"):
            query = query.as_string(self)
        if self.connection.get_transaction_status() == extensions.TRANSACTION_STATUS_INERROR:
            return _refuse_several(query)
        settings = self._settings()
        return settings.encode() + query if isinstance(query, bytes) else settings + query

    def _settings(self) -> str:
        """Return the SQL that gives one transaction its role and firm."""
        scope = current_scope()
        return _OUTSIDE if scope is None else scope.settings


class ScopedConnection(extensions.connection):
    """A connection on which every cursor carries the scope."""

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """Return a cursor; `cursor_factory` may be any subclass of ScopedCursor.

        Raises FirmScopeError for other factories, and for named (server-side) cursors: their rows are read by
        FETCH, which would run with the settings of whatever statement came last.
        """
        cursor = super().cursor(*arguments, **options)
        if not isinstance(cursor, ScopedCursor):
            raise FirmScopeError(
                f"A {type(cursor).__name__} does not carry the firm.",
                remedy="Derive it from legal_store.database.scope.ScopedCursor as well, before the other base.",
            )
        if cursor.name is not None:
            raise FirmScopeError(
                "A server-side cursor does not carry the firm to its FETCH.",
                remedy="Read in pages by key, use COPY ... TO STDOUT, or a connection of your own for an operation.",
            )
        return cursor


def _leave_row_out(error: IntegrityError) -> None:
    """Leave the row that breaks a rule, which PostgreSQL adds to the message, to `error.diag`: messages are logged."""
    if error.diag.message_primary:
        error.args = (error.diag.message_primary,)


def _set(role: str, firm_id: str = "") -> str:
    return f"SET LOCAL ROLE {role}; SET LOCAL {FIRM_SETTING} = '{firm_id}';\n"


_OUTSIDE = _set(SERVICE_ROLE)  # any scope

# SQL for the text of a statement in pg_stat_activity: in one line, without the settings that a service's bring along
STATEMENT_SQL = r"""
regexp_replace(regexp_replace(query, '^(SET LOCAL (ROLE \w+|[\w.]+ = ''[^'']*'');\s+)+', ''), '\s+', ' ', 'g')
""".strip()


def _refuse_several(query: Any) -> Any:
    """Return `query` if it is one statement: in a failed transaction only ROLLBACK runs, which takes no settings."""
    text = query.decode("latin-1") if isinstance(query, bytes) else query
    if ";" in text.rstrip("; \n\t\r"):
        raise FirmScopeError(
            "The transaction has failed, and several statements were sent at once.",
            remedy="Send ROLLBACK alone first.",
        )
    return query


def _copy(table: str, direction: str, sep: str, null: str, columns: Any) -> Any:
    from psycopg2 import sql

    names = sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, columns))) if columns else sql.SQL("")
    return sql.SQL("COPY {}{} {} WITH (DELIMITER {}, NULL {})").format(
        sql.SQL(".").join(map(sql.Identifier, table.split("."))),
        names,
        sql.SQL(direction),
        sql.Literal(sep),
        sql.Literal(null),
    )
