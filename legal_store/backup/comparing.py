"""Whether a restored database holds what the backup's snapshot saw. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterator

from legal_store.backup.manifest import Contents


def differences(expected: Contents, found: Contents) -> list[str]:
    """Return every difference as a sentence, none where the restore is complete.

    Versions of extensions and the set of roles belong to the server and are not compared.
    """
    return [*_tables(expected, found), *_others(expected, found)]


def _tables(expected: Contents, found: Contents) -> Iterator[str]:
    there = {table.name: table for table in found.tables}
    for table in expected.tables:
        twin = there.pop(table.name, None)
        if twin is None:
            yield f"table {table.name} is missing"
        elif twin.rows != table.rows:
            yield f"table {table.name} has {twin.rows} rows instead of {table.rows}"
        elif twin.content != table.content:
            yield f"table {table.name} has the right number of rows but other content"
    yield from (f"table {name} is not in the backup" for name in there)


def _others(expected: Contents, found: Contents) -> Iterator[str]:
    for name in sorted(expected.sequences.keys() | found.sequences.keys()):
        wanted, got = expected.sequences.get(name, "missing"), found.sequences.get(name, "missing")
        if wanted != got:
            yield f"sequence {name} stands at {got} instead of {wanted}"
    if expected.large_objects != found.large_objects:
        yield "the large objects are not the same"
    missing = sorted(expected.extensions.keys() - found.extensions.keys())
    if missing:
        yield f"extensions are missing: {', '.join(missing)}"
    if expected.foreign_keys != found.foreign_keys:
        yield f"{found.foreign_keys} foreign keys hold instead of {expected.foreign_keys}"
    if expected.migration_head != found.migration_head:
        yield f"the last migration is {found.migration_head} instead of {expected.migration_head}"
