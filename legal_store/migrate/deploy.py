"""Applies what is pending: one deployer at a time, nothing on an unsound history, safe to kill at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from legal_store.errors import OperationFailedError, RefusedError
from legal_store.migrate.budget import BlockerWatch, LockBudget
from legal_store.migrate.drift import describe, find_drift, read_recorded, record_catalog
from legal_store.migrate.files import Migration, position, read_migrations
from legal_store.migrate.history import Standing, compare, newest_attempts, refuse_unsound
from legal_store.migrate.ledger import Attempt, create_ledger, read_attempts
from legal_store.migrate.sessions import connect, deploy_lock, still_locked, worker_session
from legal_store.schema.catalog import read_catalog

LOCK_WAIT_SECONDS = 60.0


def _silent(_: Any) -> None:
    """Say nothing."""


class DeployReport(NamedTuple):
    """What one deploy did: names applied now, how many were applied before, and what it warns of."""

    applied: list[str]
    already_applied: int
    warnings: list[str]


def deploy(
    parameters: dict[str, Any],
    folder: Path,
    *,
    progress: Callable[[str], None] = _silent,
    observe: Callable[[Any], None] = _silent,
    say: Callable[[str], None] = _silent,
    allow_out_of_order: bool = False,
    allow_drift: bool = False,
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
    budget: LockBudget | None = None,
    production: bool = False,
) -> DeployReport:
    """Apply every pending migration in `folder` to the database that psycopg2 `parameters` name.

    Each runs in one transaction with its ledger row, or, with `-- transaction: off`, statement by statement; one
    that died goes on where it stopped. One deployer at a time: others wait up to `lock_wait_seconds`. `progress` is
    called with each name, `observe` with an Event at each statement, `say` with a line for people.
    With `production` the database is marked as such, where the login may.

    Raises RefusedError, with nothing changed, when the history is unsound (an edited, missing, failed or
    out-of-order file), when the schema has drifted, or behind a pooler in transaction mode; OperationFailedError
    when the lock or a table's lock cannot be had; MigrationError with the statement that failed.
    """
    migrations = read_migrations(folder)
    with deploy_lock(parameters, wait_seconds=lock_wait_seconds, say=say) as lock:
        with lock.cursor() as cursor:
            attempts = read_attempts(cursor)
        standing = compare(migrations, attempts)
        refuse_unsound(standing, allow_out_of_order=allow_out_of_order)
        warnings = [*_check_schema(lock, standing, attempts, allow_drift=allow_drift), *_reformatted(standing)]
        if production:
            warnings += _mark(lock)
        todo = _in_order(migrations, standing)
        if todo:
            _apply_all(parameters, lock, todo, attempts, budget or LockBudget(), progress, observe, say)
        return DeployReport([migration.name for migration in todo], len(standing.applied), warnings)


def status(parameters: dict[str, Any], folder: Path) -> Standing:
    """Return how the files of `folder` stand against the database's ledger. Read-only, takes no lock."""
    with closing(connect(parameters)) as connection, connection.cursor() as cursor:
        return standing_of(cursor, folder)


def standing_of(cursor: Any, folder: Path) -> Standing:
    """Return what status() does, over a cursor that is there."""
    return compare(read_migrations(folder), read_attempts(cursor))


def history(parameters: dict[str, Any]) -> list[Attempt]:
    """Return every row of the ledger, oldest first. Read-only."""
    with closing(connect(parameters)) as connection, connection.cursor() as cursor:
        return read_attempts(cursor)


def _in_order(migrations: Sequence[Migration], standing: Standing) -> list[Migration]:
    names = {*standing.interrupted, *standing.pending}
    return sorted((m for m in migrations if m.name in names), key=lambda migration: position(migration.name))


def _check_schema(lock: Any, standing: Standing, attempts: list[Attempt], *, allow_drift: bool) -> list[str]:
    """Refuse a schema that somebody else changed; return warnings about one that is let pass."""
    if not attempts:
        _refuse_unknown_tables(lock)
        return []
    with lock.cursor() as cursor:
        recorded = read_recorded(cursor)
        if recorded is None or not recorded.comparable:
            create_ledger(cursor)
            record_catalog(lock)
            return [_NOT_COMPARED] if recorded else []
    if standing.interrupted:
        return []  # it is in between, and only the rest of that migration brings it back to a known state
    drift = find_drift(lock)
    if not drift:
        return []
    if not allow_drift:
        raise RefusedError(
            f"The schema is not as the migrations left it; {len(drift)} objects differ:{describe(drift)}\n",
            remedy="Undo that change, or write a migration that states it; --allow-drift accepts it as it is.",
        )
    record_catalog(lock)
    return [f"accepted a schema that differs from what the migrations left:{describe(drift)}"]


_NOT_COMPARED = "another version of legal_store recorded the schema; drift since the last deploy is not known"


def _refuse_unknown_tables(lock: Any) -> None:
    tables = [name for kind, name in read_catalog(lock) if kind == "table"]
    if tables:
        shown = ", ".join(sorted(tables)[:5]) + (" ..." if len(tables) > 5 else "")
        raise RefusedError(
            f"The database has no ledger of migrations but {len(tables)} tables ({shown}).",
            remedy="Adopt it with `invoke migrate.baseline --through NAME`, NAME being the last migration it has.",
        )


def _reformatted(standing: Standing) -> list[str]:
    return [
        f"{name} was reformatted since it was applied; its statements are the same" for name in standing.reformatted
    ]


def _mark(lock: Any) -> list[str]:
    from legal_store.production import ENVIRONMENT_SETTING, mark_production

    marked = mark_production(lock)
    if marked is None:
        return []
    if not marked:
        return [f"the login may not write {ENVIRONMENT_SETTING} into the database; its owner should"]
    return [f"the database is marked as production now; ALTER DATABASE ... RESET {ENVIRONMENT_SETTING} takes it back"]


def _apply_all(
    parameters: dict[str, Any],
    lock: Any,
    todo: list[Migration],
    attempts: list[Attempt],
    budget: LockBudget,
    progress: Callable[[str], None],
    observe: Callable[[Any], None],
    say: Callable[[str], None],
) -> None:
    from legal_store.migrate.apply import Session, apply

    newest = newest_attempts(attempts)
    with worker_session(parameters, lock, say) as connection:
        with connection.cursor() as cursor:
            create_ledger(cursor)
        session = Session(connection, BlockerWatch(lock, connection), budget, observe, say)
        for migration in todo:
            if not still_locked(lock):
                raise OperationFailedError(
                    f"The lock between deployers was lost before {migration.name}.",
                    remedy="Those before it are applied. See why the connection was cut, and run the command again.",
                )
            progress(migration.name)
            known = newest.get(migration.name)
            apply(session, migration, known if known is not None and known.state == "interrupted" else None)
