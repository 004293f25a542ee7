"""Is this a production database? Whatever destroys or replaces data asks here first, and is refused on any sign."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

from legal_store.config import mask_password
from legal_store.errors import RefusedError

if TYPE_CHECKING:
    from legal_store.config import Settings

# what a database says about itself, in settings of its own
ENVIRONMENT_SETTING = "legal_store.environment"
ANONYMIZED_SETTING = "legal_store.anonymized"

_SIGNS_IN_URL = ("render.com", "production")
_PASSWORDS = re.compile(r":\*\*\*@|password=\*\*\*")


def production_signs(url: str, environment: str, marker: str | None) -> list[str]:
    """Return every sign that this is production, in words without secrets; empty when there is none.

    `marker` is what the database says about itself (see `environment_marker`), None where it says nothing.
    """
    visible = _PASSWORDS.sub("@", mask_password(url)).lower()
    signs = [f"the URL contains {sign!r}" for sign in _SIGNS_IN_URL if sign in visible]
    if environment == "production":
        signs.append("LEGAL_STORE_ENV is 'production'")
    if marker == "production":
        signs.append(f"the database itself is marked: {ENVIRONMENT_SETTING} = 'production'")
    return signs


def refuse_production(doing: str, settings: Settings, *, url: str | None = None) -> None:
    """Raise RefusedError with the sign that was seen when `doing` would hit a production database.

    `doing` is a phrase like "Resetting the database"; `url` is the target where it is not the one of `settings`.
    Opens one connection to read the marker; a database that does not exist yet carries none.
    Raises ServerUnavailableError where the marker cannot be read: what is unknown is not taken for harmless.
    """
    from legal_store.database.target import connection_parameters, database_url

    target = url or database_url(settings)
    signs = production_signs(target, settings.environment, None)
    if not signs:
        parameters = connection_parameters(_pointed_at(settings, target))
        signs = production_signs(target, settings.environment, environment_marker(parameters))
    if signs:
        raise RefusedError(
            f"{doing} is refused, this is production: {'; '.join(signs)}.",
            remedy="Nothing was changed. Use a development database, or correct the sign if it is wrong; the mark of a "
            f"database is taken away by ALTER DATABASE ... RESET {ENVIRONMENT_SETTING}.",
        )


def environment_of(settings: Settings, parameters: dict[str, Any]) -> str:
    """Return which environment the database of psycopg2 `parameters` belongs to: what it says itself, unless
    LEGAL_STORE_ENV says production; LEGAL_STORE_ENV where it says nothing. Raises ServerUnavailableError."""
    return settings.environment if settings.production else environment_by(settings, environment_marker(parameters))


def environment_by(settings: Settings, marker: str | None) -> str:
    """As `environment_of`, of a database whose `marker` was read already."""
    return settings.environment if settings.production else marker or settings.environment


def environment_marker(parameters: dict[str, Any]) -> str | None:
    """Return what the database that psycopg2 `parameters` name says it is; None where it says nothing or is missing.

    Raises ServerUnavailableError.
    """
    import psycopg2

    from legal_store.database.explain import connection_failure
    from legal_store.database.target import describe_target

    try:
        connection = psycopg2.connect(**parameters)
    except psycopg2.OperationalError as error:
        if re.search(r'database "[^"]*" does not exist', str(error)):
            return None
        raise connection_failure(error, describe_target(parameters)) from None
    with closing(connection), connection.cursor() as cursor:
        return read_marker(cursor)


def read_marker(cursor: Any) -> str | None:
    """Return what the database of `cursor` says it is; None where it says nothing."""
    cursor.execute(_READ_MARKER, {"prefix": f"{ENVIRONMENT_SETTING}="})
    row = cursor.fetchone()
    return None if row is None else str(row[0])


def mark_production(connection: Any) -> bool | None:
    """Write into the database that it is production; return whether that was possible, None where it says so already.

    A login that does not own the database may not write it: then nothing changes.
    """
    import psycopg2
    from psycopg2 import sql

    with connection.cursor() as cursor:
        if read_marker(cursor) == "production":
            return None
        cursor.execute("SELECT current_database()")
        statement = sql.SQL("ALTER DATABASE {} SET {} = 'production'").format(
            sql.Identifier(cursor.fetchone()[0]), sql.Identifier(*ENVIRONMENT_SETTING.split("."))
        )
        try:
            cursor.execute(statement)
        except psycopg2.errors.InsufficientPrivilege:
            return False
    return True


# from the catalog, not from current_setting(): start-up options of the session would hide it
_READ_MARKER = """
SELECT substr(setting, length(%(prefix)s) + 1)
FROM pg_db_role_setting AS s, unnest(s.setconfig) AS setting
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.setrole = 0
  AND starts_with(setting, %(prefix)s)
"""


def _pointed_at(settings: Settings, url: str) -> Settings:
    from dataclasses import replace

    from legal_store.config import Url

    return replace(settings, database_url=Url(url))
