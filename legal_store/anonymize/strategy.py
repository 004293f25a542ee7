"""What a strategy is: what it does to a column, and what it promises of the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg2 import sql

from legal_store.anonymize.catalog import Column, Table

if TYPE_CHECKING:
    from legal_store.anonymize.entities import Entities

TEXT = ("text", "character varying", "character", "citext")
INTEGERS = ("smallint", "integer", "bigint")
NUMBERS = (*INTEGERS, "numeric", "real", "double precision")
JSON = ("json", "jsonb")
TIMES = ("date", "timestamp with time zone", "timestamp without time zone")
ANY = ("*",)
REQUIRED = object()


class Use(NamedTuple):
    """A strategy put to use on a column, with the options of its rule."""

    column: Column
    options: dict[str, Any]

    @property
    def value(self) -> sql.Composable:
        return sql.Identifier("t", self.column.name)


class Strategy(NamedTuple):
    """What is done to a column, and what it promises.

    `injective`: different values, or different rows, get different results. `longest` says how many characters a
    result may have, None that it is as long as the original. `words` are what it makes values of, which are no trace of
    anybody; those of a `pool` of names are somebody's, too, where a column is kept. `traces` says what of a column
    leaves traces, and whether it is names, where that is not all of it. Exactly one of `expression`, `deal` and
    `convert` is there: `expression` may use what the head of expressions.py names, `deal` is a query of (row tid,
    value), `convert` gets and returns JSON as its text. `merged` is an expression that is equal for the values to which
    an injective strategy gives the same result all the same.
    """

    name: str
    purpose: str
    kinds: tuple[str, ...]
    expression: Callable[[Use], sql.Composable] | None = None
    convert: Callable[[Any, Use, Entities, object], Any] | None = None
    options: dict[str, Any] = {}
    injective: bool = False
    merged: Callable[[Use], sql.Composable] | None = None
    deterministic: bool = True
    survives_lower: bool = False
    may_be_null: bool = False
    keeps_values: bool = False
    longest: Callable[[Use], int | None] = lambda use: None
    deal: Callable[[Use, Table], sql.Composable] | None = None
    words: Callable[[dict[str, Any]], str] = lambda options: ""
    pool: bool = False
    traces: Callable[[Use], tuple[tuple[sql.Composable, bool], ...]] | None = None
    problem: Callable[[Use], str] = lambda use: ""

    def fits(self, kind: str) -> bool:
        return self.kinds == ANY or kind in self.kinds
