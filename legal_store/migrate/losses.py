"""Which changes lose data, and how much they would lose in a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psycopg2

from legal_store.migrate.renames import Rename
from legal_store.migrate.sessions import taken_back
from legal_store.schema.change import replaced_columns
from legal_store.schema.snapshot import Snapshot, quoted


class Losing(NamedTuple):
    """A change that can lose data: what it is, and SQL that counts the rows or values, before the change."""

    what: str
    query: str


class Loss(NamedTuple):
    """What a change would lose in one database; `amount` is -1 where PostgreSQL `refused` to convert a value."""

    what: str
    amount: int
    refused: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.refused}" if self.refused else f"{self.what}: {self.amount}"


def lossy_changes(
    before: Snapshot,
    current: Snapshot,
    goal: Snapshot,
    renames: Sequence[Rename],
    castable: Callable[[str, str], bool],
) -> list[Losing]:
    """Return the changes from `current` (after `renames`) to `goal` that can lose data or fail on data.

    The counts are asked of a database that is still as `before`, under the old names.
    """
    found: list[Losing] = []
    for table in sorted(current.names("table") - goal.names("table")):
        found.append(Losing(f"dropping table {table} loses its rows", f"SELECT count(*) FROM {quoted(table)}"))
    replaced = replaced_columns(current, goal, castable)
    for key in sorted(current.columns):
        table, column = key
        if table not in goal.tables or current.columns[key].generated:
            continue
        values = _select(key, renames, f"{quoted(_old_column(key, renames))} IS NOT NULL")
        if key not in goal.columns:
            found.append(Losing(f"dropping column {table}.{column} loses its values", values))
        elif key in replaced:
            types = f"{current.columns[key].type} to {goal.columns[key].type}"
            found.append(Losing(f"turning {table}.{column} from {types} loses its values: there is no cast", values))
        elif current.columns[key].type != goal.columns[key].type:
            found.append(_conversion(key, current, goal, renames))
        if key in goal.columns and goal.columns[key].not_null and not current.columns[key].not_null:
            nulls = _select(key, renames, f"{quoted(_old_column(key, renames))} IS NULL")
            found.append(Losing(f"{table}.{column} becomes NOT NULL and has rows without a value", nulls))
    return found + _impossible_columns(current, goal, renames)


def _conversion(key: tuple[str, str], current: Snapshot, goal: Snapshot, renames: Sequence[Rename]) -> Losing:
    old, new = current.columns[key].type, goal.columns[key].type
    name = quoted(_old_column(key, renames))
    what = f"turning {key[0]}.{key[1]} from {old} to {new} changes its values"
    return Losing(
        what, _select(key, renames, f"{name} IS NOT NULL AND {name}::{new}::{old}::text IS DISTINCT FROM {name}::text")
    )


def _impossible_columns(current: Snapshot, goal: Snapshot, renames: Sequence[Rename]) -> list[Losing]:
    return [
        Losing(
            f"adding {table}.{column}, NOT NULL without a default, fails on the rows that are there",
            f"SELECT count(*) FROM {quoted(_old_table(table, renames))}",
        )
        for (table, column), new in sorted(goal.columns.items())
        if table in current.tables
        and (table, column) not in current.columns
        and new.not_null
        and not (new.default or new.generated or new.identity)
    ]


def _select(key: tuple[str, str], renames: Sequence[Rename], condition: str) -> str:
    return f"SELECT count(*) FROM {quoted(_old_table(key[0], renames))} WHERE {condition}"


def _old_table(table: str, renames: Sequence[Rename]) -> str:
    return next((rename.was for rename in renames if not rename.table and rename.now == table), table)


def _old_column(key: tuple[str, str], renames: Sequence[Rename]) -> str:
    return next((rename.was for rename in renames if (rename.table, rename.now) == key), key[1])


def count_losses(connection: Any, losing: Sequence[Losing]) -> list[Loss]:
    """Return how much each change would lose in the database of `connection`; changes that lose nothing are left out.

    Read-only.
    """
    found = []
    with taken_back(connection) as cursor:
        for change in losing:
            cursor.execute("SAVEPOINT counting")
            try:
                cursor.execute(change.query)
                (count,) = cursor.fetchone()
                refused = ""
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
                count, refused = 0, ""
            except psycopg2.Error as error:
                count, refused = -1, str(error).strip().partition("\n")[0]
            cursor.execute("ROLLBACK TO SAVEPOINT counting")
            if count:
                found.append(Loss(change.what, count, refused))
    return found
