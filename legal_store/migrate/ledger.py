"""The ledger: what was applied to a database, when, by whom, with which content."""

from __future__ import annotations

import getpass
import uuid
from datetime import datetime
from typing import Any, NamedTuple

from legal_store.migrate.files import Migration

_CREATE = """
CREATE TABLE IF NOT EXISTS _migrations (
    id uuid PRIMARY KEY,
    migration_name text NOT NULL,
    checksum text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    applied_steps_count integer NOT NULL DEFAULT 0,
    logs text,
    rolled_back_at timestamptz,
    applied_by text NOT NULL,
    duration_ms integer,
    tool_version text NOT NULL
)
"""


class Applied(NamedTuple):
    """One row of the ledger."""

    name: str
    checksum: str
    finished_at: datetime


def create_ledger(cursor: Any) -> None:
    """Make the table `_migrations` if it is not there."""
    cursor.execute("SELECT to_regclass('_migrations')")
    if cursor.fetchone()[0] is None:
        cursor.execute(_CREATE)


def read_applied(cursor: Any) -> dict[str, Applied]:
    """Return what is applied now, by name. An empty dict where there is no ledger yet."""
    cursor.execute("SELECT to_regclass('_migrations')")
    if cursor.fetchone()[0] is None:
        return {}
    cursor.execute(
        "SELECT migration_name, checksum, finished_at FROM _migrations"
        " WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY finished_at"
    )
    return {row[0]: Applied(*row) for row in cursor.fetchall()}


def record_applied(cursor: Any, migration: Migration, steps: int, duration_ms: int, version: str) -> None:
    """Write that `migration` was applied; in the transaction of the migration itself."""
    cursor.execute(
        "INSERT INTO _migrations (id, migration_name, checksum, started_at, finished_at, applied_steps_count,"
        " applied_by, duration_ms, tool_version)"
        " VALUES (%s, %s, %s, now(), clock_timestamp(), %s, %s, %s, %s)",
        (str(uuid.uuid4()), migration.name, migration.checksum, steps, _who(), duration_ms, version),
    )


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        return "unknown"
