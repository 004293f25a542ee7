"""Taking the indexes and constraints of tables away for a load, and putting back exactly the same ones.

Filling an index row by row costs more than sorting once, and a foreign key more than a join. PostgreSQL's own
definitions are kept in the ledger, in the transaction that drops, so that whoever runs next can put them back.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
from psycopg2 import sql

from legal_store.generating import ledger
from legal_store.generating.ledger import Removed

BUILD_MEMORY = "256MB"
"""maintenance_work_mem of each of the two connections that build: the vectors of 40,000 documents fit."""

_FIND = """
SELECT 'foreign key', k.conrelid::regclass::text, quote_ident(k.conname), pg_get_constraintdef(k.oid), NULL
FROM pg_constraint k
WHERE k.contype = 'f' AND (k.conrelid = ANY (%(tables)s::regclass[]) OR k.confrelid = ANY (%(tables)s::regclass[]))
UNION ALL
SELECT CASE WHEN k.oid IS NULL THEN 'index' ELSE 'constraint' END, i.indrelid::regclass::text,
       quote_ident(c.relname), pg_get_indexdef(i.indexrelid),
       CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' END
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = ANY (%(tables)s::regclass[])
  AND NOT i.indisreplident AND NOT i.indisclustered AND (k.oid IS NULL OR k.contype <> 'x' AND NOT k.condeferrable)
ORDER BY 1 DESC, 2, 3
"""


def take_away(cursor: Any, tables: tuple[str, ...]) -> int:
    """Drop indexes, keys and references of `tables`, noted in the ledger, in the open transaction. Return how many."""
    # nobody changes them between the reading of definitions and the commit
    cursor.execute(sql.SQL("LOCK TABLE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables))))
    cursor.execute(_FIND, {"tables": list(tables)})
    found = [_removed(position, *row) for position, row in enumerate(cursor.fetchall())]
    ledger.note_removed(cursor, found)
    # references first, because they need the keys they point to
    for item in sorted(found, key=lambda item: item.kind != "foreign key"):
        cursor.execute(_drop(item))
    return len(found)


def put_back(parameters: dict[str, Any], removed: list[Removed], done: Callable[[Removed], None]) -> None:
    """Make what was taken away again, on two connections, and note each one in the ledger as it is there.

    Indexes and keys first, the dearest at the start; then references: added one after the other without a look at
    the rows, and checked in parallel, those of one table on one connection because they lock it.
    """
    foreign_keys = [item for item in removed if item.kind == "foreign key"]
    _in_parallel(parameters, [[item] for item in sorted(set(removed) - set(foreign_keys), key=_cost)], _build, done)
    by_table: dict[str, list[Removed]] = {}
    for item in foreign_keys:
        by_table.setdefault(item.table, []).append(item)
    with closing(builder(parameters)) as connection:
        for item in foreign_keys:
            _add_unchecked(connection, item)
    _in_parallel(parameters, list(by_table.values()), _check, done)


def builder(parameters: dict[str, Any]) -> Any:
    """Return a connection for long work on tables: no time limit, memory for sorting, no workers besides."""
    connection = psycopg2.connect(**parameters)
    with connection, connection.cursor() as cursor:
        # two connections at work use the cores; workers in addition would need shared memory that containers lack
        cursor.execute("SET statement_timeout = 0; SET max_parallel_maintenance_workers = 0")
        cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", (BUILD_MEMORY,))
    return connection


def _removed(position: int, kind: str, table: str, name: str, definition: str, key: str | None) -> Removed:
    if kind == "foreign key":
        unchecked = definition if definition.endswith("NOT VALID") else f"{definition} NOT VALID"
        statements = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {unchecked}"]
        if unchecked != definition:
            statements.append(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
    else:
        statements = [definition]
        if kind == "constraint":
            statements.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {key} USING INDEX {name}")
    return Removed(position, kind, table, name, tuple(statements))


def _drop(item: Removed) -> str:
    if item.kind == "index":
        return f"DROP INDEX {item.name}"
    return f"ALTER TABLE {item.table} DROP CONSTRAINT {item.name}"


def _cost(item: Removed) -> tuple[int, int]:
    """Order by kind of index, then as they came: graphs take longest, sorted trees least."""
    definition = item.statements[0]
    kinds = ("USING hnsw", "USING ivfflat", "USING gin", "USING gist")
    return next((rank for rank, kind in enumerate(kinds) if kind in definition), len(kinds)), item.position


def _build(connection: Any, items: list[Removed], done: Callable[[Removed], None]) -> None:
    for item in items:
        with connection, connection.cursor() as cursor:
            for statement in item.statements:
                cursor.execute(statement)
            ledger.forget_removed(cursor, item)
        done(item)


def _add_unchecked(connection: Any, item: Removed) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_constraint WHERE conrelid = %s::regclass AND quote_ident(conname) = %s",
            (item.table, item.name),
        )
        if cursor.fetchone() is None:
            cursor.execute(item.statements[0])


def _check(connection: Any, items: list[Removed], done: Callable[[Removed], None]) -> None:
    for item in items:
        with connection, connection.cursor() as cursor:
            for statement in item.statements[1:]:
                cursor.execute(statement)
            ledger.forget_removed(cursor, item)
        done(item)


def _in_parallel(parameters: dict[str, Any], work: list[list[Removed]], act: Any, done: Callable[[Removed], None]) -> None:
    """Do the pieces of work in their order on two connections; the first error ends it when both have stopped."""
    waiting = iter(work)

    def run() -> None:
        with closing(builder(parameters)) as connection:
            for items in waiting_safely:
                act(connection, items, done)

    waiting_safely = _Shared(waiting)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(run) for _ in range(2)]:
            future.result()


class _Shared:
    """An iterator that several threads may take from."""

    def __init__(self, items: Any) -> None:
        import threading

        self._items, self._lock = items, threading.Lock()

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        with self._lock:
            return next(self._items)
