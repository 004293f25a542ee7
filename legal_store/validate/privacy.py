"""Is anything personal left in a database that says it was anonymized?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg2 import sql

from legal_store.validate.checks import Check, Outcome, failed, passed, skipped

_CANDIDATES = r"@|[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}|[0-9]{13}"
_TEXTS = ("text", "char", "citext", "json")
_PERSONAL = ("email", "cnp", "iban")


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
    places: list[str] = []
    for table in read_tables(cursor).values():
        for column in table.columns.values():
            of_a_firm = "firm_id" in table.columns or table.name == "firms"
            if of_a_firm and column.kind.startswith(_TEXTS) and _holds_personal(cursor, table.identifier, column.name):
                places.append(column.path)
    if places:
        return failed("columns hold e-mail addresses, CNPs or IBANs that look real", places)
    return skipped("it was anonymized with --no-proof: nobody has proven it") if NOT_PROVEN in mark else passed()


def _holds_personal(cursor: Any, table: tuple[str, ...], column: str) -> bool:
    from legal_store.anonymize.text import recognised

    cursor.execute(
        sql.SQL("SELECT {c}::text FROM {t} WHERE {c}::text ~ %s AND {c}::text !~ '^[^@ ]+@example[.]com$'").format(
            c=sql.Identifier(column), t=sql.Identifier(*table)
        ),
        (_CANDIDATES,),
    )
    found = (piece for (text,) in cursor for piece in recognised(text))
    return any(piece.kind in _PERSONAL and not piece.text.endswith("example.com") for piece in found)
