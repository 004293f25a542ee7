"""Everything that a database holds: each place with its cells as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import sql

from legal_store.anonymize.catalog import Column
from legal_store.anonymize.collecting import SEARCHED_BY_VALUE, rows
from legal_store.anonymize.planning import Plan, TablePlan
from legal_store.anonymize.strategies import NUMBERS, TIMES
from legal_store.schema.catalog import LEDGER_TABLES

LONG_NUMBER = 10**11  # numbers from here on can be those of persons; a phone's nine digits are many an ordinary number
LONG_NUMBERS = ("bigint", "numeric")
NO_TEXT = {*NUMBERS, *TIMES, "boolean", "interval", "vector", "halfvec", "sparsevec"}
NO_TEXT |= {"time without time zone", "time with time zone"}


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
            if (column.kind in NO_TEXT and column.kind not in LONG_NUMBERS) or column.enumerated:
                continue
            is_masked = column.name in masked
            yield Place(
                column.path,
                rows(connection, _cells_of(planned, column)),
                MASKED if is_masked else KEPT,
                is_masked,
                by_value=column.kind in SEARCHED_BY_VALUE,
            )


def _statistics(cursor: Any, plan: Plan) -> Iterator[Place]:
    """Yield what the planner remembers of each column, value by value: joined they would make words of their own."""
    masked = {item.use.column.path for planned in plan.tables for item in planned.masked}
    kinds = {column.path: column.kind for planned in plan.tables for column in planned.table.columns.values()}
    cursor.execute(_STATISTICS)
    for path, found in cursor.fetchall():
        if kinds.get(path) not in NO_TEXT:
            yield Place(
                f"planner statistics of {path}", iter([(text, 1) for text in found]), STATISTICS, path in masked
            )


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
    return sql.SQL('SELECT {c}::text COLLATE "C", count(*) FROM {t} WHERE {c} {condition} GROUP BY 1').format(
        c=sql.Identifier(column.name), t=sql.Identifier(*planned.table.identifier), condition=condition
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
        SELECT concat_ws(' ', most_common_vals::text) FROM pg_stats_ext
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')""",
    "comments": """
        SELECT description FROM pg_description d WHERE d.objoid >= 16384
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = d.objoid AND e.classid = d.classoid
                          AND e.deptype = 'e')
        UNION ALL SELECT description FROM pg_shdescription
            WHERE objoid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "functions": """
        SELECT prosrc FROM pg_proc p WHERE p.oid >= 16384 AND p.pronamespace <> pg_my_temp_schema()
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.classid = 'pg_proc'::regclass
                          AND e.deptype = 'e')""",
    "views": """
        SELECT definition FROM pg_views WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        UNION ALL SELECT definition FROM pg_matviews""",
    "defaults, constraints and policies": """
        SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
        UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND oid >= 16384
        UNION ALL SELECT pg_get_expr(polqual, polrelid) FROM pg_policy
        UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid >= 16384""",
    "settings": """
        SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "large objects": "SELECT lo_get(oid)::text FROM pg_largeobject_metadata",
}
