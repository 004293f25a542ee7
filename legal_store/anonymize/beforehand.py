"""What no expression over one row can state is computed before its table changes, into temporary tables.

They say by its ctid which row gets which value: nothing may move the rows until they have it. They are dropped when the
transaction ends.
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
                ).format(name=_dealt_table(item, planned.table), query=item.strategy.deal(item.use, planned.table))
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
    items = planned.by_python
    if not items:
        return False
    name = _converted_table(planned.table)
    columns = [
        sql.SQL("{} {}").format(_place(planned.table, item), sql.SQL(item.use.column.declared)) for item in items
    ]
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE {} (row tid PRIMARY KEY, {}) ON COMMIT DROP").format(
            name, sql.SQL(", ").join(columns)
        )
    )
    query = sql.SQL("SELECT t.ctid, {}, {} FROM {} AS t WHERE ({}){}").format(
        firm_of(planned.table),
        sql.SQL(", ").join(map(readable, items)),
        planned.table.rows,
        _filled(items),
        first_rows(planned.table, rows),
    )
    insert = sql.SQL("INSERT INTO pg_temp.{} VALUES %s").format(name).as_string(cursor)
    count = 0
    with cursor.connection.cursor(name="legal_store_convert") as named:
        named.itersize = ROWS_AT_ONCE
        named.execute(query)
        while found := named.fetchmany(ROWS_AT_ONCE):
            if changed := list(_converted(found, items, entities)):
                execute_values(cursor, insert, changed)
                count += len(changed)
    cursor.execute(sql.SQL("ANALYZE pg_temp.{}").format(name))
    return count > 0


def converted(item: Masked, table: Table) -> sql.Composable:
    """Return the expression of the value that a row `t` gets from convert(): its own where Python left it alone."""
    found = sql.SQL("FROM pg_temp.{} AS converted WHERE converted.row = t.ctid").format(_converted_table(table))
    return sql.SQL("CASE WHEN EXISTS (SELECT {f}) THEN (SELECT converted.{v} {f}) ELSE t.{c} END").format(
        f=found, v=_place(table, item), c=sql.Identifier(item.name)
    )


def anything_to_convert(cursor: Any, planned: TablePlan) -> bool:
    """Say whether Python has to look at any value of the table."""
    items = planned.by_python
    if not items:
        return False
    cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {} AS t WHERE {})").format(planned.table.rows, _filled(items)))
    return bool(cursor.fetchone()[0])


def readable(item: Masked) -> sql.Composable:
    """Return the expression of a value for Python; JSON as its text, because the driver reads numbers as floats."""
    return sql.SQL("{}::text").format(item.use.value) if item.use.column.kind in JSON else item.use.value


def firm_of(table: Table) -> sql.Composable:
    """Return the expression of the firm that a row `t` belongs to; NULL where it belongs to none."""
    for column in ("firm_id", "id"):
        if column in table.columns and (column == "firm_id" or table.name == "firms"):
            return sql.Identifier("t", column)
    return sql.SQL("NULL")


def first_rows(table: Table, rows: int | None) -> sql.Composable:
    """Return the end of a condition that only the first rows of the table's file fulfil; nothing without `rows`."""
    if rows is None:
        return sql.SQL("")
    return sql.SQL(" AND t.ctid = ANY (ARRAY(SELECT ctid FROM {} ORDER BY ctid LIMIT {}))").format(
        table.rows, sql.Literal(rows)
    )


def _filled(items: list[Masked]) -> sql.Composable:
    return sql.SQL(" OR ").join(sql.SQL("{}::text NOT IN ('', '{{}}', '[]')").format(item.use.value) for item in items)


def _converted(rows: Iterable[Any], items: list[Masked], entities: Entities) -> Iterator[tuple[Any, ...]]:
    converters: list[tuple[Callable[..., Any], Masked]] = [
        (item.strategy.convert, item) for item in items if item.strategy.convert is not None
    ]
    for row, firm, *values in rows:
        try:
            new = [
                None if value is None else convert(value, item.use, entities, firm)
                for (convert, item), value in zip(converters, values, strict=True)
            ]
        except Exception as error:  # of a package's strategy; its message may hold the value
            columns = ", ".join(f"{item.use.column.path} ({item.strategy.name})" for item in items)
            raise OperationFailedError(
                f"A value of {columns} could not be converted ({type(error).__name__}). Everything was rolled back.",
                remedy="Correct the strategy; `invoke --debug anonymize` shows where, and may show the value.",
            ) from error
        if new != values:
            yield (row, *new)


def _converted_table(table: Table) -> sql.Identifier:
    return sql.Identifier(f"converted_{table.oid}")


def _dealt_table(item: Masked, table: Table) -> sql.Identifier:
    return sql.Identifier(f"dealt_{table.oid}_{_number(table, item)}")


def _place(table: Table, item: Masked) -> sql.Identifier:
    """Return the column of the temporary table; a name of its own, because a table may have columns of any name."""
    return sql.Identifier(f"value_{_number(table, item)}")


def _number(table: Table, item: Masked) -> int:
    return list(table.columns).index(item.name)
