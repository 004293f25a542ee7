"""Changes a table's columns in one statement, and writes the table anew, so that its old rows are nowhere any more.

An UPDATE leaves the old rows in the file, CLUSTER and VACUUM FULL carry rows that this transaction deleted along, but
an ALTER TABLE that computes a column anew copies only what is visible. Indexes that no constraint needs are dropped
before and built in bulk afterwards, so that the UPDATE does not maintain what is built anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extras import Json, execute_values

from legal_store.anonymize.catalog import Table
from legal_store.anonymize.entities import Entities
from legal_store.anonymize.planning import Masked, TablePlan

ROWS_AT_ONCE = 2000
JSON_KINDS = ("json", "jsonb")
_TRIGGER_STATES = {"O": "ENABLE TRIGGER", "R": "ENABLE REPLICA TRIGGER", "A": "ENABLE ALWAYS TRIGGER"}


class Sample(NamedTuple):
    """Some rows of a table before and after, column by column."""

    table: str
    columns: tuple[str, ...]
    before: tuple[tuple[Any, ...], ...]
    after: tuple[tuple[Any, ...], ...]


def mask(cursor: Any, planned: TablePlan, entities: Entities) -> int:
    """Change the rows of one table as planned, write it and its indexes anew, ANALYZE it. Returns the rows changed.

    Triggers rest meanwhile: times of change stay, logs that are append only can be changed, nothing counts twice.
    """
    converted = _convert(cursor, planned, entities)
    triggers = _triggers_off(cursor, planned.table)
    indexes = _drop_indexes(cursor, planned.table)
    cursor.execute(update_statement(planned, converted))
    changed = int(cursor.rowcount)
    _write_anew(cursor, planned.table)
    for statement in (*indexes, *triggers):
        cursor.execute(statement)
    cursor.execute(sql.SQL("ANALYZE {}").format(_name(planned.table)))
    return changed


def update_statement(planned: TablePlan, converted: str | None = None) -> sql.Composable:
    """Return the one statement that changes the table; `converted` is the temporary table of converted values."""
    sets = [sql.SQL("{} = {}").format(sql.Identifier(item.name), new_value(item, converted)) for item in planned.masked]
    return sql.SQL("UPDATE {} AS t SET {} FROM {} WHERE t.ctid = numbered.row").format(
        _name(planned.table), sql.SQL(", ").join(sets), _sources(planned, converted)
    )


def new_value(item: Masked, converted: str | None = None) -> sql.Composable:
    """Return the expression of a column's new value; NULL stays NULL."""
    column = sql.Identifier("t", item.name)
    if item.strategy.expression is None:
        if converted is None:
            return column
        stays = sql.SQL("converted.row IS NULL")
        if item.use.column.kind in JSON_KINDS:  # the driver reads JSON's own null as it reads NULL
            stays = sql.SQL("{} OR {}::text = 'null'").format(stays, column)
        return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(stays, column, sql.Identifier("converted", item.name))
    return sql.SQL("CASE WHEN {} IS NOT NULL THEN {} END").format(column, item.strategy.expression(item.use))


def learn(cursor: Any, planned: TablePlan, entities: Entities) -> None:
    """Teach `entities` what the names of this table become, per firm."""
    for item in planned.masked:
        if item.strategy.expression is None or not item.names:
            continue
        query = sql.SQL("SELECT {}, {}, {} FROM {} AS t, {} WHERE t.ctid = numbered.row AND {} IS NOT NULL").format(
            _firm(planned.table),
            item.use.value,
            new_value(item),
            _name(planned.table),
            _sources(planned, None),
            item.use.value,
        )
        with cursor.connection.cursor(name="legal_store_learn") as named:
            named.itersize = ROWS_AT_ONCE
            named.execute(query)
            for firm, old, new in named:
                entities.add(firm, _phrases(old, new))


def sample(cursor: Any, planned: TablePlan, entities: Entities, rows: int = 10) -> Sample:
    """Return the first rows of a table as they are and as they would become. Changes nothing."""
    names = tuple(item.name for item in planned.masked)
    query = sql.SQL(
        "SELECT {}, {}, {} FROM {} AS t, {} WHERE t.ctid = numbered.row ORDER BY numbered.n LIMIT {}"
    ).format(
        _firm(planned.table),
        sql.SQL(", ").join(item.use.value for item in planned.masked),
        sql.SQL(", ").join(new_value(item) for item in planned.masked),
        _name(planned.table),
        _sources(planned, None),
        sql.Literal(rows),
    )
    cursor.execute(query)
    before, after = [], []
    for firm, *values in cursor.fetchall():
        old, new = values[: len(names)], values[len(names) :]
        before.append(tuple(old))
        after.append(
            tuple(
                item.strategy.convert(value, item.use, entities, firm)
                if item.strategy.convert and value is not None
                else value
                for item, value in zip(planned.masked, new, strict=True)
            )
        )
    return Sample(planned.table.name, names, tuple(before), tuple(after))


