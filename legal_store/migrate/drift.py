"""Is the schema still what the migrations made of it? A fingerprint of the catalog is kept beside the ledger.

No second database is needed: after each migration, in its transaction, the engine reads the catalog and stores it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from legal_store.schema.catalog import CATALOG_FORMAT, Catalog, Difference, differences, read_catalog


class Recorded(NamedTuple):
    """The fingerprint of the schema when the ledger was last written, the server's major version, and our format."""

    fingerprint: str
    server_version: int
    catalog_format: int

    @property
    def comparable(self) -> bool:
        """False where another version of this library wrote it in other words."""
        return self.catalog_format == CATALOG_FORMAT


def fingerprint(catalog: Catalog) -> str:
    """Return the SHA-256 of a catalog, whatever order it was read in."""
    return hashlib.sha256(_as_json(catalog).encode()).hexdigest()


def record_catalog(connection: Any) -> None:
    """Store the schema as it is now; in the caller's transaction, if there is one."""
    catalog = read_catalog(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO _migrations_catalog (fingerprint, server_version, catalog_format, recorded_at, catalog)"
            " VALUES (%(fingerprint)s, %(version)s, %(format)s, clock_timestamp(), %(catalog)s)"
            " ON CONFLICT (one) DO UPDATE SET (fingerprint, server_version, catalog_format, recorded_at, catalog) ="
            " (EXCLUDED.fingerprint, EXCLUDED.server_version, EXCLUDED.catalog_format, EXCLUDED.recorded_at,"
            " EXCLUDED.catalog)",
            {
                "fingerprint": fingerprint(catalog),
                "version": _major(connection),
                "format": CATALOG_FORMAT,
                "catalog": _as_json(catalog),
            },
        )


def read_recorded(cursor: Any) -> Recorded | None:
    """Return what was stored; None where nothing was yet."""
    cursor.execute("SELECT to_regclass('_migrations_catalog')")
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute("SELECT fingerprint, server_version, catalog_format FROM _migrations_catalog")
    row = cursor.fetchone()
    return None if row is None else Recorded(*row)


def find_drift(connection: Any) -> list[Difference]:
    """Return what differs between the stored schema and the one that is there now; empty where none was stored
    that could be compared.

    Another major version of PostgreSQL may word the same object differently, so that only objects that appeared or
    vanished count then. An extension that somebody added (amcheck, pg_stat_statements) changes nothing of ours.
    Read-only.
    """
    with connection.cursor() as cursor:
        recorded = read_recorded(cursor)
        if recorded is None or not recorded.comparable:
            return []
        found = read_catalog(connection)
        if fingerprint(found) == recorded.fingerprint:
            return []
        cursor.execute("SELECT catalog FROM _migrations_catalog")
        expected = _from_json(cursor.fetchone()[0])
    changed = [d for d in differences(expected, found) if not (d.kind == "extension" and d.expected is None)]
    if recorded.server_version != _major(connection):
        return [d for d in changed if None in (d.expected, d.found)]
    return changed


def describe(drift: list[Difference], most: int = 10) -> str:
    """Return the differences for a message, one to a line; at most `most` of them."""
    lines = [f"\n  - {difference}" for difference in drift[:most]]
    more = f"\n  ... and {len(drift) - most} more" if len(drift) > most else ""
    return "".join(lines) + more


def _as_json(catalog: Catalog) -> str:
    return json.dumps(sorted([*key, definition] for key, definition in catalog.items()), separators=(",", ":"))


def _from_json(stored: Any) -> Catalog:
    return {(kind, name): definition for kind, name, definition in stored}


def _major(connection: Any) -> int:
    return int(connection.info.server_version) // 10000
