"""What is really in a database, read from pg_catalog and said in one canonical way, so that two can be compared.

Every object becomes one entry: a kind and a name, and a definition in PostgreSQL's own words (pg_get_indexdef,
pg_get_constraintdef, ...). Left out are objects that belong to an extension, the ledger of the migrations, and
what carries no meaning: the order of columns, sizes, statistics, oids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

# Raised whenever the words of the query below change: catalogs of different formats cannot be compared.
CATALOG_FORMAT = 1
LEDGER_TABLES = ("_migrations", "_migration_steps", "_migrations_catalog", "migratehistory")


class Entry(NamedTuple):
    """One object of a database: for instance ("index", "cases.cases_title_trgm_idx") and its definition."""

    kind: str
    name: str
    definition: str


class Difference(NamedTuple):
    """One object that differs; `expected` or `found` is None where it is missing or unknown."""

    kind: str
    name: str
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.kind} {self.name} is missing; expected: {self.expected}"
        if self.expected is None:
            return f"{self.kind} {self.name} is not expected: {self.found}"
        return f"{self.kind} {self.name} differs\n    expected: {self.expected}\n    found:    {self.found}"


Catalog = dict[tuple[str, str], str]


def read_catalog(connection: Any, schema: str = "public") -> Catalog:
    """Return every object of `schema` as {(kind, name): definition}. `connection` is a psycopg2 connection.

    Read-only; two queries. The connection's search_path is not changed.
    """
    with connection.cursor() as cursor:
        cursor.execute(_QUERY, {"schema": schema, "ledgers": list(LEDGER_TABLES)})
        return {(kind, name): canonical(definition) for kind, name, definition in cursor.fetchall()}


def canonical(definition: str) -> str:
    """Return `definition` in the words that PostgreSQL uses after a dump and restore.

    It writes a list of varchar values in one way when it is new and in another when it was read back.
    """
    if "::character varying" not in definition:
        return definition
    return _VARCHAR_LIST.sub(lambda values: f"ARRAY[{_VARCHAR.sub(_AS_TEXT, values.group(1))}]", definition)


_VARCHAR = re.compile(r"'(?:[^']|'')*'::character varying")
_AS_TEXT = r"(\g<0>)::text"
_VARCHAR_LIST = re.compile(r"\(ARRAY\[((?:'(?:[^']|'')*'::character varying(?:, )?)+)\]\)::text\[\]")


def differences(expected: Catalog, found: Catalog) -> list[Difference]:
    """Return what differs between two catalogs, ordered by kind and name; empty when they are the same."""
    return list(_compare(expected, found))


def _compare(expected: Catalog, found: Catalog) -> Iterator[Difference]:
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            yield Difference(*key, expected.get(key), found.get(key))


_QUERY = r"""
WITH space AS (
    SELECT oid, nspname FROM pg_namespace WHERE nspname = %(schema)s
),
owned_by_extension AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
),
relation AS (
    SELECT c.* FROM pg_class c JOIN space ON space.oid = c.relnamespace
    WHERE c.relname <> ALL (%(ledgers)s)
      AND NOT EXISTS (SELECT FROM owned_by_extension e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
      AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_class o ON o.oid = d.refobjid
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S'
                        AND d.refclassid = 'pg_class'::regclass AND o.relname = ANY (%(ledgers)s))
),
base_table AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p')
),
routine AS (
    SELECT p.* FROM pg_proc p JOIN space ON space.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p')
      AND NOT EXISTS (SELECT FROM owned_by_extension e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
),
own_type AS (
    SELECT t.* FROM pg_type t JOIN space ON space.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd')
      AND NOT EXISTS (SELECT FROM owned_by_extension e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
)
SELECT 'extension' AS kind, extname::text AS name, '' AS definition FROM pg_extension WHERE extname <> 'plpgsql'
UNION ALL
SELECT 'table', t.relname,
       concat_ws(' ', CASE t.relpersistence WHEN 'u' THEN 'unlogged' END,
                 CASE WHEN t.relkind = 'p' THEN 'partitioned by ' || pg_get_partkeydef(t.oid) END,
                 pg_get_expr(t.relpartbound, t.oid),
                 CASE WHEN t.relrowsecurity THEN 'row level security' END,
                 CASE WHEN t.relforcerowsecurity THEN 'forced' END,
                 CASE t.relreplident WHEN 'f' THEN 'replica identity full' WHEN 'n' THEN 'replica identity nothing' END,
                 array_to_string(t.reloptions, ', '))
FROM base_table t
UNION ALL
SELECT 'column', t.relname || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                 CASE WHEN a.attcollation <> y.typcollation THEN 'collate ' || l.collname END,
                 CASE WHEN a.attnotnull THEN 'not null' END,
                 CASE a.attgenerated WHEN 's' THEN 'generated stored' WHEN 'v' THEN 'generated virtual' END,
                 CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END,
                 CASE WHEN d.oid IS NOT NULL THEN 'default ' || pg_get_expr(d.adbin, d.adrelid) END,
                 CASE WHEN a.attstorage <> y.typstorage THEN 'storage ' || a.attstorage::text END,
                 CASE WHEN a.attcompression <> '' THEN 'compression ' || a.attcompression::text END,
                 'statistics ' || nullif(a.attstattarget, -1), array_to_string(a.attoptions, ', '))
FROM base_table t
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
UNION ALL
SELECT 'constraint', t.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
FROM base_table t JOIN pg_constraint k ON k.conrelid = t.oid AND (k.contype <> 'n' OR NOT k.convalidated)
UNION ALL
SELECT 'index', t.relname || '.' || i.relname,
       pg_get_indexdef(x.indexrelid) || CASE WHEN NOT x.indisvalid THEN ' INVALID' ELSE '' END
       || CASE WHEN x.indisreplident THEN ' REPLICA IDENTITY' ELSE '' END
       || CASE WHEN x.indisclustered THEN ' CLUSTERED' ELSE '' END
FROM relation t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
UNION ALL
SELECT 'trigger', t.relname || '.' || g.tgname,
       pg_get_triggerdef(g.oid)
       || CASE g.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' DISABLED' ELSE ' ENABLED ' || g.tgenabled::text END
FROM relation t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT 'policy', t.relname || '.' || p.polname,
       concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'for', p.polcmd,
                 'to', (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END, ', '
                                          ORDER BY r) FROM unnest(p.polroles) AS r),
                 'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                 'check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM base_table t JOIN pg_policy p ON p.polrelid = t.oid
