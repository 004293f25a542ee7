"""What a check is, and the kind that most are: a query for rows that should not be there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple

EXAMPLES = 5


class Status(StrEnum):
    """WARN is for what may be right and deserves a look; it fails nothing."""

    PASS = "PASS"  # noqa: S105  (a word, not a password)
    WARN = "WARN"
    FAIL = "FAIL"
    SKIP = "SKIP"


class Outcome(NamedTuple):
    """What a check found. `offenders` is how many rows or objects are wrong, `examples` names a few."""

    status: Status
    message: str = ""
    offenders: int = 0
    examples: tuple[str, ...] = ()


class Remedy(NamedTuple):
    """One statement that mends one object. It runs in a transaction of its own."""

    object: str
    statement: str


class Check(NamedTuple):
    """One question to the database. `run` takes a cursor and only reads.

    `remedies`, where mending is safe, takes a cursor too, only reads, and says what would mend.
    """

    name: str
    question: str
    run: Callable[[Any], Outcome]
    remedies: Callable[[Any], Iterable[Remedy]] | None = None


def passed(message: str = "") -> Outcome:
    """Return that all is well."""
    return Outcome(Status.PASS, message)


def failed(message: str, examples: Iterable[str] = (), count: int | None = None, *, most: int = EXAMPLES) -> Outcome:
    """Return that something is wrong, with at most `most` examples; `count` is their whole number."""
    found = tuple(examples)
    return Outcome(Status.FAIL, message, len(found) if count is None else count, found[:most])


def skipped(reason: str) -> Outcome:
    """Return that the question could not be asked here, and why."""
    return Outcome(Status.SKIP, reason)


def no_rows(name: str, question: str, query: str, fix: str | None = None, *, otherwise: Status = Status.FAIL) -> Check:
    """Return a check that fails when `query`, whose one column names offending rows, returns any.

    `fix` is a statement that mends them; `otherwise` is what the answer is then, FAIL or WARN.
    """
    counted = (
        f"SELECT count(*), (array_agg(offender::text ORDER BY offender))[1:{EXAMPLES}] FROM ({query}) AS q(offender)"  # noqa: S608
    )

    def run(cursor: Any) -> Outcome:
        cursor.execute(counted)
        count, examples = cursor.fetchone()
        if not count:
            return passed()
        return Outcome(otherwise, question, count, tuple(example or "a row without an id" for example in examples))

    return Check(name, question, run, (lambda cursor: [Remedy("rows", fix)]) if fix else None)


def statements(query: str) -> Callable[[Any], list[Remedy]]:
    """Return remedies that are found by `query`, whose two columns are an object and the statement that mends it."""

    def find(cursor: Any) -> list[Remedy]:
        cursor.execute(query)
        return [Remedy(*row) for row in cursor.fetchall()]

    return find
