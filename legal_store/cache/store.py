"""Entries in Redis: find, begin, keep, remove. Every call here costs one round trip and may find Redis away."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

from legal_store.cache import entry as entries
from legal_store.cache.breaker import Breaker
from legal_store.cache.entry import MARK_BYTES, Entry
from legal_store.cache.keys import ALL, Place
from legal_store.cache.nearby import NearbyEntries
from legal_store.cache.scripts import BEGIN, FENCE, PUT, STORE
from legal_store.errors import ConfigurationError, ServerUnavailableError
from legal_store.keyvalue import Connection

MOST_PENDING = 10_000
BATCH = 512

T = TypeVar("T")


class AwayError(Exception):
    """Redis did not answer, or is known not to."""


class Begun(NamedTuple):
    """The state of a key when somebody wanted to load it: `token` if he may, None while another does."""

    token: bytes | None
    entry: Entry | None
    marks: list[bytes | None]


class Store:
    """What the cache manager keeps in Redis. Reads and writes raise AwayError; removals are never lost."""

    def __init__(self, connection: Connection, nearby_seconds: float) -> None:
        self.connection = connection
        self.nearby = NearbyEntries()
        self.nearby_seconds = nearby_seconds
        self.breaker = Breaker(self._probe)
        self._pending: set[str] = set()
        self._pending_lock = threading.Lock()

    def find(self, place: Place) -> Entry | None:
        """Return the valid entry of a key, fresh or stale."""
        if not self.nearby_seconds:
            return self._find(place)
        now = time.monotonic()
        found = self.nearby.find(place.value, now)
        if found is None:
            era = self.nearby.era
            found = self._find(place)
            if found is not None and found.is_fresh(time.time()):
                until = now + min(self.nearby_seconds, found.fresh_until - time.time())
                self.nearby.keep(place.value, place.generations[0], found, until, era)
        return found

    def _find(self, place: Place) -> Entry | None:
        # mget() would copy the names first; this is on the way of every hit
        blob, *marks = self._ask(
            lambda: self.connection.client.execute_command("MGET", place.value, *place.generations)
        )
        return entries.read(blob, marks)

    def find_many(self, places: Sequence[Place]) -> list[Entry | None]:
        """Return the valid entries of keys of one space, in one round trip."""
        names = list(dict.fromkeys(name for place in places for name in (place.value, *place.generations)))
        found = dict(zip(names, self._ask(lambda: self.connection.client.mget(names)), strict=True))
        return [entries.read(found[place.value], [found[name] for name in place.generations]) for place in places]

    def begin(self, place: Place, *, lock_seconds: float, keep_seconds: float) -> Begun:
        """Take the lock of a key if it is free, and fix the generations that a load from now on may use."""
        token = os.urandom(MARK_BYTES)
        held, blob, *marks = self._ask(
            lambda: self.connection.run(
                BEGIN,
                (place.value, place.lock, *place.generations),
                (token, _ms(lock_seconds), _generation_ms(keep_seconds), token),
            )
        )
        return Begun(token if held else None, entries.read(blob, marks), marks)

    def keep(self, place: Place, begun: Begun, header: bytes, body: bytes, seconds: float) -> bool:
        """Keep what was loaded after `begun`; False when it was invalidated meanwhile. Gives the lock back."""
        marks = cast("list[bytes]", begun.marks)  # whoever holds the lock has all of them
        blob = b"".join((header, *marks, body))
        arguments = (begun.token or b"", _ms(seconds), blob, *marks)
        keys = (place.value, place.lock, *place.generations)
        return bool(self._ask(lambda: self.connection.run(STORE, keys, arguments)))

    def give_back(self, place: Place, begun: Begun) -> None:
        """Free the lock of a load that came to nothing."""
        keys = (place.value, place.lock)
        self._ask(lambda: self.connection.run(STORE, keys, (begun.token or b"", 0)))

    def put(self, places: Sequence[tuple[Place, bytes, bytes]], seconds: Sequence[float]) -> None:
        """Keep values (place, header, body) under the generations of this moment, all in one round trip."""
        calls = [
            (
                (place.value, *place.generations),
                (os.urandom(MARK_BYTES), _generation_ms(life), _ms(life), header, body),
            )
            for (place, header, body), life in zip(places, seconds, strict=True)
        ]
        self._ask(lambda: self.connection.run_all(PUT, calls))

    def fence(self, place: Place, keep_seconds: float) -> list[bytes]:
        """Return the generations of a key, made if missing."""
        arguments = (os.urandom(MARK_BYTES), _generation_ms(keep_seconds))
        marks: list[bytes] = self._ask(lambda: self.connection.run(FENCE, place.generations, arguments))
        return marks

    def marks(self, place: Place) -> list[bytes | None]:
        """Return the generations of a key as they are now."""
        found: list[bytes | None] = self._ask(lambda: self.connection.client.mget(place.generations))
        return found

    def remove(self, space_mark: str, names: Sequence[str], *, strict: bool) -> list[int] | None:
        """Remove keys of one space, generations or values, and return 1 or 0 for each.

        While Redis is away: with `strict` raises ServerUnavailableError; else returns None, and the keys are removed
        before this process reads from Redis again.
        """
        self.nearby.forget(space_mark)
        try:
            removed: list[int] = self._ask(lambda: self._unlink(names))
            return removed
        except AwayError as away:
            self._remember(names)
            if strict:
                raise self._explained(away, "Invalidating cached values") from None
            return None

    def remove_matching(
        self, pattern: str, anchor: str | None, seconds: float | None, is_value: Any
    ) -> tuple[int, bool]:
        """Remove the keys that match a glob, step by step; return how many values went and whether all were seen."""
        deadline = None if seconds is None else time.monotonic() + seconds
        failures = _redis_errors()
        removed = 0
        try:
            for batch in self.connection.scan(pattern, key=anchor):
                for start in range(0, len(batch), BATCH):
                    chunk = batch[start : start + BATCH]
                    counts = self._unlink(chunk)
                    removed += sum(n for n, name in zip(counts, chunk, strict=True) if is_value(name))
                if deadline is not None and time.monotonic() > deadline:
                    return removed, False
        except failures as error:
            raise self.connection.failure(error, "Invalidating cached values") from None
        return removed, True

    def _unlink(self, names: Sequence[Any]) -> list[int]:
        pipeline = self.connection.client.pipeline(transaction=False)
        for name in names:
            pipeline.unlink(name)
        counts: list[int] = pipeline.execute()
        return counts

    def _ask(self, call: Callable[[], T]) -> T:
        if not self.breaker.allows():
            raise AwayError("Redis is away; a probe is looking for it")
        failures = _redis_errors()
        try:
            if self._pending:
                self._remove_pending()
            answer = call()
        except failures as error:
            if _is_outage(error):
                self.breaker.failed()
            raise AwayError(str(error)) from error
        self.breaker.succeeded()
        return answer

    def _explained(self, away: AwayError, doing: str) -> ServerUnavailableError:
        cause = away.__cause__
        return self.connection.failure(cause if isinstance(cause, Exception) else away, doing)

    def _remember(self, names: Sequence[str]) -> None:
        with self._pending_lock:
            self._pending.update(names)
            if len(self._pending) > MOST_PENDING:  # then whole spaces
                self._pending = {f"{name.partition('}')[0]}}}@{ALL}" for name in self._pending}

    def _remove_pending(self) -> None:
        with self._pending_lock:
            names = sorted(self._pending)
        for start in range(0, len(names), BATCH):
            self._unlink(names[start : start + BATCH])
        with self._pending_lock:
            self._pending.difference_update(names)

    def _probe(self) -> None:
        self.connection.look_again()
        self._remove_pending()


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _generation_ms(seconds: float) -> int:
    """A generation outlives the values that carry it; so do those stored while it is still young."""
    return _ms(2 * seconds + 60)


@lru_cache(maxsize=1)
def _redis_errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return (RedisError, OSError, ConfigurationError)


def _is_outage(error: Exception) -> bool:
    """Whether the server is away, in contrast to refusing one command (no right, no memory, wrong type)."""
    from redis import exceptions

    away = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.BusyLoadingError)
    return isinstance(error, (*away, exceptions.ClusterDownError, OSError, ConfigurationError))
