"""Which change invalidates which patterns. Pure.

An event is `{subject}.{verb}` (case.updated) or, for an update, `{subject}.{column}_changed` (user.role_changed).
A pattern names values of the changed row: `case:{id}`, `case:{case_id}`. Where a value is not known, because a query
wrote many rows, the pattern widens there: `case:*`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from legal_store.cache.keys import ALL, generation_of
from legal_store.errors import WrongUseError

_EVENT = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

_USER = ("user:{id}:*",)
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "case.updated": ("case:{id}",),
    "case.deleted": ("case:{id}",),
    "document.created": ("case:{case_id}", "document:*"),
    "document.updated": ("document:{id}", "case:{case_id}"),
    "document.deleted": ("case:{case_id}", "document:*"),
    "user.role_changed": _USER,
    "user.status_changed": _USER,
    "user.can_approve_documents_changed": _USER,
    "user.can_manage_cases_changed": _USER,
    "user.deleted": _USER,
    "firm.updated": (ALL,),
    "firm.deleted": (ALL,),
}


class Event(NamedTuple):
    """What happened, in one firm (None: to rows of no firm), with the values that are known of the row."""

    name: str
    firm_id: uuid.UUID | None
    keys: Mapping[str, Any]


class Rules:
    """The patterns of each event: the documented ones, and those that services add."""

    def __init__(self) -> None:
        self._patterns: dict[str, tuple[str, ...]] = dict(DEFAULTS)

    def add(self, event: str, patterns: Iterable[str]) -> None:
        """Let `event` invalidate these patterns too. Raises WrongUseError for a pattern that needs a scan."""
        if not _EVENT.fullmatch(event):
            raise WrongUseError(
                f"{event!r} is no event.", remedy="Write subject.verb: task.updated, task.status_changed."
            )
        patterns = tuple(patterns)
        for pattern in patterns:
            if generation_of(_PLACEHOLDER.sub("x", pattern)) is None:
                raise WrongUseError(
                    f"The pattern {pattern!r} needs a scan; an event cannot wait for one.",
                    remedy="Use entity:{id}, entity:*, service:entity:* or *.",
                )
        self._patterns[event] = tuple(dict.fromkeys((*self._patterns.get(event, ()), *patterns)))

    def patterns(self, events: Iterable[Event]) -> dict[uuid.UUID | None, list[str]]:
        """Return the patterns that `events` invalidate, by firm, each once, in order."""
        found: dict[uuid.UUID | None, dict[str, None]] = {}
        for event in events:
            for pattern in self._patterns.get(event.name, ()):
                found.setdefault(event.firm_id, {})[fill(pattern, event.keys)] = None
        return {firm: _without_covered(patterns) for firm, patterns in found.items()}


def names(subject: str, verb: str, fields: Iterable[str]) -> Iterator[str]:
    """Yield the names of the events that a change is."""
    yield f"{subject}.{verb}"
    if verb == "updated":
        yield from (f"{subject}.{field}_changed" for field in fields)


def fill(pattern: str, keys: Mapping[str, Any]) -> str:
    """Return `pattern` with the values of `keys`; from the first that is not known on, it widens to `*`."""
    filled: list[str] = []
    for part in pattern.split(":"):
        missing = [name for name in _PLACEHOLDER.findall(part) if keys.get(name) is None]
        if missing:
            return ":".join([*filled, ALL])
        filled.append(_PLACEHOLDER.sub(lambda match: str(keys[match[1]]), part))
    return ":".join(filled)


def _without_covered(patterns: Iterable[str]) -> list[str]:
    patterns = list(patterns)
    return [ALL] if ALL in patterns else patterns
