"""Whose data a piece of code may see: one firm's, or, with a reason, all firms'.

A scope says who asks; it opens no connection and no transaction. It is held in a context variable, so each thread
and each asyncio task has its own. Three layers act on it:

- models add the firm to their queries and refuse to run outside a scope (legal_store/models/scoped.py);
- every statement on a connection of `db` carries the firm and the role as settings of its own transaction
  (ScopedCursor below), sent in the same round trip, so that nothing stays on a connection;
- PostgreSQL's row-level security compares that firm with each row and refuses when there is none.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from psycopg2 import extensions
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS

from legal_store.errors import FirmScopeError

SERVICE_ROLE = "legal_store_service"
FIRM_SETTING = "legal_store.firm_id"

_logger = logging.getLogger("legal_store.isolation")


class Scope(NamedTuple):
    """One firm, or all of them with the reason why."""

    firm_id: uuid.UUID | None
    reason: str = ""


_current: ContextVar[Scope | None] = ContextVar("legal_store_scope", default=None)


@contextmanager
def firm(firm: Any) -> Iterator[uuid.UUID]:
    """Limit everything inside to one firm; `firm` is its id (UUID or text) or a Firm.

    Scopes nest only on the same firm, or inside all_firms(). Raises FirmScopeError otherwise.
    """
    firm_id = _firm_id(firm)
    outer = _current.get()
    if outer is not None and outer.firm_id not in (None, firm_id):
        raise FirmScopeError(
            f"The scope of firm {firm_id} was opened inside that of firm {outer.firm_id}.",
            remedy="Leave the outer scope first; work that spans firms goes into all_firms(reason=...).",
        )
    token = _current.set(Scope(firm_id))
    try:
        yield firm_id
    finally:
        _current.reset(token)


@contextmanager
def all_firms(*, reason: str) -> Iterator[None]:
    """Allow everything inside to see all firms, as the owner of the schema; `reason` is logged.

    Not possible inside the scope of one firm (FirmScopeError). A login that does not own the schema stays under
    row-level security and is refused by PostgreSQL.
    """
    if not reason.strip():
        raise FirmScopeError("all_firms() needs a reason.", remedy='Say why: all_firms(reason="nightly report").')
    outer = _current.get()
    if outer is not None and outer.firm_id is not None:
        raise FirmScopeError(
            f"all_firms() was opened inside the scope of firm {outer.firm_id}.", remedy="Leave that scope first."
        )
    _logger.info("all firms: %s", reason)
    token = _current.set(Scope(None, reason))
    try:
        yield
    finally:
        _current.reset(token)


def current_scope() -> Scope | None:
    """Return the scope of this thread or task, None outside any."""
    return _current.get()


def current_firm() -> uuid.UUID | None:
    """Return the firm of this thread or task; None outside any scope and inside all_firms()."""
    scope = _current.get()
    return None if scope is None else scope.firm_id


def required_scope(what: str) -> Scope:
    """Return the current scope. Raises FirmScopeError that shows both ways to open one for `what`."""
    scope = _current.get()
    if scope is None:
        raise FirmScopeError(
            f"{what} belongs to a firm, and no firm was named.",
            remedy="Use `with legal_store.firm(firm_id): ...`, or, for work that truly spans firms, "
            '`with legal_store.all_firms(reason="..."): ...`.',
        )
    return scope


class ScopedCursor(extensions.cursor):
    """A cursor whose statements carry the scope: firm and role as settings of the statement's own transaction.

    PostgreSQL runs `settings; statement` sent together as one implicit transaction, or inside the open one. Either
    way the settings end with it, and each statement brings them anew, so that no savepoint, rollback, exception
    or reuse of the connection can leave another firm's behind.
    """

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        if self.name is not None:
            self._send_settings_first()
            super().execute(query, vars)
        else:
            super().execute(self._with_settings(query), vars)

    def executemany(self, query: Any, vars_list: Sequence[Any]) -> None:
        for values in vars_list:
            self.execute(query, values)

    def callproc(self, procname: str, parameters: Any = None) -> None:
        self._send_settings_first()
        super().callproc(procname, parameters)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        self._send_settings_first()
        super().copy_expert(sql, file, size)

    def copy_from(self, *arguments: Any, **options: Any) -> None:
        self._send_settings_first()
        super().copy_from(*arguments, **options)

    def copy_to(self, *arguments: Any, **options: Any) -> None:
        self._send_settings_first()
        super().copy_to(*arguments, **options)

    def _with_settings(self, query: Any) -> Any:
        status = self.connection.get_transaction_status()
        if status not in (TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS):
            return query
        settings = self._settings(in_transaction=status == TRANSACTION_STATUS_INTRANS)
        if not settings:
            return query
        if hasattr(query, "as_string"):
            query = query.as_string(self)
        text = query.decode() if isinstance(query, bytes) else query
        return text if _CONTROLS_TRANSACTION.match(text) else settings + text

    def _send_settings_first(self) -> None:
        outside = self.connection.get_transaction_status() == TRANSACTION_STATUS_IDLE
        settings = self._settings(in_transaction=not outside)
        if settings and outside:
            raise FirmScopeError(
                "COPY, procedures and server-side cursors need a transaction to carry the firm.",
                remedy="Put them inside `with db.atomic(): ...`.",
            )
        if settings:
            with extensions.cursor(self.connection) as another:  # a named cursor runs one statement only
                another.execute(settings)

    def _settings(self, *, in_transaction: bool) -> str:
        """Return the SQL that gives one transaction its role and firm, empty where the connection's own state does."""
        return _settings(in_transaction=in_transaction)


_CONTROLS_TRANSACTION = re.compile(
    r"\s*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b", re.IGNORECASE
)


def _settings(*, in_transaction: bool) -> str:
    scope = _current.get()
    if scope is None:
        # outside a transaction the connection's own state holds: the service role and no firm
        return _set(SERVICE_ROLE, "") if in_transaction else ""
    return _set("none", "") if scope.firm_id is None else _set(SERVICE_ROLE, str(scope.firm_id))


def _set(role: str, firm_id: str) -> str:
    return f"SELECT set_config('role', '{role}', true), set_config('{FIRM_SETTING}', '{firm_id}', true);\n"


def _firm_id(firm: Any) -> uuid.UUID:
    given = firm
    if hasattr(firm, "_meta"):
        if firm._meta.table_name != "firms":
            raise FirmScopeError(f"A {type(firm).__name__} is no firm.", remedy="Give its firm_id.")
        given = firm.id
    try:
        return given if isinstance(given, uuid.UUID) else uuid.UUID(str(given))
    except ValueError:
        raise FirmScopeError(f"{given!r} is no firm's id.", remedy="Give a UUID, its text, or a Firm.") from None
