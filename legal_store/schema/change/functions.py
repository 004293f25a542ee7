"""Statements for extensions, functions, types and sequences."""

from __future__ import annotations

from collections.abc import Iterator

from legal_store.schema.change.impact import Impact
from legal_store.schema.snapshot import quoted


def create_extensions(change: Impact) -> Iterator[str]:
    """Create extensions."""
    for name in sorted(change.target.names("extension") - change.current.names("extension")):
        yield f"CREATE EXTENSION IF NOT EXISTS {quoted(name)}"


def make_functions(change: Impact) -> Iterator[str]:
    """Create or replace functions; drop first those whose heading changes."""
    first = change.functions_made_anew()
    yield from (f"DROP FUNCTION {name}" for name in sorted(first))
    for key in change.target.catalog:
        if key[0] == "function" and change.current.catalog.get(key) != change.target.catalog[key]:
            yield change.target.catalog[key].strip().replace(" FUNCTION public.", " FUNCTION ", 1)


def drop_functions(change: Impact) -> Iterator[str]:
    """Drop functions that nothing calls any more."""
    for name in sorted(change.current.names("function") - change.target.names("function")):
        yield f"DROP FUNCTION {name}"


def create_types(change: Impact) -> Iterator[str]:
    """Create enumerations and sequences."""
    for name in sorted(change.target.names("enum") - change.current.names("enum")):
        yield f"CREATE TYPE {quoted(name)} AS ENUM ({change.target.catalog['enum', name]})"
    for name in sorted(
        change.target.names("sequence") - change.current.names("sequence") - change.target.identity_sequences
    ):
        yield f"CREATE SEQUENCE {quoted(name)} AS {change.target.catalog['sequence', name].partition(' ')[0]}"


def drop_types(change: Impact) -> Iterator[str]:
    """Drop enumerations and sequences, but for those that went with their column."""
    for name in sorted(change.current.names("enum") - change.target.names("enum")):
        yield f"DROP TYPE {quoted(name)}"
    for name in sorted(
        change.current.names("sequence") - change.target.names("sequence") - change.current.identity_sequences
    ):
        owner = tuple(change.current.owned_sequences.get(name, ".").split(".", 1))
        if owner[0] not in change.lost_tables and owner not in change.lost_columns | change.replaced:
            yield f"DROP SEQUENCE {quoted(name)}"
