"""What a restored database has to pass before it may go live. More checks can be added to the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from legal_store.backup.comparing import differences
from legal_store.backup.manifest import FORMAT, Contents
from legal_store.backup.snapshot import Snapshot, snapshot
from legal_store.generating import unfinished_load
from legal_store.restore.sources import Backup, Source


class Finding(NamedTuple):
    """The answer of one check: what was looked at, and every problem."""

    name: str
    result: str
    problems: list[str]


class Restored(NamedTuple):
    """A restored database, as a check sees it: how to connect, an open snapshot of it, and what it came from.

    `in_place`: what the backup does not know has stayed in it.
    """

    parameters: dict[str, Any]
    seen: Snapshot
    source: Source
    in_place: bool = False


Check = Callable[[Restored], Finding]


def same_contents(restored: Restored) -> Finding:
    """Compare rows, sequences, large objects, extensions, foreign keys and migrations with the manifest."""
    if not isinstance(restored.source, Backup):
        count = len(restored.seen.contents().tables)
        return Finding("contents", f"{count} tables; the file has no manifest to compare with", _no_tables(count))
    expected = restored.source.manifest.contents
    found = restored.seen.contents(restored.source.hash_seed, expected, only_known=restored.in_place)
    if restored.in_place:  # tables that stayed may have their own
        found = replace(found, foreign_keys=min(found.foreign_keys, expected.foreign_keys))
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


def no_unfinished_load(restored: Restored) -> Finding:
    """No load of generated data is in its middle: until its end constraints are missing."""
    found = unfinished_load(restored.parameters)
    if found is None:
        return Finding("unfinished load", "none", [])
    return Finding("unfinished load", "one", [f"{found}; with --unfinished-load it can be restored and completed"])


DEFAULT_CHECKS: tuple[Check, ...] = (same_contents, valid_constraints)


def run_checks(
    parameters: dict[str, Any], source: Source, checks: Sequence[Check], *, in_place: bool = False
) -> list[Finding]:
    """Run all checks on one snapshot of the database and return their findings."""
    with snapshot(parameters, form=source.manifest.format if source.manifest else FORMAT) as seen:
        restored = Restored(parameters, seen, source, in_place)
        return [check(restored) for check in checks]


def _counted(contents: Contents) -> str:
    rows = sum(table.rows for table in contents.tables)
    return f"{len(contents.tables)} tables, {rows:,} rows, {contents.foreign_keys} foreign keys compared"


def _no_tables(count: int) -> list[str]:
    return [] if count else ["there is no table in it"]
