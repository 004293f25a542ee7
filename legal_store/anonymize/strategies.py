"""What can be done to a column. Most strategies are one SQL expression, so that masking is set-based.

An expression may use the row as `t`, the key's two pads as `k.inner_pad` and `k.outer_pad`, and ROW_NUMBER, the row's
number in its table. NULL stays NULL, whatever the strategy. A strategy that no expression can state deals the values of
a query, or converts value by value in Python. Packages add strategies through the entry-point group
"legal_store.strategies".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg2 import sql

from legal_store.anonymize.catalog import Column
from legal_store.anonymize.key import ROW_NUMBER
from legal_store.anonymize.vocabulary import FIRST_NAMES_RO, LAST_NAMES_RO, LOREM
from legal_store.errors import ConfigurationError

if TYPE_CHECKING:
    from legal_store.anonymize.entities import Entities

ENTRY_POINT_GROUP = "legal_store.strategies"

TEXT = ("text", "character varying", "character", "citext")
INTEGERS = ("smallint", "integer", "bigint")
NUMBERS = (*INTEGERS, "numeric", "real", "double precision")
JSON = ("json", "jsonb")
TIMES = ("date", "timestamp with time zone", "timestamp without time zone")
ANY = ("*",)
REQUIRED = object()
HEX_DIGITS = 24  # 96 bits: ten million values meet with a probability below 1e-15
NUMBER_DIGITS = 10


class Use(NamedTuple):
    """A strategy put to use on a column, with the options of its rule."""

    column: Column
    options: dict[str, Any]

    @property
    def value(self) -> sql.Composable:
        return sql.Identifier("t", self.column.name)

    @property
    def rows(self) -> sql.Composable:
        """The rows of the column's table, without those of tables that inherit from it."""
        return sql.SQL("ONLY {}").format(sql.Identifier(*self.column.table.split(".", 1)))


