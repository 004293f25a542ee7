"""One consistent look at a database: a snapshot that pg_dump shares, and the facts by which a restore is judged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from psycopg2 import sql

from legal_store.backup.manifest import Contents, Source, TableFacts

_USER_TABLES = """
SELECT c.oid, n.nspname, c.relname, pg_table_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY pg_table_size(c.oid) DESC, 2, 3
"""

# What a column is hashed by: its type's own binary form, exact and cheap (a vector of 1536 numbers as text is not).
# Composite types, and arrays of types that are not built in, carry object ids in theirs, so those go by text.
_COLUMNS = """
SELECT a.attname, CASE WHEN base.typtype IN ('b', 'e') AND base.typsend <> 0 AND base.oid <> 'record'::regtype
                        AND (base.typelem = 0 OR base.typelem < 16384 AND base.oid < 16384
                             AND (SELECT e.typtype FROM pg_type e WHERE e.oid = base.typelem) <> 'c')
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
    """An open transaction that sees one moment of a database."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.server_version: int = connection.server_version

    def export(self) -> str:
        """Return the snapshot's name for `pg_dump --snapshot`; it is good as long as this is open."""
        return str(self.value("SELECT pg_export_snapshot()"))

    def value(self, query: str, *arguments: object) -> Any:
        rows = self.rows(query, *arguments)
        return rows[0][0] if rows else None

    def rows(self, query: str | sql.Composable, *arguments: object) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, arguments or None)
            found: list[Any] = cursor.fetchall()
            return found

    def contents(self, seed: int = 0, known: Contents | None = None) -> Contents:
        """Return the facts about everything in the database, with content hashes under `seed`. Reads every row.

        With `known`, tables and sequences that are not in it are left alone: there may be no right to read them.
        """
        names = None if known is None else {*(table.name for table in known.tables), *known.sequences}
        tables = [row for row in self.rows(_USER_TABLES) if names is None or f"{row[1]}.{row[2]}" in names]
        sequences = [row for row in self.rows(_SEQUENCES) if names is None or f"{row[0]}.{row[1]}" in names]
        return Contents(
            tables=tuple(sorted((self._table(seed, *row) for row in tables), key=lambda table: table.name)),
            sequences=dict(self._sequence(*row) for row in sequences),
            large_objects=self._large_objects(seed),
            extensions=dict(self.rows("SELECT extname, extversion FROM pg_extension ORDER BY 1")),
            foreign_keys=self.value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"),
            roles=tuple(name for (name,) in self.rows(_ROLES)),
            migration_head=self.migration_head(),
        )

    def migration_head(self) -> str | None:
        """Return the name of the migration that was applied last, None where there is no ledger."""
        if self.value("SELECT to_regclass('_migrations')") is None:
            return None
        head: str | None = self.value(
            "SELECT max(migration_name) FROM (SELECT migration_name, lpad(split_part(migration_name, '_', 1), 20, '0')"
            " AS place FROM _migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL"
            " ORDER BY 2 DESC LIMIT 1) last"
        )
        return head

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
        row = [self._hashed(column, send) for column, send in self.rows(_COLUMNS, oid)]
        content = sql.SQL("sum(hash_record_extended(ROW({}), {}))").format(sql.SQL(", ").join(row), sql.Literal(seed))
        query = sql.SQL("SELECT count(*), coalesce({}, 0)::text FROM ONLY {}").format(
            content if row else sql.SQL("0"), sql.Identifier(schema, name)
        )
        rows, digest = self.rows(query)[0]
        return TableFacts(name=f"{schema}.{name}", rows=rows, content=digest, size=size)

    @staticmethod
    def _hashed(column: str, send: list[str] | None) -> sql.Composable:
        if send is None:
            return sql.SQL('{}::text COLLATE "C"').format(sql.Identifier(column))
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
def snapshot(parameters: dict[str, Any]) -> Iterator[Snapshot]:
    """Open a snapshot of the database that psycopg2 `parameters` name. It holds back vacuum until it closes.

    Raises ServerUnavailableError.
    """
    with closing(connect(parameters)) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            # a row hidden by row-level security must be an error, not a smaller count
            cursor.execute("SET row_security = off; SET statement_timeout = 0; SET lock_timeout = '10s'")
            cursor.execute("SET idle_in_transaction_session_timeout = 0; SET extra_float_digits = 1")
            cursor.execute("SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'")
        yield Snapshot(connection)


def connect(parameters: dict[str, Any], **different: Any) -> Any:
    """Return a psycopg2 connection without time limits. Raises ServerUnavailableError."""
    from legal_store.database import plain

    wanted = {**parameters, "options": "-c statement_timeout=0", **different}
    wanted.pop("cursor_factory", None)
    return plain.connect(wanted)
