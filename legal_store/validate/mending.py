"""Mends what failed and is safe to mend: each object in a transaction of its own, so that one cannot stop another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg2

from legal_store.validate.checks import Check, Remedy
from legal_store.validate.run import Report, all_checks, reason_of

LOCK_TIMEOUT = "5s"  # whoever waits longer for a table keeps others waiting behind him


class Mending(NamedTuple):
    """What became of one object: `what` is PostgreSQL's answer when it is `done`, else why it is not."""

    check: str
    object: str
    done: bool
    what: str


def fix(connection: Any, report: Report, checks: list[Check] | None = None) -> list[Mending]:
    """Mend what failed in `report` and has a safe remedy; return what became of each object, also of those that
    could not be mended. `checks` are those of the report, all by default.

    A remedy waits at most 5 seconds for a lock. Raises nothing that a remedy raises.
    """
    failures = {result.name for result in report.failures}
    chosen = all_checks() if checks is None else checks
    connection.rollback()
    return [mending for check in chosen if check.name in failures for mending in _mend(connection, check)]


def _mend(connection: Any, check: Check) -> Iterator[Mending]:
    if check.remedies is None:
        return
    try:
        with connection, connection.cursor() as cursor:
            remedies = [Remedy(*remedy) for remedy in check.remedies(cursor)]
    except Exception as error:  # noqa: BLE001  (checks may be anybody's)
        yield Mending(check.name, "", False, reason_of(error))
        return
    for remedy in remedies:
        yield _apply(connection, check.name, remedy)


def _apply(connection: Any, check: str, remedy: Remedy) -> Mending:
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute(remedy.statement)
            return Mending(check, remedy.object, True, cursor.statusmessage)
    except psycopg2.Error as error:
        return Mending(check, remedy.object, False, reason_of(error))
