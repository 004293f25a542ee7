"""What a person decides about the history: take a migration back, say what became of one, adopt a database, start over.

The ledger is never rewritten: a decision ends the attempt it is about and, where something is now true, adds a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import psycopg2
from psycopg2 import sql

from legal_store.errors import MigrationError, OperationFailedError, RefusedError, WrongUseError
from legal_store.migrate import ledger
from legal_store.migrate.deploy import LOCK_WAIT_SECONDS, DeployReport, deploy
from legal_store.migrate.drift import describe, record_catalog
from legal_store.migrate.files import Migration, find, position, read_migrations
from legal_store.migrate.history import ADOPTED, newest_attempts
from legal_store.migrate.ledger import Attempt
from legal_store.migrate.sessions import deploy_lock
from legal_store.migrate.steps import down_script
from legal_store.schema.catalog import Catalog, differences, read_catalog

if TYPE_CHECKING:
    from legal_store.config import Settings

Decision = Literal["applied", "rolled-back", "retry"]


class UndoPlan(NamedTuple):
    """What undoing would run: the migration, when and by whom it was applied, and its statements."""

    name: str
    applied_at: str
    applied_by: str
    statements: list[str]


class Baseline(NamedTuple):
    """What was adopted: our migrations taken as applied, and rows copied from Prisma's ledger."""

    marked: list[str]
    adopted: list[str]


def plan_undo(parameters: dict[str, Any], folder: Path, name: str = "") -> UndoPlan:
    """Return what `undo` would do. Read-only: the file's statements are collected and not run.

    Raises as `undo` does.
    """
    with _locked(parameters) as lock:
        migration, attempt = _to_undo(lock, folder, name)
        return _plan(lock, migration, attempt)


def undo(parameters: dict[str, Any], folder: Path, name: str = "", *, lock_timeout_ms: int = 2000) -> UndoPlan:
    """Run the way back of the last applied migration in one transaction and mark it as rolled back.

    `name` must be that migration: only the last one can be taken back. Raises WrongUseError for an unknown name,
    RefusedError for one that others were applied after or whose file was edited, MigrationError when the file has no
    way back or its way back fails; nothing was changed then.
    """
    with _locked(parameters) as lock, lock.cursor() as cursor:
        migration, attempt = _to_undo(lock, folder, name)
        plan = _plan(lock, migration, attempt)
        cursor.execute("SELECT current_setting('search_path')")
        (search_path,) = cursor.fetchone()
        cursor.execute("BEGIN")
        try:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{lock_timeout_ms}ms",))
            for step in down_script(migration, lock).steps:
                _run_down(lock, migration, step)
            cursor.execute(
                "SELECT set_config('search_path', %s, true), set_config('role', 'none', true)", (search_path,)
            )
            ledger.record_undone(cursor, attempt.id)
            record_catalog(lock)
            cursor.execute("COMMIT")
        except BaseException:
            if not lock.closed:
                cursor.execute("ROLLBACK")
            raise
        return plan


def resolve(parameters: dict[str, Any], folder: Path, name: str, decision: Decision) -> str:
    """Write into the ledger what a person found to be true about a migration; return its full name.

    "applied": its effects are all there. "rolled-back": none of them is, so that the next deploy runs it from its
    beginning. "retry": those of its finished statements are, and the next deploy goes on after them. Runs nothing of
    the migration. Raises WrongUseError for an unknown name or a decision that does not fit.
    """
    migrations = {migration.name: migration for migration in read_migrations(folder)}
    with _locked(parameters) as lock, lock.cursor() as cursor:
        ledger.create_ledger(cursor)
        newest = newest_attempts(ledger.read_attempts(cursor))
        found = find(name, dict.fromkeys([*migrations, *newest]))
        attempt = newest.get(found)
        _refuse_unfitting(found, attempt, decision, known=found in migrations)
        cursor.execute("BEGIN")
        _decide(cursor, migrations.get(found), attempt, decision)
        record_catalog(lock)
        cursor.execute("COMMIT")
        return found


def baseline(
    parameters: dict[str, Any],
    folder: Path,
    through: str,
    *,
    expected: Catalog | None = None,
    allow_drift: bool = False,
) -> Baseline:
    """Take every migration up to and including `through` as applied, without running it.

    For a database that existed before its ledger. Rows of Prisma's `_prisma_migrations` are copied into the ledger, so
    that the history has no gap; that table stays as it is. `expected` is the schema that those migrations make: when
    the database differs from it, RefusedError lists how, unless `allow_drift`. Raises WrongUseError for an unknown
    name, RefusedError when there is a ledger with applied migrations.
    """
    migrations = read_migrations(folder)
    last = position(find(through, [migration.name for migration in migrations]))
    with _locked(parameters) as lock, lock.cursor() as cursor:
        if any(attempt.state == "applied" for attempt in ledger.read_attempts(cursor)):
            raise RefusedError("The database has a ledger with applied migrations.", remedy="Use `migrate.deploy`.")
        found = differences(expected, read_catalog(lock)) if expected is not None and not allow_drift else []
        found = [difference for difference in found if "_prisma_migrations" not in difference.name]
        if found:
            raise RefusedError(
                f"The database is not what the migrations through {through} make; {len(found)} objects differ:"
                f"{describe(found)}\n",
                remedy="Choose another --through, or --allow-drift to adopt it as it is.",
            )
        cursor.execute("BEGIN")
        ledger.create_ledger(cursor)
        adopted = _copy_prisma(cursor)
        marked = [migration for migration in migrations if position(migration.name) <= last]
        for migration in marked:
            ledger.record_applied(cursor, migration, 0, 0, "taken as applied by baseline")
        record_catalog(lock)
        cursor.execute("COMMIT")
        return Baseline([migration.name for migration in marked], adopted)


