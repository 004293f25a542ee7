"""Traces of real values, collected before masking, and an independent search for them in everything afterwards.

Traces live in memory only, and never in a report: what is found is named by its place and count. The search reads
text in all types of all tables, encodings undone (see text.readings), planner statistics, comments, definitions,
settings and large objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import psycopg2
from psycopg2 import sql

from legal_store.anonymize.catalog import Column
from legal_store.anonymize.planning import Masked, Plan, TablePlan
from legal_store.anonymize.structures import leaves
from legal_store.anonymize.text import (
    CELL,
    digit_runs,
    digits,
    each_word,
    folded,
    readings,
    recognised,
    squashed,
    words,
)
from legal_store.anonymize.vocabulary import LOREM
from legal_store.schema.catalog import LEDGER_TABLES

LEAST_SQUASHED = 8
LEAST_WORD = 4
LEAST_DIGITS = 7
LONG_NUMBER = 10**11  # numbers from here on can be those of persons; a phone's nine digits are many an ordinary number
WINDOW = 32  # characters of a long value by which it is recognised: memory grows with them
SENTENCE = 5  # words: shorter values are phrases that anybody may use
BATCH = 500
_COMPANY = re.compile(r"\b(s\.?c|s\.?r\.?l|s\.?a|p\.?f\.?a|i\.?i|s\.?n\.?c|ltd|gmbh|llc|inc)\b\.?", re.IGNORECASE)
_LOREM = squashed(folded(LOREM * 2))
_LONG_NUMBERS = ("bigint", "numeric")
_SEARCHED_BY_VALUE = ("uuid", "inet", "cidr", "macaddr")


class Survivor(NamedTuple):
    """A place that still holds real values, and in how many of its cells."""

    place: str
    cells: int


class Scan(NamedTuple):
    """What the search read and found; `skipped` names what it could not read, which counts as not proven."""

    traces: int
    ordinary: int
    cells: int
    survivors: tuple[Survivor, ...]
    skipped: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.survivors and not self.skipped


class Phrases:
    """Squashed phrases, each of them strong or weak (see Traces), and the search for them in a squashed text."""

    def __init__(self) -> None:
        self._strong: dict[str, bool] = {}
        self._lengths: tuple[int, ...] = ()
        self._heads: Any = None

    def __len__(self) -> int:
        return len(self._strong)

    def add(self, joined: str, *, strong: bool = True) -> None:
        if len(joined) >= LEAST_SQUASHED and not joined.isdigit():
            middle = max(0, (len(joined) - WINDOW) // 2)
            phrase = joined[middle : middle + WINDOW]
            self._strong[phrase] = strong or self._strong.get(phrase, False)
            self._heads = None

    def found_in(self, joined: str, *, weak: bool) -> bool:
        """Say whether a strong phrase is in `joined`, or with `weak` any phrase."""
        for end, _ in self._searcher().iter(joined) if self._strong else ():
            start = end + 1 - LEAST_SQUASHED
            for length in self._lengths:
                strong = self._strong.get(joined[start : start + length])
                if strong or (weak and strong is not None):
                    return True
        return False

    def _searcher(self) -> Any:
        """Return the automaton of the phrases' first characters: one of whole phrases would be many times as large."""
        import ahocorasick

        if self._heads is None:
            self._lengths = tuple({len(phrase) for phrase in self._strong})
            self._heads = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
            for head in {phrase[:LEAST_SQUASHED] for phrase in self._strong}:
                self._heads.add_word(head)
            self._heads.make_automaton()
        return self._heads


def _without_number(word: str) -> str:
    """Return `word` without a short number at its end, as in "act17"."""
    bare = word.rstrip("0123456789")
    return bare if len(word) - len(bare) < LEAST_DIGITS else word


