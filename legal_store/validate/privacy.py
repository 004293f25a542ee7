"""Is anything personal left in a database that says it was anonymized?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from legal_store.validate.checks import Check, Outcome, failed, passed, skipped

if TYPE_CHECKING:
    from legal_store.anonymize.catalog import Table

_CANDIDATES = r"@|[A-Za-z]{2}[0-9]{2}[^A-Za-z0-9]{0,2}[A-Za-z0-9]{4}|[1-9]([^A-Za-z0-9]?[0-9]){12}"
_TEXTS = ("text", "char", "citext", "json")
# phones and CUIs are not looked for: masked ones have their form, and one in eleven has a right checksum
_WITH_CHECKSUM = ("cnp", "iban")
_SAMPLE = 1000


def checks_of_privacy() -> Iterator[Check]:
    """Yield the check for e-mail addresses, CNPs and IBANs where there should be none."""
    yield Check("personal data", "Is a database that was anonymized free of personal data?", _personal_data)


def _personal_data(cursor: Any) -> Outcome:
    from legal_store.anonymize.catalog import read_tables
    from legal_store.anonymize.run import CLEANING, NOT_PROVEN, mark_of

    mark = mark_of(cursor.connection)
    if mark is None:
        return skipped("the database is not marked as anonymized")
    if mark.endswith(CLEANING):
        return failed("the last anonymization was killed while it removed traces; run it again")
    places = [
        column.path
        for table in read_tables(cursor).values()
        for column in table.columns.values()
        if (column.kind.startswith(_TEXTS) and _holds_personal(cursor, table, column.name))
        or (column.kind in ("bigint", "numeric") and _holds_cnps(cursor, table, column.name))
    ]
    if places:
        return failed("columns hold e-mail addresses, CNPs or IBANs that look real", places)
    return skipped("it was anonymized with --no-proof: nobody has proven it") if NOT_PROVEN in mark else passed()


def _holds_personal(cursor: Any, table: Table, column: str) -> bool:
    """Say whether a text column holds a CNP, an IBAN, or, in a table of a firm or its users, an e-mail address."""
    from legal_store.anonymize.text import is_reserved, recognised

    cursor.execute(
        sql.SQL("SELECT {c}::text FROM {t} WHERE {c}::text ~ %s AND {c}::text !~ '^[^@ ]+@example[.]com$'").format(
            c=sql.Identifier(column), t=sql.Identifier(*table.identifier)
        ),
        (_CANDIDATES,),
    )
    return any(
        piece.kind in _WITH_CHECKSUM or (piece.kind == "email" and table.of_a_firm and not is_reserved(piece.text))
        for (text,) in cursor
        for piece in recognised(text)
    )


def _holds_cnps(cursor: Any, table: Table, column: str) -> bool:
    """Say whether at least half of the numbers of 13 digits are CNPs: other such numbers are one now and then."""
    from legal_store.anonymize.text import valid_cnp

    cursor.execute(
        sql.SQL("SELECT trunc({c})::text FROM {t} WHERE {c} >= 1e12 AND {c} < 1e13 LIMIT {n}").format(
            c=sql.Identifier(column), t=sql.Identifier(*table.identifier), n=sql.Literal(_SAMPLE)
        )
    )
    valid = [valid_cnp(number) for (number,) in cursor.fetchall()]
    return bool(valid) and 2 * sum(valid) >= len(valid)