def reset(
    parameters: dict[str, Any],
    folder: Path,
    settings: Settings,
    *,
    progress: Callable[[str], None] = lambda name: None,
    lock_timeout_ms: int = 10_000,
) -> DeployReport:
    """Drop everything in the schema public, all rows and the ledger included, and apply every migration again.

    Schemas in which we keep notes on those tables (legal_store_...), such as those of an unfinished load, go as well.
    Raises RefusedError on a production database, OperationFailedError when services still use it. Else as `deploy`.
    """
    from legal_store.migrate.shadow import empty_schema
    from legal_store.production import refuse_production

    refuse_production("Resetting the database", settings)
    read_migrations(folder)  # before anything is dropped
    with _locked(parameters) as lock, lock.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (f"{lock_timeout_ms}ms",))
            empty_schema(lock)
            _drop_notes(cursor)
            cursor.execute("COMMIT")
        except psycopg2.Error as error:
            cursor.execute("ROLLBACK")
            raise OperationFailedError(
                f"The schema could not be dropped: {str(error).strip()}.",
                remedy="Nothing was dropped. Stop the services that use the database, then run the command again.",
            ) from error
    return deploy(parameters, folder, progress=progress)


def _drop_notes(cursor: Any) -> None:
    """Drop our schemas beside public: what they say about its tables is not true of new ones."""
    cursor.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'legal_store_')")
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@contextmanager
def _locked(parameters: dict[str, Any]) -> Iterator[Any]:
    with deploy_lock(parameters, wait_seconds=LOCK_WAIT_SECONDS) as lock:
        yield lock


def _to_undo(lock: Any, folder: Path, name: str) -> tuple[Migration, Attempt]:
    migrations = {migration.name: migration for migration in read_migrations(folder)}
    with lock.cursor() as cursor:
        live = [a for a in newest_attempts(ledger.read_attempts(cursor)).values() if a.state == "applied"]
    live = [attempt for attempt in live if attempt.tool_version != ADOPTED]
    if not live:
        raise WrongUseError("No migration is applied, so there is none to undo.")
    last = max(live, key=lambda attempt: position(attempt.name))
    wanted = find(name, [attempt.name for attempt in live]) if name else last.name
    if wanted != last.name:
        raise RefusedError(
            f"{wanted} cannot be undone: {last.name} was applied after it.", remedy=f"Undo {last.name} first."
        )
    migration = migrations.get(wanted)
    if migration is None:
        raise RefusedError(f"The file of {wanted} is missing.", remedy="Restore it from version control.")
    if migration.checksum != last.checksum and migration.normalized_checksum != last.normalized_checksum:
        raise RefusedError(
            f"{wanted} was edited after it was applied, so that its way back may not fit.", remedy="Restore the file."
        )
    return migration, last


def _plan(lock: Any, migration: Migration, attempt: Attempt) -> UndoPlan:
    with lock.cursor() as cursor:
        cursor.execute("BEGIN READ ONLY")
        try:
            statements = [step.text for step in down_script(migration, lock).steps]
        finally:
            cursor.execute("ROLLBACK")
    return UndoPlan(migration.name, f"{attempt.finished_at:%Y-%m-%d %H:%M:%S %Z}", attempt.applied_by, statements)


def _run_down(lock: Any, migration: Migration, step: Any) -> None:
    from legal_store.migrate.checkpoint import Checkpoint

    try:
        if step.call is not None:
            step.call(Checkpoint(lock, None, 0, "", lambda line: None))
        else:
            with lock.cursor() as cursor:
                cursor.execute(step.text)
    except psycopg2.Error as error:
        raise MigrationError(
            f"Undoing {migration.name} failed at `{step.text[:80]}`: {str(error).strip().splitlines()[0]}.",
            remedy="Nothing was changed; the migration is still applied.",
        ) from error


def _refuse_unfitting(name: str, attempt: Attempt | None, decision: Decision, *, known: bool) -> None:
    state = "pending" if attempt is None else attempt.state
    fits = {
        "applied": known and state in ("pending", "rolled back", "failed", "interrupted"),
        "rolled-back": state in ("failed", "interrupted", "applied"),
        "retry": state in ("failed", "interrupted"),
    }
    if not fits[decision]:
        raise WrongUseError(
            f"{name} is {state}{'' if known else ', and its file is missing'}: it cannot be resolved as {decision}.",
            remedy="See `invoke migrate.history`.",
        )


def _decide(cursor: Any, migration: Migration | None, attempt: Attempt | None, decision: Decision) -> None:
    if attempt is not None and attempt.state != "rolled back":
        ledger.record_undone(cursor, attempt.id)
    if decision == "applied" and migration is not None:
        ledger.record_applied(cursor, migration, 0, 0, "resolved as applied")
    elif decision == "retry" and attempt is not None:
        ledger.continue_in_new_attempt(cursor, attempt)


def _copy_prisma(cursor: Any) -> list[str]:
    cursor.execute("SELECT to_regclass('_prisma_migrations')")
    if cursor.fetchone()[0] is None:
        return []
    cursor.execute(
        "SELECT id, checksum, finished_at, migration_name, logs, rolled_back_at, started_at, applied_steps_count"
        " FROM _prisma_migrations ORDER BY started_at"
    )
    names = [column.name for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        ledger.record_adopted(cursor, {**row, "applied_by": "prisma", "tool_version": ADOPTED})
    return [str(row["migration_name"]) for row in rows]
