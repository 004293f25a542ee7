"""Masking inside JSON documents: the shape stays, leaves and keys that are data are treated as their path says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from legal_store.anonymize.entities import REDACTED, Entities, is_identifier

JSON_RULES = ("keep", "redact", "free_text", "null")


def masked_json(value: Any, paths: dict[str, str], entities: Entities, firm: object, path: str = "") -> Any:
    """Return `value` with each leaf treated as its path says ("a.b"; list items have their list's path).

    The rule of the longest given path above the leaf holds, "*" for all others, and redact where there is none.
    Keys that are identifiers and no trace of anybody stay, others are data, and are replaced unless their rule is keep.
    """
    if isinstance(value, dict):
        paths_of_items = {key: f"{path}.{key}".lstrip(".") for key in value}
        return {
            _masked_key(key, _rule_for(inner, paths), entities): masked_json(value[key], paths, entities, firm, inner)
            for key, inner in paths_of_items.items()
        }
    if isinstance(value, list):
        return [masked_json(item, paths, entities, firm, path) for item in value]
    return masked_leaf(value, _rule_for(path, paths), entities, firm)


def _masked_key(key: str, rule: str, entities: Entities) -> str:
    return key if rule == "keep" else entities.key(key)


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
    """Yield the rule and the text of each string or number within `value`, and of each key that is data."""
    if isinstance(value, dict):
        for key, item in value.items():
            inner = f"{path}.{key}".lstrip(".")
            if not is_identifier(key):
                yield _rule_for(inner, paths), key
            yield from leaves(item, paths, inner)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, paths, path)
    elif value is not None and not isinstance(value, bool):
        yield _rule_for(path, paths), str(value)
