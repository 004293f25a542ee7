"""Changes a table's columns in one statement; what Python must change is converted into a temporary table before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extras import execute_values

from legal_store.anonymize.catalog import Table
from legal_store.anonymize.entities import Entities
from legal_store.anonymize.planning import Masked, TablePlan
from legal_store.anonymize.refusals import REFUSALS, collision, explained, refusal
from legal_store.anonymize.rewriting import write_anew
from legal_store.anonymize.strategies import JSON

ROWS_AT_ONCE = 2000


class Sample(NamedTuple):
    """Some rows of a table before and after, column by column."""

    table: str
    columns: tuple[str, ...]
    before: tuple[tuple[Any, ...], ...]
    after: tuple[tuple[Any, ...], ...]


def mask(cursor: Any, planned: TablePlan, entities: Entities, again: list[sql.Composable]) -> int:
    """Change the rows of one table as planned, write it anew, and bring back what rested by the statements `again`.
    Returns the rows changed.

    Triggers must rest: times of change stay, logs that are append only can be changed, nothing counts twice. Raises
    OperationFailedError where the server refuses the new values.
    """
    with explained(planned):
        converted = _convert(cursor, planned, entities)
        cursor.execute(update_statement(planned, converted))
        changed = int(cursor.rowcount)
        write_anew(cursor, planned.table)
        for statement in again:
            cursor.execute(statement)
    return changed


def merging_keys(cursor: Any, planned: TablePlan) -> Iterator[str]:
    """Yield each plain unique key in which values that differ now are sure, or likely, to become equal."""
    chosen = {item.name: item for item in planned.masked}
    for key in planned.table.unique:
        masked = [chosen[name] for name in key.columns if name in chosen]
        relied = [item for item in masked if item.strategy.injective]
        if not relied or not key.is_plain or any(item.strategy.merged is None for item in relied):
            continue
        kept = [sql.Identifier("t", name) for name in key.columns if name not in chosen]
        merged = [item.strategy.merged(item.use) for item in relied if item.strategy.merged]
        cursor.execute(
            sql.SQL("SELECT FROM {} AS t WHERE ({}) IS NOT NULL GROUP BY {} HAVING count(*) > 1 LIMIT 1").format(
                planned.table.rows,
                sql.SQL("ROW({})").format(sql.SQL(", ").join(sql.Identifier("t", name) for name in key.columns)),
                sql.SQL(", ").join([*kept, *merged]),
            )
        )
        if cursor.fetchone() is not None:
            yield collision(planned, key)


def refused_rows(cursor: Any, planned: TablePlan, entities: Entities, rows: int = 1000) -> str:
    """Mask the first rows and take it back; return why the server refuses them, "" where it does not.

    What masking puts to rest must rest already.
    """
    try:
        with _taken_back(cursor):
            converted = _convert(cursor, planned, entities, rows)
            cursor.execute(update_statement(planned, converted, rows))
    except REFUSALS as error:
        return refusal(planned, error)
    return ""


def sample(cursor: Any, planned: TablePlan, entities: Entities, rows: int = 10) -> Sample:
    """Return the first rows of a table as they are and as they become. Changes nothing; see refused_rows()."""
    names = tuple(item.name for item in planned.masked)
    columns = sql.SQL(", ").join(map(_readable, planned.masked))
    before = sql.SQL("SELECT numbered.n, {} FROM {} AS t, {} WHERE t.ctid = numbered.row").format(
        columns, planned.table.rows, _sources(planned, None, rows)
    )
    with _taken_back(cursor):
        shown = [_in_order(cursor, before)]
        converted = _convert(cursor, planned, entities, rows)
        after = sql.SQL("{} RETURNING numbered.n, {}").format(update_statement(planned, converted, rows), columns)
        shown.append(_in_order(cursor, after))
    return Sample(planned.table.name, names, *shown)


def update_statement(planned: TablePlan, converted: str | None = None, rows: int | None = None) -> sql.Composable:
    """Return the one statement that changes the table, or its first `rows`; `converted` as in new_value()."""
    sets = [sql.SQL("{} = {}").format(sql.Identifier(item.name), new_value(item, converted)) for item in planned.masked]
    return sql.SQL("UPDATE {} AS t SET {} FROM {} WHERE t.ctid = numbered.row").format(
        planned.table.rows, sql.SQL(", ").join(sets), _sources(planned, converted, rows)
    )


def new_value(item: Masked, converted: str | None = None) -> sql.Composable:
    """Return the expression of a column's new value; NULL stays NULL.

    `converted` is the temporary table of the values that Python changed, in which rows that stay are not.
    """
    column = sql.Identifier("t", item.name)
    if item.strategy.expression is None:
        new = sql.Identifier("converted", item.name)
        return sql.SQL("CASE WHEN converted.row IS NULL THEN {} ELSE {} END").format(column, new)
    return sql.SQL("CASE WHEN {} IS NOT NULL THEN {} END").format(column, item.strategy.expression(item.use))


def converted_name(planned: TablePlan) -> str | None:
    """Return the name of the temporary table of converted values, None where Python changes no column."""
    return f"converted_{planned.table.oid}" if _by_python(planned) else None


def learn(cursor: Any, planned: TablePlan, entities: Entities) -> None:
    """Teach `entities` what the names of this table become, per firm."""
    for item in planned.masked:
        if item.strategy.expression is None or not item.names:
            continue
        query = sql.SQL("SELECT {}, {}, {} FROM {} AS t, {} WHERE t.ctid = numbered.row AND {} IS NOT NULL").format(
            _firm(planned.table),
            item.use.value,
            new_value(item),
            planned.table.rows,
            _sources(planned, None),
            item.use.value,
        )
        with explained(planned), cursor.connection.cursor(name="legal_store_learn") as named:
            named.itersize = ROWS_AT_ONCE
            named.execute(query)
            for firm, old, new in named:
                entities.add(firm, _phrases(old, new))


def _phrases(old: str, new: str) -> Iterator[tuple[str, str]]:
    from legal_store.anonymize.text import folded, words
    from legal_store.anonymize.traces import LEAST_WORD

    yield old, new
    yield from ((word, new) for word in words(folded(old)) if len(word) >= LEAST_WORD)


@contextmanager
def _taken_back(cursor: Any) -> Iterator[None]:
    cursor.execute("SAVEPOINT rehearsal")
    try:
        yield
    finally:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK TO rehearsal; RELEASE rehearsal")


def _in_order(cursor: Any, query: sql.Composable) -> tuple[tuple[Any, ...], ...]:
    """Return the rows of a query in the order of their first column, without it."""
    cursor.execute(query)
    return tuple(tuple(row[1:]) for row in sorted(cursor.fetchall(), key=itemgetter(0)))


def _sources(planned: TablePlan, converted: str | None, rows: int | None = None) -> sql.Composable:
    joins = [
        item.strategy.join(item.use, f"shuffled_{item.name}")
        for item in planned.masked
        if item.strategy.join is not None
    ]
    if converted:
        joins.append(
            sql.SQL("LEFT JOIN pg_temp.{} AS converted ON converted.row = numbered.row").format(
                sql.Identifier(converted)
            )
        )
    return sql.SQL(
        "(SELECT * FROM pg_temp.mask_key LIMIT 1) AS k CROSS JOIN"
        " (SELECT ctid AS row, row_number() OVER (ORDER BY {order}) AS n FROM {table}{first}) AS numbered {joins}"
    ).format(
        order=_order(planned.table),
        table=planned.table.rows,
        first=_first(planned.table, rows),
        joins=sql.SQL(" ").join(joins),
    )


def _order(table: Table) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, table.primary_key or ("ctid",)))


def _first(table: Table, rows: int | None) -> sql.Composable:
    """Return the end of a query that reads only the first rows."""
    return sql.SQL("") if rows is None else sql.SQL(" ORDER BY {} LIMIT {}").format(_order(table), sql.Literal(rows))


def _by_python(planned: TablePlan) -> list[Masked]:
    return [item for item in planned.masked if item.strategy.convert is not None]


def _convert(cursor: Any, planned: TablePlan, entities: Entities, first: int | None = None) -> str | None:
    """Put the values that Python changes into a temporary table; return its name, None where there is no such column.

    Rows that stay as they are (empty JSON, texts without a name) are not in it, and empty ones are not even read.
    """
    table = converted_name(planned)
    if table is None:
        return None
    items = _by_python(planned)
    columns = [sql.SQL("{} {}").format(sql.Identifier(i.name), sql.SQL(i.use.column.declared)) for i in items]
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE {} (row tid, {}) ON COMMIT DROP").format(
            sql.Identifier(table), sql.SQL(", ").join(columns)
        )
    )
    query = sql.SQL("SELECT t.masked_row, {}, {} FROM (SELECT *, ctid AS masked_row FROM {}{}) AS t WHERE {}").format(
        _firm(planned.table),
        sql.SQL(", ").join(map(_readable, items)),
        planned.table.rows,
        _first(planned.table, first),
        sql.SQL(" OR ").join(sql.SQL("{}::text NOT IN ('', '{{}}', '[]')").format(item.use.value) for item in items),
    )
    with cursor.connection.cursor(name="legal_store_convert") as named:
        named.itersize = ROWS_AT_ONCE
        named.execute(query)
        while rows := named.fetchmany(ROWS_AT_ONCE):
            if changed := list(_converted(rows, items, entities)):
                insert = sql.SQL("INSERT INTO pg_temp.{} VALUES %s").format(sql.Identifier(table))
                execute_values(cursor, insert.as_string(cursor), changed)
    cursor.execute(sql.SQL("ANALYZE pg_temp.{}").format(sql.Identifier(table)))
    return table


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


def _readable(item: Masked) -> sql.Composable:
    """Return the expression of a value for Python; JSON as its text, because the driver reads numbers as floats."""
    return sql.SQL("{}::text").format(item.use.value) if item.use.column.kind in JSON else item.use.value


def _firm(table: Table) -> sql.Composable:
    for column in ("firm_id", "id"):
        if column in table.columns and (column == "firm_id" or table.name == "firms"):
            return sql.Identifier("t", column)
    return sql.SQL("NULL")
