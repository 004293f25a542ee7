"""The strategies there are: the built-in ones, and those of installed packages.

Most are one SQL expression, so that masking is set-based. NULL stays NULL, whatever the strategy. A strategy that no
expression can state deals the values of a query, or converts value by value in Python. Packages add strategies through
the entry-point group "legal_store.strategies".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from psycopg2 import sql

from legal_store.anonymize import conversions, expressions
from legal_store.anonymize.strategy import ANY, INTEGERS, JSON, NUMBERS, REQUIRED, TEXT, TIMES, Strategy, Use
from legal_store.anonymize.vocabulary import LOREM, pool
from legal_store.errors import ConfigurationError

ENTRY_POINT_GROUP = "legal_store.strategies"

_NUMBER_DIGITS = 10


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


def _built_in() -> tuple[Strategy, ...]:
    concept = {"concept": ""}
    return (
        Strategy(
            "numbered",
            "a format with the row's number: format = 'Demo Client {n}'",
            TEXT,
            expressions.numbered,
            options={"format": REQUIRED},
            injective=True,
            survives_lower=True,
            longest=lambda use: len(use.options["format"]) - 3 + _NUMBER_DIGITS,
            words=lambda options: options["format"].replace("{n}", " "),
            problem=_numbered_problem,
        ),
        Strategy(
            "constant",
            "the same value for all: value = '...'",
            (*TEXT, *NUMBERS, *TIMES, "boolean", "uuid"),
            expressions.constant,
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
            expressions.keyed_uuid,
            options=concept,
            injective=True,
            survives_lower=True,
        ),
        Strategy(
            "pseudonym",
            "24 hexadecimal digits that follow from the value and the key, the same in every table of a concept",
            TEXT,
            lambda use: sql.SQL("{} || {}").format(
                sql.Literal(use.options["prefix"]), expressions.keyed_hex(use, "pseudonym")
            ),
            options={"prefix": "", **concept},
            injective=True,
            survives_lower=True,
            longest=lambda use: expressions.HEX_DIGITS + len(use.options["prefix"]),
            words=lambda options: options["prefix"],
        ),
        Strategy(
            "email",
            "an address at example.com that follows from the value and the key",
            TEXT,
            lambda use: sql.SQL("'u' || left(encode({}, 'hex'), 24) || '@example.com'").format(
                expressions.keyed(use.options["concept"] or "email", sql.SQL("lower({})").format(use.value))
            ),
            options=concept,
            injective=True,
            merged=lambda use: sql.SQL("lower({})").format(use.value),
            survives_lower=True,
            longest=_hex_length(13),
            words=lambda options: "example com",
        ),
        Strategy("lorem", "lorem ipsum of the same length", TEXT, expressions.lorem, words=lambda options: LOREM),
        _realistic("first_name", "a first name of a locale"),
        _realistic("last_name", "a last name of a locale"),
        _realistic("company", "a company's name of a locale"),
        _realistic("city", "a city of a locale"),
        _realistic("address", "a street and number of a locale"),
        Strategy(
            "digits",
            "other digits in the same places (phones, registration numbers)",
            TEXT,
            expressions.digits,
            options={"concept": "digits"},
            injective=True,
            merged=expressions.digits_merged,
        ),
        Strategy(
            "permuted_number",
            "another number of 0 and above, one for one",
            INTEGERS,
            expressions.permuted_number,
            options={"concept": "number"},
            injective=True,
        ),
        Strategy("noise", "the number, more or less: ratio = 0.1", NUMBERS, expressions.noise, options={"ratio": 0.1},
                 problem=_noise_problem),
        Strategy(
            "date_shift",
            "moved by up to `days`, alike for all rows with the same `per`",
            TIMES,
            expressions.date_shift,
            options={"days": 30, "per": REQUIRED},
            problem=_date_shift_problem,
        ),
        Strategy(
            "shuffle",
            "the column's own values, dealt anew",
            (*NUMBERS, *TIMES, "boolean"),
            deal=expressions.shuffle,
            deterministic=False,
            keeps_values=True,
        ),
        Strategy(
            "file_name",
            "a file name with the same extension",
            TEXT,
            lambda use: sql.SQL("'file-' || {} || {}").format(
                expressions.keyed_hex(use, "file"), expressions.extension(use)
            ),
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
            lambda use: sql.SQL("'https://files.example.com/' || {} || {}").format(
                expressions.keyed_hex(use, "url"), expressions.extension(use)
            ),
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
            expressions.logged,
            options={"field": REQUIRED, "keep": [], "people": []},
            longest=lambda use: 10,
            words=lambda options: "redacted",
            traces=expressions.logged_traces,
        ),
        Strategy("random_vector", "a random embedding", ("vector", "halfvec"), expressions.vector, deterministic=False,
                 problem=_vector_problem),
        Strategy(
            "free_text",
            "the text, with the people and companies of its firm, addresses, phones and numbers of persons replaced",
            TEXT,
            convert=conversions.free_text,
        ),
        Strategy(
            "json",
            "JSON of the same shape; paths = {'a.b' = 'keep', '*' = 'redact'}, redact where no path says else",
            JSON,
            convert=conversions.json_document,
            options={"paths": {}},
            problem=_json_problem,
            words=lambda options: "redacted",
        ),
        Strategy(
            "array",
            "an array of the same length; items = 'redact' or 'free_text'",
            ("text[]", "character varying[]"),
            convert=conversions.array,
            options={"items": "redact"},
            problem=_array_problem,
            words=lambda options: "redacted",
        ),
    )  # fmt: skip


def _hex_length(extra: int) -> Callable[[Use], int | None]:
    return lambda use: expressions.HEX_DIGITS + extra


def _realistic(what: str, purpose: str) -> Strategy:
    def names(options: dict[str, Any]) -> tuple[str, ...]:
        return pool(what, options["locale"])

    return Strategy(
        what,
        purpose,
        TEXT,
        expressions.pick(names, what),
        options={"locale": "ro"},
        longest=lambda use: max(map(len, names(use.options))),
        words=lambda options: " ".join(names(options)),
        pool=True,
        problem=_locale_problem,
    )


def _locale_problem(use: Use) -> str:
    try:
        pool("first_name", use.options["locale"])
    except (ValueError, TypeError):
        return f"there is no locale {use.options['locale']!r}; mimesis has de, en, fr, hu, ... and ours is ro"
    return ""


def _numbered_problem(use: Use) -> str:
    return "" if str(use.options["format"]).count("{n}") == 1 else "its format must hold {n} exactly once"


def _noise_problem(use: Use) -> str:
    return "" if 0 < use.options["ratio"] <= 1 else "its ratio must be above 0, and 1 at most"


def _date_shift_problem(use: Use) -> str:
    return "" if use.options["days"] > 0 else "its days must be 1 or more"


def _vector_problem(use: Use) -> str:
    return "" if "(" in use.column.declared else "a vector without a number of dimensions cannot be made; use null"


def _json_problem(use: Use) -> str:
    from legal_store.anonymize.structures import JSON_RULES

    wrong = sorted({str(rule) for rule in use.options["paths"].values()} - set(JSON_RULES))
    return f"{', '.join(wrong)} is no rule for a path; there are {', '.join(JSON_RULES)}" if wrong else ""


def _array_problem(use: Use) -> str:
    return "" if use.options["items"] in ("redact", "free_text") else "its items are 'redact' or 'free_text'"


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
