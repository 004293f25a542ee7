"""Applies pending migrations: one transaction each, the ledger's row in the same transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from legal_store.errors import MigrationError
from legal_store.migrate.files import Migration, read_migrations, split_sql
from legal_store.migrate.ledger import create_ledger, read_applied, record_applied

_LOCK_KEY = "hashtext('legal_store migrations')"


class DeployReport(NamedTuple):
    """What one deploy did: names applied now, and how many were applied before."""

    applied: list[str]
    already_applied: int


class Status(NamedTuple):
    """What is applied, and what is still to come, by name and in order."""

    applied: list[str]
    pending: list[str]


def deploy(
    parameters: dict[str, Any], folder: Path, *, progress: Callable[[str], None] = lambda name: None
) -> DeployReport:
    """Apply every pending migration in `folder` to the database that psycopg2 `parameters` name.

    Each runs in one transaction with its ledger row: it is applied whole or not at all, and those before it stay.
    One deploy at a time; a second one waits. `progress` is called with each name before it is applied.
    Raises MigrationError with the file and PostgreSQL's words.
    """
    migrations = read_migrations(folder)
    with closing(_connect(parameters)) as connection, connection.cursor() as cursor:
        _lock(cursor)
        create_ledger(cursor)
        applied = read_applied(cursor)
        pending = [migration for migration in migrations if migration.name not in applied]
        for migration in pending:
            progress(migration.name)
            _apply(connection, migration)
        return DeployReport([migration.name for migration in pending], len(applied))


def status(parameters: dict[str, Any], folder: Path) -> Status:
    """Return which migrations of `folder` are applied and which are pending. Read-only."""
    migrations = read_migrations(folder)
    with closing(_connect(parameters)) as connection, connection.cursor() as cursor:
        applied = read_applied(cursor)
    return Status(
        [migration.name for migration in migrations if migration.name in applied],
        [migration.name for migration in migrations if migration.name not in applied],
    )


def _connect(parameters: dict[str, Any]) -> Any:
    import psycopg2

    from legal_store.database.explain import connection_failure
    from legal_store.database.target import describe_target

    try:
        connection = psycopg2.connect(**{**parameters, "options": ""})
    except psycopg2.OperationalError as error:
        raise connection_failure(error, describe_target(parameters)) from None
    connection.autocommit = True
    return connection


def _lock(cursor: Any) -> None:
    # polled: a session that waits inside pg_advisory_lock() can deadlock with CREATE INDEX CONCURRENTLY
    while True:
        cursor.execute(f"SELECT pg_try_advisory_lock({_LOCK_KEY})")
        if cursor.fetchone()[0]:
            return
        time.sleep(0.1)


def _apply(connection: Any, migration: Migration) -> None:
    import psycopg2

    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            steps = _run_python(connection, migration) if migration.is_python else _run_sql(cursor, migration)
            milliseconds = round((time.monotonic() - started) * 1000)
            record_applied(cursor, migration, steps, milliseconds, version("legal-store"))
            cursor.execute("COMMIT")
        except BaseException as error:
            if not connection.closed:
                cursor.execute("ROLLBACK")
            if isinstance(error, psycopg2.Error):
                raise _failure(migration, error) from error
            raise


def _run_sql(cursor: Any, migration: Migration) -> int:
    # no parameters: psycopg2 then leaves a plain % alone
    cursor.execute(split_sql(migration.path.read_text(encoding="utf-8")).up)
    return 1


def _run_python(connection: Any, migration: Migration) -> int:
    from legal_store.migrate.python_files import run_python_migration

    return run_python_migration(connection, migration.path, "migrate")


def _failure(migration: Migration, error: Any) -> MigrationError:
    hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
    message = str(error.diag.message_primary or error).strip().partition("\n")[0].rstrip(".")
    return MigrationError(
        f"Migration {migration.name} failed: {message} (SQLSTATE {error.pgcode}).{hint}",
        remedy="Nothing of it was kept; correct the cause and run the command again.",
    )
