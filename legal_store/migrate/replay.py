"""Runs migrations in a scratch database, to see what they make."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from legal_store.errors import MigrationError
from legal_store.migrate.apply import Session, apply
from legal_store.migrate.files import Migration
from legal_store.migrate.ledger import create_ledger
from legal_store.migrate.sessions import connect
from legal_store.migrate.shadow import shadow
from legal_store.schema.catalog import Catalog, read_catalog

CORRECT = "Correct the file and run the command again."


def replay(connection: Any, migrations: Sequence[Migration], *, remedy: str = CORRECT) -> None:
    """Apply `migrations` to the scratch database of `connection` (autocommitting).

    Raises MigrationError, with `remedy`, where one cannot run there, for there are no rows.
    """
    with connection.cursor() as cursor:
        create_ledger(cursor)
    session = Session(connection)
    session.keep_catalog = False
    try:
        for migration in migrations:
            apply(session, migration)
    except MigrationError as error:
        raise in_scratch(error, remedy) from error


def in_scratch(error: MigrationError, remedy: str = CORRECT) -> MigrationError:
    """Return the error as that of a migration which was only tried."""
    return MigrationError(
        f"{error.message}\nThat was in a scratch database, which has no rows; yours was not touched.", remedy=remedy
    )


def catalog_of(parameters: dict[str, Any], migrations: Sequence[Migration]) -> Catalog:
    """Return the schema that `migrations` make, tried in a shadow database beside that of `parameters`.

    Raises MigrationError as replay() does.
    """
    with shadow(parameters) as target, closing(connect(target)) as connection:
        remedy = "Correct the file, or adopt the database without comparing it, by --allow-drift."
        replay(connection, migrations, remedy=remedy)
        return read_catalog(connection)
