"""Statements for text search configurations."""

from __future__ import annotations

from collections.abc import Iterator

from legal_store.schema.change.impact import Impact
from legal_store.schema.snapshot import quoted


def make_text_search(change: Impact) -> Iterator[str]:
    """Create configurations, and change in place those that stay: indexes and columns may use them."""
    for name, (parser, mapping) in sorted(change.target.text_search.items()):
        alter = f"ALTER TEXT SEARCH CONFIGURATION {quoted(name)}"
        before: dict[str, str] = {}
        if name in change.current.text_search:
            _, before = change.current.text_search[name]
        else:
            yield f"CREATE TEXT SEARCH CONFIGURATION {quoted(name)} (PARSER = {parser})"
        if gone := sorted(before.keys() - mapping.keys()):
            yield f"{alter} DROP MAPPING FOR {', '.join(gone)}"
        for verb, tokens in (("ADD", mapping.keys() - before.keys()), ("ALTER", mapping.keys() & before.keys())):
            changed = {token for token in tokens if before.get(token) != mapping[token]}
            for dictionaries in sorted({mapping[token] for token in changed}):
                some = sorted(token for token in changed if mapping[token] == dictionaries)
                yield f"{alter} {verb} MAPPING FOR {', '.join(some)} WITH {dictionaries}"


def drop_text_search(change: Impact) -> Iterator[str]:
    """Drop configurations that nothing uses any more."""
    for name in sorted(change.current.text_search.keys() - change.target.text_search.keys()):
        yield f"DROP TEXT SEARCH CONFIGURATION {quoted(name)}"
