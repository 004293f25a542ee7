"""One consistent look at a database: a snapshot that pg_dump shares, and the facts by which a restore is judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import sql

from legal_store.backup.manifest import FORMAT, Contents, Source, TableFacts

_USER_TABLES = """
SELECT c.oid, n.nspname, c.relname, pg_table_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY pg_table_size(c.oid) DESC, 2, 3
"""

LOCK_SECONDS = 60

# What a column is hashed by: its type's own binary form, exact and cheap (a vector of 1536 numbers as text is not).
# Composite types, and arrays of types that are not built in, carry object ids in theirs, so those go by text; and so
# do the names of objects (regclass), whose binary form is an id of this one database.
_COLUMNS = """
SELECT a.attname, CASE WHEN base.typtype IN ('b', 'e') AND base.typsend <> 0 AND base.oid <> 'record'::regtype
                        AND (base.typelem = 0 OR base.typelem < 16384 AND base.oid < 16384
                             AND (SELECT e.typtype FROM pg_type e WHERE e.oid = base.typelem) <> 'c')
                        AND NOT (%s AND coalesce(nullif(base.typelem, 0), base.oid) IN (SELECT oid FROM pg_type
                                 WHERE typnamespace = 'pg_catalog'::regnamespace AND typname LIKE 'reg%%'))
                       THEN ARRAY[sn.nspname, send.proname] END
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
JOIN LATERAL (
    WITH RECURSIVE up AS (
        SELECT t.oid, t.typtype, t.typbasetype
        UNION ALL SELECT b.oid, b.typtype, b.typbasetype FROM up JOIN pg_type b ON b.oid = up.typbasetype
    ) SELECT b.* FROM up JOIN pg_type b ON b.oid = up.oid WHERE up.typtype <> 'd'
) base ON true
LEFT JOIN pg_proc send ON send.oid = base.typsend LEFT JOIN pg_namespace sn ON sn.oid = send.pronamespace
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_LEDGERS = """
SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = '_migrations' AND c.relkind = 'r' AND 3 = (
    SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped
    AND a.attname IN ('migration_name', 'finished_at', 'rolled_back_at')
) ORDER BY n.nspname = %s DESC, pg_table_is_visible(c.oid) DESC, 1
"""

_LAST_MIGRATION = """
SELECT max(migration_name) FROM (
    SELECT migration_name, lpad(split_part(migration_name, '_', 1), 20, '0') AS place FROM {}
    WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY 2 DESC LIMIT 1) last
"""

_NO_LIMITS = dict.fromkeys(
    ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"), "0"
)

# By these a value as text is the same whatever a database, a role or an environment set.
_CANONICAL = {
    "bytea_output": "hex",
    "datestyle": "ISO",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "quote_all_identifiers": "off",
    "timezone": "UTC",
}

_SEQUENCES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2
"""

_ROLES = """
SELECT DISTINCT r.rolname::text FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a', 'r')
  AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND r.rolname NOT LIKE 'pg\\_%' ORDER BY 1
"""

_SOURCE = """
SELECT current_database(), current_setting('server_version'), pg_database_size(current_database()),
       pg_encoding_to_char(encoding), to_jsonb(d)
