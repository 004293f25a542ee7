"""Statements for rights."""

from __future__ import annotations

from collections.abc import Iterator

from legal_store.schema.change.impact import Impact
from legal_store.schema.snapshot import Snapshot, quoted


def grant_rights(change: Impact) -> Iterator[str]:
    """Take and give rights, also again on what was made anew."""
    old, new = change.current, change.target
    functions = {f"function {name}" for name in new.names("function")}  # one that nobody may call has no rights to read
    for name in sorted(old.names("grant") | new.names("grant") | functions):
        if not _grantee_exists(name, new):
            continue
        before = _rights(old.catalog.get(("grant", name), "")) if change.survives(name) else _default_rights(name)
        after = _rights(new.catalog.get(("grant", name), ""))
        on, column = _grant_target(name, new)
        for verb, word, rights in (("REVOKE", "FROM", before - after), ("GRANT", "TO", after - before)):
            for grantee in sorted({grantee for grantee, _ in rights}):
                privileges = sorted(right for holder, right in rights if holder == grantee)
                yield _grant(verb, word, privileges, on, column, grantee)


def _rights(text: str) -> set[tuple[str, str]]:
    return {(grantee, right) for grantee, _, right in (item.rpartition("=") for item in text.split(", ") if item)}


def _default_rights(name: str) -> set[tuple[str, str]]:
    return {("public", "EXECUTE")} if name.startswith("function ") else set()


def _grantee_exists(name: str, target: Snapshot) -> bool:
    if name.startswith("function "):
        return ("function", name.removeprefix("function ")) in target.catalog
    if "." in name:
        return ("column", name) in target.catalog
    return any((kind, name) in target.catalog for kind in ("table", "view", "materialized view", "sequence"))


def _grant_target(name: str, target: Snapshot) -> tuple[str, str]:
    if name.startswith("function "):
        return f"FUNCTION {name.removeprefix('function ')}", ""
    table, _, column = name.partition(".")
    if ("sequence", name) in target.catalog:
        return f"SEQUENCE {quoted(name)}", ""
    return quoted(table), column


def _grant(verb: str, word: str, privileges: list[str], on: str, column: str, grantee: str) -> str:
    suffix = f" ({quoted(column)})" if column else ""
    rights = ", ".join(privilege.rstrip("*") + suffix for privilege in privileges)
    option = " WITH GRANT OPTION" if verb == "GRANT" and all(p.endswith("*") for p in privileges) else ""
    who = "PUBLIC" if grantee == "public" else quoted(grantee)
    return f"{verb} {rights} ON {on} {word} {who}{option}"
