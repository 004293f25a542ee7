"""From what was committed to what becomes invalid: called by legal_store.database.changes after each commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from legal_store.cache.rules import Event, names

if TYPE_CHECKING:
    from legal_store.database.changes import Change


def after_commit(changes: list[Change]) -> None:
    """Invalidate what the changes make old. While Redis is away this follows later, from the outbox at the latest."""
    from legal_store.cache import cache_manager

    cache_manager.apply(events_of(changes))


def events_of(changes: Iterable[Change]) -> Iterator[Event]:
    """Yield the events of the changes whose firm is known; the outbox knows it of the others."""
    for change in changes:
        if change.of_firm and change.firm_id is None:
            continue
        for name in names(change.subject, change.verb, change.fields):
            yield Event(name, change.firm_id if change.of_firm else None, change.keys)
