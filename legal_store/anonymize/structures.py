"""Masking inside JSON documents: the shape stays, leaves are kept, redacted or cleaned by path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from legal_store.anonymize.entities import REDACTED, Entities

JSON_RULES = ("keep", "redact", "free_text", "null")


def masked_json(value: Any, paths: dict[str, str], entities: Entities, firm: object, path: str = "") -> Any:
    """Return `value` with each leaf treated as its path says ("a.b"; list items have their list's path).

    The rule of the longest given path above the leaf holds, "*" for all others, and redact where there is none.
    Names of keys stay: where they are data, keep nothing of the document.
    """
    if isinstance(value, dict):
        return {
            key: masked_json(item, paths, entities, firm, f"{path}.{key}".lstrip(".")) for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked_json(item, paths, entities, firm, path) for item in value]
    return masked_leaf(value, _rule_for(path, paths), entities, firm)


def masked_leaf(value: Any, rule: str, entities: Entities, firm: object) -> Any:
    """Return a string, number, boolean or None as `rule` says. Booleans and None always stay."""
    if value is None or isinstance(value, bool) or rule == "keep":
        return value
    if rule == "null":
        return None
    if isinstance(value, str):
        return entities.replaced(value, firm) if rule == "free_text" else REDACTED
    return value if rule == "free_text" else 0


def _rule_for(path: str, paths: dict[str, str]) -> str:
    steps = path.split(".")
    for length in range(len(steps), 0, -1):
        rule = paths.get(".".join(steps[:length]))
        if rule is not None:
            return rule
    return paths.get("*", "redact")


def leaves(value: Any, paths: dict[str, str], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the rule and the text of each string or number within `value`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, paths, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, paths, path)
    elif value is not None and not isinstance(value, bool):
        yield _rule_for(path, paths), str(value)
