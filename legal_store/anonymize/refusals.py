"""What PostgreSQL refuses while it masks, in words that name table, constraint and columns, and never a value.

The server's own message is left out: it may quote the value that it refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from legal_store.anonymize.catalog import UniqueKey
from legal_store.anonymize.planning import TablePlan, unique_strategies
from legal_store.errors import OperationFailedError

REFUSALS = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.InternalError,
    psycopg2.NotSupportedError,
    psycopg2.ProgrammingError,
)


@contextmanager
def explained(planned: TablePlan) -> Iterator[None]:
    """Raise OperationFailedError for what the server refuses within; a lost connection stays what it is."""
    try:
        yield
    except REFUSALS as error:
        raise OperationFailedError(
            f"{refusal(planned, error)}. Everything was rolled back.",
            remedy="Choose other strategies for these columns, or mend the rows.",
        ) from None


def refusal(planned: TablePlan, error: psycopg2.Error) -> str:
    """Return what was refused and why."""
    table, name = planned.table, error.diag.constraint_name
    for key in table.unique:
        if key.name == name:
            return collision(planned, key)
    for check in table.checks:
        if check.name == name:
            return f"{table.name}: the new values break {name} ({check.definition}); {_chosen(planned, check.columns)}"
    what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    told = {
        "constraint": name,
        "column": error.diag.column_name,
        "type": error.diag.datatype_name,
    }
    where = "".join(f", {kind} {value}" for kind, value in told.items() if value)
    columns = [item.name for item in planned.masked]
    reason = error.pgcode or error  # without a code, the driver refused it, and names types only
    return f"{table.name}: masking it ends with {what} ({reason}{where}); {_chosen(planned, columns)}"


def collision(planned: TablePlan, key: UniqueKey) -> str:
    """Return that new values of a unique key are equal, whose they are, and what to choose instead."""
    return (
        f"{planned.table.name}: new values collide in {key.name}, unique over {', '.join(key.columns)};"
        f" {_chosen(planned, key.columns)}; none collides with {unique_strategies(key)}"
    )


def _chosen(planned: TablePlan, columns: tuple[str, ...] | list[str]) -> str:
    chosen = [f"{item.name} ({item.strategy.name})" for item in planned.masked if item.name in columns]
    return f"masked there: {', '.join(chosen) or 'nothing'}"
