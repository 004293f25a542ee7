"""Everything that is watched, in one record to hand to whoever helps."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from legal_store.config import Settings
from legal_store.errors import LegalStoreError
from legal_store.monitor.checkup import Check, checkup_of
from legal_store.monitor.inspection import Row, Sizes, Slow, connections, reached, sizes, slow
from legal_store.monitor.overview import Line, overview_of, unread

T = TypeVar("T")
_RUNNING = ("longest statement",)  # its text may hold what somebody is asking for
_STATEMENTS = 50
_QUERY = re.compile(r"(?i)(select|insert|update|delete|merge|with)\b(?!.*(/\*|--))")


class Report(NamedTuple):
    """How everything stood at `made` (UTC).

    It holds no text of a statement that could hold a value: only queries in which PostgreSQL put parameters in place
    of values. `sizes` and `statements` are None where the database does not answer or has no pg_stat_statements.
    """

    made: str
    lines: list[Line]
    checks: list[Check]
    connections: list[Row]
    sizes: Sizes | None
    statements: list[Row] | None


def make_report(settings: Settings) -> Report:
    """Return what `status`, `doctor`, `db.connections`, `db.sizes` and `db.slow` show. Never raises for a server.

    What cannot be read is a line that says why.
    """
    made = datetime.now(UTC).isoformat(timespec="seconds")
    with reached(settings) as server:
        lines = [line for line in overview_of(server, settings) if line.topic not in _RUNNING]
        checks = checkup_of(server, settings)
        if isinstance(server, LegalStoreError):
            return Report(made, lines, checks, [], None, None)
        return Report(
            made,
            lines,
            checks,
            _read("sessions", lambda: _without_statements(connections(server)), lines) or [],
            _read("sizes", lambda: sizes(server), lines),
            _read("statements", lambda: _without_values(slow(server, _STATEMENTS)), lines),
        )


def _read(topic: str, read: Callable[[], T], lines: list[Line]) -> T | None:
    """Return what `read` does; where it fails None, and add a line that says why."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001  (whatever it is: the rest of the page is still of use)
        lines.append(unread(topic, error))
        return None


def _without_statements(rows: list[Row]) -> list[Row]:
    return [{name: cell for name, cell in row.items() if name != "statement"} for row in rows]


def _without_values(found: Slow) -> list[Row] | None:
    """Return the queries; PostgreSQL keeps the values of other statements (SET, ALTER ROLE) and of comments."""
    if found.source != "pg_stat_statements":
        return None
    return [row for row in found.statements if _QUERY.match(row["statement"])]