class Traces:
    """What real values leave behind where they survive.

    Strong traces point to somebody: names and the words of them, addresses, numbers of persons, sentences. They must
    be nowhere. Weak ones are masked values of a few words ("Employment contract"): they must be in no masked column,
    but say nothing about anybody where a kept column has the same words.
    """

    def __init__(self, ordinary: Iterable[str] = ()) -> None:
        self._ordinary = {word for text in ordinary for word in words(folded(text))}
        self._words: set[str] = set()
        self._digits: set[str] = set()
        self._phrases = Phrases()
        self._weak_cells: set[str] = set()
        self._exact: set[str] = set()
        self.left_out = 0

    def __len__(self) -> int:
        return len(self._words) + len(self._digits) + len(self._phrases) + len(self._weak_cells) + len(self._exact)

    def add(self, value: str, *, names: bool = False) -> None:
        """Take up a whole value; with `names`, each word of a person's name as well."""
        self.add_personal(value)
        plain = folded(value)
        joined = squashed(plain).replace(CELL, "")
        if self._is_ordinary(plain, joined):
            self.left_out += 1
        elif names:
            self._add_name(value, words(plain))
        elif len(joined) > 2 * WINDOW:
            for start in (0, (len(joined) - WINDOW) // 2, len(joined) - WINDOW):
                self._phrases.add(joined[start : start + WINDOW])
        elif (count := len(words(plain))) >= SENTENCE:
            self._phrases.add(joined)
        elif count > 1:
            self._phrases.add(joined, strong=False)
        else:
            self._weak_cells.add(joined)

    def add_personal(self, text: str) -> None:
        """Take up the addresses and numbers of persons within a text."""
        for piece in recognised(text):
            joined = squashed(folded(piece.text))
            ours = piece.text.lower().endswith("example.com")
            if piece.kind == "iban" or (piece.kind == "email" and not ours):
                self._phrases.add(joined)
            elif piece.kind in ("cnp", "phone"):
                self._add_digits(joined)
        number = digits(text)
        if len(number) >= LEAST_DIGITS and len(number) * 2 > len(text):
            self._add_digits(number)

    def add_exact(self, value: str) -> None:
        """Take up a value that is one whole cell, such as a UUID."""
        self._exact.add(value)

    def add_row(self, names: list[str]) -> None:
        """Take up the names of one row together, in both orders, as in an address made of them."""
        joined = ["".join(words(folded(name))) for name in names if name]
        if len(joined) > 1 and not set(joined) <= self._ordinary:
            self._phrases.add("".join(joined))
            self._phrases.add("".join(reversed(joined)))

    def found_in(self, text: str, *, masked: bool = True) -> bool:
        """Say whether a real value is recognisable in any reading of `text`; `masked` asks for weak ones too."""
        return any(self._in_plain(plain, masked) for plain in map(folded, readings(text)))

    def exactly(self, value: str) -> bool:
        return value in self._exact

    def _is_ordinary(self, plain: str, joined: str) -> bool:
        """Say whether all words are ordinary, or the text is a piece of lorem ipsum, which may end within a word."""
        if joined[: len(_LOREM) // 2] in _LOREM:
            return True
        return all(word in self._ordinary for word in map(_without_number, each_word(plain)) if word)

    def _in_plain(self, plain: str, masked: bool) -> bool:
        if not self._words.isdisjoint(words(plain)):
            return True
        if self._digits and not self._digits.isdisjoint(digit_runs(plain)):
            return True
        joined = squashed(plain)
        if masked and self._weak_cells and not self._weak_cells.isdisjoint(joined.split(CELL)):
            return True
        return self._phrases.found_in(joined, weak=masked)

    def _add_digits(self, number: str) -> None:
        self._digits.add(number[-9:] if 9 < len(number) < 13 else number)

    def _add_name(self, value: str, found: list[str]) -> None:
        self._phrases.add("".join(found))
        if len(found) > 1:
            self._phrases.add("".join(words(folded(_COMPANY.sub(" ", value)))))
            self._phrases.add("".join(reversed(found)))
        if not _COMPANY.search(value) and len(found) <= 4:
            bare = {folded(word) for word in value.split() if word.islower()}
            own = (word for word in found if len(word) >= LEAST_WORD and word not in self._ordinary)
            # a word in small letters beside others is no name: "Cabinet de avocat Ionescu"
            self._words.update(word for word in own if len(found) == 1 or word not in bare)


def collect(cursor: Any, plan: Plan, *, progress: Callable[[str], None] = lambda what: None) -> Traces:
    """Return the traces of every value that `plan` will change, read through `cursor`'s connection."""
    traces = Traces([*_own_words(plan), *plan.rules.proof.ordinary_words])
    for planned in plan.changing:
        progress(planned.table.name)
        traced = [item for item in planned.masked if _is_traced(item)]
        if not traced:
            continue
        names = [place for place, item in enumerate(traced) if item.names]
        takers = [_taker(traces, item) for item in traced]
        for row in _stream(cursor, planned, [item.name for item in traced]):
            for take, value in zip(takers, row, strict=True):
                if value:
                    take(value)
            if len(names) > 1:
                traces.add_row([row[place] for place in names])
    return traces


def scan(cursor: Any, traces: Traces, plan: Plan, *, progress: Callable[[str], None] = lambda what: None) -> Scan:
    """Search everything that the database holds for `traces`. Reads through `cursor`'s connection; writes nothing."""
    cells = 0
    survivors: list[Survivor] = []
    skipped: list[str] = []
    searched = ""
    for place in _places(cursor, plan, skipped):
        if (part := place.name.rpartition(" ")[2].partition(".")[0]) != searched:
            progress(f"prove {part}")
            searched = part
        hits = 0
        for batch in _batches(place.cells):
            cells += sum(count for _, count in batch)
            hits += _hits(batch, traces, place)
        if hits:
            survivors.append(Survivor(place.name, hits))
    return Scan(len(traces), traces.left_out, cells, tuple(survivors), tuple(skipped))


def _hits(batch: list[tuple[str, int]], traces: Traces, place: Place) -> int:
    """Return in how many cells of a batch there is a real value."""
    if place.by_value:
        return sum(count for text, count in batch if traces.exactly(text))
    if not traces.found_in(f" {CELL} ".join(text for text, _ in batch), masked=place.masked):
        return 0
    return max(1, sum(count for text, count in batch if traces.found_in(text, masked=place.masked)))


def _own_words(plan: Plan) -> Iterator[str]:
    """Yield what masks are made of, and the values of enumerations: they are no trace of anybody."""
    yield "redacted lorem ipsum cabinet avocat avocati notar notariat executor birou"
    for planned in plan.tables:
        for item in planned.masked:
            yield item.strategy.words(item.use.options)
        for check in planned.table.checks:
            yield from re.findall(r"'([^']*)'", check.definition)


def _is_traced(item: Masked) -> bool:
    column = item.use.column
    texts = ("text", "char", "citext", "json", "uuid", "inet", "cidr", "macaddr", "xml", "bytea")
    return not item.strategy.keeps_values and column.kind.startswith(texts)


def _taker(traces: Traces, item: Masked) -> Callable[[str], None]:
    kind = item.use.column.kind
    if kind.startswith(_SEARCHED_BY_VALUE):
        return traces.add_exact
    if kind.startswith("json"):
        return lambda text: _take_json(traces, text, item)
    if item.strategy.name == "free_text":
        return traces.add_personal
    return lambda text: traces.add(text, names=item.names)


def _take_json(traces: Traces, text: str, item: Masked) -> None:
    try:
        found = list(leaves(json.loads(text, parse_int=str), item.use.options.get("paths", {})))
    except RecursionError:  # masked as a whole, too
        found = [("redact", text)]
    for rule, leaf in found:
        if rule == "free_text":
            traces.add_personal(leaf)
        elif rule != "keep":
            traces.add(leaf)


def _stream(cursor: Any, planned: TablePlan, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns),
        planned.table.rows,
    )
    yield from _rows(cursor.connection, query)


def _rows(connection: Any, query: sql.Composable) -> Iterator[tuple[Any, ...]]:
    with connection.cursor(name="legal_store_anonymize") as named:
        named.itersize = 2000
        named.execute(query)
        yield from named


class Place(NamedTuple):
    """Something that holds text: each different cell, and how often it is there. In a `masked` one nothing of the old
    values may be left; `by_value`: cells are whole values such as UUIDs, in which nothing else can hide."""

    name: str
    cells: Iterator[tuple[str, int]]
    masked: bool = False
    by_value: bool = False


def _places(cursor: Any, plan: Plan, skipped: list[str]) -> Iterator[Place]:
    connection = cursor.connection
    masked = {item.use.column.path for planned in plan.tables for item in planned.masked}
    numbers = {
        column.path for item in plan.tables for column in item.table.columns.values() if _holds_no_text(column.kind)
    }
    for planned in plan.tables:
        for column in planned.table.columns.values():
            if (_holds_no_text(column.kind) and column.kind not in _LONG_NUMBERS) or column.enumerated:
                continue
            query = _cells_of(planned, column)
            by_value = column.kind.startswith(_SEARCHED_BY_VALUE) and not column.kind.endswith("[]")
            yield Place(column.path, _rows(connection, query), column.path in masked, by_value)
    for relation in (*plan.views, *_ledgers(cursor)):
        query = sql.SQL("SELECT v::text, 1 FROM {} AS v").format(sql.Identifier(*relation.split(".", 1)))
        yield Place(relation, _rows(connection, query))
    cursor.execute(_STATISTICS)
    for path, found in cursor.fetchall():
        if path not in numbers:
            yield Place(f"planner statistics of {path}", iter([(found, 1)]), path in masked)
    for name, statement in _CATALOGS.items():
        cursor.execute("SAVEPOINT catalog")
        try:
            cursor.execute(statement)
        except psycopg2.Error as error:
            cursor.execute("ROLLBACK TO catalog")
            skipped.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        yield Place(name, iter([(str(row[0]), 1) for row in cursor.fetchall() if row[0]]))


def _ledgers(cursor: Any) -> list[str]:
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND relname = ANY (%s)",
        (list(LEDGER_TABLES),),
    )
    return [name for (name,) in cursor.fetchall()]


