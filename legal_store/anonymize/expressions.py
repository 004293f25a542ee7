"""The SQL expressions of the built-in strategies: what becomes of a value, set-based.

An expression may use the row as `t`, the key's two pads as `k.inner_pad` and `k.outer_pad`, and ROW_NUMBER, the row's
number in its table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from psycopg2 import sql

from legal_store.anonymize.catalog import Table
from legal_store.anonymize.key import ROW_NUMBER
from legal_store.anonymize.strategy import INTEGERS, Use
from legal_store.anonymize.vocabulary import LOREM

HEX_DIGITS = 24  # 96 bits: ten million values meet with a probability below 1e-15


def keyed(domain: str, text: sql.Composable) -> sql.Composable:
    """Return HMAC-SHA256 (RFC 2104) of `text` under the run's key, as an expression of core PostgreSQL.

    `domain` keeps concepts apart: the same text as a name and as an address gets unrelated results.
    """
    return sql.SQL(
        "sha256(k.outer_pad || sha256(k.inner_pad || convert_to({} || chr(31) || ({})::text, 'UTF8')))"
    ).format(sql.Literal(domain), text)


def keyed_number(domain: str, text: sql.Composable) -> sql.Composable:
    """Return the first 32 bits of keyed() as a bigint."""
    return sql.SQL("('x' || left(encode({}, 'hex'), 8))::bit(32)::bigint").format(keyed(domain, text))


def keyed_hex(use: Use, default: str, digits: int = HEX_DIGITS) -> sql.Composable:
    domain = use.options.get("concept") or default
    return sql.SQL("left(encode({}, 'hex'), {})").format(keyed(domain, use.value), sql.Literal(digits))


def numbered(use: Use) -> sql.Composable:
    before, after = use.options["format"].split("{n}", 1) if "{n}" in use.options["format"] else ("", "")
    return sql.SQL("{} || {} || {}").format(sql.Literal(before), ROW_NUMBER, sql.Literal(after))


def constant(use: Use) -> sql.Composable:
    return sql.SQL("{}::" + use.column.declared).format(sql.Literal(str(use.options["value"])))


def keyed_uuid(use: Use) -> sql.Composable:
    return sql.SQL("overlay(overlay({} placing '4' from 13) placing '8' from 17)::uuid").format(
        keyed_hex(use, "uuid", digits=32)
    )


def lorem(use: Use) -> sql.Composable:
    # the value's length is asked once, because that fetches and decompresses a long text; the filler is cut as bytes,
    # because rpad() and left() walk through it character by character
    return sql.SQL(
        "(SELECT convert_from(substr(convert_to(repeat({lorem}, 1 + n / {size}), 'UTF8'), 1, n), 'UTF8')"
        " FROM (SELECT length({value}) AS n OFFSET 0) AS l)"
    ).format(lorem=sql.Literal(LOREM), size=sql.Literal(len(LOREM)), value=use.value)


def pick(pool: Callable[[dict[str, Any]], tuple[str, ...]], domain: str) -> Callable[[Use], sql.Composable]:
    def expression(use: Use) -> sql.Composable:
        items = pool(use.options)
        return sql.SQL("({}::text[])[1 + {} % {}]").format(
            sql.Literal(list(items)), keyed_number(domain, use.value), sql.Literal(len(items))
        )

    return expression


def digits(use: Use) -> sql.Composable:
    permuted = sql.SQL("pg_temp.permuted_digits({}, {}::text, k.inner_pad, k.outer_pad)").format(
        sql.Literal(use.options["concept"]), use.value
    )
    # each word's letters are moved by what follows from the digits, so that equal digits keep different words apart
    only_digits = sql.SQL(r"regexp_replace({}, '\D', '', 'g')").format(use.value)
    return sql.SQL(
        r"CASE WHEN {v} ~ '\d' AND {v} ~ '[[:alpha:]]{{3}}' THEN pg_temp.permuted_words({p}, {k}) ELSE {p} END"
    ).format(v=use.value, p=permuted, k=keyed("words", only_digits))


def digits_merged(use: Use) -> sql.Composable:
    # what holds no digit becomes as many characters of a digest, and few of them may be the same
    return sql.SQL(r"CASE WHEN {v} ~ '\d' OR length({v}) > 11 THEN {v} ELSE 'without, ' || length({v}) END").format(
        v=use.value
    )


def permuted_number(use: Use) -> sql.Composable:
    size = {"smallint": 2**15, "integer": 2**31, "bigint": 2**62}[use.column.kind]
    return sql.SQL("pg_temp.permuted({}, {}::bigint, {}, k.inner_pad, k.outer_pad)::" + use.column.kind).format(
        sql.Literal(use.options["concept"]), use.value, sql.Literal(size)
    )


def noise(use: Use) -> sql.Composable:
    scale = re.search(r"numeric\(\d+,(\d+)\)", use.column.declared)
    digits = int(scale.group(1)) if scale else 0 if use.column.kind in INTEGERS else 6
    return sql.SQL("round(({v} * (1 + {ratio} * (({h} % 20001) / 10000.0 - 1)))::numeric, {digits})::{kind}").format(
        v=use.value,
        ratio=sql.Literal(use.options["ratio"]),
        h=keyed_number("noise", use.value),
        digits=sql.Literal(digits),
        kind=sql.SQL(use.column.kind),
    )


def date_shift(use: Use) -> sql.Composable:
    days = int(use.options["days"])
    return sql.SQL("({v} + ({h} % {span} - {days})::int * {unit})::{kind}").format(
        v=use.value,
        h=keyed_number("date", sql.Identifier("t", use.options["per"])),
        span=sql.Literal(2 * days + 1),
        days=sql.Literal(days),
        unit=sql.SQL("1") if use.column.kind == "date" else sql.SQL("interval '1 day'"),
        kind=sql.SQL(use.column.kind),
    )


_PLAIN = (
    r"^([A-Za-z_]{1,40}|-?\d{1,12}(\.\d{1,6})?|\d{4}-\d\d-\d\d([ T][\d:.+]{2,24}Z?)?"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
)


def _is_plain(use: Use) -> sql.Composable:
    """Return the condition under which a logged value stays: its field may, and it looks like what such fields hold."""
    return sql.SQL("coalesce({field} = ANY ({keep}::text[]) AND {value} ~ {plain}, false)").format(
        field=sql.Identifier("t", use.options["field"]),
        keep=sql.Literal(list(use.options["keep"])),
        value=use.value,
        plain=sql.Literal(_PLAIN),
    )


def logged(use: Use) -> sql.Composable:
    return sql.SQL("CASE WHEN {} THEN {} ELSE '[redacted]' END").format(_is_plain(use), use.value)


def logged_traces(use: Use) -> tuple[tuple[sql.Composable, bool], ...]:
    names = sql.SQL("coalesce({} = ANY ({}::text[]), false)").format(
        sql.Identifier("t", use.options["field"]), sql.Literal(list(use.options["people"]))
    )
    gone = sql.SQL("CASE WHEN NOT {} AND {} THEN {} END")
    return (
        (gone.format(_is_plain(use), names, use.value), True),
        (gone.format(_is_plain(use), sql.SQL("NOT {}").format(names), use.value), False),
    )


def shuffle(use: Use, table: Table) -> sql.Composable:
    # only rows that have a value take part, so that what is NULL stays NULL and the set of values is the same
    return sql.SQL(
        "SELECT row, value FROM"
        " (SELECT ctid AS row, row_number() OVER (ORDER BY random()) AS n FROM {t} WHERE {c} IS NOT NULL) AS takers"
        " JOIN"
        " (SELECT {c} AS value, row_number() OVER (ORDER BY random()) AS n FROM {t} WHERE {c} IS NOT NULL) AS givers"
        " USING (n)"
    ).format(t=table.rows, c=sql.Identifier(use.column.name))


def extension(use: Use) -> sql.Composable:
    return sql.SQL(r"coalesce(lower(substring({} from '(\.[A-Za-z0-9]{{1,5}})(?:[?#].*)?$')), '')").format(use.value)


def vector(use: Use) -> sql.Composable:
    dimensions = re.search(r"\((\d+)\)", use.column.declared)
    return sql.SQL(
        "(SELECT array_agg(random() - 0.5) FROM generate_series(1, {}) WHERE t.ctid IS NOT NULL)::{}"
    ).format(sql.Literal(int(dimensions.group(1)) if dimensions else 1), sql.SQL(use.column.kind))
