"""Sends a search: one message with the settings of its transaction before it, under its own time limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from legal_store.database import db
from legal_store.errors import SearchError

TIMEOUT_MS = 5_000


def rows(
    statement: str, parameters: Sequence[Any], settings: Mapping[str, Any], *, timeout_ms: int | None = None
) -> list[tuple[Any, ...]]:
    """Return the rows of a search statement, run with `settings` in force for this statement only.

    They are set locally to the transaction: outside one they end with the statement, inside one they are put back.
    Raises SearchError when the statement takes longer than `timeout_ms` milliseconds (5,000 by default).
    """
    wanted = {"statement_timeout": TIMEOUT_MS if timeout_ms is None else timeout_ms, **settings}
    before = _current(wanted) if db.in_transaction() else None
    found = _sent(_set(wanted) + statement, [*_values(wanted), *parameters], int(wanted["statement_timeout"]))
    if before is not None:
        db.execute_sql(_set(before), _values(before))
    return found


def _sent(statement: str, parameters: Sequence[Any], timeout_ms: int) -> list[tuple[Any, ...]]:
    try:
        return list(db.execute_sql(statement, parameters).fetchall())
    except Exception as error:
        from legal_store.database.explain import sqlstate

        if sqlstate(error) != "57014":
            raise
        raise SearchError(
            f"The search took longer than {timeout_ms:,} ms and was stopped.",
            remedy="Narrow it by a case, a type or dates, use rarer words, or raise timeout_ms; "
            "`invoke search.calibrate` shows what searches cost here.",
        ) from error


def _set(settings: Mapping[str, Any]) -> str:
    return "".join(f"SET LOCAL {name} = {'DEFAULT' if value is None else '%s'};\n" for name, value in settings.items())


def _values(settings: Mapping[str, Any]) -> list[str]:
    return [str(value) for value in settings.values() if value is not None]


def _current(settings: Mapping[str, Any]) -> dict[str, Any]:
    statement = "SELECT " + ", ".join("current_setting(%s, true)" for _ in settings)
    return dict(zip(settings, db.execute_sql(statement, list(settings)).fetchone(), strict=True))
