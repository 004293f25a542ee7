"""Reads what will be masked, before it is, and leaves traces of it in memory (see traces.py)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from psycopg2 import sql

from legal_store.anonymize.catalog import Column, Table
from legal_store.anonymize.planning import Masked, Plan, TablePlan
from legal_store.anonymize.structures import leaves
from legal_store.anonymize.text import each_word, folded, squashed
from legal_store.anonymize.traces import SENTENCE, Traces

_ORDINARY = "redacted lorem ipsum cabinet individual avocat avocati notar notariat executor birou"
_NUMBERS = ("integer", "bigint", "numeric")


def collect(cursor: Any, plan: Plan, *, progress: Callable[[str], None] = lambda what: None) -> Traces:
    """Return the traces of every value that `plan` will change, read through `cursor`'s connection."""
    ordinary = [*_own_words(plan, from_pool=False), *plan.rules.proof.ordinary_words]
    traces = Traces(ordinary, _own_words(plan, from_pool=True), _product(cursor, plan))
    for planned in plan.changing:
        progress(planned.table.name)
        if parts := [part for item in planned.masked if _is_traced(item) for part in _parts(traces, item)]:
            _collect(cursor, traces, planned.table, parts)
    return traces


class _Part(NamedTuple):
    """What of a column leaves traces, whether it is names, and what takes it up."""

    value: sql.Composable
    names: bool
    take: Callable[[str], None]


def _parts(traces: Traces, item: Masked) -> Iterator[_Part]:
    column = item.use.column
    shape = "to_json({})" if column.kind.endswith("[]") else "{}"
    whole = ((sql.SQL(shape).format(item.use.value), item.names),)
    for value, names in item.strategy.traces(item.use) if item.strategy.traces else whole:
        yield _Part(value, names, _taker(traces, item, names))


def _collect(cursor: Any, traces: Traces, table: Table, parts: list[_Part]) -> None:
    names = [place for place, part in enumerate(parts) if part.names]
    for row in rows(cursor.connection, _select(table, [part.value for part in parts])):
        for part, value in zip(parts, row, strict=True):
            if value:
                part.take(value)
        if len(names) > 1:
            traces.add_row([row[place] for place in names], table.name)


def rows(connection: Any, query: sql.Composable) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `query` without holding them all in memory."""
    with connection.cursor(name="legal_store_anonymize") as named:
        named.itersize = 2000
        named.execute(query)
        yield from named


def _own_words(plan: Plan, *, from_pool: bool) -> Iterator[str]:
    """Yield what masks are made of, and the values of enumerations; or what they are dealt from: real names as well."""
    for planned in plan.tables:
        for item in planned.masked:
            if item.strategy.pool == from_pool:
                yield item.strategy.words(item.use.options)
        for check in () if from_pool else planned.table.checks:
            yield from re.findall(r"'([^']*)'", check.definition)
    if not from_pool:
        yield _ORDINARY


def _product(cursor: Any, plan: Plan) -> frozenset[str]:
    """Return the sentences that are whole kept values of tables of no firm, squashed: titles of the product's texts."""
    return frozenset(
        squashed(plain)
        for planned in plan.tables
        if not planned.table.of_a_firm
        for column in _kept_texts(planned)
        for (value,) in rows(cursor.connection, _select(planned.table, [sql.Identifier(column.name)]))
        if value and len(list(each_word(plain := folded(value)))) >= SENTENCE
    )


def _kept_texts(planned: TablePlan) -> Iterator[Column]:
    masked = {item.name for item in planned.masked}
    for column in planned.table.columns.values():
        if column.kind in ("text", "character varying", "citext") and column.name not in masked:
            yield column


def _is_traced(item: Masked) -> bool:
    column = item.use.column
    numbers = column.kind in _NUMBERS and item.strategy.name != "noise"
    return not item.strategy.keeps_values and (column.holds_text or numbers)


def _taker(traces: Traces, item: Masked, names: bool) -> Callable[[str], None]:
    kind, source = item.use.column.kind, item.use.column.path
    if kind.startswith("json") or kind.endswith("[]"):
        return lambda text: _take_leaves(traces, text, item)
    if item.strategy.name == "free_text":
        return lambda text: traces.add_personal(text, source)
    by_kind: dict[str, Callable[[str, str], None]] = {
        "uuid": traces.add_exact,
        "inet": traces.add_address,
        "cidr": traces.add_address,
        "bytea": traces.add_bytes,
        **dict.fromkeys(_NUMBERS, traces.add_number),
    }
    if kind in by_kind:
        return lambda text: by_kind[kind](text, source)
    return lambda text: traces.add(text, source, names=names)


def _take_leaves(traces: Traces, text: str, item: Masked) -> None:
    """Take up what is in JSON, or in an array that was made JSON, each leaf as its rule says."""
    options = item.use.options
    rules = options.get("paths") or {"*": options.get("items", "redact")}
    try:
        found = list(leaves(json.loads(text, parse_int=str), rules))
    except RecursionError:  # masked as a whole, too
        found = [("redact", text)]
    for rule, leaf in found:
        if rule == "free_text":
            traces.add_personal(leaf, item.use.column.path)
        elif rule != "keep":
            traces.add(leaf, item.use.column.path)


def _select(table: Table, values: list[sql.Composable]) -> sql.Composable:
    return sql.SQL("SELECT {} FROM {} AS t").format(
        sql.SQL(", ").join(sql.SQL("({})::text").format(value) for value in values), table.rows
    )
