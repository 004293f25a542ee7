"""Taking the indexes and constraints of tables away for a load, and putting back exactly the same ones.

Filling an index row by row costs more than sorting once, and a foreign key more than a join. PostgreSQL's own
definitions are kept in the ledger, in the transaction that drops, so that whoever runs next can put them back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from psycopg2 import sql

from legal_store.generating import ledger
from legal_store.generating.ledger import Removed
from legal_store.generating.side_by_side import builder, side_by_side

_FIND = """
SELECT k.conrelid::regclass::text, quote_ident(k.conname), 'f', pg_get_constraintdef(k.oid)
FROM pg_constraint k
WHERE k.contype = 'f' AND (k.conrelid = ANY (%(tables)s::regclass[]) OR k.confrelid = ANY (%(tables)s::regclass[]))
UNION ALL
SELECT i.indrelid::regclass::text, quote_ident(c.relname), coalesce(k.contype::text, 'i'),
       pg_get_indexdef(i.indexrelid)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE i.indrelid = ANY (%(tables)s::regclass[])
  AND NOT i.indisreplident AND NOT i.indisclustered AND (k.oid IS NULL OR k.contype <> 'x' AND NOT k.condeferrable)
ORDER BY 1, 2
"""
_KEYS = {"p": "PRIMARY KEY", "u": "UNIQUE"}


def take_away(cursor: Any, tables: tuple[str, ...]) -> int:
    """Drop indexes, keys and references of `tables`, noted in the ledger, in the open transaction. Return how many."""
    # nobody changes them between the reading of definitions and the commit
    cursor.execute(sql.SQL("LOCK TABLE {}").format(sql.SQL(", ").join(map(sql.Identifier, tables))))
    cursor.execute(_FIND, {"tables": list(tables)})
    found = [_removed(position, *row) for position, row in enumerate(cursor.fetchall())]
    ledger.note_removed(cursor, found)
    # references first, because they need the keys they point to
    for item in sorted(found, key=lambda item: bool(item.build)):
        cursor.execute(
            f"ALTER TABLE {item.table} DROP CONSTRAINT {item.name}" if item.attach else f"DROP INDEX {item.name}"
        )
    return len(found)


def put_back(parameters: dict[str, Any], removed: list[Removed], done: Callable[[Removed], None]) -> None:
    """Make what was taken away again, and note each one in the ledger as it is there; `done` is told.

    Long work goes over two connections: indexes, the dearest first, then references, those of one table together
    because checking locks the table against another check. What is short but locks everybody comes between.
    """
    with closing(builder(parameters)) as connection:
        indexes = [[item] for item in sorted(removed, key=_cost) if item.build]
        side_by_side(parameters, indexes, lambda connection, item: _build(connection, item, done))
        for item in removed:
            if item.attach:
                _attach(connection, item, done)
    by_table: dict[str, list[Removed]] = {}
    for item in removed:
        if item.check:
            by_table.setdefault(item.table, []).append(item)
    side_by_side(parameters, by_table.values(), lambda connection, item: _check(connection, item, done))


def _removed(position: int, table: str, name: str, kind: str, definition: str) -> Removed:
    if kind == "i":
        return Removed(position, table, name, build=definition, attach="", check="")
    add = f"ALTER TABLE {table} ADD CONSTRAINT {name}"
    if kind in _KEYS:
        return Removed(
            position, table, name, build=definition, attach=f"{add} {_KEYS[kind]} USING INDEX {name}", check=""
        )
    if definition.endswith("NOT VALID"):
        return Removed(position, table, name, build="", attach=f"{add} {definition}", check="")
    check = f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
    return Removed(position, table, name, build="", attach=f"{add} {definition} NOT VALID", check=check)


def _cost(item: Removed) -> tuple[int, int]:
    """Order by kind of index, then as they came: graphs take longest, sorted trees least."""
    kinds = ("USING hnsw", "USING ivfflat", "USING gin", "USING gist")
    return next((rank for rank, kind in enumerate(kinds) if kind in item.build), len(kinds)), item.position


def _build(connection: Any, item: Removed, done: Callable[[Removed], None]) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NULL", (item.name,))
        if cursor.fetchone() == (True,):  # else a run that was killed before the constraint was attached made it
            cursor.execute(item.build)
        if not item.attach:
            ledger.forget_removed(cursor, item)
    if not item.attach:
        done(item)


def _attach(connection: Any, item: Removed, done: Callable[[Removed], None]) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_constraint WHERE conrelid = %s::regclass AND quote_ident(conname) = %s",
            (item.table, item.name),
        )
        if cursor.rowcount == 0:
            cursor.execute(item.attach)
        if not item.check:
            ledger.forget_removed(cursor, item)
    if not item.check:
        done(item)


def _check(connection: Any, item: Removed, done: Callable[[Removed], None]) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(item.check)
        ledger.forget_removed(cursor, item)
    done(item)