class Strategy(NamedTuple):
    """What is done to a column, and what it promises.

    `injective`: different values, or different rows, get different results. `longest` says how many characters a
    result may have, None that it is as long as the original. `words` are what it makes values of, which are no trace of
    anybody; those of a `pool` of names are somebody's, too, where a column is kept. `traces` says what of a column
    leaves traces, and whether it is names, where that is not all of it. Exactly one of `expression`, `deal` and
    `convert` is there; `deal` is a query of (row tid, value), `convert` gets and returns JSON as its text. `merged` is
    an expression that is equal for the values to which an injective strategy gives the same result all the same.
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
    deal: Callable[[Use], sql.Composable] | None = None
    words: Callable[[dict[str, Any]], str] = lambda options: ""
    pool: bool = False
    traces: Callable[[Use], tuple[tuple[sql.Composable, bool], ...]] | None = None
    problem: Callable[[Use], str] = lambda use: ""

    def fits(self, kind: str) -> bool:
        return self.kinds == ANY or kind in self.kinds or ("array" in self.kinds and kind.endswith("[]"))


@lru_cache(maxsize=1)
def strategies() -> dict[str, Strategy]:
    """Return every strategy by name: ours and those of installed packages.

    Raises ConfigurationError when one cannot be loaded, or two have the same name.
    """
    found: dict[str, Strategy] = {}
    for strategy in (*_built_in(), *_installed()):
        if strategy.name in found:
            raise ConfigurationError(f"The strategy {strategy.name!r} is declared twice.", remedy="Rename one of them.")
        found[strategy.name] = strategy
    return found


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


def _hex(use: Use, default: str, digits: int = HEX_DIGITS) -> sql.Composable:
    domain = use.options.get("concept") or default
    return sql.SQL("left(encode({}, 'hex'), {})").format(keyed(domain, use.value), sql.Literal(digits))


def _numbered(use: Use) -> sql.Composable:
    before, after = use.options["format"].split("{n}", 1) if "{n}" in use.options["format"] else ("", "")
    return sql.SQL("{} || {} || {}").format(sql.Literal(before), ROW_NUMBER, sql.Literal(after))


def _numbered_problem(use: Use) -> str:
    return "" if str(use.options["format"]).count("{n}") == 1 else "its format must hold {n} exactly once"


def _constant(use: Use) -> sql.Composable:
    return sql.SQL("{}::" + use.column.declared).format(sql.Literal(str(use.options["value"])))


def _keyed_uuid(use: Use) -> sql.Composable:
    return sql.SQL("overlay(overlay({} placing '4' from 13) placing '8' from 17)::uuid").format(
        _hex(use, "uuid", digits=32)
    )


def _lorem(use: Use) -> sql.Composable:
    # the value's length is asked once, because that fetches and decompresses a long text; the filler is cut as bytes,
    # because rpad() and left() walk through it character by character
    return sql.SQL(
        "(SELECT convert_from(substr(convert_to(repeat({lorem}, 1 + n / {size}), 'UTF8'), 1, n), 'UTF8')"
        " FROM (SELECT length({value}) AS n OFFSET 0) AS l)"
    ).format(lorem=sql.Literal(LOREM), size=sql.Literal(len(LOREM)), value=use.value)


def _pick(pool: Callable[[dict[str, Any]], tuple[str, ...]], domain: str) -> Callable[[Use], sql.Composable]:
    def expression(use: Use) -> sql.Composable:
        items = pool(use.options)
        return sql.SQL("({}::text[])[1 + {} % {}]").format(
            sql.Literal(list(items)), keyed_number(domain, use.value), sql.Literal(len(items))
        )

    return expression


def _longest_of(pool: Callable[[dict[str, Any]], tuple[str, ...]]) -> Callable[[Use], int | None]:
    return lambda use: max(map(len, pool(use.options)))


@lru_cache(maxsize=32)
def _pool(what: str, locale: str) -> tuple[str, ...]:
    if locale == "ro" and what in ("first_name", "last_name"):
        return FIRST_NAMES_RO if what == "first_name" else LAST_NAMES_RO
    from mimesis import Generic, Locale

    # mimesis speaks no Romanian: what has no list of ours falls back on English
    source = Generic(Locale(locale if locale != "ro" else "en"), seed=1)
    make = {
        "first_name": source.person.first_name,
        "last_name": source.person.last_name,
        "company": source.finance.company,
        "city": source.address.city,
        "address": source.address.address,
    }[what]
    return tuple(sorted({make() for _ in range(500)}))


def _pool_of(what: str) -> Callable[[dict[str, Any]], tuple[str, ...]]:
    return lambda options: _pool(what, options["locale"])


def _locale_problem(use: Use) -> str:
    try:
        _pool("first_name", use.options["locale"])
    except (ValueError, TypeError):
        return f"there is no locale {use.options['locale']!r}; mimesis has de, en, fr, hu, ... and ours is ro"
    return ""


def _realistic(what: str, purpose: str) -> Strategy:
    pool = _pool_of(what)
    return Strategy(
        what,
        purpose,
        TEXT,
        _pick(pool, what),
        options={"locale": "ro"},
        longest=_longest_of(pool) if what else lambda use: None,
        words=lambda options: " ".join(pool(options)),
        pool=True,
        problem=_locale_problem,
    )


def _digits(use: Use) -> sql.Composable:
    permuted = sql.SQL("pg_temp.permuted_digits({}, {}::text, k.inner_pad, k.outer_pad)").format(
        sql.Literal(use.options["concept"]), use.value
    )
    # each word's letters are moved by what follows from the digits, so that equal digits keep different words apart
    only_digits = sql.SQL(r"regexp_replace({}, '\D', '', 'g')").format(use.value)
    return sql.SQL(
        r"CASE WHEN {v} ~ '\d' AND {v} ~ '[[:alpha:]]{{3}}' THEN pg_temp.permuted_words({p}, {k}) ELSE {p} END"
    ).format(v=use.value, p=permuted, k=keyed("words", only_digits))


def _digits_merged(use: Use) -> sql.Composable:
    # what holds no digit becomes as many characters of a digest, and few of them may be the same
    return sql.SQL(r"CASE WHEN {v} ~ '\d' OR length({v}) > 11 THEN {v} ELSE 'without, ' || length({v}) END").format(
        v=use.value
    )


def _permuted_number(use: Use) -> sql.Composable:
    size = {"smallint": 2**15, "integer": 2**31, "bigint": 2**62}[use.column.kind]
    return sql.SQL("pg_temp.permuted({}, {}::bigint, {}, k.inner_pad, k.outer_pad)::" + use.column.kind).format(
        sql.Literal(use.options["concept"]), use.value, sql.Literal(size)
    )


def _noise_problem(use: Use) -> str:
    return "" if 0 < use.options["ratio"] <= 1 else "its ratio must be above 0, and 1 at most"


def _date_shift_problem(use: Use) -> str:
    return "" if use.options["days"] > 0 else "its days must be 1 or more"


def _noise(use: Use) -> sql.Composable:
    scale = re.search(r"numeric\(\d+,(\d+)\)", use.column.declared)
    digits = int(scale.group(1)) if scale else 0 if use.column.kind in INTEGERS else 6
    return sql.SQL("round(({v} * (1 + {ratio} * (({h} % 20001) / 10000.0 - 1)))::numeric, {digits})::{kind}").format(
        v=use.value,
        ratio=sql.Literal(use.options["ratio"]),
        h=keyed_number("noise", use.value),
        digits=sql.Literal(digits),
        kind=sql.SQL(use.column.kind),
    )


def _date_shift(use: Use) -> sql.Composable:
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


def _logged(use: Use) -> sql.Composable:
    return sql.SQL("CASE WHEN {} THEN {} ELSE '[redacted]' END").format(_is_plain(use), use.value)


def _logged_traces(use: Use) -> tuple[tuple[sql.Composable, bool], ...]:
    names = sql.SQL("coalesce({} = ANY ({}::text[]), false)").format(
        sql.Identifier("t", use.options["field"]), sql.Literal(list(use.options["people"]))
    )
    gone = sql.SQL("CASE WHEN NOT {} AND {} THEN {} END")
    return (
        (gone.format(_is_plain(use), names, use.value), True),
        (gone.format(_is_plain(use), sql.SQL("NOT {}").format(names), use.value), False),
    )


def _shuffle(use: Use) -> sql.Composable:
    # only rows that have a value take part, so that what is NULL stays NULL and the set of values is the same
    return sql.SQL(
        "SELECT row, value FROM"
        " (SELECT ctid AS row, row_number() OVER (ORDER BY random()) AS n FROM {t} WHERE {c} IS NOT NULL) AS takers"
        " JOIN"
        " (SELECT {c} AS value, row_number() OVER (ORDER BY random()) AS n FROM {t} WHERE {c} IS NOT NULL) AS givers"
        " USING (n)"
    ).format(t=use.rows, c=sql.Identifier(use.column.name))


def _extension(use: Use) -> sql.Composable:
    return sql.SQL(r"coalesce(lower(substring({} from '(\.[A-Za-z0-9]{{1,5}})(?:[?#].*)?$')), '')").format(use.value)


def _vector(use: Use) -> sql.Composable:
    dimensions = re.search(r"\((\d+)\)", use.column.declared)
    return sql.SQL(
        "(SELECT array_agg(random() - 0.5) FROM generate_series(1, {}) WHERE t.ctid IS NOT NULL)::{}"
    ).format(sql.Literal(int(dimensions.group(1)) if dimensions else 1), sql.SQL(use.column.kind))


def _vector_problem(use: Use) -> str:
    return "" if "(" in use.column.declared else "a vector without a number of dimensions cannot be made; use null"


def _free_text(value: Any, use: Use, entities: Entities, firm: object) -> Any:
    return entities.replaced(value, firm)


def _json(value: Any, use: Use, entities: Entities, firm: object) -> Any:
    import json

    from msgspec import Raw

    from legal_store.anonymize.entities import REDACTED
    from legal_store.anonymize.structures import masked_json

    try:
        # numbers stay text, so that each comes out digit by digit as it went in
        document = json.loads(value, parse_int=Raw, parse_float=Raw)
        masked = masked_json(document, use.options["paths"], entities, firm)
        return value if masked == document else _json_text(masked)
    except (RecursionError, UnicodeEncodeError):  # nested too deeply, or half a character
        return json.dumps(REDACTED)


def _json_text(document: Any) -> str:
    from msgspec import json

    return json.format(json.encode(document), indent=0).decode()


def _json_problem(use: Use) -> str:
    from legal_store.anonymize.structures import JSON_RULES

    wrong = sorted({str(rule) for rule in use.options["paths"].values()} - set(JSON_RULES))
    return f"{', '.join(wrong)} is no rule for a path; there are {', '.join(JSON_RULES)}" if wrong else ""


def _array_problem(use: Use) -> str:
    return "" if use.options["items"] in ("redact", "free_text") else "its items are 'redact' or 'free_text'"


def _array(value: Any, use: Use, entities: Entities, firm: object) -> Any:
    from legal_store.anonymize.structures import masked_leaf

    return [
        _array(item, use, entities, firm)
        if isinstance(item, list)  # of an array of arrays
        else masked_leaf(item, use.options["items"], entities, firm)
        for item in value
    ]


def _hex_length(extra: int) -> Callable[[Use], int | None]:
    return lambda use: HEX_DIGITS + extra


def _built_in() -> tuple[Strategy, ...]:
    concept = {"concept": ""}
    return (
        Strategy(
            "numbered",
            "a format with the row's number: format = 'Demo Client {n}'",
            TEXT,
            _numbered,
            options={"format": REQUIRED},
            injective=True,
            survives_lower=True,
            longest=lambda use: len(use.options["format"]) - 3 + NUMBER_DIGITS,
            words=lambda options: options["format"].replace("{n}", " "),
            problem=_numbered_problem,
        ),
        Strategy(
            "constant",
            "the same value for all: value = '...'",
            (*TEXT, *NUMBERS, *TIMES, "boolean", "uuid"),
            _constant,
            options={"value": REQUIRED},
            longest=lambda use: len(str(use.options["value"])),
            words=lambda options: str(options["value"]),
        ),
        Strategy(
            "redact",
            "[redacted]",
            TEXT,
            lambda use: sql.SQL("'[redacted]'"),
            longest=lambda use: 10,
            words=lambda options: "redacted",
        ),
        Strategy(
            "null", "no value", ANY, lambda use: sql.SQL("NULL::" + use.column.declared), may_be_null=True
        ),
        Strategy(
            "random_uuid",
            "a new random UUID",
            ("uuid",),
            lambda use: sql.SQL("gen_random_uuid()"),
            injective=True,
            deterministic=False,
            survives_lower=True,
        ),
        Strategy(
            "keyed_uuid",
            "a UUID that follows from the value and the key",
            ("uuid",),
            _keyed_uuid,
            options=concept,
            injective=True,
            survives_lower=True,
        ),
        Strategy(
            "pseudonym",
            "24 hexadecimal digits that follow from the value and the key, the same in every table of a concept",
            TEXT,
            lambda use: sql.SQL("{} || {}").format(
                sql.Literal(use.options["prefix"]), _hex(use, "pseudonym")
            ),
            options={"prefix": "", **concept},
            injective=True,
            survives_lower=True,
            longest=lambda use: HEX_DIGITS + len(use.options["prefix"]),
            words=lambda options: options["prefix"],
        ),
        Strategy(
            "email",
            "an address at example.com that follows from the value and the key",
            TEXT,
            lambda use: sql.SQL("'u' || left(encode({}, 'hex'), 24) || '@example.com'").format(
                keyed(use.options["concept"] or "email", sql.SQL("lower({})").format(use.value))
            ),
            options=concept,
            injective=True,
            merged=lambda use: sql.SQL("lower({})").format(use.value),
            survives_lower=True,
            longest=_hex_length(13),
            words=lambda options: "example com",
        ),
        Strategy("lorem", "lorem ipsum of the same length", TEXT, _lorem, words=lambda options: LOREM),
        _realistic("first_name", "a first name of a locale"),
        _realistic("last_name", "a last name of a locale"),
        _realistic("company", "a company's name of a locale"),
        _realistic("city", "a city of a locale"),
        _realistic("address", "a street and number of a locale"),
        Strategy(
            "digits",
            "other digits in the same places (phones, registration numbers)",
            TEXT,
            _digits,
            options={"concept": "digits"},
            injective=True,
            merged=_digits_merged,
        ),
        Strategy(
            "permuted_number",
            "another number of 0 and above, one for one",
            INTEGERS,
            _permuted_number,
            options={"concept": "number"},
            injective=True,
        ),
        Strategy("noise", "the number, more or less: ratio = 0.1", NUMBERS, _noise, options={"ratio": 0.1},
                 problem=_noise_problem),
        Strategy(
            "date_shift",
            "moved by up to `days`, alike for all rows with the same `per`",
            TIMES,
            _date_shift,
            options={"days": 30, "per": REQUIRED},
            problem=_date_shift_problem,
        ),
        Strategy(
            "shuffle",
            "the column's own values, dealt anew",
            (*NUMBERS, *TIMES, "boolean"),
            deal=_shuffle,
            deterministic=False,
            keeps_values=True,
        ),
        Strategy(
            "file_name",
            "a file name with the same extension",
            TEXT,
            lambda use: sql.SQL("'file-' || {} || {}").format(_hex(use, "file"), _extension(use)),
            options=concept,
            injective=True,
            survives_lower=True,
            longest=_hex_length(11),
            words=lambda options: "file pdf docx doc odt txt xlsx jpg png",
        ),
        Strategy(
            "storage_url",
            "a URL of example.com with the same extension",
            TEXT,
            lambda use: sql.SQL("'https://files.example.com/' || {} || {}").format(_hex(use, "url"), _extension(use)),
            options=concept,
            injective=True,
            survives_lower=True,
            longest=_hex_length(32),
            words=lambda options: "https files example com pdf docx doc odt txt xlsx jpg png",
        ),
        Strategy(
            "logged",
            "old and new values of a log: those of fields in `keep` stay where they are a word, number, date or id",
            ("text", "character varying"),
            _logged,
            options={"field": REQUIRED, "keep": [], "people": []},
            longest=lambda use: 10,
            words=lambda options: "redacted",
            traces=_logged_traces,
        ),
        Strategy("random_vector", "a random embedding", ("vector", "halfvec"), _vector, deterministic=False,
                 problem=_vector_problem),
        Strategy(
            "free_text",
            "the text, with the people and companies of its firm, addresses, phones and numbers of persons replaced",
            TEXT,
            convert=_free_text,
        ),
        Strategy(
            "json",
            "JSON of the same shape; paths = {'a.b' = 'keep', '*' = 'redact'}, redact where no path says else",
            JSON,
            convert=_json,
            options={"paths": {}},
            problem=_json_problem,
            words=lambda options: "redacted",
        ),
        Strategy(
            "array",
            "an array of the same length; items = 'redact' or 'free_text'",
            ("text[]", "character varying[]"),
            convert=_array,
            options={"items": "redact"},
            problem=_array_problem,
            words=lambda options: "redacted",
        ),
    )  # fmt: skip


def _installed() -> tuple[Strategy, ...]:
    from importlib.metadata import entry_points

    found: list[Strategy] = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            loaded = entry.load()
        except Exception as error:
            raise ConfigurationError(
                f"The strategy of {entry.value} cannot be loaded: {error!r}.", remedy="Correct or uninstall it."
            ) from error
        if not isinstance(loaded, Strategy):
            raise ConfigurationError(f"{entry.value} is no Strategy.", remedy="Correct or uninstall it.")
        found.append(loaded)
    return tuple(found)
