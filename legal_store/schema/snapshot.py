"""A schema in parts, so that statements can be made of it: the catalog, its columns, and what depends on what."""

from __future__ import annotations

from typing import Any, NamedTuple

from legal_store.schema.catalog import LEDGER_TABLES, Catalog, read_catalog

Key = tuple[str, str]


class Column(NamedTuple):
    """One column, in SQL: `type` with its modifiers, `default` and `generated` as expressions, or ""."""

    type: str
    collation: str
    not_null: bool
    default: str
    generated: str
    virtual: bool
    identity: str
    storage: str
    compression: str
    position: int

    def sql(self, name: str) -> str:
        """Return the column as CREATE TABLE and ADD COLUMN want it."""
        generated = f"GENERATED ALWAYS AS ({self.generated}) {'VIRTUAL' if self.virtual else 'STORED'}"
        parts = (
            quoted(name),
            self.type,
            f"COLLATE {quoted(self.collation)}" if self.collation else "",
            f"STORAGE {self.storage}" if self.storage else "",
            f"COMPRESSION {self.compression}" if self.compression else "",
            "NOT NULL" if self.not_null else "",
            f"DEFAULT {self.default}" if self.default else "",
            generated if self.generated else "",
            f"GENERATED {self.identity} AS IDENTITY" if self.identity else "",
        )
        return " ".join(filter(None, parts))


class Table(NamedTuple):
    """What a table is besides its columns."""

    row_security: bool
    forced: bool
    options: tuple[str, ...]
    unlogged: bool
    partitioned: bool


class Snapshot(NamedTuple):
    """Everything about a schema that the difference engine needs."""

    catalog: Catalog
    columns: dict[tuple[str, str], Column]
    tables: dict[str, Table]
    policies: dict[str, str]
    # view -> its options and its query
    views: dict[str, tuple[str, str]]
    # object -> the columns (table, column) it uses
    uses_columns: dict[Key, set[tuple[str, str]]]
    # object -> objects it uses: a view another view, a foreign key the unique key it refers to
    uses_objects: dict[Key, set[Key]]
    # sequence -> "table.column" that owns it; identities have theirs without being asked
    owned_sequences: dict[str, str]
    identity_sequences: frozenset[str]
    # configuration -> its parser, and the dictionaries of each kind of token
    text_search: dict[str, tuple[str, dict[str, str]]]

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of one kind."""
        return {name for found, name in self.catalog if found == kind}


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def read_snapshot(connection: Any) -> Snapshot:
    """Return the schema public of `connection`, in parts. Read-only."""
    with connection.cursor() as cursor:
        columns = {(row[0], row[1]): Column(*row[2:]) for row in _rows(cursor, _COLUMNS)}
        tables = {row[0]: Table(row[1], row[2], tuple(row[3] or ()), *row[4:]) for row in _rows(cursor, _TABLES)}
        policies = {row[0]: row[1] for row in _rows(cursor, _POLICIES)}
        views = {row[0]: (row[1], row[2]) for row in _rows(cursor, _VIEWS)}
        uses_columns: dict[Key, set[tuple[str, str]]] = {}
        uses_objects: dict[Key, set[Key]] = {}
        for kind, name, table, column, other_kind in _rows(cursor, _USES):
            if column:
                uses_columns.setdefault((kind, name), set()).add((table, column))
            elif other_kind:
                uses_objects.setdefault((kind, name), set()).add((other_kind, table))
        sequences = list(_rows(cursor, _SEQUENCES))
        text_search = {row[0]: (row[1], row[2]) for row in _rows(cursor, _TEXT_SEARCH)}
    return Snapshot(
        read_catalog(connection),
        columns,
        tables,
        policies,
        views,
        uses_columns,
        uses_objects,
        {name: owner for name, owner, internal in sequences if not internal},
        frozenset(name for name, _, internal in sequences if internal),
        text_search,
    )


def _rows(cursor: Any, query: str) -> list[tuple[Any, ...]]:
    cursor.execute(query, {"ledgers": list(LEDGER_TABLES)})
    return list(cursor.fetchall())


_COLUMNS = """
SELECT t.relname, a.attname, format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attcollation <> y.typcollation THEN l.collname::text ELSE '' END,
       a.attnotnull,
       CASE WHEN a.attgenerated = '' THEN coalesce(pg_get_expr(d.adbin, d.adrelid), '') ELSE '' END,
       CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) ELSE '' END,
       a.attgenerated = 'v',
       CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' ELSE '' END,
       CASE WHEN a.attstorage = y.typstorage THEN ''
            ELSE CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
                                   ELSE 'EXTENDED' END END,
       CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' ELSE '' END,
       a.attnum
