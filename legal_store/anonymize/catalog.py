"""The tables, columns and constraints of a live database, as far as masking must know them."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg2 import sql

from legal_store.schema.catalog import LEDGER_TABLES

# what can hold no text; numbers can hold those of persons
_NO_TEXT = {
    *("smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean", "date", "interval"),
    *("time without time zone", "time with time zone", "timestamp without time zone", "timestamp with time zone"),
    *("vector", "halfvec", "sparsevec"),
}


class Column(NamedTuple):
    """One column. `kind` is the base type's name ("text", "uuid", "text[]"), `length` its limit in characters."""

    table: str
    name: str
    kind: str
    declared: str
    length: int | None
    not_null: bool
    generated: bool
    enumerated: bool

    @property
    def path(self) -> str:
        return f"{self.table}.{self.name}"

    @property
    def holds_text(self) -> bool:
        """Whether text can be in it: in any type but numbers, times, yes or no, and vectors."""
        return self.kind not in _NO_TEXT


class UniqueKey(NamedTuple):
    """A unique index: its columns, and its definition. An expression counts with the columns that it reads."""

    name: str
    columns: tuple[str, ...]
    definition: str
    has_expression: bool = False

    @property
    def is_plain(self) -> bool:
        """Say whether no two rows may agree in all of the columns; NULL agrees with nothing, or with NULL."""
        return (
            self.definition.startswith("CREATE UNIQUE") and not self.has_expression and " WHERE " not in self.definition
        )


class CheckConstraint(NamedTuple):
    """A CHECK of a table: the columns that it reads, and its definition."""

    name: str
    columns: tuple[str, ...]
    definition: str


class Table(NamedTuple):
    """One table. `name` has its schema in front unless that is public (and the name has no dot); `keys` are columns of
    primary and foreign keys, of both sides."""

    name: str
    oid: int
    relkind: str
    columns: dict[str, Column]
    unique: tuple[UniqueKey, ...]
    checks: tuple[CheckConstraint, ...]
    keys: frozenset[str]
    pinned: str = ""
    """Why it cannot be written anew; empty where it can."""

    @property
    def rows(self) -> sql.Composable:
        """What to read and change: the table's own rows, without those of tables that inherit from it."""
        name = sql.Identifier(*self.identifier)
        return name if self.relkind == "p" else sql.SQL("ONLY {}").format(name)

    @property
    def of_a_firm(self) -> bool:
        """Whether its rows belong to a firm or its users; what belongs to none is the product's own."""
        return self.name == "firms" or not self.columns.keys().isdisjoint(("firm_id", "user_id"))

    @property
    def identifier(self) -> tuple[str, ...]:
        return tuple(self.name.split(".", 1))


def read_tables(cursor: Any) -> dict[str, Table]:
    """Return every table that can hold data of ours, by name.

    Partitions are left out (their parent stands for them), and so are tables of extensions and of temporary schemas.
    """
    cursor.execute(_PINNED)
    pinned = dict(cursor.fetchall())
    cursor.execute(_TABLES, {"ledgers": list(LEDGER_TABLES)})
    found = cursor.fetchall()
    columns = _grouped(cursor, _COLUMNS)
    unique = _grouped(cursor, _UNIQUE)
    checks = _grouped(cursor, _CHECKS)
    keys = _grouped(cursor, _KEYS)
    return {
        name: Table(
            name,
            oid,
            relkind,
            {row[0]: Column(name, *row) for row in columns.get(oid, ())},
            tuple(UniqueKey(row[0], tuple(row[1]), row[2], row[3]) for row in unique.get(oid, ())),
            tuple(CheckConstraint(row[0], tuple(row[1]), row[2]) for row in checks.get(oid, ())),
            frozenset(row[0] for row in keys.get(oid, ())),
            pinned.get(oid, ""),
        )
        for oid, name, relkind in found
    }


def _grouped(cursor: Any, query: str) -> dict[int, list[tuple[Any, ...]]]:
    cursor.execute(query)
    groups: dict[int, list[tuple[Any, ...]]] = {}
    for oid, *row in cursor.fetchall():
        groups.setdefault(oid, []).append(tuple(row))
    return groups


