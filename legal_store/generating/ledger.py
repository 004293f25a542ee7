"""What a load has done so far, kept in the database until it is complete, so that a killed run can go on.

A portion is noted in the transaction that writes its rows, an index in the one that takes it away or makes it again:
note and work are there together or not at all. The notes live in a schema of their own, which migrations do not look
at and which the end of the load removes.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

SCHEMA = "legal_store_generating"
LOCK = 7_236_110_943  # any number: the advisory lock that a load holds, so that there is one at a time


class Run(NamedTuple):
    """What was asked for. Two runs with the same values make the same rows."""

    recipe: str
    digest: str
    seed: int
    firms: int
    rows: int

    @property
    def command(self) -> str:
        """What is typed to go on with it."""
        return f"invoke seed --set {self.recipe} --seed {self.seed} --scale {self.firms} --rows {self.rows}"

    def __str__(self) -> str:
        return (
            f"recipe {self.recipe!r} with seed {self.seed}, {self.firms:,} "
            f"{'firm' if self.firms == 1 else 'firms'} and {self.rows:,} rows"
        )


class Removed(NamedTuple):
    """An index or constraint that was taken away, and the statements that make it again, each empty if not needed."""

    position: int
    table: str
    name: str
    build: str
    """Makes an index: long, locks out writers."""
    attach: str
    """Makes a constraint of an index, or adds a reference without looking at the rows: short, locks everybody out."""
    check: str
    """Compares the rows with the reference: long, locks out nobody."""
    key: str
    """The columns of a key or reference."""
    culprits: str
    """A query for the values that would keep it from being made again; empty where none can."""


class Unfinished(NamedTuple):
    """A load whose end is missing: what it was for, what the tables lack meanwhile, and whether it runs just now."""

    run: Run
    missing: int
    at_work: bool

    def __str__(self) -> str:
        state = "is at work" if self.at_work else "has not ended"
        return f"a load of {self.run} {state}, {self.missing} indexes and constraints are missing"

    @property
    def remedy(self) -> str:
        return "Wait for its end." if self.at_work else f"Go on with it: `{self.run.command}`."


def exists(cursor: Any) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.run",))
    return bool(cursor.fetchone()[0])


def create(cursor: Any, run: Run) -> None:
    """Make the ledger and note what the run is for."""
    cursor.execute(f"""
        CREATE SCHEMA {SCHEMA};
        CREATE TABLE {SCHEMA}.run (recipe text, digest text, seed numeric, firms int, rows bigint);
        CREATE TABLE {SCHEMA}.portion (number int PRIMARY KEY, digest text, counts jsonb);
        CREATE TABLE {SCHEMA}.removed (
            position int PRIMARY KEY, table_name text, name text, build text, attach text, "check" text,
            key text, culprits text);
    """)
    cursor.execute(f"INSERT INTO {SCHEMA}.run VALUES (%s, %s, %s, %s, %s)", run)


def read_run(cursor: Any) -> Run:
    cursor.execute(f"SELECT recipe, digest, seed::text, firms, rows FROM {SCHEMA}.run")
    recipe, digest, seed, firms, rows = cursor.fetchone()
    return Run(recipe, digest, int(seed), firms, rows)


def unfinished(cursor: Any) -> Unfinished | None:
    """Return the load that this database waits for, None where there is none."""
    if not exists(cursor):
        return None
    cursor.execute(_AT_WORK, (LOCK >> 32, LOCK & 0xFFFF_FFFF))
    (at_work,) = cursor.fetchone()
    return Unfinished(read_run(cursor), len(read_removed(cursor)), at_work)


_AT_WORK = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


def drop(cursor: Any) -> None:
    cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def claim_portion(cursor: Any, number: int, digest: str, counts: dict[str, int]) -> bool:
    """Note a portion in the transaction that writes it. False: it is there already, nothing is to be written.

    A process of a killed run may still be at work on the same portion: this waits for how that ends.
    """
    cursor.execute(
        f"INSERT INTO {SCHEMA}.portion VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", (number, digest, json.dumps(counts))
    )
    return bool(cursor.rowcount)


def portions_done(cursor: Any) -> set[int]:
    cursor.execute(f"SELECT number FROM {SCHEMA}.portion")
    return {number for (number,) in cursor.fetchall()}


def portion_notes(cursor: Any) -> list[tuple[int, str, dict[str, int]]]:
    """Return number, digest and row counts of each portion, by number."""
    cursor.execute(f"SELECT number, digest, counts FROM {SCHEMA}.portion ORDER BY number")
    return list(cursor.fetchall())


def note_removed(cursor: Any, removed: list[Removed]) -> None:
    for item in removed:
        cursor.execute(f"INSERT INTO {SCHEMA}.removed VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", item)


def read_removed(cursor: Any) -> list[Removed]:
    cursor.execute(
        f'SELECT position, table_name, name, build, attach, "check", key, culprits FROM {SCHEMA}.removed '
        "ORDER BY position"
    )
    return [Removed(*row) for row in cursor.fetchall()]


def forget_removed(cursor: Any, item: Removed) -> None:
    cursor.execute(f"DELETE FROM {SCHEMA}.removed WHERE position = %s", (item.position,))
