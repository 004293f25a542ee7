"""Decides whether a statement can leave anything behind in the session that runs it. Reads text; runs nothing.

A session in which only traceless statements ran needs no reset before the next borrower gets it. The list is of what
is known to be harmless, and everything else counts as a trace: that costs a round trip and never a leak.

Two things are taken for granted: that functions called implicitly (by triggers, views, operators, column defaults)
keep the session as it is, and that nobody shadows PostgreSQL's own function names. `currval()` and `lastval()` may
still know the sequences of an earlier borrower.
"""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from collections.abc import Iterable
from typing import Any

import psycopg2.extensions
import psycopg2.extras


class Trace:
    """What a statement may leave in the session, or what it makes impossible to judge. Bits of an int.

    (An IntFlag would cost a microsecond for each `&`, more than all the rest of a checkout.)
    """

    NONE = 0
    STATE = 1  # a setting, role, temporary table, lock, cursor, prepared statement or subscription
    TIMEOUT = 2  # it changes how long statements may run, so their length says nothing about the network


_KNOWN_TEXTS = 4096


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FIRST_WORDS = _words(
    "select insert update delete with values begin start commit end rollback abort savepoint release table"
)
# words that may stand before an opening parenthesis: syntax, then functions without side effects
_HARMLESS_BEFORE_PARENTHESIS = _words(
    """
    all and any as between by case conflict cross distinct else except exists filter from group having in inner
    intersect is join key lateral left like limit not nothing offset on only or order over partition returning right
    rows select set some then union update using values when where with within materialized recursive array row
    ilike similar escape do grouping sets rollup cube
    abs array_agg array_length avg bool_and bool_or btrim cardinality cast ceil char_length coalesce concat concat_ws
    count cume_dist current_setting date_part date_trunc dense_rank every extract first_value floor gen_random_uuid
    generate_series greatest initcap json_agg jsonb_agg jsonb_array_elements jsonb_array_length jsonb_build_object
    jsonb_object_agg jsonb_set jsonb_typeof lag last_value lead least left length lower lpad ltrim max md5 min mod
    ntile nullif octet_length percent_rank percentile_cont percentile_disc plainto_tsquery phraseto_tsquery position
    power random rank replace right round row_number row_to_json rpad rtrim sign similarity split_part sqrt stddev
    search_any_word search_contents search_names search_nearest string_agg
    strpos strict_word_similarity substr substring sum to_char to_date to_json to_jsonb to_timestamp to_tsquery
    to_tsvector trim trunc ts_headline ts_rank ts_rank_cd unnest upper uuid_generate_v4 variance
    websearch_to_tsquery word_similarity now statement_timestamp clock_timestamp transaction_timestamp
    char varchar character numeric decimal timestamp timestamptz time vector halfvec
    """
)
_LITERAL = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
_LOCAL_SET_CONFIG = re.compile(r"\bset_config\(\s*''\s*,\s*(?:''|%s)\s*,\s*true\s*\)", re.IGNORECASE)
_INSERT_TARGET = re.compile(r"^\s*insert\s+into\s+\S+\s*\(", re.IGNORECASE)
_COLUMN_NAMES = re.compile(r"\bas\s+~\s*\(|^\s*with\s+(?:recursive\s+)?~\s*\(", re.IGNORECASE)
_CALL = re.compile(r"([\w.~]+)\s*\(")
_PLAIN_TYPES = (
    str, int, float, bytes, type(None), decimal.Decimal, uuid.UUID, datetime.date, datetime.time, datetime.timedelta,
    psycopg2.extras.Json, type(psycopg2.Binary(b"")),
)  # fmt: skip

_judged: dict[str, int] = {}


def traces_of(statement: Any, parameters: Any = None) -> int:
    """Return what `statement`, executed with `parameters`, may leave in its session."""
    if statement.__class__ is not str:
        return Trace.STATE | Trace.TIMEOUT  # bytes or an object of psycopg2.sql
    found = _judged.get(statement)
    if found is None:
        if len(_judged) >= _KNOWN_TEXTS:
            _judged.clear()
        found = _judged[statement] = _judge(statement)
    if parameters and not found and not _all_plain(parameters):
        return Trace.STATE
    return found


def _judge(text: str) -> int:
    timeout = Trace.TIMEOUT if "timeout" in text.lower() else Trace.NONE
    pieces = _without_literals(text)
    if pieces is None:
        return Trace.STATE | timeout
    return timeout | (Trace.NONE if all(map(_is_traceless, pieces)) else Trace.STATE)


def _without_literals(text: str) -> list[str] | None:
    """Return the statements of `text`, strings as '' and quoted names as ~. None when that takes a real parser."""
    if any(sign in text for sign in ("\\", "$", "--", "/*", "~")):
        return None
    text = _LITERAL.sub(lambda literal: "''" if literal[0].startswith("'") else "~", text)
    if '"' in text or text.count("'") % 2 or not text.isascii():
        return None
    return [piece for piece in _LOCAL_SET_CONFIG.sub("''", text).split(";") if piece.strip()]


def _is_traceless(statement: str) -> bool:
    words = re.findall(r"[a-z_]+", statement.lower())
    if not words:
        return False
    if words[:2] == ["set", "local"]:
        return "(" not in statement
    if words[0] not in _FIRST_WORDS:
        return False
    if "into" in words[1:] and (words[0] != "insert" or words.count("into") > 1):  # SELECT INTO makes a table
        return False
    if "prepared" in words:  # COMMIT PREPARED
        return False
    rest = _COLUMN_NAMES.sub("", _INSERT_TARGET.sub("", statement))
    return all(call.lower() in _HARMLESS_BEFORE_PARENTHESIS for call in _CALL.findall(rest))


def _all_plain(parameters: Any) -> bool:
    """Say whether every value becomes a quoted literal. Others, AsIs for one, may become any SQL."""
    values: Iterable[Any] = parameters.values() if isinstance(parameters, dict) else parameters
    return all(
        isinstance(value, _PLAIN_TYPES) or (isinstance(value, list | tuple) and _all_plain(value)) for value in values
    )
