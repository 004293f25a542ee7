"""The run: one transaction from the plan to the proof, then the traces outside of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

from psycopg2 import sql

from legal_store.anonymize import key as keys
from legal_store.anonymize.beforehand import anything_to_convert
from legal_store.anonymize.catalog import Table, read_tables
from legal_store.anonymize.collecting import collect
from legal_store.anonymize.entities import Entities
from legal_store.anonymize.masking import (
    Sample,
    mask,
    merging_keys,
    new_names,
    refused_rows,
    sample,
    update_statement,
)
from legal_store.anonymize.measuring import (
    Anonymity,
    Distribution,
    Figures,
    anonymity,
    distributions,
    figures,
    measure,
    refuse_changed,
)
from legal_store.anonymize.planning import Plan, TablePlan, make_plan
from legal_store.anonymize.proof import Scan, scan, told
from legal_store.anonymize.rewriting import put_to_rest, refresh_views, write_anew
from legal_store.anonymize.rules import Rules, broken
from legal_store.anonymize.traces import Traces
from legal_store.errors import LeakError, OperationFailedError, RefusedError
from legal_store.production import ANONYMIZED_SETTING

MARK = ANONYMIZED_SETTING
CLEANING = "cleaning up"
PROVEN, FAILED, NOT_PROVEN = "proven", "failed", "not proven"
LOCK_TIMEOUT = "10s"
_LOCK = 0x616E6F6E  # "anon"
Progress = Callable[[str], None]


class Report(NamedTuple):
    """What a run did. `verdict` is PROVEN, FAILED (rolled back), or NOT_PROVEN where the proof was switched off.

    `distributions` are those of kept columns; `untidied` says which traces could not be removed, and why.
    """

    database: str
    finished: str
    verdict: str
    rows: dict[str, int]
    changed: dict[str, int]
    figures: tuple[Figures, ...]
    distributions: tuple[Distribution, ...]
    anonymity: tuple[Anonymity, ...]
    proof: Scan | None
    untidied: tuple[str, ...]
    seconds: dict[str, float]


class Preview(NamedTuple):
    """What a run would do: rows before and after, and the statements."""

    samples: tuple[Sample, ...]
    statements: tuple[str, ...]


def plan(connection: Any, rules: Rules) -> Plan:
    """Return what `rules` mean for the database. Reads only the catalog. Raises RulesError with all problems."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_largeobject_metadata")
        large_objects = cursor.fetchone()[0]
        return make_plan(rules, read_tables(cursor), large_objects=large_objects)


def preview(connection: Any, rules: Rules, key: bytes, *, rows: int = 10) -> Preview:
    """Return ten rows per table before and after, and the statements. Everything is rolled back.

    Raises RulesError as anonymize() does.
    """
    try:
        with connection.cursor() as cursor:
            _begin(cursor)
            planned = plan(connection, rules)
            entities, _ = _prepare(cursor, planned, key, proof=True, progress=lambda what: None)
            _rehearse(cursor, planned, entities)
            samples = tuple(sample(cursor, item, entities, rows) for item in planned.changing)
            statements = tuple(update_statement(item).as_string(cursor) for item in planned.changing)
            return Preview(samples, statements)
    finally:
        connection.rollback()


def anonymize(
    connection: Any, rules: Rules, key: bytes, *, proof: bool = True, progress: Progress = lambda what: None
) -> Report:
    """Mask the database behind `connection` (psycopg2's, of the owner) in one transaction, prove it, remove traces.

    `progress` is called with each step. Raises RulesError before anything is changed, LeakError when real values
    survived or something could not be searched; the database is then what it was. Without `proof` nothing is
    searched, and free text is cleaned of known names only.
    """
    watch = _Watch(progress)
    connection.rollback()
    finish_earlier(connection)
    try:
        with connection.cursor() as cursor:
            _begin(cursor)
            watch.step("plan")
            _lock(cursor, plan(connection, rules))
            planned = plan(connection, rules)  # what was locked can no longer change
            report = _masked(cursor, planned, key, proof, watch)
            _set_mark(cursor, f"{_mark(report)} {CLEANING}")
        watch.step("commit")
        connection.commit()
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    watch.step("tidy")
    untidied = tidy(connection)
    watch.stop()
    return report._replace(untidied=(*report.untidied, *untidied), seconds=watch.seconds)


