"""Everything that a database holds: each place with its cells as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import sql

from legal_store.anonymize.catalog import Column
from legal_store.anonymize.collecting import rows
from legal_store.anonymize.planning import Plan, TablePlan
from legal_store.schema.catalog import LEDGER_TABLES

LONG_NUMBER = 10**11  # numbers from here on can be those of persons; a phone's nine digits are many an ordinary number
LONG_NUMBERS = ("bigint", "numeric")


class Place(NamedTuple):
    """Something that holds text: each different cell, and how often it is there. In a `masked` one nothing of the old
    values may be left; `by_value`: cells are whole values such as UUIDs, in which nothing else can hide. `remedy` says
    what to do about a real value in it."""

    name: str
    cells: Iterator[tuple[str, int]]
    remedy: str
    masked: bool = False
    by_value: bool = False


KEPT = "a column that is kept: give it a strategy; names that are ordinary words can stand in [proof] ordinary_words"
MASKED = "a column that is masked: its strategy lets values through; use redact, null or another one"
STATISTICS = "planner statistics: give the column a strategy, or run ANALYZE where its table no longer holds the value"
VIEW = "a materialized view or a ledger: it follows from other columns, or was written by hand; look into it"
DEFINITION = "comments, definitions and settings: change them, the rules reach no further than the tables"


def places(cursor: Any, plan: Plan, skipped: list[str]) -> Iterator[Place]:
    """Yield every place that can hold text; add to `skipped` what could not be read."""
    yield from _columns(cursor.connection, plan)
    for relation in (*plan.views, *_ledgers(cursor)):
        query = sql.SQL("SELECT v::text, 1 FROM {} AS v").format(sql.Identifier(*relation.split(".", 1)))
        yield Place(relation, rows(cursor.connection, query), VIEW)
    yield from _statistics(cursor, plan)
    for name, statement in _CATALOGS.items():
        cursor.execute("SAVEPOINT catalog")
        try:
            cursor.execute(statement)
        except psycopg2.Error as error:
            cursor.execute("ROLLBACK TO catalog")
            skipped.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        yield Place(name, iter([(str(row[0]), 1) for row in cursor.fetchall() if row[0]]), DEFINITION)


def _columns(connection: Any, plan: Plan) -> Iterator[Place]:
    for planned in plan.tables:
        masked = {item.name for item in planned.masked}
        for column in planned.table.columns.values():
            if (column.holds_text or column.kind in LONG_NUMBERS) and not column.enumerated:
                is_masked = column.name in masked
                cells = rows(connection, _cells_of(planned, column))
                by_value = column.kind in ("uuid", "uuid[]")
                yield Place(column.path, cells, MASKED if is_masked else KEPT, is_masked, by_value)


def _statistics(cursor: Any, plan: Plan) -> Iterator[Place]:
    """Yield what the planner remembers of each column, value by value: joined they would make words of their own."""
    masked = {item.use.column.path for planned in plan.tables for item in planned.masked}
    columns = {column.path: column for planned in plan.tables for column in planned.table.columns.values()}
    cursor.execute(_STATISTICS)
    for path, found in cursor.fetchall():
        if path not in columns or columns[path].holds_text:
            cells = iter([(text, 1) for text in found])
            yield Place(f"planner statistics of {path}", cells, STATISTICS, path in masked)


def _ledgers(cursor: Any) -> list[str]:
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND relname = ANY (%s)",
        (list(LEDGER_TABLES),),
    )
    return [name for (name,) in cursor.fetchall()]


def _cells_of(planned: TablePlan, column: Column) -> sql.Composable:
    """Return the query of all cells in which a real value can be; of numbers, those that are long enough.

    Equal cells are read once. Masks repeat themselves, and so do most columns that are kept.
    """
    condition = (
        sql.SQL(">= {}").format(sql.Literal(LONG_NUMBER)) if column.kind in LONG_NUMBERS else sql.SQL("IS NOT NULL")
    )
    # neighbours in an array make no words together
    cell = sql.SQL("unnest({})" if column.kind.endswith("[]") else "{}").format(sql.Identifier(column.name))
    return sql.SQL(
        'SELECT cell COLLATE "C", count(*) FROM (SELECT {cell}::text AS cell FROM {t} WHERE {c} {condition}) AS t'
        " WHERE cell IS NOT NULL GROUP BY 1"
    ).format(
        cell=cell,
        c=sql.Identifier(column.name),
        t=planned.table.rows,
        condition=condition,
    )


_STATISTICS = """
SELECT CASE schemaname WHEN 'public' THEN '' ELSE schemaname || '.' END || tablename || '.' || attname,
       array_agg(value)
FROM pg_stats CROSS JOIN LATERAL (
    SELECT unnest(most_common_vals::text::text[]) UNION ALL
    SELECT unnest(histogram_bounds::text::text[]) UNION ALL
    SELECT unnest(most_common_elems::text::text[])) AS v (value)
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname NOT LIKE 'pg\\_%' AND value IS NOT NULL
GROUP BY 1
"""
_CATALOGS = {
    "extended statistics": """
        SELECT unnest(most_common_vals) FROM pg_stats_ext
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        UNION ALL SELECT unnest(pg_get_statisticsobjdef_expressions(oid)) FROM pg_statistic_ext
        UNION ALL SELECT unnest(most_common_vals::text::text[]) FROM pg_stats_ext_exprs
        UNION ALL SELECT unnest(histogram_bounds::text::text[]) FROM pg_stats_ext_exprs""",
    "comments": """
        SELECT description FROM pg_description d WHERE d.objoid >= 16384
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = d.objoid AND e.classid = d.classoid
                          AND e.deptype = 'e')
        UNION ALL SELECT description FROM pg_shdescription
            WHERE objoid = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL SELECT label FROM pg_seclabel""",
    "functions": """
        SELECT unnest(ARRAY[prosrc, pg_get_function_sqlbody(p.oid), pg_get_function_arguments(p.oid),
                            array_to_string(proconfig, ' ')])
        FROM pg_proc p WHERE p.oid >= 16384 AND p.pronamespace <> pg_my_temp_schema()
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.classid = 'pg_proc'::regclass
                          AND e.deptype = 'e')""",
    "views": """
        SELECT definition FROM pg_views WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        UNION ALL SELECT definition FROM pg_matviews
        UNION ALL SELECT definition FROM pg_rules WHERE schemaname NOT IN ('pg_catalog', 'information_schema')""",
    "types": """
        SELECT typdefault FROM pg_type WHERE oid >= 16384 UNION ALL SELECT enumlabel FROM pg_enum""",
    "triggers, policies and publications": """
        SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT pg_get_expr(polqual, polrelid) FROM pg_policy
        UNION ALL SELECT pg_get_expr(polwithcheck, polrelid) FROM pg_policy
        UNION ALL SELECT pg_get_expr(prqual, prrelid) FROM pg_publication_rel""",
    "defaults, constraints and indexes": """
        SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
        UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND oid >= 16384
        UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid >= 16384""",
    "foreign servers": """
        SELECT unnest(srvoptions) FROM pg_foreign_server UNION ALL SELECT unnest(umoptions) FROM pg_user_mappings
        UNION ALL SELECT unnest(fdwoptions) FROM pg_foreign_data_wrapper
        UNION ALL SELECT unnest(ftoptions) FROM pg_foreign_table
        UNION ALL SELECT unnest(attfdwoptions) FROM pg_attribute WHERE attfdwoptions IS NOT NULL""",
    "settings": """
        SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "large objects": "SELECT lo_get(oid)::text FROM pg_largeobject_metadata",
}
