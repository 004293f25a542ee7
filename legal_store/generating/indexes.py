"""Taking the indexes and constraints of tables away for a load, and putting back exactly the same ones.

Filling an index row by row costs more than sorting once, and a foreign key more than a join. PostgreSQL's own
definitions are kept in the ledger, in the transaction that drops, so that whoever runs next can put them back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from psycopg2 import sql
from psycopg2.errors import ForeignKeyViolation, UniqueViolation

from legal_store.errors import SeedError
from legal_store.generating import ledger
from legal_store.generating.ledger import Removed
from legal_store.generating.locks import Patience, lock_all
from legal_store.generating.side_by_side import builder, side_by_side

_TOUCHED = """
SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
WHERE contype = 'f' AND (conrelid = ANY (%(tables)s::regclass[]) OR confrelid = ANY (%(tables)s::regclass[]))
"""
# besides the definitions: the columns of a key, which rows it is about, and the same for both ends of a reference
_FIND = """
SELECT k.conrelid::regclass::text, quote_ident(k.conname), 'f', pg_get_constraintdef(k.oid),
       key.columns, '', k.confrelid::regclass::text, target.columns
FROM pg_constraint k, LATERAL (
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY n) AS columns
    FROM unnest(k.conkey) WITH ORDINALITY AS c (number, n)
    JOIN pg_attribute ON attrelid = k.conrelid AND attnum = number
) key, LATERAL (
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY n) AS columns
    FROM unnest(k.confkey) WITH ORDINALITY AS c (number, n)
    JOIN pg_attribute ON attrelid = k.confrelid AND attnum = number
) target
WHERE k.contype = 'f' AND (k.conrelid = ANY (%(tables)s::regclass[]) OR k.confrelid = ANY (%(tables)s::regclass[]))
UNION ALL
SELECT i.indrelid::regclass::text, quote_ident(c.relname), coalesce(k.contype::text, 'i'),
       pg_get_indexdef(i.indexrelid), CASE WHEN i.indisunique THEN key.columns END,
       coalesce(pg_get_expr(i.indpred, i.indrelid), ''), '', ''
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
CROSS JOIN LATERAL (
    SELECT string_agg(pg_get_indexdef(i.indexrelid, n, false), ', ' ORDER BY n) AS columns
    FROM generate_series(1, i.indnkeyatts) AS n
) key
WHERE i.indrelid = ANY (%(tables)s::regclass[])
  AND NOT i.indisreplident AND NOT i.indisclustered AND (k.oid IS NULL OR k.contype <> 'x' AND NOT k.condeferrable)
