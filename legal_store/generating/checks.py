"""What is looked at before anything is written: production, and other loads."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from psycopg2 import sql
from psycopg2.errors import LockNotAvailable

from legal_store.config import Settings
from legal_store.database.plain import connect
from legal_store.errors import WrongUseError
from legal_store.generating.ledger import LOCK, Run, Unfinished, unfinished
from legal_store.generating.tables import CATALOGUE, COLUMNS
from legal_store.production import refuse_production

_LOCK_PATIENCE = "3s"


def take_lock(cursor: Any) -> None:
    """Take the lock of loads until the connection ends. Raises WrongUseError when another load has it.

    Waits a little: the server needs up to half a second to notice that a load was killed.
    """
    cursor.execute("SET client_connection_check_interval = '500ms'")
    cursor.execute("SET lock_timeout = %s", (_LOCK_PATIENCE,))
    try:
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    except LockNotAvailable:
        raise WrongUseError("Another load is at work in this database.", remedy="Wait for it to end.") from None
    cursor.execute("RESET lock_timeout")


def refuse_production_with_rows(cursor: Any, settings: Settings) -> None:
    """Raise RefusedError for a production database in which any table holds rows."""
    for table in (*COLUMNS, *CATALOGUE):
        cursor.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table)))
        if cursor.fetchone() == (True,):
            refuse_production(f"Adding invented data to a database that holds rows (in {table})", settings)
            return


def refuse_other_run(found: Run, wanted: Run) -> None:
    """Raise WrongUseError when the unfinished run in the database is not the one that is wanted now."""
    if found == wanted:
        return
    edited = ", made before the recipe's files were edited," if found._replace(digest=wanted.digest) == wanted else ""
    raise WrongUseError(
        f"An unfinished load of the {found}{edited} is in this database.",
        remedy=f"Nothing was changed. Go on with it: `{found.command}`, with the files as they were; or start anew "
        "with `invoke migrate.reset`.",
    )


def unfinished_load(parameters: dict[str, Any]) -> Unfinished | None:
    """Return the load that has not ended in the database that psycopg2 `parameters` name, None where there is none."""
    with closing(connect(parameters)) as connection, connection.cursor() as cursor:
        return unfinished(cursor)


def refuse_unfinished_load(parameters: dict[str, Any], doing: str) -> None:
    """Raise WrongUseError when a load has not ended in this database: constraints can be missing there."""
    if (found := unfinished_load(parameters)) is not None:
        raise WrongUseError(f"{doing} has to wait: {found}.", remedy=found.remedy)