def finish_earlier(connection: Any) -> bool:
    """Remove the traces that a run left which was killed after its commit; return whether there was one."""
    if not (mark_of(connection) or "").endswith(CLEANING):
        return False
    tidy(connection)
    return True


def mark_of(connection: Any) -> str | None:
    """Return when the database was anonymized, as it says itself; None where it never was.

    It ends with NOT_PROVEN where nobody looked for real values afterwards, and with CLEANING until all is tidied.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT substr(setting, length(%(mark)s) + 2) FROM pg_db_role_setting s, unnest(s.setconfig) AS setting"
            " WHERE s.setrole = 0 AND starts_with(setting, %(mark)s || '=')"
            " AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
            {"mark": MARK},
        )
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def tidy(connection: Any) -> tuple[str, ...]:
    """Rewrite the catalogs that held real values (statistics, comments, large objects), and let the old files go.

    Returns what could not be done, and why. Each step is harmless to repeat; the mark says when all were tried.
    """
    import psycopg2

    connection.rollback()
    connection.autocommit = True
    undone: list[str] = []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            for statement in (*(f"VACUUM (FULL) pg_catalog.{name}" for name in _CATALOGS), "CHECKPOINT"):
                notices = len(connection.notices)
                try:
                    cursor.execute(statement)
                except psycopg2.errors.InsufficientPrivilege:
                    undone.append(f"{statement}: this login may not")
                if any("permission denied" in notice for notice in connection.notices[notices:]):
                    undone.append(f"{statement}: this login may not")
            _set_mark(cursor, (mark_of(connection) or "").removesuffix(f" {CLEANING}"))
            cursor.execute("RESET statement_timeout")
    finally:
        connection.autocommit = False
    return tuple(undone)


_CATALOGS = ("pg_statistic", "pg_statistic_ext_data", "pg_description", "pg_largeobject")


def _begin(cursor: Any) -> None:
    cursor.connection.rollback()
    cursor.execute("SET LOCAL statement_timeout = 0")
    cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    # an error instead of rows that a policy hides
    cursor.execute("SET LOCAL row_security = off")
    cursor.execute("SET LOCAL search_path = public, pg_catalog")
    # rows are numbered in the order in which they are read, each time the same
    cursor.execute("SET LOCAL synchronize_seqscans = off")
    # the expressions are long, and each runs once: compiling them costs more than it saves
    cursor.execute("SET LOCAL jit = off")
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,))
    if not cursor.fetchone()[0]:
        raise RefusedError("Another run is anonymizing this database.", remedy="Wait until it has ended.")
    cursor.execute(
        "SELECT set_config(name, wanted, true) FROM (VALUES ('work_mem', '64MB'), ('maintenance_work_mem', '256MB'))"
        " AS v (name, wanted) WHERE pg_size_bytes(current_setting(name)) < pg_size_bytes(wanted)"
    )


def _lock(cursor: Any, planned: Plan) -> None:
    import psycopg2

    names = sql.SQL(", ").join(sql.Identifier(*item.table.identifier) for item in planned.tables)
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
    try:
        cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
    except psycopg2.errors.LockNotAvailable:
        raise OperationFailedError(
            f"Other sessions use the database: its tables could not be locked within {LOCK_TIMEOUT}."
            " Nothing was changed.",
            remedy="Stop the services that use it.",
        ) from None


def _masked(cursor: Any, planned: Plan, key: bytes, proof: bool, watch: _Watch) -> Report:
    before = measure(cursor, planned) if proof else None
    rows = _counts(cursor, planned)
    watch.step("collect traces" if proof else "prepare")
    entities, traces = _prepare(cursor, planned, key, proof=proof, progress=watch.progress)
    changed = _change(cursor, planned, entities, watch)
    watch.step("clean what is kept")
    _clean(cursor, planned)
    watch.step("prove")
    _refuse_lost(rows, _counts(cursor, planned))
    found = scan(cursor, traces, planned, progress=watch.progress) if proof else None
    after = measure(cursor, planned) if proof else None
    cursor.execute("SELECT current_database()")
    report = Report(
        str(cursor.fetchone()[0]),
        datetime.now(UTC).isoformat(timespec="seconds"),
        NOT_PROVEN if found is None else PROVEN if found.passed else FAILED,
        rows,
        changed,
        figures(before, after, planned) if before and after else (),
        distributions(before, after) if before and after else (),
        anonymity(cursor, planned),
        found,
        tuple(f"{table.name} could not be written anew: {table.pinned}" for table in planned.kept if table.pinned),
        {},
    )
    if found is not None and not found.passed:
        raise _leak(found, report)
    if before and after:
        refuse_changed(before, after)
    return report


def _change(cursor: Any, planned: Plan, entities: Entities, watch: _Watch) -> dict[str, int]:
    """Mask the tables; return how many rows changed in each."""
    watch.step("rehearse")
    resting = _rehearse(cursor, planned, entities)
    changed = {}
    for item, again in zip(planned.changing, resting, strict=True):
        watch.step(f"mask {item.table.name}")
        changed[item.table.name] = mask(cursor, item, entities, again)
    return changed


def _clean(cursor: Any, planned: Plan) -> None:
    """Remove what is real beside the rows: old rows of kept tables, statistics, views' copies, large objects."""
    for table in planned.kept:
        if not table.pinned:
            write_anew(cursor, table)
    # only now, because the statistics of a table may be of others that inherit from it, too
    names = (sql.Identifier(*item.table.identifier) for item in planned.tables)
    cursor.execute(sql.SQL("ANALYZE {}").format(sql.SQL(", ").join(names)))
    refresh_views(cursor)
    if planned.rules.large_objects:
        cursor.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")


