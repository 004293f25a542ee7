"""What a migration consists of: steps, each one SQL statement or one operation of a Python file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from legal_store.errors import MigrationError
from legal_store.migrate.files import Migration, SqlPart, told_with_file
from legal_store.migrate.statements import Statement, leading_words, normalized, split_statements

_TRANSACTION_CONTROL = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"})


_IRREVERSIBLE = re.compile(r"^-- irreversible: *(\S.*)$", re.MULTILINE)


class Step(NamedTuple):
    """One step: SQL text, or `call` with `text` as its description. `line` is 0 where there is no line to name.

    A call gets a Checkpoint. With `own_transactions` it opens and commits them itself, and goes on where it stopped.
    """

    text: str
    line: int = 0
    call: Callable[[Any], None] | None = None
    own_transactions: bool = False
    comments: tuple[str, ...] = ()

    @property
    def is_sql(self) -> bool:
        return self.call is None

    @property
    def checksum(self) -> str:
        """SHA-256 of the statement without comments and white space."""
        return hashlib.sha256((normalized(self.text) if self.is_sql else self.text).encode()).hexdigest()


class Script(NamedTuple):
    """One direction of a migration, ready to run."""

    migration: Migration
    steps: list[Step]


def up_script(migration: Migration, connection: Any) -> Script:
    """Return what applies `migration`. `connection` is where a Python file's operations will run.

    Raises MigrationError when the file cannot be read as what it claims to be.
    """
    if migration.is_python:
        return _python_script(migration, connection, "migrate")
    return _sql_script(migration, migration.sql_parts.up)


def down_script(migration: Migration, connection: Any) -> Script:
    """Return what takes `migration` back. Raises MigrationError when the file has no way back."""
    if migration.is_python:
        return _python_script(migration, connection, "rollback")
    if reason := _IRREVERSIBLE.search(migration.text):
        raise irreversible(migration.path.name, reason[1])
    script = _sql_script(migration, migration.sql_parts.down)
    if not script.steps:
        raise no_way_back(migration.path.name, "a part after `-- migrate:down`")
    return script


def no_way_back(file_name: str, what: str) -> MigrationError:
    """Return the error for a file that cannot be undone."""
    return MigrationError(
        f"{file_name} has no way back: it lacks {what}.",
        remedy="Write it, or write a new migration that corrects this one.",
    )


def irreversible(file_name: str, reason: str) -> MigrationError:
    """Return the error for a file that says itself why it cannot be undone."""
    return MigrationError(
        f"{file_name} cannot be undone: {reason.strip().rstrip('.')}.", remedy="Restore a backup instead."
    )


def sql_steps(text: str, *, first_line: int = 0) -> list[Step]:
    """Return the statements of `text` as steps. `first_line` 0 means that lines have no meaning here."""
    return [_step(statement, first_line) for statement in split_statements(text, first_line=max(first_line, 1))]


def _step(statement: Statement, first_line: int) -> Step:
    return Step(statement.text, statement.line if first_line else 0, comments=statement.comments)


def _sql_script(migration: Migration, part: SqlPart) -> Script:
    with told_with_file(migration.path):
        steps = sql_steps(part.text, first_line=part.first_line)
    _refuse_what_only_psql_can(migration, steps)
    return Script(migration, steps)


def _python_script(migration: Migration, connection: Any, function: str) -> Script:
    from legal_store.migrate.python_files import collect_steps

    steps = collect_steps(connection, migration, function)
    _refuse_what_only_psql_can(migration, steps)
    return Script(migration, steps)


def _refuse_what_only_psql_can(migration: Migration, steps: list[Step]) -> None:
    for step in steps:
        if not step.is_sql:
            continue
        where = f"{migration.path.name}, line {step.line}" if step.line else migration.path.name
        first, *rest = leading_words(step.text, 12)
        if first in _TRANSACTION_CONTROL:
            raise MigrationError(
                f"{where}: {first} in a migration would break its transaction.",
                remedy="Remove it: each file is one transaction, or write `-- transaction: off` at its top.",
            )
        if first == "\\":
            raise MigrationError(
                f"{where}: a psql command (\\{''.join(rest[:1]).lower()}) is not SQL.", remedy="Remove it."
            )
        if first == "COPY" and "STDIN" in rest:
            raise MigrationError(f"{where}: COPY FROM STDIN carries its data in the file.", remedy="Use INSERT.")
