"""Which rule a column probably wants: from its name, its type and a sample of what it holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from psycopg2 import sql

from legal_store.anonymize.catalog import Column, Table, read_tables
from legal_store.anonymize.rules import Rules
from legal_store.anonymize.strategy import INTEGERS, NUMBERS
from legal_store.anonymize.text import recognised, valid_cnp

_NUMBER_OF_A_PERSON = r"phone|mobile|fax|telefon|cnp|iban|cui|vat|ssn|passport|pasaport|card|buletin"
_PHONE_AS_NUMBER = re.compile(r"(?:40)?7\d{8}")  # a number keeps no 0 in front
_DATE_OF_A_PERSON = r"birth|born|n[aă]s[ct]|death|deces"
_BY_NAME = (
    (r"e_?mail", "email"),
    (_NUMBER_OF_A_PERSON, "digits"),
    (r"first_?name|given_?name|prenume", '{ strategy = "first_name", names = true }'),
    (r"last_?name|surname|family_?name|nume", '{ strategy = "last_name", names = true }'),
    (r"file_?name", "file_name"),
    (r"url|(^|_)uri|link|website|path", "storage_url"),
    (r"address|street|adresa", "address"),
    (r"city|town|oras", "city"),
    (r"company|organi[sz]ation|employer", '{ strategy = "company", names = true }'),
    (r"(^|_)(full_?)?name$|judge|contact|author|signed_by", '{ strategy = "pseudonym", names = true }'),
    (r"content|body|text|description|summary", "lorem"),
    (r"note|comment|message|remark|value|reason", "free_text"),
    (r"title|subject", "lorem"),
)  # fmt: skip


def suggested_line(table: Table, column: Column, sample: Sequence[str] = ()) -> str:
    """Return the line of a rules file for `column`. Whatever looks personal is masked; when in doubt, so is it."""
    return f"{_key(column.name)} = {_value(table, column, sample)}"


def _value(table: Table, column: Column, sample: Sequence[str]) -> str:
    if column.name in table.keys:
        return '"keep: a key"'
    if column.enumerated:
        return '"keep: one of a few listed values"'
    if column.kind.startswith("json"):
        return '"json"'
    if column.kind in ("text[]", "character varying[]"):
        return '"array"'
    if column.kind == "boolean":
        return '"keep: yes or no"'
    if column.kind.startswith(("vector", "halfvec")):
        return '"random_vector"' if column.not_null else '"null"'
    if column.kind in ("text", "character varying", "citext"):
        return _for_text(table, column, sample)
    return _for_others(column, sample)


def _for_text(table: Table, column: Column, sample: Sequence[str]) -> str:
    kinds = {piece.kind for text in sample for piece in recognised(text) if len(text) < 2 * len(piece.text)}
    for kind, strategy in (("email", "email"), ("iban", "pseudonym"), ("cnp", "digits"), ("phone", "digits")):
        if kind in kinds:
            return f'"{strategy}"'
    unique = any(column.name in key.columns for key in table.unique)
    if unique and "mail" not in column.name:
        return '"pseudonym"'
    for pattern, strategy in _BY_NAME:
        if re.search(pattern, column.name):
            return strategy if strategy.startswith("{") else f'"{strategy}"'
    return '"redact"' if not sample or max(map(len, sample)) < 40 else '"free_text"'


def _for_others(column: Column, sample: Sequence[str]) -> str:
    if column.kind in ("date", "timestamp with time zone", "timestamp without time zone"):
        if re.search(_DATE_OF_A_PERSON, column.name):
            return '{ strategy = "date_shift", per = "id", days = 180 }'
        return '"keep: a time of work"'
    if column.kind in NUMBERS:
        return _for_numbers(column, sample)
    if column.kind == "uuid":
        return '"keep: ids of rows are kept"' if re.search(r"_(id|by)$", column.name) else '"keyed_uuid"'
    return '"keep: say why"' if column.not_null else '"null"'


def _for_numbers(column: Column, sample: Sequence[str]) -> str:
    of_persons = any(valid_cnp(text) or _PHONE_AS_NUMBER.fullmatch(text) for text in sample)
    if not of_persons and not re.search(_NUMBER_OF_A_PERSON, column.name):
        return '"keep: a number"'
    if column.kind in INTEGERS:
        return '"permuted_number"'
    return '{ strategy = "constant", value = 0 }' if column.not_null else '"null"'


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def suggestions(cursor: Any, rules: Rules) -> dict[str, list[str]]:
    """Return, for each table with unlisted columns, the lines to add. Reads up to a hundred values of each."""
    tables = read_tables(cursor)
    found: dict[str, list[str]] = {}
    for table in tables.values():
        for column in table.columns.values():
            if table.relkind == "m" or column.generated or (table.name, column.name) in rules.columns:
                continue
            line = suggested_line(table, column, _sample(cursor, table, column))
            found.setdefault(table.name, []).append(line)
    return found


def _sample(cursor: Any, table: Table, column: Column) -> list[str]:
    cursor.execute(
        sql.SQL("SELECT {c}::text FROM {t} WHERE {c} IS NOT NULL LIMIT 100").format(
            c=sql.Identifier(column.name), t=sql.Identifier(*table.identifier)
        )
    )
    return [text for (text,) in cursor.fetchall()]
