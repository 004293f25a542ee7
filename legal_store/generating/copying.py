"""Writing the rows of a portion: a COPY for each table, and one transaction for all and for the note in the ledger."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import psycopg2
from psycopg2 import sql

from legal_store.generating import ledger
from legal_store.generating.tables import COLUMNS, Rows

_BUFFER = 1 << 17


def connect(parameters: dict[str, Any]) -> Any:
    """Return a connection for loading.

    Commits do not wait for the disk: should the server crash, the last portions and their notes are missing together.
    Long texts are compressed with LZ4 where the server can, which takes a fraction of the time of its default.
    """
    connection = psycopg2.connect(**parameters)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET synchronous_commit = off")
        cursor.execute("SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
        if cursor.fetchone() == (True,):
            cursor.execute("SET default_toast_compression = lz4")
    return connection


def write_portion(connection: Any, number: int, rows: Rows) -> bool:
    """Write the portion unless the ledger says it is there. Return whether it was written."""
    packed = {table: _pack(lines) for table, lines in rows.items() if lines}
    counts = {table: len(rows[table]) for table in packed}
    with connection, connection.cursor() as cursor:
        if not ledger.claim_portion(cursor, number, _digest(packed), counts):
            return False
        for table, data in packed.items():
            cursor.copy_expert(copy_statement(table), io.BytesIO(data), size=_BUFFER)
    return True


def copy_statement(table: str) -> sql.Composable:
    """Return the COPY that takes generated rows of `table`."""
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table]))
    return sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)


def content_hash(digests: list[str]) -> str:
    """Return one hash for the digests of all portions, in the order of their numbers."""
    return hashlib.blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()


def _pack(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _digest(packed: dict[str, bytes]) -> str:
    total = hashlib.blake2b(digest_size=16)
    for table, data in packed.items():
        total.update(f"{table} {len(data)}\n".encode())
        total.update(data)
    return total.hexdigest()
