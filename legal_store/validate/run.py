"""Runs checks in one read-only snapshot, and mends what is safe to mend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, NamedTuple

import psycopg2

from legal_store.errors import ConfigurationError, WrongUseError
from legal_store.models.declared import SCHEMA
from legal_store.validate.checks import Check, Outcome, Status, failed
from legal_store.validate.declared import checks_of_models
from legal_store.validate.domain import checks_of_domain
from legal_store.validate.privacy import checks_of_privacy
from legal_store.validate.server import checks_of_server

ENTRY_POINT_GROUP = "legal_store.checks"


class Result(NamedTuple):
    """One check and what it found; `milliseconds` is how long it took."""

    name: str
    status: Status
    message: str
    offenders: int
    examples: tuple[str, ...]
    milliseconds: int


class Report(NamedTuple):
    """All results in the order of the checks, and the number of rows per table in the same snapshot."""

    results: tuple[Result, ...]
    rows: dict[str, int]

    @property
    def failures(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.status is Status.FAIL)


def all_checks() -> list[Check]:
    """Return every check: ours, then those of installed packages.

    A package's entry point is a function that returns checks. Raises ConfigurationError when one cannot be loaded or
    two checks have the same name.
    """
    ours = (checks_of_server(SCHEMA), checks_of_models(SCHEMA), checks_of_domain(), checks_of_privacy())
    checks = [*chain.from_iterable(ours), *_installed_checks()]
    names = [check.name for check in checks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"Checks are declared twice: {', '.join(twice)}.", remedy="Rename one of them.")
    return checks


def validate(
    connection: Any, checks: Iterable[Check] | None = None, *, progress: Callable[[str], None] = lambda name: None
) -> Report:
    """Run `checks` (all by default) over a psycopg2 connection of the owner, in one read-only snapshot.

    A check that cannot run because what it needs is missing counts as failed. `progress` is called with each name.
    Nothing is written.
    """
    chosen = all_checks() if checks is None else list(checks)
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            cursor.execute("SET LOCAL statement_timeout = 0")
            results = tuple(_ask(cursor, check, progress) for check in chosen)
            return Report(results, _row_counts(cursor))
        finally:
            cursor.execute("ROLLBACK")


def fix(connection: Any, report: Report, checks: Iterable[Check] | None = None) -> dict[str, str]:
    """Mend what failed in `report` and has a safe remedy; return what was done, by name of the check.

    Each remedy runs in a transaction of its own. Raises WrongUseError when nothing that failed can be mended.
    """
    chosen = {check.name: check for check in (all_checks() if checks is None else checks)}
    remedies = {result.name: chosen[result.name].fix for result in report.failures if result.name in chosen}
    mendable = {name: remedy for name, remedy in remedies.items() if remedy is not None}
    if remedies and not mendable:
        raise WrongUseError(
            "None of what failed can be mended by itself.", remedy="Look at the examples and correct them by hand."
        )
    connection.rollback()
    done = {}
    for name, remedy in mendable.items():
        with connection, connection.cursor() as cursor:
            done[name] = remedy(cursor)
    return done


def _ask(cursor: Any, check: Check, progress: Callable[[str], None]) -> Result:
    progress(check.name)
    began = time.monotonic()
    outcome = _outcome(cursor, check)
    return Result(check.name, *outcome, round((time.monotonic() - began) * 1000))


def _outcome(cursor: Any, check: Check) -> Outcome:
    cursor.execute("SAVEPOINT before_check")
    try:
        outcome = check.run(cursor)
    except psycopg2.Error as error:
        cursor.execute("ROLLBACK TO before_check")
        outcome = failed(f"the check could not run: {str(error).splitlines()[0]}")
    cursor.execute("RELEASE before_check")
    return outcome


def _row_counts(cursor: Any) -> dict[str, int]:
    cursor.execute("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace")
    there = {name for (name,) in cursor.fetchall()}
    tables = [model._meta.table_name for model in SCHEMA.models if model._meta.table_name in there]
    counts = {}
    for table in tables:
        cursor.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608
        counts[table] = cursor.fetchone()[0]
    return counts


def _installed_checks() -> list[Check]:
    from importlib.metadata import entry_points

    found: list[Check] = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            found += entry.load()()
        except Exception as error:
            raise ConfigurationError(
                f"The checks of {entry.value} cannot be loaded: {error!r}.", remedy="Correct or uninstall it."
            ) from error
    return found
