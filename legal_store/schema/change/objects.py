"""Statements for what is dropped and made anew: constraints, indexes, triggers, policies, statistics, views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from legal_store.schema.change.impact import Impact, is_reference
from legal_store.schema.snapshot import Key, quoted


def drop_objects(change: Impact) -> Iterator[str]:
    """Drop what goes or has to give way; what refers to something else first."""
    for kind in ("view", "materialized view"):
        yield from (
            f"DROP {kind.upper()} {quoted(name)}" for name in _views_in_order(change, change.drop, kind, reverse=True)
        )
    for kind in ("policy", "trigger"):
        for _, name in sorted(key for key in change.drop if key[0] == kind):
            table, _, own = name.partition(".")
            yield f"DROP {kind.upper()} {quoted(own)} ON {quoted(table)}"
    constraints = [key for key in change.drop if key[0] == "constraint"]
    for _, name in sorted(constraints, key=lambda key: (not is_reference(key, change.current.catalog), key)):
        table, _, own = name.partition(".")
        yield f"ALTER TABLE {quoted(table)} DROP CONSTRAINT {quoted(own)}"
    yield from (f"DROP INDEX {quoted(name.partition('.')[2])}" for kind, name in sorted(change.drop) if kind == "index")
    yield from (f"DROP STATISTICS {quoted(name)}" for kind, name in sorted(change.drop) if kind == "statistics")


def rename_objects(change: Impact) -> Iterator[str]:
    """Rename what is the same under another name."""
    yield from (_rename(old, new) for old, new in sorted(change.renamed.items()))


def _rename(old: Key, new: Key) -> str:
    kind = old[0]
    table, _, was = old[1].partition(".")
    becomes = quoted(new[1].partition(".")[2])
    if kind == "index":
        return f"ALTER INDEX {quoted(was)} RENAME TO {becomes}"
    if kind == "constraint":
        return f"ALTER TABLE {quoted(table)} RENAME CONSTRAINT {quoted(was)} TO {becomes}"
    return f"ALTER {kind.upper()} {quoted(was)} ON {quoted(table)} RENAME TO {becomes}"


def make_objects(change: Impact) -> Iterator[str]:
    """Make what comes or gave way, but for views and for what stands in CREATE TABLE."""
    for kind, name in in_order_of_making(change, change.make):
        table, _, own = name.partition(".")
        definition = change.target.catalog[kind, name]
        if kind == "constraint":
            if table in change.new_tables and not is_reference((kind, name), change.target.catalog):
                continue
            yield f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(own)} {definition}"
        elif kind == "index" or kind == "trigger":
            yield definition.replace(" ON public.", " ON ", 1)
        elif kind == "policy":
            yield change.target.policies[name]
        elif kind == "statistics":
            yield definition.replace("public.", "", 1)


def in_order_of_making(change: Impact, keys: Iterable[Key]) -> list[Key]:
    """Return keys and checks first, then what needs them."""
    catalog = change.target.catalog

    def rank(key: Key) -> tuple[int, str, str]:
        if key[0] == "constraint":
            definition = catalog[key]
            order = 4 if definition.startswith("FOREIGN KEY") else 1 if definition.startswith("CHECK") else 0
        else:
            order = {"index": 5, "statistics": 6, "trigger": 7, "policy": 8}.get(key[0], 9)
        return order, "" if key[1].endswith("_pkey") else key[1], key[1]

    return sorted(keys, key=rank)


def make_views(change: Impact) -> Iterator[str]:
    """Make views, those that others read first."""
    for kind in ("view", "materialized view"):
        for name in _views_in_order(change, change.make, kind):
            options, query = change.target.views[name]
            storage = f" WITH ({options})" if options else ""
            yield f"CREATE {kind.upper()} {quoted(name)}{storage} AS\n{query}"


def _views_in_order(change: Impact, keys: set[Key], kind: str, *, reverse: bool = False) -> list[str]:
    snapshot = change.current if reverse else change.target

    def depth(name: str) -> int:
        users = snapshot.uses_objects.get((kind, name), set()) - {(kind, name)}
        return 1 + max((depth(other) for other_kind, other in users if other_kind == kind), default=0)

    names = sorted((name for found, name in keys if found == kind), key=lambda name: (depth(name), name))
    return names[::-1] if reverse else names
