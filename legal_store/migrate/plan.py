"""What the pending migrations would do here: each statement with the locks that it was seen to take on a shadow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from legal_store.migrate.apply import failure
from legal_store.migrate.files import Migration, read_migrations
from legal_store.migrate.history import compare, refuse_unsound
from legal_store.migrate.ledger import read_attempts
from legal_store.migrate.lint import Facts, lint_migrations
from legal_store.migrate.replay import in_scratch, replay
from legal_store.migrate.sessions import connect
from legal_store.migrate.shadow import shadow
from legal_store.migrate.statements import leading_words
from legal_store.migrate.steps import Step, up_script

# strongest last; what PostgreSQL's manual says each keeps others from (chapter 13.3)
_LOCKS = {
    "AccessShareLock": "",
    "RowShareLock": "",
    "RowExclusiveLock": "",
    "ShareUpdateExclusiveLock": "",
    "ShareLock": "writes wait",
    "ShareRowExclusiveLock": "writes wait",
    "ExclusiveLock": "writes wait",
    "AccessExclusiveLock": "reads and writes wait",
}
# bytes per second on a modest server with warm disks: enough to tell seconds from hours
_SCAN, _REWRITE, _INDEX = 200e6, 60e6, 30e6


class PlannedStatement(NamedTuple):
    """One pending statement. `lock` is the strongest on a table that was there before; `seconds` a rough guess."""

    migration: str
    line: int
    statement: str
    lock: str
    blocks: str
    table: str
    rewrites: bool
    rows: int
    bytes: int
    seconds: float


class Plan(NamedTuple):
    """All pending statements in order, and what the linter says about them."""

    statements: list[PlannedStatement]
    findings: list[str]


class _Observed(NamedTuple):
    locks: dict[str, str]
    rewritten: set[str]


def plan(parameters: dict[str, Any], folder: Path) -> Plan:
    """Return what `deploy` would run now. Runs every migration in a shadow database; the database itself is only read.

    Of an interrupted migration it is the statements that are left. Raises MigrationError when a migration does not run
    on the shadow, RefusedError where `deploy` would refuse the files (but for their order).
    """
    migrations = read_migrations(folder)
    with closing(connect(parameters)) as connection, connection.cursor() as cursor:
        attempts = read_attempts(cursor)
        standing = compare(migrations, attempts)
        refuse_unsound(standing, allow_out_of_order=True)
        done = {a.name: a.applied_steps_count for a in attempts if a.name in standing.interrupted}
        facts, sizes = read_facts(connection), _sizes(connection)
    names = {*standing.pending, *standing.interrupted}
    todo = [migration for migration in migrations if migration.name in names]
    planned: list[PlannedStatement] = []
    with shadow(parameters) as target, closing(connect(target)) as connection:
        replay(connection, [migration for migration in migrations if migration.name not in names])
        for migration in todo:
            planned += _plan_one(connection, migration, sizes)[done.get(migration.name, 0) :]
    return Plan(planned, [str(finding) for finding in lint_migrations(todo, facts)])


def read_facts(connection: Any) -> Facts:
    """Return what the linter wants to know about a live database. Read-only."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_size_bytes(current_setting('maintenance_work_mem'))")
        (memory,) = cursor.fetchone()
    sizes = {table: size for table, (_, size) in _sizes(connection).items()}
    return Facts(sizes, connection.info.server_version, int(memory))