def _prepare(cursor: Any, planned: Plan, key: bytes, *, proof: bool, progress: Progress) -> tuple[Entities, Traces]:
    keys.hand_over(cursor, key)
    traces = collect(cursor, planned, progress=progress) if proof else Traces()
    names: Iterable[tuple[object, str, str]] = ()
    if any(anything_to_convert(cursor, item) for item in planned.changing):
        names = chain.from_iterable(new_names(cursor, item) for item in planned.changing)
    return Entities(key, traces.found_in if proof else lambda text: False, names), traces


def _rehearse(cursor: Any, planned: Plan, entities: Entities) -> list[list[sql.Composable]]:
    """Put to rest what would hinder, and return by what statements it comes back, table by table.

    Raises RulesError with what would fail later: values that would collide, and what the server refuses to take.
    """
    resting = [put_to_rest(cursor, item.table) for item in planned.changing]
    problems = [problem for item in planned.changing for problem in merging_keys(cursor, item)]
    problems += filter(None, (refused_rows(cursor, item, entities) for item in planned.changing))
    if problems:
        raise broken(planned.rules.path, problems)
    return resting


def _leak(found: Scan, report: Report) -> LeakError:
    survived, remedy = told(found)
    return LeakError(f"Real values survived; everything was rolled back:\n{survived}", report=report, remedy=remedy)


def _refuse_lost(before: dict[str, int], after: dict[str, int]) -> None:
    changed = [f"{table}: {before[table]} became {after[table]}" for table in before if before[table] != after[table]]
    if changed:
        raise OperationFailedError(
            f"Rows were lost or gained in {'; '.join(changed)}. Everything was rolled back.",
            remedy="Look for what writes into it meanwhile: an event trigger, for one.",
        )


def _counts(cursor: Any, planned: Plan) -> dict[str, int]:
    counts = {}
    for item in planned.tables:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(item.table.rows))
        counts[item.table.name] = int(cursor.fetchone()[0])
    return counts


def _mark(report: Report) -> str:
    return report.finished if report.verdict == PROVEN else f"{report.finished} {NOT_PROVEN}"


def _set_mark(cursor: Any, value: str) -> None:
    cursor.execute("SELECT current_database()")
    cursor.execute(
        sql.SQL("ALTER DATABASE {} SET {} = {}").format(
            sql.Identifier(cursor.fetchone()[0]), sql.Identifier(*MARK.split(".")), sql.Literal(value)
        )
    )


class _Watch:
    """Tells the steps, and how long each took."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self._name = ""
        self._began = time.monotonic()

    def step(self, name: str) -> None:
        self.stop()
        self._name, self._began = name, time.monotonic()
        self.progress(name)

    def stop(self) -> None:
        if self._name:
            self.seconds[self._name] = round(time.monotonic() - self._began, 3)


__all__ = ["MARK", "Preview", "Report", "Table", "TablePlan", "anonymize", "plan", "preview", "tidy"]
