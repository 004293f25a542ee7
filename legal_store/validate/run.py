"""Runs checks in one read-only snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from legal_store.errors import ConfigurationError, ServerUnavailableError
from legal_store.models.declared import SCHEMA
from legal_store.validate.checks import Check, Outcome, Status, failed
from legal_store.validate.corruption import checks_of_corruption
from legal_store.validate.declared import checks_of_models
from legal_store.validate.domain import checks_of_domain
from legal_store.validate.privacy import checks_of_privacy
from legal_store.validate.server import checks_of_server
from legal_store.validate.structure import checks_of_structure

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
    """All results in the order of the checks, and the number of rows of each table that may be read, in the
    same snapshot."""

    results: tuple[Result, ...]
    rows: dict[str, int]

    @property
    def failures(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.status is Status.FAIL)


def all_checks(migrations: Path | None = None) -> list[Check]:
    """Return every check: ours, then those of installed packages.

    `migrations` is the folder that the ledger is compared with; without it that check is skipped. A package's entry
    point is a function that returns checks; one that cannot be loaded is a check that fails. Raises
    ConfigurationError when two checks have the same name.
    """
    ours = (
        checks_of_structure(migrations),
        checks_of_server(SCHEMA),
        checks_of_corruption(),
        checks_of_models(SCHEMA),
        checks_of_domain(),
        checks_of_privacy(),
    )
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

    A check that cannot run, whatever it raises, counts as failed. `progress` is called with each name. Nothing is
    written. Raises ServerUnavailableError when the connection is lost.
    """
    chosen = all_checks() if checks is None else list(checks)
    _begin(connection)
    try:
        results = tuple(_ask(connection, check, progress) for check in chosen)
        return Report(results, _row_counts(connection))
    finally:
        if not connection.closed:
            _end(connection)


def reason_of(error: BaseException) -> str:
    """Return what kind of error it is and the first line of what it says."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


def _ask(connection: Any, check: Check, progress: Callable[[str], None]) -> Result:
    progress(check.name)
    began = time.monotonic()
    outcome = _outcome(connection, check)
    return Result(check.name, *outcome, round((time.monotonic() - began) * 1000))


def _outcome(connection: Any, check: Check) -> Outcome:
    """Whatever a check does, the next one finds the same snapshot, and a transaction that works."""
    _execute(connection, "SAVEPOINT before_check")
    try:
        with connection.cursor() as cursor:
            outcome = _normal(check.run(cursor))
    except (Exception, SystemExit) as error:  # noqa: BLE001  (checks may be anybody's)
        outcome = failed(f"the check could not run: {reason_of(error)}")
    if connection.closed:
        raise ServerUnavailableError(f"The connection was lost during the check {check.name}: {outcome.message}")
    try:
        _execute(connection, "ROLLBACK TO before_check; RELEASE before_check")
    except psycopg2.Error:
        _begin(connection)
        return failed("the check ended the transaction in which all checks read; it must only read")
    return outcome


def _normal(outcome: Any) -> Outcome:
    """Return the answer of a check, which may be anybody's, with the types that a report has."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"it returned {type(outcome).__name__} instead of an Outcome")
    status, message, offenders, examples = outcome
    return Outcome(Status(status), str(message), int(offenders), tuple(map(str, examples)))


def _begin(connection: Any) -> None:
    _end(connection)
    # where policies would hide rows from this login, a query fails instead of finding nothing
    _execute(
        connection,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
        " SET LOCAL statement_timeout = 0; SET LOCAL row_security = off",
    )


def _end(connection: Any) -> None:
    _execute(connection, "ROLLBACK")
    connection.rollback()  # psycopg2 does not read what it sends


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _row_counts(connection: Any) -> dict[str, int]:
    """Tables that this login may not read are left out: the checks have said so."""
    counts = {}
    with connection.cursor() as cursor:
        for table in (model._meta.table_name for model in SCHEMA.models):
            cursor.execute("SAVEPOINT before_count")
            with suppress(psycopg2.errors.UndefinedTable, psycopg2.errors.InsufficientPrivilege):
                cursor.execute(f'SELECT count(*) FROM public."{table}"')  # noqa: S608
                counts[table] = cursor.fetchone()[0]
            cursor.execute("ROLLBACK TO before_count")
    return counts


def _installed_checks() -> Iterator[Check]:
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            yield from [_as_check(given) for given in entry.load()()]
        except (Exception, SystemExit) as error:  # noqa: BLE001  (packages may be anybody's)
            yield _cannot_be_loaded(entry.value, reason_of(error))


def _as_check(given: Any) -> Check:
    if not isinstance(given, Check):
        raise TypeError(f"{given!r} is not a Check")
    return given


def _cannot_be_loaded(value: str, reason: str) -> Check:
    return Check(f"checks of {value}", "Can they be loaded?", lambda cursor: failed(f"they cannot be loaded: {reason}"))