def broken_checks(cursor: Any, planned: TablePlan, rows: int = 1000) -> list[str]:
    """Return which CHECKs the new values of the first rows would break. Changes nothing."""
    chosen = {item.name: item for item in planned.masked if item.strategy.expression is not None}
    checks = [check for check in planned.table.checks if not chosen.keys().isdisjoint(check.columns)]
    if not checks:
        return []
    columns = sql.SQL(", ").join(
        sql.SQL("({})::{} AS {}").format(
            new_value(chosen[name]) if name in chosen else sql.Identifier("t", name),
            sql.SQL(column.declared),
            sql.Identifier(name),
        )
        for name, column in planned.table.columns.items()
        if not column.generated
    )
    conditions = [check.definition.removeprefix("CHECK ").removesuffix(" NOT VALID") for check in checks]
    cursor.execute(
        sql.SQL("SELECT {} FROM (SELECT {} FROM {} AS t, {} WHERE t.ctid = numbered.row LIMIT {}) AS t").format(
            sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE NOT (" + c + "))") for c in conditions),
            columns,
            _name(planned.table),
            _sources(planned, None),
            sql.Literal(rows),
        )
    )
    return [
        f"{planned.table.name}: the new values break {check.name} ({check.definition})"
        for check, count in zip(checks, cursor.fetchone(), strict=True)
        if count
    ]


def _phrases(old: str, new: str) -> Iterator[tuple[str, str]]:
    from legal_store.anonymize.text import folded, words
    from legal_store.anonymize.traces import LEAST_WORD

    yield old, new
    yield from ((word, new) for word in words(folded(old)) if len(word) >= LEAST_WORD)


def _sources(planned: TablePlan, converted: str | None) -> sql.Composable:
    table = planned.table
    order = table.primary_key or ("ctid",)
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
        " (SELECT ctid AS row, row_number() OVER (ORDER BY {}) AS n FROM {}) AS numbered {}"
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, order)),
        _name(table),
        sql.SQL(" ").join(joins),
    )


def _convert(cursor: Any, planned: TablePlan, entities: Entities) -> str | None:
    """Put the values that Python changes into a temporary table; return its name, None where there is no such column.

    Rows that stay as they are (empty JSON, texts without a name) are not in it, and empty ones are not even read.
    """
    items = [item for item in planned.masked if item.strategy.convert is not None]
    if not items:
        return None
    table = f"converted_{planned.table.oid}"
    columns = [sql.SQL("{} {}").format(sql.Identifier(i.name), sql.SQL(i.use.column.declared)) for i in items]
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE {} (row tid, {}) ON COMMIT DROP").format(
            sql.Identifier(table), sql.SQL(", ").join(columns)
        )
    )
    query = sql.SQL("SELECT t.ctid, {}, {} FROM {} AS t WHERE {}").format(
        _firm(planned.table),
        sql.SQL(", ").join(item.use.value for item in items),
        _name(planned.table),
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
            yield (row, *map(_adapted, new, items))


def _adapted(value: Any, item: Masked) -> Any:
    return Json(value) if value is not None and item.use.column.kind in JSON_KINDS else value


def _firm(table: Table) -> sql.Composable:
    for column in ("firm_id", "id"):
        if column in table.columns and (column == "firm_id" or table.name == "firms"):
            return sql.Identifier("t", column)
    return sql.SQL("NULL")


def _triggers_off(cursor: Any, table: Table) -> list[sql.Composable]:
    """Switch the table's triggers off; return the statements that put each back into the state it was in."""
    cursor.execute(
        "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal AND tgenabled <> 'D'",
        (table.oid,),
    )
    states = cursor.fetchall()
    cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(_name(table)))
    return [
        sql.SQL("ALTER TABLE {} {} {}").format(_name(table), sql.SQL(_TRIGGER_STATES[state]), sql.Identifier(name))
        for name, state in states
    ]


def _drop_indexes(cursor: Any, table: Table) -> list[sql.Composable]:
    """Drop the indexes that nothing depends on; return the statements that make them again, comments included."""
    cursor.execute(
        "SELECT n.nspname, c.relname, pg_get_indexdef(c.oid), obj_description(c.oid, 'pg_class')"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE i.indrelid = %s AND i.indisvalid AND NOT i.indisreplident AND NOT i.indisclustered"
        " AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)"
        " AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0)",
        (table.oid,),
    )
    again: list[sql.Composable] = []
    for schema, name, definition, comment in cursor.fetchall():
        index = sql.Identifier(schema, name)
        cursor.execute(sql.SQL("DROP INDEX {}").format(index))
        again.append(sql.SQL(definition))
        if comment is not None:
            again.append(sql.SQL("COMMENT ON INDEX {} IS {}").format(index, sql.Literal(comment)))
    return again


def _write_anew(cursor: Any, table: Table) -> None:
    """Make PostgreSQL copy the visible rows of the table, and no others, into a new file."""
    cursor.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
        " WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
        " AND a.attidentity = '' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass"
        " AND d.refobjid = %(table)s AND d.refobjsubid = a.attnum)"
        " AND (a.attcollation = 0 OR a.attcollation = (SELECT typcollation FROM pg_type WHERE oid = a.atttypid))"
        " ORDER BY a.attlen < 0, a.attnum LIMIT 1",
        {"table": table.oid},
    )
    free = cursor.fetchone()
    if free is not None:
        column, declared = free
        # the server would see through a plain reference and copy nothing
        cursor.execute(
            sql.SQL("ALTER TABLE {t} ALTER COLUMN {c} TYPE {kind} USING coalesce({c}, {c})").format(
                t=_name(table), c=sql.Identifier(column), kind=sql.SQL(declared)
            )
        )
        return
    temporary = sql.Identifier("legal_store_rewrite")
    cursor.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {} boolean DEFAULT random() < 2").format(_name(table), temporary))
    cursor.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(_name(table), temporary))


def _name(table: Table) -> sql.Identifier:
    return sql.Identifier(*table.identifier)
