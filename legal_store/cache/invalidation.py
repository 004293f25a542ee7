"""Making values invalid: one, those of a pattern, those that events make old, all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from legal_store.cache.flights import Flights
from legal_store.cache.keys import Space
from legal_store.cache.store import Store
from legal_store.errors import WrongUseError
from legal_store.keyvalue.globs import escape


class Invalidated(NamedTuple):
    """What an invalidation did. By generation, values stay in memory until their end and are never served."""

    pattern: str
    by: str  # "generation" or "scan"
    removed: int  # values that were found and removed at once
    complete: bool  # False: time was up, or Redis is away and the rest follows when it is back


class Invalidation:
    """Removes generations and values. What is being loaded meanwhile is grounded first: nobody new waits for it."""

    def __init__(self, store: Store, flights: Flights, prefix: str) -> None:
        self.store = store
        self.flights = flights
        self.prefix = prefix

    def one(self, space: Space, key: str) -> bool:
        """Remove a value; return whether it was there."""
        place = space.place(key)
        self.flights.ground()
        removed = self.store.remove(space.anchor, [space.generation(key), place.value], strict=False)
        return bool(removed and removed[1])

    def matching(self, space: Space, pattern: str, seconds: float | None, *, strict: bool) -> Invalidated:
        if not all(pattern.split(":")):
            raise WrongUseError(
                f"The pattern {pattern!r} has an empty part: no key has one, and nothing would be invalidated.",
                remedy="Is an id missing? Write case:123, case:* or *.",
            )
        generations = space.generations_of(pattern)
        self.flights.ground()
        if generations is not None:
            removed = self.store.remove(space.anchor, generations, strict=strict)
            return Invalidated(pattern, "generation", 0, removed is not None)
        self.store.nearby.forget(space.anchor)
        value_start = space.value_start
        count, complete = self.store.remove_matching(
            space.glob(pattern), space.anchor, seconds, lambda name: name.startswith(value_start)
        )
        return Invalidated(pattern, "scan", count, complete)

    def documented(self, space: Space, patterns: Iterable[str], *, strict: bool) -> bool:
        """Invalidate several patterns that need no scan, of one space, in one round trip."""
        generations: dict[str, None] = {}
        for pattern in patterns:
            found = space.generations_of(pattern)
            if found is None:
                raise WrongUseError(f"The pattern {pattern!r} needs a scan; events cannot wait for one.")
            generations.update(dict.fromkeys(found))
        self.flights.ground()
        return self.store.remove(space.anchor, list(generations), strict=strict) is not None

    def everything(self, seconds: float | None) -> Invalidated:
        self.flights.ground()
        self.store.nearby.forget_all()
        removed, complete = self.store.remove_matching(f"{escape(self.prefix)}*", None, seconds, lambda n: b"}:" in n)
        return Invalidated("*", "scan", removed, complete)
