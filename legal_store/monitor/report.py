"""Everything that is watched, in one record to hand to whoever helps."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from legal_store.config import Settings
from legal_store.errors import ServerUnavailableError
from legal_store.monitor.checkup import Check, checkup
from legal_store.monitor.inspection import Row, Sizes, Slow, connections, inspecting, sizes, slow
from legal_store.monitor.overview import Line, overview

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
    """Return what `status`, `doctor`, `db.connections`, `db.sizes` and `db.slow` show. Never raises for a server."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [line for line in overview(settings) if line.topic not in _RUNNING]
    checks = checkup(settings)
    try:
        with inspecting(settings) as inspector:
            return Report(
                made,
                lines,
                checks,
                [{name: cell for name, cell in row.items() if name != "statement"} for row in connections(inspector)],
                sizes(inspector),
                _without_values(slow(inspector, _STATEMENTS)),
            )
    except ServerUnavailableError:
        return Report(made, lines, checks, [], None, None)


def _without_values(found: Slow) -> list[Row] | None:
    """Return the queries; PostgreSQL keeps the values of other statements (SET, ALTER ROLE) and of comments."""
    if found.source != "pg_stat_statements":
        return None
    return [row for row in found.statements if _QUERY.match(row["statement"])]