_TABLES = """
SELECT c.oid::bigint, CASE WHEN n.nspname = 'public' AND c.relname !~ '[.]' THEN c.relname
                           ELSE n.nspname || '.' || c.relname END, c.relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relispopulated AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\\_temp%%'
  AND NOT (n.nspname = 'public' AND c.relname = ANY (%(ledgers)s))
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                  AND d.deptype = 'e')
ORDER BY 2
"""
_COLUMNS = """
WITH RECURSIVE base (oid, root, typmod) AS (
    SELECT oid, oid, -1 FROM pg_type WHERE typtype <> 'd'
    UNION ALL
    SELECT t.oid, b.root, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.typmod END
    FROM pg_type t JOIN base b ON b.oid = t.typbasetype WHERE t.typtype = 'd'
)
SELECT a.attrelid::bigint, a.attname, format_type(b.root, NULL), format_type(a.atttypid, a.atttypmod),
       CASE WHEN b.root IN ('varchar'::regtype, 'bpchar'::regtype)
            THEN nullif(greatest(a.atttypmod, b.typmod), -1) - 4 END,
       a.attnotnull OR t.typnotnull, a.attgenerated <> '',
       r.typtype = 'e'
       OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.convalidated
                  AND k.conkey = ARRAY[a.attnum] AND replace(
                      regexp_replace(pg_get_constraintdef(k.oid), '::[a-z ]+(\\[\\])?|[()]', '', 'g'),
                      quote_ident(a.attname), '$')
                      ~ '^CHECK (\\$ IS NULL OR )?\\$ ?= ANY ARRAY\\[[^]]*\\]( OR \\$ IS NULL)?$')
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN base b ON b.oid = a.atttypid
JOIN pg_type r ON r.oid = b.root
WHERE a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
_UNIQUE = """
SELECT i.indrelid::bigint, c.relname,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND (
                 a.attnum = ANY (i.indkey::int2[])
                 OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                            AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
             AND a.attnum > 0 ORDER BY a.attnum),
       pg_get_indexdef(i.indexrelid), i.indexprs IS NOT NULL
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisunique OR i.indisexclusion
"""
_CHECKS = """
SELECT k.conrelid::bigint, k.conname,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
       pg_get_constraintdef(k.oid)
FROM pg_constraint k WHERE k.contype = 'c' AND k.conrelid <> 0
"""
_KEYS = """
SELECT DISTINCT k.relid::bigint, a.attname
FROM (SELECT conrelid AS relid, unnest(conkey) AS attnum FROM pg_constraint WHERE contype IN ('p', 'f')
      UNION ALL
      SELECT confrelid, unnest(confkey) FROM pg_constraint WHERE contype = 'f') AS k
JOIN pg_attribute a ON a.attrelid = k.relid AND a.attnum = k.attnum
"""
# PostgreSQL refuses to rewrite a table whose row type is the type of a column, directly or inside of others
_PINNED = """
WITH RECURSIVE users (root, type) AS (
    SELECT c.oid, t.oid FROM pg_class c JOIN pg_type t ON t.oid = c.reltype OR t.typelem = c.reltype
    WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384 AND c.reltype <> 0
    UNION
    SELECT u.root, t.oid FROM users u
    JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = u.type
    JOIN pg_type t ON (d.classid = 'pg_type'::regclass AND d.objid IN (t.oid, t.typelem))
                   OR (d.classid = 'pg_class'::regclass AND t.typrelid = d.objid)
)
SELECT u.root::bigint, 'its row type is the type of ' || min(d.objid::regclass::text || '.' || a.attname)
FROM users u JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = u.type
    AND d.classid = 'pg_class'::regclass AND d.objsubid > 0
JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'p', 'm')
JOIN pg_attribute a ON a.attrelid = d.objid AND a.attnum = d.objsubid
GROUP BY u.root
UNION ALL
SELECT oid::bigint, 'it is a table of the type ' || reloftype::regtype FROM pg_class WHERE reloftype <> 0
"""
