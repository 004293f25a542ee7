"""Changes a table's columns in one statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, NamedTuple

from psycopg2 import sql

from legal_store.anonymize.beforehand import (
    ROWS_AT_ONCE,
    convert,
    converted,
    deal,
    dealt,
    firm_of,
    first_rows,
    readable,
)
from legal_store.anonymize.catalog import Table
from legal_store.anonymize.entities import Entities
from legal_store.anonymize.key import COUNT_FROM_ONE, NEXT_ROW_NUMBER, ROW_NUMBER
from legal_store.anonymize.planning import Masked, TablePlan
from legal_store.anonymize.refusals import REFUSALS, collision, explained, refusal
from legal_store.anonymize.rewriting import write_anew

_KEY = sql.SQL("(SELECT * FROM pg_temp.mask_key LIMIT 1) AS k")
_NOTHING = sql.SQL("")


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
        changed = _update(cursor, planned, entities)
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
            _update(cursor, planned, entities, rows)
    except REFUSALS as error:
        return refusal(planned, error)
    return ""


def sample(cursor: Any, planned: TablePlan, entities: Entities, rows: int = 10) -> Sample:
    """Return the first rows of a table as they are and as they become. Changes nothing; see refused_rows()."""
    names = tuple(item.name for item in planned.masked)
    columns = sql.SQL(", ").join(map(readable, planned.masked))
    before = sql.SQL("SELECT {} FROM {} AS t ORDER BY t.ctid LIMIT {}").format(
        columns, planned.table.rows, sql.Literal(rows)
    )
    after = sql.SQL(" RETURNING {}, {}").format(ROW_NUMBER, columns)
    with _taken_back(cursor):
        cursor.execute(before)
        shown = [tuple(cursor.fetchall())]
        _update(cursor, planned, entities, rows, after)
        shown.append(tuple(tuple(row[1:]) for row in sorted(cursor.fetchall(), key=itemgetter(0))))
    return Sample(planned.table.name, names, *shown)


def update_statement(planned: TablePlan, rows: int | None = None, *, with_converted: bool = True) -> sql.Composable:
    """Return the one statement that changes the table, or its first `rows`; without the columns that Python converts,
    where it changed no value of them."""
    sets = [
        sql.SQL("{} = {}").format(sql.Identifier(item.name), new_value(item, planned.table))
        for item in planned.masked
        if with_converted or item.strategy.convert is None
    ]
    return sql.SQL("UPDATE {} AS t SET {} FROM {} WHERE {}").format(
        planned.table.rows, sql.SQL(", ").join(sets), _KEY, _numbered(planned.table, rows)
    )


def new_value(item: Masked, table: Table) -> sql.Composable:
    """Return the expression of a column's new value; NULL stays NULL."""
    strategy = item.strategy
    if strategy.expression is not None:
        value = strategy.expression(item.use)
        return sql.SQL("CASE WHEN {} IS NOT NULL THEN {} END").format(item.use.value, value)
    return dealt(item, table) if strategy.deal is not None else converted(item, table)


def new_names(cursor: Any, planned: TablePlan) -> Iterator[tuple[object, str, str]]:
    """Yield firm, name and what it becomes for each name in the table, and for each word of it."""
    table = planned.table
    for item in planned.masked:
        if item.strategy.expression is None or not item.names:
            continue
        # rows without a value are counted, too, so that each has the number that it gets when the table is masked
        query = sql.SQL("SELECT {}, {}, {} FROM {} AS t, {} WHERE {}").format(
            firm_of(table), item.use.value, new_value(item, table), table.rows, _KEY, _numbered(table)
        )
        cursor.execute(COUNT_FROM_ONE)
        with explained(planned), cursor.connection.cursor(name="legal_store_names") as named:
            named.itersize = ROWS_AT_ONCE
            named.execute(query)
            for firm, old, new in named:
                if old is not None:
                    yield from ((firm, phrase, new) for phrase in _phrases(old))


def _phrases(name: str) -> Iterator[str]:
    from legal_store.anonymize.text import folded, words
    from legal_store.anonymize.traces import LEAST_WORD

    yield name
    yield from (word for word in words(folded(name)) if len(word) >= LEAST_WORD)


def _update(
    cursor: Any, planned: TablePlan, entities: Entities, rows: int | None = None, returning: sql.Composable = _NOTHING
) -> int:
    """Change the table, or its first `rows`; return how many rows were changed."""
    deal(cursor, planned)
    any_converted = convert(cursor, planned, entities, rows)
    if not any_converted and len(planned.by_python) == len(planned.masked):
        return 0
    cursor.execute(COUNT_FROM_ONE)
    cursor.execute(update_statement(planned, rows, with_converted=any_converted) + returning)
    return int(cursor.rowcount)


@contextmanager
def _taken_back(cursor: Any) -> Iterator[None]:
    cursor.execute("SAVEPOINT rehearsal")
    try:
        yield
    finally:
        if not cursor.connection.closed:
            cursor.execute("ROLLBACK TO rehearsal; RELEASE rehearsal")


def _numbered(table: Table, rows: int | None = None) -> sql.Composable:
    """Return the condition under which a row, or one of the first, is changed. It counts the rows that it sees, in the
    order of the table's file, and ROW_NUMBER is the count."""
    return sql.SQL("{} > 0{}").format(NEXT_ROW_NUMBER, first_rows(table, rows))