def _holds_no_text(kind: str) -> bool:
    numbers = ("smallint", "integer", "bigint", "numeric", "real", "double", "boolean", "vector", "halfvec")
    return kind.startswith((*numbers, "date", "time", "interval")) and not kind.endswith("[]")


def _cells_of(planned: TablePlan, column: Column) -> sql.Composable:
    """Return the query of all cells in which a real value can be; of numbers, those that are long enough.

    Equal cells are read once. Masks repeat themselves, and so do most columns that are kept.
    """
    condition = (
        sql.SQL(">= {}").format(sql.Literal(LONG_NUMBER)) if column.kind in _LONG_NUMBERS else sql.SQL("IS NOT NULL")
    )
    return sql.SQL('SELECT {c}::text COLLATE "C", count(*) FROM {t} WHERE {c} {condition} GROUP BY 1').format(
        c=sql.Identifier(column.name), t=planned.table.rows, condition=condition
    )


def _batches(cells: Iterator[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    while batch := list(islice(cells, BATCH)):
        yield batch


_STATISTICS = """
SELECT CASE schemaname WHEN 'public' THEN '' ELSE schemaname || '.' END || tablename || '.' || attname,
       concat_ws(' ', most_common_vals::text, histogram_bounds::text, most_common_elems::text)
FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname NOT LIKE 'pg\\_%'
"""
_CATALOGS = {
    "extended statistics": """
        SELECT concat_ws(' ', most_common_vals::text) FROM pg_stats_ext
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')""",
    "comments": """
        SELECT description FROM pg_description d WHERE d.objoid >= 16384
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = d.objoid AND e.classid = d.classoid
                          AND e.deptype = 'e')
        UNION ALL SELECT description FROM pg_shdescription
            WHERE objoid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "functions": """
        SELECT prosrc FROM pg_proc p WHERE p.oid >= 16384 AND p.pronamespace <> pg_my_temp_schema()
          AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.classid = 'pg_proc'::regclass
                          AND e.deptype = 'e')""",
    "views": """
        SELECT definition FROM pg_views WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        UNION ALL SELECT definition FROM pg_matviews""",
    "defaults, constraints and policies": """
        SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
        UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND oid >= 16384
        UNION ALL SELECT pg_get_expr(polqual, polrelid) FROM pg_policy
        UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indexrelid >= 16384""",
    "settings": """
        SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    "large objects": "SELECT lo_get(oid)::text FROM pg_largeobject_metadata",
}