def _sizes(connection: Any) -> dict[str, tuple[int, int]]:
    """Rows (the planner's estimate, before the first ANALYZE the statistics' count) and bytes of every table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, CASE WHEN reltuples < 0 THEN pg_stat_get_live_tuples(oid) ELSE reltuples::bigint END,"
            " pg_total_relation_size(oid) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm')"
        )
        return {name: (rows, size) for name, rows, size in cursor.fetchall()}


def _plan_one(connection: Any, migration: Migration, sizes: dict[str, tuple[int, int]]) -> list[PlannedStatement]:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        script = up_script(migration, connection)
        before = _files(cursor)
        planned = []
        for number, step in enumerate(script.steps, start=1):
            try:
                observed = _observe(cursor, step, before)
            except psycopg2.Error as error:
                raise in_scratch(failure(script, number, error)) from error
            planned.append(_describe(migration, step, observed, sizes))
            cursor.execute("COMMIT")
            cursor.execute("BEGIN")
        cursor.execute("COMMIT")
    return planned


def _observe(cursor: Any, step: Step, before: dict[str, int]) -> _Observed:
    from legal_store.migrate.checkpoint import Checkpoint

    try:
        if step.call is not None:
            step.call(Checkpoint(cursor.connection, None, 0, "", lambda line: None))
            return _Observed({}, set())
        cursor.execute(step.text)
    except psycopg2.errors.ActiveSqlTransaction:
        # CONCURRENTLY and the like: they commit inside, and take this lock as the manual says
        cursor.execute("ROLLBACK")
        cursor.execute(step.text)
        cursor.execute("BEGIN")
        words = leading_words(step.text, 40)
        tables = [name for name in before if name.upper() in words]
        return _Observed(dict.fromkeys(tables, "ShareUpdateExclusiveLock"), set())
    cursor.execute(
        "SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
        " WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relkind IN ('r', 'p', 'm')"
        " AND c.relnamespace = 'public'::regnamespace"
    )
    locks: dict[str, str] = {}
    for table, mode in cursor.fetchall():
        if table in before and _strength(mode) > _strength(locks.get(table, "AccessShareLock")):
            locks[table] = mode
    after = _files(cursor)
    rewritten = {table for table, file in before.items() if after.get(table, file) != file}
    before.update(after)
    return _Observed(locks, rewritten)


def _files(cursor: Any) -> dict[str, int]:
    """The file that each table is in: another one means that it was written anew."""
    cursor.execute(
        "SELECT relname, relfilenode FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm')"
    )
    return {name: int(file) for name, file in cursor.fetchall()}


def _describe(
    migration: Migration, step: Step, observed: _Observed, sizes: dict[str, tuple[int, int]]
) -> PlannedStatement:
    known = {table: mode for table, mode in observed.locks.items() if table in sizes}
    table = max(known, key=lambda name: (_strength(known[name]), sizes[name][1]), default="")
    rows, size = sizes.get(table, (0, 0))
    lock = known.get(table, "")
    rewrites = bool(observed.rewritten & sizes.keys())
    return PlannedStatement(
        migration.name,
        step.line,
        step.text,
        lock.removesuffix("Lock"),
        _LOCKS.get(lock, ""),
        table,
        rewrites,
        rows,
        size,
        round(_seconds(step.text, size, rewrites=rewrites), 1),
    )


def _seconds(statement: str, size: int, *, rewrites: bool) -> float:
    words = leading_words(statement, 60)
    if rewrites:
        return size / _REWRITE
    if words[:2] in (["CREATE", "INDEX"], ["CREATE", "UNIQUE"], ["REINDEX", "INDEX"], ["REINDEX", "TABLE"]):
        return size / _INDEX
    if words[:1] == ["UPDATE"]:
        return size / _REWRITE
    scans = "VALIDATE" in words or ("SET" in words and "NULL" in words)
    scans = scans or ("ADD" in words and "CONSTRAINT" in words and "VALID" not in words)
    return size / _SCAN if scans else 0.0


def _strength(mode: str) -> int:
    return list(_LOCKS).index(mode) if mode in _LOCKS else -1


def summary(statements: Sequence[PlannedStatement]) -> str:
    """Return one sentence about the plan."""
    if not statements:
        return "Nothing is pending."
    blocking = [s for s in statements if s.blocks and s.seconds >= 1]
    seconds = sum(s.seconds for s in statements)
    slow = f"; {len(blocking)} keep others waiting for a second or more" if blocking else ""
    return f"{len(statements)} statements, about {seconds:.0f} s in all{slow}."