ORDER BY 1, 2
"""
_KEYS = {"p": "PRIMARY KEY", "u": "UNIQUE"}


def tables_touched(cursor: Any, tables: Sequence[str]) -> list[str]:
    """Return `tables` and those that references connect with them: dropping and making these locks both ends."""
    cursor.execute(_TOUCHED, {"tables": list(tables)})
    ends = {table for row in cursor.fetchall() for table in row}
    return [*tables, *sorted(ends.difference(tables))]


def take_away(cursor: Any, tables: Sequence[str]) -> int:
    """Drop indexes, keys and references of `tables`, noted in the ledger, in the open transaction. Return how many.

    Raises LockNotAvailable where somebody uses the tables.
    """
    # nobody changes them between the reading of definitions and the commit
    names = [sql.SQL(name) for name in tables_touched(cursor, tables)]  # as PostgreSQL writes them, quoted
    lock_all(cursor, sql.SQL("LOCK TABLE {}").format(sql.SQL(", ").join(names)))
    cursor.execute(_FIND, {"tables": list(tables)})
    found = [_removed(position, *row) for position, row in enumerate(cursor.fetchall())]
    ledger.note_removed(cursor, found)
    # references first, because they need the keys they point to
    for item in sorted(found, key=lambda item: bool(item.build)):
        cursor.execute(
            f"ALTER TABLE {item.table} DROP CONSTRAINT {item.name}" if item.attach else f"DROP INDEX {item.name}"
        )
    return len(found)


def put_back(
    parameters: dict[str, Any], removed: list[Removed], patience: Patience, done: Callable[[Removed], None]
) -> None:
    """Make what was taken away again, and note each one in the ledger as it is there; `done` is told.

    Long work goes over two connections: indexes, the dearest first, then references, those of one table together
    because checking locks the table against another check. What is short but locks everybody comes between.

    Raises SeedError that names the key or reference where rows stand against it, with a query that finds them.
    """
    work = _PuttingBack(patience, done)
    with closing(builder(parameters)) as connection:
        indexes = [[item] for item in sorted(removed, key=_cost) if item.build]
        side_by_side(parameters, indexes, work.build)
        for item in removed:
            if item.attach:
                work.attach(connection, item)
    by_table: dict[str, list[Removed]] = {}
    for item in removed:
        if item.check:
            by_table.setdefault(item.table, []).append(item)
    side_by_side(parameters, by_table.values(), work.check)


def _removed(
    position: int, table: str, name: str, kind: str, definition: str, key: str, only: str, target: str, target_key: str
) -> Removed:
    def removed(*, build: str = "", attach: str = "", check: str = "", culprits: str = "") -> Removed:
        return Removed(position, table, name, build, attach, check, key or "", culprits)

    if kind == "i":
        return removed(build=definition, culprits=_doubles(table, key, only) if key else "")
    add = f"ALTER TABLE {table} ADD CONSTRAINT {name}"
    if kind in _KEYS:
        attach = f"{add} {_KEYS[kind]} USING INDEX {name}"
        return removed(build=definition, attach=attach, culprits=_doubles(table, key, only))
    if definition.endswith("NOT VALID"):
        return removed(attach=f"{add} {definition}")
    check = f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
    return removed(
        attach=f"{add} {definition} NOT VALID", check=check, culprits=_orphans(table, key, target, target_key)
    )


def _doubles(table: str, key: str, only: str) -> str:
    """Return a query for the keys that several rows have."""
    where = " AND ".join([f"num_nulls({key}) = 0", *[only] * bool(only)])
    return f"SELECT {key}, count(*) FROM {table} WHERE {where} GROUP BY {key} HAVING count(*) > 1"


def _orphans(table: str, key: str, target: str, target_key: str) -> str:
    """Return a query for the references to rows that are not there."""
    return f"SELECT {key} FROM {table} WHERE num_nulls({key}) = 0 EXCEPT SELECT {target_key} FROM {target}"


def _cost(item: Removed) -> tuple[int, int]:
    """Order by kind of index, then as they came: graphs take longest, sorted trees least."""
    kinds = ("USING hnsw", "USING ivfflat", "USING gin", "USING gist")
    return next((rank for rank, kind in enumerate(kinds) if kind in item.build), len(kinds)), item.position


class _PuttingBack:
    """The steps that make one index or constraint again, each in a transaction of its own."""

    def __init__(self, patience: Patience, done: Callable[[Removed], None]) -> None:
        self.patience, self.done = patience, done

    def build(self, connection: Any, item: Removed) -> None:
        def act(cursor: Any) -> None:
            cursor.execute("SELECT to_regclass(%s) IS NULL", (item.name,))
            if cursor.fetchone() == (True,):  # else a run that was killed before the constraint was attached made it
                cursor.execute(item.build)

        self._step(connection, item, act, last=not item.attach, all_modes=False)

    def attach(self, connection: Any, item: Removed) -> None:
        def act(cursor: Any) -> None:
            cursor.execute(
                "SELECT FROM pg_constraint WHERE conrelid = %s::regclass AND quote_ident(conname) = %s",
                (item.table, item.name),
            )
            if cursor.rowcount == 0:
                cursor.execute(item.attach)

        self._step(connection, item, act, last=not item.check, all_modes=True)

    def check(self, connection: Any, item: Removed) -> None:
        self._step(connection, item, lambda cursor: cursor.execute(item.check), last=True, all_modes=False)

    def _step(self, connection: Any, item: Removed, act: Callable[[Any], None], *, last: bool, all_modes: bool) -> None:
        def noted(cursor: Any) -> None:
            act(cursor)
            if last:
                ledger.forget_removed(cursor, item)

        with _culprits_named(item):
            self.patience.transaction(connection, [item.table], noted, all_modes=all_modes)
        if last:
            self.done(item)


@contextmanager
def _culprits_named(item: Removed) -> Iterator[None]:
    """Say which rows stand against a key or reference. Without their values, which can be personal."""
    try:
        yield
    except UniqueViolation:
        wrong = f"several rows have the same ({item.key})"
    except ForeignKeyViolation:
        wrong = f"the ({item.key}) of some rows refers to no row"
    else:
        return
    raise SeedError(
        f"{item.name} of {item.table} cannot be put back: {wrong}. Somebody wrote them while it was missing. "
        "What was committed stays.",
        remedy=f"Find them in `invoke psql` with {item.culprits}; and correct or delete them. Then run the same "
        "command again: it goes on from there.",
    )