FROM pg_database d WHERE datname = current_database()
"""


class Snapshot:
    """An open transaction that sees one moment of a database. `form`: that of the manifest it is compared with."""

    def __init__(self, connection: Any, form: int = FORMAT) -> None:
        self._connection = connection
        self._form = form
        self.server_version: int = connection.server_version

    def export(self) -> str:
        """Return the snapshot's name for `pg_dump --snapshot`; it is good as long as this is open."""
        return str(self.value("SELECT pg_export_snapshot()"))

    def cancel(self) -> None:
        """End the statement that another thread has running here, if there is one."""
        with suppress(psycopg2.Error):
            self._connection.cancel()

    def value(self, query: str, *arguments: object) -> Any:
        rows = self.rows(query, *arguments)
        return rows[0][0] if rows else None

    def rows(self, query: str | sql.Composable, *arguments: object) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, arguments or None)
            found: list[Any] = cursor.fetchall()
            return found

    def contents(self, seed: int = 0, known: Contents | None = None, *, only_known: bool = False) -> Contents:
        """Return the facts about everything in the database, with content hashes under `seed`. Reads every row.

        `known` is what they are compared with: the ledger of migrations is looked for where it was. With `only_known`,
        tables and sequences that are not in it are left alone: there may be no right to read them.
        """
        ledger = self.value(_LEDGERS, known.ledger_schema if known else None)
        head = self._migration_head(ledger) if ledger else None
        names = {*(table.name for table in known.tables), *known.sequences} if known and only_known else None
        tables = [row for row in self.rows(_USER_TABLES) if names is None or f"{row[1]}.{row[2]}" in names]
        sequences = [row for row in self.rows(_SEQUENCES) if names is None or f"{row[0]}.{row[1]}" in names]
        with self._everything_qualified():
            facts = [self._table(seed, *row) for row in tables]
        return Contents(
            tables=tuple(sorted(facts, key=lambda table: table.name)),
            sequences=dict(self._sequence(*row) for row in sequences),
            large_objects=self._large_objects(seed),
            extensions=dict(self.rows("SELECT extname, extversion FROM pg_extension ORDER BY 1")),
            foreign_keys=self.value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"),
            roles=tuple(name for (name,) in self.rows(_ROLES)),
            migration_head=head,
            ledger_schema=ledger,
        )

    def _migration_head(self, schema: str) -> str | None:
        """Return the name of the migration that was applied last."""
        ledger = sql.Identifier(schema, "_migrations")
        head: str | None = self.rows(sql.SQL(_LAST_MIGRATION).format(ledger))[0][0]
        return head

    @contextmanager
    def _everything_qualified(self) -> Iterator[None]:
        """Let names as text have their schema in the block, whatever the search path is."""
        path = self.value("SHOW search_path")
        if self._form > 1:
            self.value("SELECT set_config('search_path', '', true)")
        yield
        self.value("SELECT set_config('search_path', %s, true)", path)

    def source(self, environment: str, host: str) -> Source:
        """Return what the database is."""
        name, version, size, encoding, entry = self.rows(_SOURCE)[0]
        locale = {key: str(entry[key]) for key in _LOCALE if entry.get(key) is not None}
        return Source(
            database=name,
            environment=environment,
            host=host,
            server_version=version,
            system_identifier=self._system_identifier(),
            database_size=size,
            encoding=encoding,
            locale=locale,
        )

    def _system_identifier(self) -> str | None:
        allowed = self.value("SELECT has_function_privilege('pg_control_system()', 'execute')")
        return str(self.value("SELECT system_identifier FROM pg_control_system()")) if allowed else None

    def _table(self, seed: int, oid: int, schema: str, name: str, size: int) -> TableFacts:
        row = [self._hashed(column, send) for column, send in self.rows(_COLUMNS, self._form > 1, oid)]
        content = sql.SQL("sum(hash_record_extended(ROW({}), {}))").format(sql.SQL(", ").join(row), sql.Literal(seed))
        query = sql.SQL("SELECT count(*), coalesce({}, 0)::text FROM ONLY {}").format(
            content if row else sql.SQL("0"), sql.Identifier(schema, name)
        )
        rows, digest = self.rows(query)[0]
        return TableFacts(name=f"{schema}.{name}", rows=rows, content=digest, size=size)

    def _hashed(self, column: str, send: list[str] | None) -> sql.Composable:
        if send is None:
            form = "textsend({}::text)" if self._form > 1 else '{}::text COLLATE "C"'
            return sql.SQL(form).format(sql.Identifier(column))
        return sql.SQL("{}({})").format(sql.Identifier(*send), sql.Identifier(column))

    def _sequence(self, schema: str, name: str) -> tuple[str, str]:
        query = sql.SQL("SELECT last_value || CASE WHEN is_called THEN ' called' ELSE '' END FROM {}")
        return f"{schema}.{name}", self.rows(query.format(sql.Identifier(schema, name)))[0][0]

    def _large_objects(self, seed: int) -> str:
        return str(
            self.value(
                "SELECT count(*) || ' ' || coalesce(sum(hash_record_extended(ROW(oid, lo_get(oid)), %s)), 0)"
                " FROM pg_largeobject_metadata",
                seed,
            )
        )


_LOCALE = ("datcollate", "datctype", "datlocprovider", "datlocale", "daticulocale", "daticurules")


@contextmanager
def snapshot(parameters: dict[str, Any], *, form: int = FORMAT) -> Iterator[Snapshot]:
    """Open a snapshot of the database that psycopg2 `parameters` name. It holds back vacuum until it closes.

    `form`: the format of the manifest with which its contents are compared. Raises ServerUnavailableError.
    """
    with closing(connect(parameters)) as connection:
        if form > 1:
            connection.set_client_encoding(_encoding_of_hashes(connection))
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        # a row hidden by row-level security must be an error, not a smaller count
        _configure(connection, {**_CANONICAL, "row_security": "off", "lock_timeout": f"{LOCK_SECONDS}s"}, local=True)
        yield Snapshot(connection, form)


def _encoding_of_hashes(connection: Any) -> str:
    """Values are hashed as UTF-8, so that a database in another encoding compares; bytes without one as they are."""
    return "LATIN1" if connection.get_parameter_status("server_encoding") == "SQL_ASCII" else "UTF8"


def connect(parameters: dict[str, Any], **different: Any) -> Any:
    """Return a psycopg2 connection without time limits. Raises ServerUnavailableError."""
    from legal_store.database import plain

    wanted = {**parameters, "options": "-c statement_timeout=0", **different}
    wanted.pop("cursor_factory", None)
    connection = plain.connect(wanted)
    connection.autocommit = True  # a limit on transactions would hold for the one that takes it away
    _configure(connection, _NO_LIMITS)
    connection.autocommit = False
    return connection


def _configure(connection: Any, settings: dict[str, str], *, local: bool = False) -> None:
    """Set what of `settings` this server knows, for the session or (`local`) the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(known.name, wanted.value, %s) FROM pg_settings known"
            " JOIN jsonb_each_text(%s) wanted ON wanted.key = lower(known.name)",
            (local, json.dumps(settings)),
        )
