"""Statements for comments."""

from __future__ import annotations

from collections.abc import Iterator

from legal_store.schema.change.impact import Impact
from legal_store.schema.snapshot import Snapshot, quoted


def set_comments(change: Impact) -> Iterator[str]:
    """Set comments, also again on what was made anew."""
    old, new = change.current, change.target
    for name in sorted(old.names("comment") | new.names("comment")):
        before = old.catalog.get(("comment", name)) if change.survives(name) else None
        after = new.catalog.get(("comment", name))
        on = _comment_target(name, new)
        if before != after and on:
            text = "NULL" if after is None else "'" + after.replace("'", "''") + "'"
            yield f"COMMENT ON {on} IS {text}"


def _comment_target(name: str, target: Snapshot) -> str:
    for kind in ("constraint", "trigger", "policy"):
        if name.startswith(f"{kind} "):
            table, _, own = name.removeprefix(f"{kind} ").partition(".")
            return (
                f"{kind.upper()} {quoted(own)} ON {quoted(table)}" if (kind, f"{table}.{own}") in target.catalog else ""
            )
    if name.startswith("function "):
        function = name.removeprefix("function ")
        return f"FUNCTION {function}" if ("function", function) in target.catalog else ""
    if ("column", name) in target.catalog:
        table, _, column = name.partition(".")
        return f"COLUMN {quoted(table)}.{quoted(column)}"
    for kind in ("table", "view", "materialized view", "sequence"):
        if (kind, name) in target.catalog:
            return f"{kind.upper()} {quoted(name)}"
    if any(key[0] == "index" and key[1].endswith(f".{name}") for key in target.catalog):
        return f"INDEX {quoted(name)}"
    return ""
