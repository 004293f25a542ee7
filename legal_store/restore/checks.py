"""What a restored database has to pass before it may go live. More checks can be added to the list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from legal_store.backup.comparing import differences
from legal_store.backup.manifest import FORMAT, Contents
from legal_store.backup.snapshot import Snapshot, snapshot
from legal_store.restore.sources import Backup, Source


class Finding(NamedTuple):
    """The answer of one check: what was looked at, and every problem."""

    name: str
    result: str
    problems: list[str]


class Restored(NamedTuple):
    """A restored database, as a check sees it: how to connect, an open snapshot of it, and what it came from."""

    parameters: dict[str, Any]
    seen: Snapshot
    source: Source


Check = Callable[[Restored], Finding]


def same_contents(restored: Restored) -> Finding:
    """Compare rows, sequences, large objects, extensions, foreign keys and migrations with the manifest."""
    if not isinstance(restored.source, Backup):
        count = len(restored.seen.contents().tables)
        return Finding("contents", f"{count} tables; the file has no manifest to compare with", _no_tables(count))
    expected = restored.source.manifest.contents
    found = restored.seen.contents(restored.source.hash_seed, ledger_schema=expected.ledger_schema)
    return Finding("contents", _counted(found), differences(expected, found))


def valid_constraints(restored: Restored) -> Finding:
    """All constraints and indexes are valid."""
    rows = restored.seen.rows(
        "SELECT 'index ' || indexrelid::regclass FROM pg_index WHERE NOT indisvalid"
        " UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE NOT convalidated"
    )
    names = [name for (name,) in rows]
    if isinstance(restored.source, Backup):  # NOT VALID there as well: it was so when the backup was made
        names = [name for name in names if name.startswith("index ")]
    return Finding("constraints", f"{len(names)} not valid", [f"{name} is not valid" for name in names])


DEFAULT_CHECKS: tuple[Check, ...] = (same_contents, valid_constraints)


def run_checks(parameters: dict[str, Any], source: Source, checks: tuple[Check, ...]) -> list[Finding]:
    """Run all checks on one snapshot of the database and return their findings."""
    with snapshot(parameters, form=source.manifest.format if source.manifest else FORMAT) as seen:
        restored = Restored(parameters, seen, source)
        return [check(restored) for check in checks]


def _counted(contents: Contents) -> str:
    rows = sum(table.rows for table in contents.tables)
    return f"{len(contents.tables)} tables, {rows:,} rows, {contents.foreign_keys} foreign keys compared"


def _no_tables(count: int) -> list[str]:
    return [] if count else ["there is no table in it"]
