"""What no expression over one row can state is computed before its table changes, into temporary tables.

They are dropped when the transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from psycopg2 import sql
from psycopg2.extras import execute_values

from legal_store.anonymize.catalog import Table
from legal_store.anonymize.entities import Entities
from legal_store.anonymize.planning import Masked, TablePlan
from legal_store.anonymize.strategy import JSON
from legal_store.errors import OperationFailedError

ROWS_AT_ONCE = 2000


def deal(cursor: Any, planned: TablePlan) -> None:
    """Deal the values of strategies that give rows each other's."""
    for item in planned.masked:
        if item.strategy.deal is not None:
            cursor.execute(
                sql.SQL(
                    "CREATE TEMP TABLE {name} ON COMMIT DROP AS {query};"
                    " ALTER TABLE pg_temp.{name} ADD PRIMARY KEY (row); ANALYZE pg_temp.{name}"
                ).format(name=_dealt_table(item, planned.table), query=item.strategy.deal(item.use))
            )


def dealt(item: Masked, table: Table) -> sql.Composable:
    """Return the expression of the value that a row `t` gets from deal(); NULL where it takes no part."""
    return sql.SQL("(SELECT dealt.value FROM pg_temp.{} AS dealt WHERE dealt.row = t.ctid)").format(
        _dealt_table(item, table)
    )


def convert(cursor: Any, planned: TablePlan, entities: Entities, rows: int | None = None) -> bool:
    """Let Python convert the columns of a table, or of its first `rows`; return whether it changed any value.

    Rows that stay as they are (empty JSON, texts without a name) are not stored, and empty values are not even read.
    """
    items = [item for item in planned.masked if item.strategy.convert is not None]
    if not items:
        return False
    columns = [sql.SQL("{} {}").format(sql.Identifier(i.name), sql.SQL(i.use.column.declared)) for i in items]
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE {} (row tid PRIMARY KEY, {}) ON COMMIT DROP").format(
            _converted_table(planned.table), sql.SQL(", ").join(columns)
        )
    )
    insert = sql.SQL("INSERT INTO pg_temp.{} VALUES %s").format(_converted_table(planned.table)).as_string(cursor)
    count = 0
    with cursor.connection.cursor(name="legal_store_convert") as named:
        named.itersize = ROWS_AT_ONCE
        named.execute(_to_convert(planned.table, items, rows))
        while found := named.fetchmany(ROWS_AT_ONCE):
            if changed := list(_converted(found, items, entities)):
                execute_values(cursor, insert, changed)
                count += len(changed)
    cursor.execute(sql.SQL("ANALYZE pg_temp.{}").format(_converted_table(planned.table)))
    return count > 0


def converted(item: Masked, table: Table) -> sql.Composable:
    """Return the expression of the value that a row `t` gets from convert(): its own where Python left it alone."""
    found = sql.SQL("FROM pg_temp.{} AS converted WHERE converted.row = t.ctid").format(_converted_table(table))
    return sql.SQL("CASE WHEN EXISTS (SELECT {f}) THEN (SELECT converted.{c} {f}) ELSE t.{c} END").format(
        f=found, c=sql.Identifier(item.name)
    )


def refuse_moved(cursor: Any, planned: TablePlan) -> None:
    """Raise OperationFailedError if a row that has a value here is no longer in its place: it would not get it."""
    tables = [_dealt_table(item, planned.table) for item in planned.masked if item.strategy.deal]
    if any(item.strategy.convert for item in planned.masked):
        tables.append(_converted_table(planned.table))
    for name in tables:
        cursor.execute(
            sql.SQL(
                "SELECT FROM pg_temp.{} AS v LEFT JOIN {} AS t ON t.ctid = v.row WHERE t.ctid IS NULL LIMIT 1"
            ).format(name, planned.table.rows)
        )
        if cursor.fetchone() is not None:
            raise OperationFailedError(
                f"Rows of {planned.table.name} were changed while others were masked. Everything was rolled back.",
                remedy="Look for what writes into it when another table is written.",
            )


def readable(item: Masked) -> sql.Composable:
    """Return the expression of a value for Python; JSON as its text, because the driver reads numbers as floats."""
    return sql.SQL("{}::text").format(item.use.value) if item.use.column.kind in JSON else item.use.value


def firm_of(table: Table) -> sql.Composable:
    for column in ("firm_id", "id"):
        if column in table.columns and (column == "firm_id" or table.name == "firms"):
            return sql.Identifier("t", column)
    return sql.SQL("NULL")


def _to_convert(table: Table, items: list[Masked], rows: int | None) -> sql.Composable:
    first = sql.SQL("" if rows is None else " ORDER BY ctid LIMIT {}").format(sql.Literal(rows))
    return sql.SQL("SELECT t.masked_row, {}, {} FROM (SELECT *, ctid AS masked_row FROM {}{}) AS t WHERE {}").format(
        firm_of(table),
        sql.SQL(", ").join(map(readable, items)),
        table.rows,
        first,
        sql.SQL(" OR ").join(sql.SQL("{}::text NOT IN ('', '{{}}', '[]')").format(item.use.value) for item in items),
    )


def _converted(rows: Iterable[Any], items: list[Masked], entities: Entities) -> Iterator[tuple[Any, ...]]:
    converters: list[tuple[Callable[..., Any], Masked]] = [
        (item.strategy.convert, item) for item in items if item.strategy.convert is not None
    ]
    for row, firm, *values in rows:
        new = [
            None if value is None else convert(value, item.use, entities, firm)
            for (convert, item), value in zip(converters, values, strict=True)
        ]
        if new != values:
            yield (row, *new)


def _converted_table(table: Table) -> sql.Identifier:
    return sql.Identifier(f"converted_{table.oid}")


def _dealt_table(item: Masked, table: Table) -> sql.Identifier:
    return sql.Identifier(f"dealt_{table.oid}_{list(table.columns).index(item.name)}")
