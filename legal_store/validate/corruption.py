"""Does what is on disk still make sense? PostgreSQL's own amcheck knows, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg2

from legal_store.validate.checks import Check, Outcome, failed, passed, skipped

_TABLES = """
SELECT c.relname || ': ' || v.msg FROM pg_class c, LATERAL verify_heapam(c.oid, check_toast => true) v
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY c.relname, v.blkno
"""
_RESTORE = "tables are corrupt; restore them from a backup"
_REBUILD = "indexes are corrupt; REINDEX them"
_INDEXES = """
SELECT c.oid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relnamespace = 'public'::regnamespace AND i.indisvalid AND c.relkind = 'i' ORDER BY 1
"""


def checks_of_corruption() -> Iterator[Check]:
    """Yield the checks of pages: tables with what they keep apart, and indexes against their tables."""
    tables = _by_amcheck("verify_heapam(regclass, boolean, boolean, text, bigint, bigint)", _RESTORE, _broken_tables)
    indexes = _by_amcheck("bt_index_check(regclass, boolean)", _REBUILD, _broken_indexes)
    yield Check("table corruption", "Can every row be read as it was written (amcheck)?", tables)
    yield Check("index corruption", "Does every index agree with its table (amcheck)?", indexes)


def _by_amcheck(function: str, remedy: str, find: Callable[[Any], Iterator[str]]) -> Callable[[Any], Outcome]:
    def run(cursor: Any) -> Outcome:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')")
        if not cursor.fetchone()[0]:
            return skipped("the extension amcheck is not installed: CREATE EXTENSION amcheck")
        cursor.execute("SELECT has_function_privilege(%s, 'EXECUTE')", (function,))
        if not cursor.fetchone()[0]:
            return skipped(f"this login may not run amcheck: GRANT EXECUTE ON FUNCTION {function}")
        broken = list(find(cursor))
        return failed(f"{remedy}, and check the disk", broken) if broken else passed()

    return run


def _broken_tables(cursor: Any) -> Iterator[str]:
    cursor.execute(_TABLES)
    return (problem for (problem,) in cursor.fetchall())


def _broken_indexes(cursor: Any) -> Iterator[str]:
    cursor.execute(_INDEXES)
    for (index,) in cursor.fetchall():
        cursor.execute("SAVEPOINT amcheck")
        try:
            cursor.execute("SELECT bt_index_check(%s::regclass, true)", (index,))
        except psycopg2.Error as error:
            cursor.execute("ROLLBACK TO amcheck")
            yield f"{index}: {str(error).splitlines()[0]}"
        cursor.execute("RELEASE amcheck")
