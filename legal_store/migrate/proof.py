"""The proof of a generated migration, in a scratch database: it runs, makes what the models say, and leads back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg2

from legal_store.errors import MigrationError
from legal_store.migrate.drift import describe
from legal_store.schema.catalog import differences
from legal_store.schema.change import change_statements
from legal_store.schema.snapshot import Snapshot, read_snapshot


def castable_on(connection: Any) -> Callable[[str, str], bool]:
    """Return a question for PostgreSQL itself: can a column of one type be turned into the other?"""

    def ask(old: str, new: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SAVEPOINT cast_is_there")
            try:
                cursor.execute(f"SELECT NULL::{old}::{new}")
            except psycopg2.Error:
                cursor.execute("ROLLBACK TO SAVEPOINT cast_is_there")
                return False
            return True

    return ask


def run_all(connection: Any, statements: Sequence[str], what: str) -> None:
    """Run the statements. Raises MigrationError that begins with `what` and shows the one that fails."""
    with connection.cursor() as cursor:
        for statement in statements:
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                message = str(error).strip().partition("\n")[0]
                raise MigrationError(
                    f"{what} does not run: {message}. The statement: {statement[:300]}",
                    remedy="Nothing was written. Write this change by hand, and report it as a bug.",
                ) from error


def refuse_other_schema(connection: Any, goal: Snapshot, what: str) -> None:
    """Raise MigrationError when the schema is not `goal`, or when a second generation would not be empty."""
    made = read_snapshot(connection)
    found = differences(goal.catalog, made.catalog)
    if found or change_statements(made, goal):
        raise MigrationError(
            f"{what}; {len(found)} objects differ:{describe(found)}\n",
            remedy="Nothing was written. Write this change by hand, and report it as a bug.",
        )


def why_no_way_back(connection: Any, current: Snapshot, goal: Snapshot, down: list[str], up: list[str]) -> str:
    """Run down and up again; return why there is no way back, "" when there is."""
    try:
        run_all(connection, down, "The way back")
        refuse_other_schema(connection, current, "The way back does not lead back")
        run_all(connection, up, "The second way up")
        refuse_other_schema(connection, goal, "The second way up leads elsewhere")
    except MigrationError as error:
        return error.message
    return ""
