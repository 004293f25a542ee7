"""Forms of a change that a busy table hardly feels, for migrations that turn their transaction off.

Each returns SQL for `migrator.sql(...)`; `backfill` returns a step for `migrator.step(...)`:

    transaction = False

    def migrate(migrator, database, *, fake=False):
        migrator.sql("ALTER TABLE cases ADD COLUMN region text")
        migrator.step(safe.backfill("cases", set="region = upper(court_name)", where="region IS NULL"))
        migrator.sql(safe.set_not_null("cases", "region"))
"""

from __future__ import annotations

from collections.abc import Sequence

from legal_store.migrate.backfill import Backfill
from legal_store.migrate.steps import Step
from legal_store.schema.objects import Check, Index
from legal_store.schema.snapshot import quoted


def create_index(table: str, index: Index) -> str:
    """Return the statement that builds `index` while the table is written to."""
    return index.create(table).replace("INDEX ", "INDEX CONCURRENTLY ", 1)


def drop_index(name: str) -> str:
    """Return the statement that drops an index without waiting for everybody at once."""
    return f"DROP INDEX CONCURRENTLY {quoted(name)}"


def add_foreign_key(
    table: str, name: str, columns: Sequence[str], other: str, other_columns: Sequence[str], on_delete: str = ""
) -> str:
    """Return the statements that add a foreign key: known at once, rows checked afterwards under a weak lock."""
    action = f" ON DELETE {on_delete}" if on_delete else ""
    definition = f"FOREIGN KEY ({_list(columns)}) REFERENCES {quoted(other)} ({_list(other_columns)}){action}"
    return _then_validate(table, name, definition)


def add_check(table: str, check: Check) -> str:
    """Return the statements that add a check: for new rows at once, old rows checked afterwards under a weak lock."""
    return _then_validate(table, check.name, f"CHECK ({check.condition})")


def set_not_null(table: str, column: str) -> str:
    """Return the statements that forbid NULL without a scan under a full lock: a valid check proves it first."""
    name = f"{table}_{column}_given"[:63]
    return (
        f"{_then_validate(table, name, f'CHECK ({quoted(column)} IS NOT NULL)')};\n"
        f"ALTER TABLE {quoted(table)} ALTER {quoted(column)} SET NOT NULL;\n"
        f"ALTER TABLE {quoted(table)} DROP CONSTRAINT {quoted(name)}"
    )


def add_unique(table: str, name: str, columns: Sequence[str]) -> str:
    """Return the statements that add a unique key: its index is built while the table is written to."""
    return (
        f"CREATE UNIQUE INDEX CONCURRENTLY {quoted(name)} ON {quoted(table)} ({_list(columns)});\n"
        f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(name)} UNIQUE USING INDEX {quoted(name)}"
    )


def backfill(
    table: str,
    *,
    set: str,  # noqa: A002  (SQL's word)
    where: str = "true",
    key: Sequence[str] = ("id",),
    first_batch: int = 1000,
    batch_seconds: float = 0.1,
    rest: float = 0.5,
) -> Step:
    """Return a step that runs UPDATE `table` SET `set` WHERE `where` in small transactions, each row once.

    `key` are columns with a unique index. A batch grows or shrinks until it takes `batch_seconds`, and is
    taken back when it takes twice as long; after each, the table gets `rest` times as long to recover. A killed one
    goes on behind its last batch.
    """
    job = Backfill(table, set, where, tuple(key), first_batch, batch_seconds, rest)
    return Step(f"backfill {table} SET {set} WHERE {where}", call=job.run, own_transactions=True)


def _then_validate(table: str, name: str, definition: str) -> str:
    return (
        f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(name)} {definition} NOT VALID;\n"
        f"ALTER TABLE {quoted(table)} VALIDATE CONSTRAINT {quoted(name)}"
    )


def _list(columns: Sequence[str]) -> str:
    return ", ".join(map(quoted, columns))