UNION ALL
SELECT 'rule', t.relname || '.' || r.rulename, pg_get_ruledef(r.oid)
FROM relation t JOIN pg_rewrite r ON r.ev_class = t.oid AND r.rulename <> '_RETURN'
UNION ALL
SELECT CASE v.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, v.relname,
       concat_ws(' ', array_to_string(v.reloptions, ', '), pg_get_viewdef(v.oid))
FROM relation v WHERE v.relkind IN ('v', 'm')
UNION ALL
SELECT 'function', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', pg_get_functiondef(p.oid)
FROM routine p
UNION ALL
SELECT 'text search configuration', c.cfgname,
       (SELECT string_agg(m.maptokentype || ' ' || m.mapdict::regdictionary, ', ' ORDER BY m.maptokentype, m.mapseqno)
        FROM pg_ts_config_map m WHERE m.mapcfg = c.oid)
FROM pg_ts_config c JOIN space ON space.oid = c.cfgnamespace
UNION ALL
SELECT 'sequence', s.relname,
       concat_ws(' ', format_type(q.seqtypid, NULL), q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
                 CASE WHEN q.seqcycle THEN 'cycle' END)
FROM relation s JOIN pg_sequence q ON q.seqrelid = s.oid
UNION ALL
SELECT 'enum', y.typname, (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                           FROM pg_enum e WHERE e.enumtypid = y.oid)
FROM own_type y WHERE y.typtype = 'e'
UNION ALL
SELECT 'domain', y.typname,
       concat_ws(' ', format_type(y.typbasetype, y.typtypmod), CASE WHEN y.typnotnull THEN 'not null' END,
                 'default ' || y.typdefault,
                 (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname)
                  FROM pg_constraint k WHERE k.contypid = y.oid AND k.contype <> 'n'))
FROM own_type y WHERE y.typtype = 'd'
UNION ALL
SELECT 'composite type', c.relname,
       (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM relation c WHERE c.relkind = 'c'
UNION ALL
SELECT 'statistics', s.stxname, pg_get_statisticsobjdef(s.oid)
FROM pg_statistic_ext s JOIN relation t ON t.oid = s.stxrelid
UNION ALL
SELECT 'comment', t.relname || coalesce('.' || a.attname, ''), d.description
FROM relation t
JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = t.oid
LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.objsubid AND d.objsubid > 0
UNION ALL
SELECT 'comment', 'constraint ' || t.relname || '.' || k.conname, d.description
FROM base_table t JOIN pg_constraint k ON k.conrelid = t.oid
JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid
UNION ALL
SELECT 'comment', 'trigger ' || t.relname || '.' || g.tgname, d.description
FROM relation t JOIN pg_trigger g ON g.tgrelid = t.oid
JOIN pg_description d ON d.classoid = 'pg_trigger'::regclass AND d.objoid = g.oid
UNION ALL
SELECT 'comment', 'policy ' || t.relname || '.' || p.polname, d.description
FROM base_table t JOIN pg_policy p ON p.polrelid = t.oid
JOIN pg_description d ON d.classoid = 'pg_policy'::regclass AND d.objoid = p.oid
UNION ALL
SELECT 'comment', 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', d.description
FROM routine p JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = p.oid
UNION ALL
SELECT 'grant', g.name, string_agg(g.grantee || '=' || g.privilege, ', ' ORDER BY g.grantee, g.privilege)
FROM (
    SELECT t.relname::text AS name, x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END AS privilege,
           CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee)::text END AS grantee
    FROM relation t, aclexplode(t.relacl) AS x
    WHERE t.relkind IN ('r', 'p', 'v', 'm', 'S') AND x.grantee <> t.relowner
    UNION ALL
    SELECT t.relname || '.' || a.attname, x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END,
           CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee)::text END
    FROM relation t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped,
         aclexplode(a.attacl) AS x
    WHERE x.grantee <> t.relowner
    UNION ALL
    SELECT 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
           x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END,
           CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee)::text END
    FROM routine p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS x
    WHERE x.grantee <> p.proowner
) AS g
GROUP BY g.name
"""
