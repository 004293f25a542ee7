"""What became of a statement that ran outside a transaction when its deployer died: the catalog knows.

`CREATE INDEX CONCURRENTLY` leaves an INVALID index behind when it fails; only `indisvalid` says that it is done.
"""

from __future__ import annotations

from typing import Any

from legal_store.errors import MigrationError
from legal_store.migrate.statements import Token, tokens


def index_made_by(statement: str) -> str | None:
    """Return the name of the index that a CREATE INDEX CONCURRENTLY makes, as SQL; None for another statement.

    Raises MigrationError when the statement leaves the name to PostgreSQL: then nobody could find it again.
    """
    words = _meaningful(statement)
    keywords = [token.word for token in words[:6]]
    if keywords[:1] != ["CREATE"] or "INDEX" not in keywords or "CONCURRENTLY" not in keywords:
        return None
    rest = words[keywords.index("CONCURRENTLY") + 1 :]
    if [token.word for token in rest[:3]] == ["IF", "NOT", "EXISTS"]:
        rest = rest[3:]
    if not rest or rest[0].word == "ON":
        raise MigrationError(
            f"An index without a name cannot be found again after a crash: {statement[:80]}", remedy="Name it."
        )
    return _dotted_name(rest)


def already_done(connection: Any, statement: str, *, begun: bool) -> bool:
    """Return whether an earlier try did the statement; remove what one that failed left behind.

    `begun` says that we began it before. Must run outside a transaction.
    """
    name = index_made_by(statement)
    if name is not None:
        return _valid_index_exists(connection, name) and begun
    words = [token.word for token in _meaningful(statement)]
    if begun and words[:1] == ["REINDEX"]:
        _drop_leftovers_of_reindex(connection)
    elif begun and words[:3] == ["DROP", "INDEX", "CONCURRENTLY"]:
        names = _meaningful(statement)[5 if words[3:5] == ["IF", "EXISTS"] else 3 :]
        return _index_state(connection, _dotted_name(names)) is None
    elif begun and words[:2] == ["ALTER", "TABLE"] and {"DETACH", "CONCURRENTLY"} <= set(words):
        return _detached(connection, statement)
    return False


def refuse_unfinished_index(connection: Any, statement: str) -> None:
    """Raise MigrationError when the index that the statement was to make is there and not valid."""
    name = index_made_by(statement)
    if name is not None and _index_state(connection, name) is False:
        raise MigrationError(f"The index {name} was built and is not valid.", remedy="Run the command again.")


def _valid_index_exists(connection: Any, name: str) -> bool:
    state = _index_state(connection, name)
    if state is False:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP INDEX CONCURRENTLY {name}")
    return state is True


def _index_state(connection: Any, name: str) -> bool | None:
    """True for a valid index, False for an invalid one, None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,))
        row = cursor.fetchone()
        return None if row is None else bool(row[0])


def _drop_leftovers_of_reindex(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class i ON i.oid = indexrelid"
            r" WHERE NOT indisvalid AND i.relname ~ '_cc(new|old)\d*$'"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX CONCURRENTLY {name}")


def _detached(connection: Any, statement: str) -> bool:
    """Return whether the partition is out, after finishing a detachment that was cut off in its middle."""
    words = _meaningful(statement)
    keywords = [token.word for token in words]
    partition = _dotted_name(words[keywords.index("PARTITION") + 1 :])
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(%s)", (partition,))
        row = cursor.fetchone()
        if row is not None and row[0]:
            cursor.execute(statement[: words[keywords.index("CONCURRENTLY")].start] + "FINALIZE")
        return row is None or bool(row[0])


def _meaningful(statement: str) -> list[Token]:
    return [token for token in tokens(statement) if token.kind not in ("space", "comment")]


def _dotted_name(words: list[Token]) -> str:
    name = words[0].text
    for dot, part in zip(words[1::2], words[2::2], strict=False):
        if dot.text != ".":
            break
        name += "." + part.text
    return name
