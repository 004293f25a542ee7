"""What a report says of the data before and after: figures of masked columns, kept ones unchanged, smallest groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from psycopg2 import sql

from legal_store.anonymize.catalog import Column
from legal_store.anonymize.planning import Plan, TablePlan
from legal_store.errors import OperationFailedError

# whose values are looked at as text; of others (vectors, numbers) only their number is told
_TEXTS = ("text", "char", "citext", "json", "uuid")
_QUANTILES = (0, 0.25, 0.5, 0.75, 1)

Lengths = tuple[int, ...]


class Figures(NamedTuple):
    """One masked column, before and after: values that are there, characters, different values, and the lengths
    (shortest, quartiles, longest). None for what is no text."""

    column: str
    strategy: str
    values: tuple[int, int]
    characters: tuple[int, int] | None
    different: tuple[int, int] | None
    lengths: tuple[Lengths, Lengths] | None


class Distribution(NamedTuple):
    """How often a kept column of few values has each of them, before and after."""

    column: str
    before: dict[str, int]
    after: dict[str, int]


class Anonymity(NamedTuple):
    """The groups of rows of a table that agree in all of `columns`: `k` rows in the smallest, `alone` in one of one."""

    table: str
    columns: tuple[str, ...]
    k: int
    groups: int
    alone: int


class Measures(NamedTuple):
    """The data at one moment; `kept` is a digest of all kept columns, by table."""

    figures: dict[str, tuple[Any, ...]]
    counts: dict[str, dict[str, int]]
    kept: dict[str, str]


def measure(cursor: Any, planned: Plan) -> Measures:
    """Return the measures of every table that will change, or has. Reads each of them once."""
    found = Measures({}, {}, {})
    for item in planned.changing:
        masked = [column.use.column for column in item.masked]
        kept = list(_kept(item))
        parts = [part for place, column in enumerate(masked) for part in _parts(column, place)]
        cursor.execute(_select([*parts, sql.SQL("coalesce(sum(digest), 0)::text")], item, masked, kept))
        row = list(cursor.fetchone())
        for column in masked:
            size = len(_parts(column, 0))
            found.figures[column.path], row = tuple(row[:size]), row[size:]
        found.kept[item.table.name] = row[0]
        for column in kept:
            if column.enumerated or column.kind == "boolean":
                found.counts[column.path] = _counts(cursor, item, column)
    return found


def figures(before: Measures, after: Measures, planned: Plan) -> tuple[Figures, ...]:
    """Return the figures of each masked column."""
    strategies = {item.use.column.path: item.strategy.name for table in planned.changing for item in table.masked}
    return tuple(
        Figures(path, strategies[path], *_pairs(before.figures[path], after.figures[path])) for path in before.figures
    )


def distributions(before: Measures, after: Measures) -> tuple[Distribution, ...]:
    """Return the distribution of each kept column that has a few listed values."""
    return tuple(Distribution(path, before.counts[path], after.counts[path]) for path in before.counts)


def refuse_changed(before: Measures, after: Measures) -> None:
    """Raise OperationFailedError where a kept column is not what it was."""
    changed = sorted(table for table, digest in before.kept.items() if after.kept[table] != digest)
    if changed:
        raise OperationFailedError(
            f"Columns that are to be kept were changed in: {', '.join(changed)}. Everything was rolled back.",
            remedy="Report this: masking changes the listed columns only.",
        )


def anonymity(cursor: Any, planned: Plan) -> tuple[Anonymity, ...]:
    """Return the smallest groups by the quasi-identifiers that the rules name."""
    found = []
    rows = {item.table.name: item.table.rows for item in planned.tables}
    for table, columns in planned.rules.proof.quasi_identifiers.items():
        cursor.execute(
            sql.SQL(
                "SELECT coalesce(min(n), 0), count(*), count(*) FILTER (WHERE n = 1)"
                " FROM (SELECT count(*) AS n FROM {} GROUP BY {}) AS g"
            ).format(rows[table], sql.SQL(", ").join(map(sql.Identifier, columns)))
        )
        found.append(Anonymity(table, columns, *map(int, cursor.fetchone())))
    return tuple(found)


def _kept(item: TablePlan) -> Iterator[Column]:
    masked = {column.name for column in item.masked}
    return (c for c in item.table.columns.values() if c.name not in masked and not c.generated)


def _parts(column: Column, place: int) -> list[sql.Composable]:
    parts = ["count({length})"]
    if column.kind.startswith(_TEXTS):
        quantiles = ", ".join(map(str, _QUANTILES))
        parts += [
            "coalesce(sum({length}), 0)::bigint",
            "count(DISTINCT {hash})",
            f"percentile_disc(ARRAY[{quantiles}]) WITHIN GROUP (ORDER BY {{length}})",
        ]
    names = {"length": sql.Identifier(f"length_{place}"), "hash": sql.Identifier(f"hash_{place}")}
    return [sql.SQL(part).format(**names) for part in parts]


def _pairs(before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[Any]:
    yield before[0], after[0]
    if len(before) == 1:
        yield from (None, None, None)
        return
    yield before[1], after[1]
    yield before[2], after[2]
    yield tuple(before[3] or ()), tuple(after[3] or ())


def _counts(cursor: Any, item: TablePlan, column: Column) -> dict[str, int]:
    cursor.execute(
        sql.SQL("SELECT coalesce({c}::text, 'NULL'), count(*) FROM {t} GROUP BY 1 ORDER BY 2 DESC, 1").format(
            c=sql.Identifier(column.name), t=item.table.rows
        )
    )
    return dict(cursor.fetchall())


def _select(parts: list[sql.Composable], item: TablePlan, masked: list[Column], kept: list[Column]) -> sql.Composable:
    """Return the query of `parts`, over a subquery that looks into each value once: long ones are costly to fetch."""
    values = [sql.SQL("hashtextextended(ROW({})::text, 0) AS digest").format(_names(kept))]
    for place, column in enumerate(masked):
        text = column.kind.startswith(_TEXTS)
        values.append(
            sql.SQL("length({c}::text) AS {l}, hashtextextended({c}::text, 0) AS {h}" if text else "{c} AS {l}").format(
                c=sql.Identifier(column.name),
                l=sql.Identifier(f"length_{place}"),
                h=sql.Identifier(f"hash_{place}"),
            )
        )
    return sql.SQL("SELECT {} FROM (SELECT {} FROM {} OFFSET 0) AS t").format(
        sql.SQL(", ").join(parts), sql.SQL(", ").join(values), item.table.rows
    )


def _names(columns: list[Column]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
