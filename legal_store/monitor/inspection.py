"""What PostgreSQL says about its connections, tables, indexes and statements. Reads only, in a session of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple

import psycopg2
import psycopg2.extras

from legal_store.config import Settings
from legal_store.database.plain import connect
from legal_store.database.scope import STATEMENT_SQL
from legal_store.database.target import connection_parameters
from legal_store.errors import LegalStoreError

Row = dict[str, Any]


@contextmanager
def inspecting(settings: Settings) -> Iterator[Inspector]:
    """Connect as the login of DATABASE_URL, beside any pool. Raises ServerUnavailableError."""
    parameters = connection_parameters(settings)
    parameters["application_name"] = "legal_store inspection"
    with closing(connect(parameters)) as connection:
        connection.autocommit = True
        yield Inspector(connection)


@contextmanager
def reached(settings: Settings) -> Iterator[Inspector | LegalStoreError]:
    """As `inspecting`, but where nothing can be connected to, yield why: it takes long enough to find out once."""
    with ExitStack() as opened:
        try:
            found: Inspector | LegalStoreError = opened.enter_context(inspecting(settings))
        except LegalStoreError as error:
            found = error
        yield found


class Inspector:
    """Asks one connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def rows(self, query: str, parameters: Any = None) -> list[Row]:
        """Return all rows of an answer."""
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(query, parameters)
            return [dict(row) for row in cursor.fetchall()]

    def row(self, query: str, parameters: Any = None) -> Row:
        """Return the first row of an answer, {} if there is none."""
        return next(iter(self.rows(query, parameters)), {})

    @property
    def behind_pooler(self) -> bool:
        """Whether a pooler is in between: it makes up the process id that it tells at connecting."""
        return bool(self.row("SELECT pg_backend_pid() AS pid")["pid"] != self.connection.info.backend_pid)


class Sizes(NamedTuple):
    """What takes space. Bytes; `bloat_bytes` is an estimate from statistics."""

    database_bytes: int
    tables: list[Row]
    unused_indexes: list[Row]
    invalid_indexes: list[Row]


class Slow(NamedTuple):
    """The statements that took the most time, and from where that is known."""

    source: str  # "pg_stat_statements", or "pg_stat_activity" where the extension is missing: only what runs now
    statements: list[Row]


def connections(inspector: Inspector) -> list[Row]:
    """Return the sessions of this database, the longest transactions first, with who blocks whom."""
    return inspector.rows(
        f"""
        SELECT pid, usename AS user, application_name AS application, coalesce(client_addr::text, 'local') AS client,
               state, wait_event_type AS waits_for,
               round(extract(epoch FROM clock_timestamp() - xact_start)::numeric, 3)::float8 AS transaction_s,
               round(extract(epoch FROM clock_timestamp() - state_change)::numeric, 3)::float8 AS in_state_s,
               pg_blocking_pids(pid) AS blocked_by, left({STATEMENT_SQL}, 80) AS statement
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
              AND coalesce(backend_type, 'client backend') = 'client backend'
        ORDER BY xact_start NULLS LAST, pid
        """
    )


def blockers(inspector: Inspector) -> list[Row]:
    """Return the sessions that others of this database wait for; first those that wait for no other themselves.

    `pid` is 0 for a prepared transaction. Nothing of their statements is told.
    """
    return inspector.rows(
        """
        WITH waiting AS (
            SELECT pid, unnest(pg_blocking_pids(pid)) AS blocker FROM pg_stat_activity
            WHERE datname = current_database()
        )
        SELECT w.blocker AS pid, array_agg(DISTINCT w.pid) AS blocks, b.usename AS user,
               b.application_name AS application, b.state, b.wait_event_type AS waits_for,
               extract(epoch FROM clock_timestamp() - b.xact_start)::float8 AS transaction_s
        FROM waiting w LEFT JOIN pg_stat_activity b ON b.pid = w.blocker
        GROUP BY w.blocker, b.usename, b.application_name, b.state, b.wait_event_type, b.xact_start
        ORDER BY w.blocker IN (SELECT pid FROM waiting), b.xact_start
        """
    )


def sizes(inspector: Inspector) -> Sizes:
    """Return how large tables and indexes are, and which indexes are unused or invalid."""
    tables = inspector.rows(
        """
        SELECT c.relname AS table, greatest(c.reltuples, 0)::bigint AS rows_estimate,
               pg_total_relation_size(c.oid) AS total_bytes, pg_relation_size(c.oid) AS heap_bytes,
               pg_indexes_size(c.oid) AS index_bytes,
               CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_total_relation_size(c.reltoastrelid) END AS toast_bytes,
               coalesce(s.n_dead_tup, 0) AS dead_rows,
               greatest(0, pg_relation_size(c.oid) - ceil(greatest(c.reltuples, 0) * (24 + w.width)
                        / (current_setting('block_size')::float8 - 24))::bigint
                        * current_setting('block_size')::bigint)::bigint AS bloat_bytes
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(avg_width), 0) + 4 AS width FROM pg_stats
            WHERE schemaname = n.nspname AND tablename = c.relname
        ) w
        WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
        ORDER BY total_bytes DESC, c.relname
        """
    )
    indexes = """
        SELECT i.indexrelid::regclass::text AS index, i.indrelid::regclass::text AS table,
               pg_relation_size(i.indexrelid) AS bytes
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = i.indexrelid
        WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast') AND {condition}
        ORDER BY bytes DESC, 1
        """
    return Sizes(
        inspector.row("SELECT pg_database_size(current_database()) AS bytes")["bytes"],
        tables,
        inspector.rows(
            indexes.format(condition="s.idx_scan = 0 AND NOT i.indisunique AND i.indisvalid AND i.indisready")
        ),
        inspector.rows(indexes.format(condition="NOT i.indisvalid")),
    )


def slow(inspector: Inspector, limit: int = 20) -> Slow:
    """Return the statements that took the most time altogether; what runs now where pg_stat_statements is missing."""
    if has_statement_statistics(inspector):
        return Slow(
            "pg_stat_statements",
            inspector.rows(
                """
                SELECT calls, round(total_exec_time::numeric, 1)::float8 AS total_ms,
                       round(mean_exec_time::numeric, 3)::float8 AS mean_ms,
                       round(max_exec_time::numeric, 1)::float8 AS max_ms, rows,
                       left(regexp_replace(query, '\\s+', ' ', 'g'), 100) AS statement
                FROM pg_stat_statements
                WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                ORDER BY total_exec_time DESC LIMIT %s
                """,
                (limit,),
            ),
        )
    return Slow(
        "pg_stat_activity",
        inspector.rows(
            f"""
            SELECT pid, round(extract(epoch FROM clock_timestamp() - query_start)::numeric * 1000, 1)::float8 AS
                   running_ms, state, left({STATEMENT_SQL}, 100) AS statement
            FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
            ORDER BY query_start LIMIT %s
            """,
            (limit,),
        ),
    )


def has_statement_statistics(inspector: Inspector) -> bool:
    """Say whether pg_stat_statements is installed here and loaded by the server; any login may ask."""
    found = inspector.row(
        "SELECT current_setting('pg_stat_statements.max', true) IS NOT NULL AS loaded, "
        "EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') AS installed"
    )
    return bool(found["loaded"] and found["installed"])
