"""The ledger `_migrations`: what was applied to a database, when, by whom, with which content.

Rows are never deleted. An attempt is one row; what it came to is filled in once (finished_at, logs, rolled_back_at).
Columns as in Prisma's ledger, and more. `_migration_steps` holds the statements of a migration that commits one by
one; `_migrations_catalog` the schema as it was when the ledger was last written.
"""

from __future__ import annotations

import getpass
import uuid
from datetime import datetime
from functools import lru_cache
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
);
ALTER TABLE _migrations ADD COLUMN IF NOT EXISTS normalized_checksum text;
ALTER TABLE _migrations ADD COLUMN IF NOT EXISTS position bigint GENERATED ALWAYS AS IDENTITY;
CREATE TABLE IF NOT EXISTS _migration_steps (
    migration_id uuid NOT NULL REFERENCES _migrations,
    step integer NOT NULL,
    checksum text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    checkpoint jsonb,
    PRIMARY KEY (migration_id, step)
);
CREATE TABLE IF NOT EXISTS _migrations_catalog (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    fingerprint text NOT NULL,
    server_version integer NOT NULL,
    catalog_format integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    catalog jsonb NOT NULL
);
"""
_COLUMNS = (
    "id::text, migration_name, checksum, normalized_checksum, started_at, finished_at, applied_steps_count,"
    " logs, rolled_back_at, applied_by, duration_ms, tool_version"
)


class Attempt(NamedTuple):
    """One row of the ledger. Times carry a zone; the duration is in milliseconds."""

    id: str
    name: str
    checksum: str
    normalized_checksum: str | None
    started_at: datetime
    finished_at: datetime | None
    applied_steps_count: int
    logs: str | None
    rolled_back_at: datetime | None
    applied_by: str
    duration_ms: int | None
    tool_version: str

    @property
    def state(self) -> str:
        """One of applied, rolled back, failed (a person has to decide) and interrupted (goes on by itself)."""
        if self.rolled_back_at is not None:
            return "rolled back"
        if self.finished_at is not None:
            return "applied"
        return "interrupted" if self.logs is None else "failed"


class StepRecord(NamedTuple):
    """What the ledger knows about one statement of a migration that commits one by one."""

    checksum: str
    finished: bool


def create_ledger(cursor: Any) -> None:
    """Make the ledger's tables, or bring older ones up to date; in the caller's transaction, if there is one."""
    cursor.execute("SELECT to_regclass('_migrations_catalog')")
    if cursor.fetchone()[0] is None:
        cursor.execute(_CREATE)


def read_attempts(cursor: Any) -> list[Attempt]:
    """Return all rows of the ledger, oldest first. An empty list where there is no ledger yet."""
    cursor.execute("SELECT to_regclass('_migrations'), to_regclass('_migrations_catalog')")
    ledger, complete = cursor.fetchone()
    if ledger is None:
        return []
    if complete is None:  # written by an early version: brought up to date by the next deploy
        columns, order = _COLUMNS.replace("normalized_checksum", "NULL"), "started_at"
    else:
        columns, order = _COLUMNS, "position"
    cursor.execute(f"SELECT {columns} FROM _migrations ORDER BY {order}")
    return [Attempt(*row) for row in cursor.fetchall()]


def record_applied(cursor: Any, migration: Migration, steps: int, duration_ms: int, log: str | None = None) -> None:
    """Write that `migration` was applied; in the transaction of the migration itself."""
    _insert(cursor, migration, "clock_timestamp()", "NULL", steps, duration_ms, log)


def record_start(cursor: Any, migration: Migration) -> str:
    """Write that a migration that commits one by one has begun; return the id of its row."""
    return _insert(cursor, migration, "NULL", "NULL", 0, None, None)


def record_rolled_back(cursor: Any, migration: Migration, log: str, duration_ms: int) -> None:
    """Write that `migration` failed and that its transaction took everything back."""
    _insert(cursor, migration, "NULL", "clock_timestamp()", 0, duration_ms, log)


def record_finish(cursor: Any, attempt_id: str, migration: Migration, duration_ms: int, log: str | None = None) -> None:
    """Write that the begun migration is applied, with the content that was finished."""
    cursor.execute(
        "UPDATE _migrations SET finished_at = clock_timestamp(), logs = %s, checksum = %s, normalized_checksum = %s,"
        " duration_ms = coalesce(duration_ms, 0) + %s WHERE id = %s",
        (log, migration.checksum, migration.normalized_checksum, duration_ms, attempt_id),
    )


def record_failure(cursor: Any, attempt_id: str, log: str | None) -> None:
    """Write why a begun migration stopped; None clears it, so that the next deploy continues."""
    cursor.execute("UPDATE _migrations SET logs = %s WHERE id = %s", (log, attempt_id))


def record_undone(cursor: Any, attempt_id: str) -> None:
    """Write that an applied or begun migration is no longer in force."""
    cursor.execute("UPDATE _migrations SET rolled_back_at = clock_timestamp() WHERE id = %s", (attempt_id,))


def read_steps(cursor: Any, attempt_id: str) -> dict[int, StepRecord]:
    """Return what is known about the statements of a begun migration, by number."""
    cursor.execute(
        "SELECT step, checksum, finished_at IS NOT NULL FROM _migration_steps WHERE migration_id = %s", (attempt_id,)
    )
    return {step: StepRecord(checksum, finished) for step, checksum, finished in cursor.fetchall()}


def record_intent(cursor: Any, attempt_id: str, step: int, checksum: str) -> None:
    """Write that statement `step` is about to run outside a transaction."""
    cursor.execute(
        "INSERT INTO _migration_steps (migration_id, step, checksum) VALUES (%s, %s, %s)"
        " ON CONFLICT (migration_id, step) DO UPDATE SET checksum = EXCLUDED.checksum",
        (attempt_id, step, checksum),
    )


def record_step(cursor: Any, attempt_id: str, step: int, checksum: str) -> None:
    """Write that statement `step` is done; in its own transaction where PostgreSQL lets it run in one."""
    record_intent(cursor, attempt_id, step, checksum)
    cursor.execute(
        "UPDATE _migration_steps SET finished_at = clock_timestamp() WHERE migration_id = %s AND step = %s",
        (attempt_id, step),
    )
    cursor.execute("UPDATE _migrations SET applied_steps_count = %s WHERE id = %s", (step, attempt_id))


def continue_in_new_attempt(cursor: Any, attempt: Attempt) -> None:
    """Add an attempt that goes on where the ended one stopped."""
    attempt_id = str(uuid.uuid4())
    cursor.execute(
        "INSERT INTO _migrations (id, migration_name, checksum, normalized_checksum, applied_steps_count, applied_by,"
        " tool_version) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (attempt_id, attempt.name, attempt.checksum, attempt.normalized_checksum, attempt.applied_steps_count,
         who(), tool_version()),
    )  # fmt: skip
    cursor.execute("UPDATE _migration_steps SET migration_id = %s WHERE migration_id = %s", (attempt_id, attempt.id))


def record_adopted(cursor: Any, attempt: dict[str, Any]) -> None:
    """Copy a row of another tool's ledger."""
    cursor.execute(
        "INSERT INTO _migrations (id, migration_name, checksum, started_at, finished_at, applied_steps_count, logs,"
        " rolled_back_at, applied_by, tool_version) VALUES (%(id)s, %(migration_name)s, %(checksum)s, %(started_at)s,"
        " %(finished_at)s, %(applied_steps_count)s, %(logs)s, %(rolled_back_at)s, %(applied_by)s, %(tool_version)s)",
        attempt,
    )


def _insert(
    cursor: Any,
    migration: Migration,
    finished: str,
    rolled_back: str,
    steps: int,
    duration: int | None,
    log: str | None,
) -> str:
    attempt_id = str(uuid.uuid4())
    cursor.execute(
        "INSERT INTO _migrations (id, migration_name, checksum, normalized_checksum, started_at, finished_at,"
        " rolled_back_at, applied_steps_count, duration_ms, logs, applied_by, tool_version)"
        f" VALUES (%s, %s, %s, %s, now(), {finished}, {rolled_back}, %s, %s, %s, %s, %s)",
        (
            attempt_id,
            migration.name,
            migration.checksum,
            migration.normalized_checksum,
            steps,
            duration,
            log,
            who(),
            tool_version(),
        ),
    )
    return attempt_id


def who() -> str:
    """Return the user of the operating system who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        return "unknown"


@lru_cache(maxsize=1)
def tool_version() -> str:
    """Return the version of this library."""
    from importlib.metadata import version

    return version("legal-store")
