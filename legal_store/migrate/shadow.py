"""Scratch databases in which migrations are tried: made when needed, dropped whatever happens.

Where the login may not create databases, LEGAL_STORE_SHADOW_URL names one that is emptied for each use instead.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import sql

from legal_store.errors import OperationFailedError, RefusedError
from legal_store.migrate.sessions import connect

SHADOW_URL = "LEGAL_STORE_SHADOW_URL"

_PREFIX = "legal_store_shadow_"
_MARKER = "_legal_store_shadow"
_LOCK_KEY = "hashtext('legal_store shadow')"


@contextmanager
def shadow(
    parameters: dict[str, Any], *, url: str | None = None, wait_seconds: float = 300.0
) -> Iterator[dict[str, Any]]:
    """Yield the psycopg2 parameters of an empty scratch database on the server of `parameters`.

    It is dropped at the end, also after an error; leftovers of runs that were killed are dropped at the beginning.
    `url` (LEGAL_STORE_SHADOW_URL by default) names a database to empty and use instead, one run at a time: others wait
    up to `wait_seconds`. Raises RefusedError when that one holds anything that is not ours, OperationFailedError when
    it stays in use, or when no database may be created.
    """
    given = url if url is not None else os.environ.get(SHADOW_URL, "")
    using = _given_database(given, parameters, wait_seconds) if given else _created_database(parameters)
    with using as target:
        yield target


def empty_schema(connection: Any) -> None:
    """Drop the schema public with all that is in it, the ledger too, and make it anew, usable by all roles."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('client_min_messages')")
        (messages,) = cursor.fetchone()
        cursor.execute("SET client_min_messages = warning")  # a notice for each object says nothing
        cursor.execute(
            "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO public"
        )
        cursor.execute("SELECT set_config('client_min_messages', %s, false)", (messages,))


@contextmanager
def _created_database(parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    name = f"{_PREFIX}{uuid.uuid4().hex[:16]}"
    # the keeper's name is visible to all on the server: a shadow without a keeper belongs to nobody any more
    with closing(_keeper(parameters, name)) as keeper, keeper.cursor() as cursor:
        _drop_leftovers(cursor)
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        except psycopg2.errors.InsufficientPrivilege:
            raise OperationFailedError(
                "The login may not create the scratch database that this needs.",
                remedy=f"Set {SHADOW_URL} to an empty database that may be emptied again and again, "
                "or have an administrator run ALTER ROLE ... CREATEDB.",
            ) from None
        try:
            yield {**parameters, "dbname": name}
        finally:
            _drop(cursor, name)


def _keeper(parameters: dict[str, Any], name: str) -> Any:
    connection = connect(parameters)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('application_name', %s, false)", (name,))
    return connection


def _drop_leftovers(cursor: Any) -> None:
    cursor.execute(
        "SELECT d.datname FROM pg_database d WHERE d.datname ~ %s AND pg_has_role(d.datdba, 'USAGE') AND NOT EXISTS"
        " (SELECT FROM pg_stat_activity a WHERE a.application_name = d.datname)",
        (f"^{_PREFIX}[0-9a-f]{{16}}$",),
    )
    for (name,) in cursor.fetchall():
        # somebody else may be dropping it at the same time
        with suppress(psycopg2.errors.InvalidCatalogName, psycopg2.errors.ObjectInUse, psycopg2.errors.InternalError):
            _drop(cursor, name)


def _drop(cursor: Any, name: str) -> None:
    cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _given_database(url: str, parameters: dict[str, Any], wait_seconds: float) -> Iterator[dict[str, Any]]:
    from psycopg2.extensions import parse_dsn

    target = {**parse_dsn(url), "connect_timeout": parameters.get("connect_timeout", 10)}
    with closing(connect(target)) as connection:
        _refuse_same_database(connection, parameters)
        _wait_for_turn(connection, wait_seconds)
        _refuse_foreign_contents(connection)
        _empty(connection)
        try:
            yield target
        finally:
            _empty(connection)


def _refuse_same_database(connection: Any, parameters: dict[str, Any]) -> None:
    query = "SELECT pg_postmaster_start_time(), oid FROM pg_database WHERE datname = current_database()"
    with closing(connect(parameters)) as other, other.cursor() as theirs, connection.cursor() as ours:
        theirs.execute(query)
        ours.execute(query)
        if theirs.fetchone() == ours.fetchone():
            raise RefusedError(
                f"{SHADOW_URL} is the database itself: it would be emptied.", remedy="Point it to another, empty one."
            )


def _wait_for_turn(connection: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(f"SELECT pg_try_advisory_lock({_LOCK_KEY})")
            if cursor.fetchone()[0]:
                return
            time.sleep(0.1)
    raise OperationFailedError(f"The database of {SHADOW_URL} is in use by another run.", remedy="Wait for it.")


def _refuse_foreign_contents(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass(%s) IS NOT NULL, count(*) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')",
            (f"{_MARKER}.marker",),
        )
        marked, tables = cursor.fetchone()
    if tables and not marked:
        raise RefusedError(
            f"The database of {SHADOW_URL} holds {tables} tables that are not ours; it would be emptied.",
            remedy="Point it to an empty database that is used for nothing else.",
        )


def _empty(connection: Any) -> None:
    # the marker stands in another schema, so that the scratch schema itself is empty
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        empty_schema(connection)
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {_MARKER}; CREATE TABLE IF NOT EXISTS {_MARKER}.marker ()")
        cursor.execute("COMMIT")
