"""What rests while a table is masked, and how a table is written anew, so that its old rows are nowhere any more.

An UPDATE leaves the old rows in the file, CLUSTER and VACUUM FULL carry rows that this transaction deleted along, but
an ALTER TABLE that computes a column anew copies only what is visible, and empties the columns that were dropped.
"""

from __future__ import annotations

from typing import Any

from psycopg2 import sql

from legal_store.anonymize.catalog import Table

_ENABLE = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def put_to_rest(cursor: Any, table: Table) -> list[sql.Composable]:
    """Switch triggers and rules off, drop indexes and constraints; return the statements that bring all back."""
    return [*_drop_indexes(cursor, table), *_triggers_off(cursor, table), *_rules_off(cursor, table)]


def write_anew(cursor: Any, table: Table) -> None:
    """Make PostgreSQL copy the visible rows of the table, and no others, into a new file."""
    name = sql.Identifier(*table.identifier)
    cursor.execute(_FREE_COLUMN, {"table": table.oid})
    free = cursor.fetchone()
    if free is not None:
        column, declared = free
        # the server would see through a plain reference and copy nothing
        cursor.execute(
            sql.SQL("ALTER TABLE {t} ALTER COLUMN {c} TYPE {kind} USING coalesce({c}, {c})").format(
                t=name, c=sql.Identifier(column), kind=sql.SQL(declared)
            )
        )
    else:
        temporary = sql.Identifier("legal_store_rewrite")
        cursor.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {} boolean DEFAULT random() < 2").format(name, temporary))
        cursor.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(name, temporary))


def refresh_views(cursor: Any) -> None:
    """Compute the materialized views anew, each after those that it reads; what was never filled stays empty."""
    cursor.execute(_VIEWS_IN_ORDER)
    for schema, name in cursor.fetchall():
        cursor.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(sql.Identifier(schema, name)))


def _triggers_off(cursor: Any, table: Table) -> list[sql.Composable]:
    cursor.execute(
        "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal AND tgenabled <> 'D'",
        (table.oid,),
    )
    states = cursor.fetchall()
    name = sql.Identifier(*table.identifier)
    cursor.execute(sql.SQL("ALTER TABLE ONLY {} DISABLE TRIGGER USER").format(name))
    return [
        sql.SQL("ALTER TABLE ONLY {} {} TRIGGER {}").format(name, sql.SQL(_ENABLE[state]), sql.Identifier(trigger))
        for trigger, state in states
    ]


def _rules_off(cursor: Any, table: Table) -> list[sql.Composable]:
    cursor.execute(
        "SELECT rulename, ev_enabled FROM pg_rewrite WHERE ev_class = %s AND ev_enabled <> 'D'", (table.oid,)
    )
    again: list[sql.Composable] = []
    name = sql.Identifier(*table.identifier)
    for rule, state in cursor.fetchall():
        cursor.execute(sql.SQL("ALTER TABLE {} DISABLE RULE {}").format(name, sql.Identifier(rule)))
        again.append(sql.SQL("ALTER TABLE {} {} RULE {}").format(name, sql.SQL(_ENABLE[state]), sql.Identifier(rule)))
    return again


def _drop_indexes(cursor: Any, table: Table) -> list[sql.Composable]:
    """Drop what nothing depends on, UNIQUE and EXCLUDE included: no new value meets one that is not masked yet, and
    the UPDATE does not maintain what is built in bulk afterwards."""
    cursor.execute(_INDEXES, {"table": table.oid})
    found = cursor.fetchall()
    for drop, _ in found:
        cursor.execute(drop)
    return [sql.SQL(statement) for _, statements in found for statement in statements]


_FREE_COLUMN = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
  AND a.attstorage = y.typstorage AND a.attcompression = ''  -- ALTER TYPE would set them back
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(table)s
                  AND d.refobjsubid = a.attnum)
  AND (a.attcollation = 0 OR a.attcollation = y.typcollation)
  AND NOT EXISTS (SELECT FROM pg_inherits WHERE %(table)s IN (inhparent, inhrelid))
ORDER BY a.attlen < 0, a.attnum LIMIT 1
"""
# primary keys stay, and so does what a foreign key refers to: their columns are keys, which are never masked; without
# its replica identity, a table that is published could not be updated
_INDEXES = """
SELECT CASE WHEN k.oid IS NULL THEN format('DROP INDEX %%s', i.name)
            ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', i.owner, k.conname) END,
       array_remove(ARRAY[
           CASE WHEN k.oid IS NULL THEN pg_get_indexdef(i.oid)
                ELSE format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', i.owner, k.conname,
                            pg_get_constraintdef(k.oid)) END,
           CASE WHEN k.oid IS NOT NULL AND i.reloptions IS NOT NULL
                THEN format('ALTER INDEX %%s SET (%%s)', i.name, array_to_string(i.reloptions, ', ')) END,
           CASE WHEN s.oid IS NOT NULL
                THEN format('ALTER INDEX %%s SET TABLESPACE %%I', i.name, s.spcname) END,
           CASE WHEN i.indisclustered THEN format('ALTER TABLE %%s CLUSTER ON %%I', i.owner, i.relname) END,
           'COMMENT ON INDEX ' || i.name || ' IS ' || quote_literal(obj_description(i.oid, 'pg_class')),
           'COMMENT ON CONSTRAINT ' || quote_ident(k.conname) || ' ON ' || i.owner || ' IS '
               || quote_literal(obj_description(k.oid, 'pg_constraint'))
       ], NULL) || ARRAY(
           SELECT format('ALTER INDEX %%s ALTER COLUMN %%s SET STATISTICS %%s', i.name, a.attnum, a.attstattarget)
           FROM pg_attribute a WHERE a.attrelid = i.oid AND a.attstattarget >= 0)
FROM (SELECT c.oid, c.relname, c.reloptions, c.reltablespace, i.indisclustered,
             format('%%I.%%I', n.nspname, c.relname) AS name, format('%%I.%%I', n.nspname, t.relname) AS owner
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
      JOIN pg_namespace n ON n.oid = t.relnamespace
      WHERE i.indrelid = %(table)s AND i.indisvalid AND NOT i.indisreplident) AS i
LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.contype IN ('p', 'u', 'x')
LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace
WHERE k.contype IS DISTINCT FROM 'p'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'n'
                  AND (d.refclassid, d.refobjid) IN (('pg_class'::regclass, i.oid), ('pg_constraint'::regclass, k.oid)))
"""
_VIEWS_IN_ORDER = """
WITH RECURSIVE reads (view, relation) AS (
    SELECT DISTINCT r.ev_class, d.refobjid FROM pg_rewrite r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
    WHERE r.ev_class >= 16384 AND d.refobjid <> r.ev_class
), depths (view, depth) AS (
    SELECT oid, 0 FROM pg_class WHERE relkind = 'm'
    UNION
    SELECT r.view, d.depth + 1 FROM depths d JOIN reads r ON r.relation = d.view
)
SELECT n.nspname, c.relname FROM depths d JOIN pg_class c ON c.oid = d.view
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated GROUP BY 1, 2 ORDER BY max(depth), 1, 2
"""
