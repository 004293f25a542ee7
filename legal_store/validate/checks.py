"""What a check is, and the kind that most are: a query for rows that should not be there."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

EXAMPLES = 5


class Status(StrEnum):
    PASS = "PASS"  # noqa: S105  (a word, not a password)
    FAIL = "FAIL"
    SKIP = "SKIP"


class Outcome(NamedTuple):
    """What a check found. `offenders` is how many rows or objects are wrong, `examples` names a few."""

    status: Status
    message: str = ""
    offenders: int = 0
    examples: tuple[str, ...] = ()


class Check(NamedTuple):
    """One question to the database. `run` takes a cursor and only reads; `fix`, where it is safe, mends."""

    name: str
    question: str
    run: Callable[[Any], Outcome]
    fix: Callable[[Any], str] | None = None


def passed(message: str = "") -> Outcome:
    """Return that all is well."""
    return Outcome(Status.PASS, message)


def failed(message: str, examples: list[str] | None = None, count: int | None = None) -> Outcome:
    """Return that something is wrong, with a few examples; `count` is their whole number."""
    shown = examples or []
    return Outcome(Status.FAIL, message, len(shown) if count is None else count, tuple(shown[:EXAMPLES]))


def skipped(reason: str) -> Outcome:
    """Return that the question could not be asked here, and why."""
    return Outcome(Status.SKIP, reason)


def no_rows(name: str, question: str, query: str, fix: str | None = None) -> Check:
    """Return a check that fails when `query`, whose one column names offending rows, returns any.

    `fix` is a statement that mends them.
    """
    counted = (
        f"SELECT count(*), (array_agg(offender::text ORDER BY offender))[1:{EXAMPLES}] FROM ({query}) AS q(offender)"  # noqa: S608
    )

    def run(cursor: Any) -> Outcome:
        cursor.execute(counted)
        count, examples = cursor.fetchone()
        return failed(question, examples, count) if count else passed()

    return Check(name, question, run, _statement(fix) if fix else None)


def _statement(sql: str) -> Callable[[Any], str]:
    def mend(cursor: Any) -> str:
        cursor.execute(sql)
        return f"{max(cursor.rowcount, 0)} rows"

    return mend