FROM pg_class t
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p') AND t.relname <> ALL (%(ledgers)s)
"""

_TABLES = """
SELECT relname, relrowsecurity, relforcerowsecurity, reloptions, relpersistence = 'u', relkind = 'p'
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> ALL (%(ledgers)s)
"""

_POLICIES = """
SELECT t.relname || '.' || p.polname,
       concat_ws(' ', 'CREATE POLICY', quote_ident(p.polname), 'ON', quote_ident(t.relname),
                 CASE WHEN p.polpermissive THEN NULL ELSE 'AS RESTRICTIVE' END,
                 CASE p.polcmd WHEN 'r' THEN 'FOR SELECT' WHEN 'a' THEN 'FOR INSERT' WHEN 'w' THEN 'FOR UPDATE'
                               WHEN 'd' THEN 'FOR DELETE' END,
                 (SELECT 'TO ' || string_agg(quote_ident(pg_get_userbyid(r)), ', ')
                  FROM unnest(p.polroles) AS r WHERE r <> 0),
                 'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                 'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM pg_policy p JOIN pg_class t ON t.oid = p.polrelid
WHERE t.relnamespace = 'public'::regnamespace
"""

_VIEWS = """
SELECT relname::text, coalesce(array_to_string(reloptions, ', '), ''), rtrim(pg_get_viewdef(oid), '; ')
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
"""

_USES = """
WITH object AS (
    SELECT 'pg_constraint'::regclass AS class, k.oid, 'constraint' AS kind, t.relname || '.' || k.conname AS name
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid AND t.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'pg_class'::regclass, i.oid, 'index', t.relname || '.' || i.relname
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class t ON t.oid = x.indrelid AND t.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'pg_trigger'::regclass, g.oid, 'trigger', t.relname || '.' || g.tgname
    FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid AND t.relnamespace = 'public'::regnamespace
    WHERE NOT g.tgisinternal
    UNION ALL
    SELECT 'pg_policy'::regclass, p.oid, 'policy', t.relname || '.' || p.polname
    FROM pg_policy p JOIN pg_class t ON t.oid = p.polrelid AND t.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'pg_rewrite'::regclass, r.oid, CASE v.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END,
           v.relname::text
    FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class AND v.relnamespace = 'public'::regnamespace
    WHERE v.relkind IN ('v', 'm')
    UNION ALL
    SELECT 'pg_attrdef'::regclass, d.oid, 'column', t.relname || '.' || a.attname
    FROM pg_attrdef d JOIN pg_class t ON t.oid = d.adrelid AND t.relnamespace = 'public'::regnamespace
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''
    UNION ALL
    SELECT 'pg_statistic_ext'::regclass, s.oid, 'statistics', s.stxname::text
    FROM pg_statistic_ext s WHERE s.stxnamespace = 'public'::regnamespace
)
SELECT DISTINCT o.kind, o.name, r.relname::text, a.attname::text,
       CASE r.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' END
FROM object o
JOIN pg_depend d ON d.classid = o.class AND d.objid = o.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class r ON r.oid = d.refobjid AND r.relname <> ALL (%(ledgers)s)
LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.refobjsubid AND d.refobjsubid > 0
                        AND r.relkind IN ('r', 'p')
WHERE o.kind <> 'column' OR a.attname IS NULL OR o.name <> r.relname || '.' || a.attname
UNION
SELECT 'constraint', t.relname || '.' || k.conname, f.relname || '.' || u.conname, NULL, 'constraint'
FROM pg_constraint k
JOIN pg_class t ON t.oid = k.conrelid AND t.relnamespace = 'public'::regnamespace
JOIN pg_class f ON f.oid = k.confrelid
JOIN pg_constraint u ON u.conindid = k.conindid AND u.contype IN ('p', 'u')
WHERE k.contype = 'f'
"""

_TEXT_SEARCH = """
SELECT c.cfgname::text, quote_ident(n.nspname) || '.' || quote_ident(p.prsname),
       coalesce((SELECT jsonb_object_agg(m.alias, m.dictionaries)
                 FROM (SELECT t.alias, string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno)
                       FROM pg_ts_config_map m JOIN ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype
                       WHERE m.mapcfg = c.oid GROUP BY t.alias) AS m (alias, dictionaries)), '{}')
FROM pg_ts_config c
JOIN pg_ts_parser p ON p.oid = c.cfgparser
JOIN pg_namespace n ON n.oid = p.prsnamespace
WHERE c.cfgnamespace = 'public'::regnamespace
"""

_SEQUENCES = """
SELECT s.relname::text, t.relname || '.' || a.attname, d.deptype = 'i'
FROM pg_class s
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass
                AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
JOIN pg_class t ON t.oid = d.refobjid AND t.relname <> ALL (%(ledgers)s)
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
WHERE s.relkind = 'S' AND s.relnamespace = 'public'::regnamespace
"""
