"""Loading a value when the cache has none: one thread of one process does, the others wait or serve what they have."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import copy_context
from typing import Any, NamedTuple

from legal_store.cache import entry
from legal_store.cache.entry import Entry
from legal_store.cache.flights import Flight, Flights
from legal_store.cache.keys import Space
from legal_store.cache.metrics import Metrics
from legal_store.cache.ownership import only_rows_of
from legal_store.cache.store import AwayError, Begun, Store
from legal_store.errors import WrongUseError
from legal_store.keyvalue import codec

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1  # seconds between two looks at a key that another process loads
_NOTHING = object()

_logger = logging.getLogger("legal_store.cache")


class Policy(NamedTuple):
    """How a loaded value is kept; times in seconds.

    `stale_while_revalidate`: how long after its end a value is still served while one thread loads a new one in the
    background; `stale_if_error`: the same when loading fails (both as in RFC 5861). `negative_ttl`: how long "there
    is none" (None) is kept; without it, it is not. `load_limit`: how long a load may take before another process
    takes over.
    """

    ttl: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    negative_ttl: float | None = None
    load_limit: float = 10.0

    @property
    def stale_seconds(self) -> float:
        return max(self.stale_while_revalidate, self.stale_if_error)


class Loading:
    """One call of get_or_load."""

    def __init__(
        self,
        store: Store,
        flights: Flights,
        metrics: Metrics,
        space: Space,
        key: str,
        load: Callable[[], Any],
        policy: Policy,
    ) -> None:
        self.store = store
        self.flights = flights
        self.metrics = metrics
        self.space = space
        self.place = space.place(key)
        self.load = load
        self.policy = policy
        self.stale: Entry | None = None  # valid, but past its end

    def value(self) -> Any:
        """Return the cached or loaded value. Raises whatever the loader raises."""
        give_up = time.monotonic() + 2 * self.policy.load_limit
        missed = False
        while True:
            try:
                served = self._cached()
            except AwayError:
                self._count("degraded")
                return self._together(self._load_only)
            if served is not _NOTHING:
                return served
            if not missed:
                self._count("misses")
                missed = True
            value = self._together(lambda: self._load_in_turn(give_up))
            if value is not _NOTHING:
                return value
            if time.monotonic() > give_up:
                return self._timed_load()

    def _cached(self) -> Any:
        found = self.store.find(self.place)
        if found is None:
            return _NOTHING
        now = time.time()
        if found.is_fresh(now):
            if found.wants_refresh(now, 1.0 - random.random()):  # noqa: S311
                return self._refreshed_early(found)
            return self._decoded(found, "hits")
        self.stale = found
        if now < found.fresh_until + self.policy.stale_while_revalidate:
            self._refresh_in_background()
            return self._decoded(found, "stale")
        return _NOTHING

    def _decoded(self, found: Entry, counted_as: str) -> Any:
        try:
            value = codec.decode(found.body)
        except codec.UnreadableError as error:
            _logger.info("the cached %s is unreadable, it is loaded anew: %s", self.place.entity, error)
            return _NOTHING
        self._count(counted_as)
        return value

    def _refreshed_early(self, found: Entry) -> Any:
        """Load anew before the end. Whoever finds that another does so already serves what is there."""
        kept = self._decoded(found, "hits")
        if self.policy.stale_while_revalidate and kept is not _NOTHING:
            self._refresh_in_background()
            return kept
        begun = self._begin()
        if begun.token is None:
            return kept
        self._count("early_refreshes")
        try:
            return self._load_and_keep(begun)[0]
        except Exception:
            if kept is _NOTHING:
                raise
            _logger.warning("refreshing a cached %s early failed; it is still fresh", self.place.entity, exc_info=True)
            return kept

    def _refresh_in_background(self) -> None:
        try:
            begun = self._begin()
        except AwayError:
            return
        if begun.token is not None:
            self._count("early_refreshes")
            work = (self._load_and_keep_in_thread, begun, _database_in_use())
            threading.Thread(target=copy_context().run, args=work, name="cache-refresh", daemon=True).start()

    def _load_and_keep_in_thread(self, begun: Begun, database: Any) -> None:
        try:
            with database.connection_context() if database is not None else nullcontext():
                self._load_and_keep(begun)
        except Exception:
            _logger.warning("refreshing a cached %s in the background failed", self.place.entity, exc_info=True)

    def _together(self, lead: Callable[[], tuple[Any, list[bytes | None] | None]]) -> Any:
        """Lead the load of this key in this process, or wait for who does. _NOTHING: look into the cache again."""
        with self.flights.board(self.place.value) as (flight, leads):
            if leads:
                return self._led(flight, lead)
        if flight.leader == threading.get_ident():
            raise WrongUseError(
                f"The loader of a cached {self.place.entity} asks the cache for that key: it would wait for itself.",
                remedy="Let it read from where the value comes from.",
            )
        if not flight.wait(self.policy.load_limit):
            return _NOTHING
        if flight.error is not None:
            raise flight.error
        return self._shared(flight)

    def _led(self, flight: Flight, lead: Callable[[], tuple[Any, list[bytes | None] | None]]) -> Any:
        try:
            value, marks = lead()
        except BaseException as error:
            flight.error = error if isinstance(error, Exception) else None
            raise
        flight.unstored = [(value, marks)] if marks is not _STORED else []
        return value

    def _shared(self, flight: Flight) -> Any:
        """Return what the leader loaded but could not keep, unless it was invalidated since."""
        if not flight.unstored:
            return _NOTHING
        value, marks = flight.unstored[0]
        if marks is None:
            return value
        try:
            return value if self.store.marks(self.place) == marks else _NOTHING
        except AwayError:
            return value

    def _load_in_turn(self, give_up: float) -> tuple[Any, Any]:
        """Load when no other process does; wait for it otherwise."""
        pause = _FIRST_PAUSE
        while True:
            try:
                begun = self._begin()
            except AwayError:
                return self._load_only()
            if begun.entry is not None and begun.entry.is_fresh(time.time()):
                self._give_back(begun)
                value = self._decoded(begun.entry, "hits")
                if value is not _NOTHING:
                    return value, _STORED
            if begun.token is not None:
                return self._load_and_keep(begun)
            if time.monotonic() > give_up:
                return self._load_only()
            _pause(pause * (0.5 + random.random()))  # noqa: S311
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _begin(self) -> Begun:
        keep = self.policy.ttl + self.policy.stale_seconds
        return self.store.begin(self.place, lock_seconds=self.policy.load_limit, keep_seconds=keep)

    def _load_and_keep(self, begun: Begun) -> tuple[Any, Any]:
        began = time.perf_counter()
        try:
            value = self._timed_load()
            body = codec.encode(value, only_rows_of(self.space.owner))
        except BaseException as error:  # noqa: BLE001  (raised again, unless an old value may be served)
            self._give_back(begun)
            return self._stale_instead(error), _STORED
        ttl = self.policy.negative_ttl if value is None else self.policy.ttl
        if not ttl:
            self._give_back(begun)
            return value, begun.marks
        fresh_for = entry.lifetime(ttl, random.random())  # noqa: S311
        header = entry.header(time.time(), fresh_for, time.perf_counter() - began)
        life = fresh_for + (self.policy.stale_seconds if value is not None else 0)
        try:
            if not self.store.keep(self.place, begun, header, body, life):
                self._count("refused_stores")
        except AwayError:
            return value, begun.marks
        return value, _STORED

    def _stale_instead(self, error: BaseException) -> Any:
        stale = self.stale
        if stale is not None and isinstance(error, Exception):
            within = time.time() < stale.fresh_until + self.policy.stale_if_error
            value = self._decoded(stale, "stale") if within else _NOTHING
            if value is not _NOTHING:
                _logger.warning("loading a %s failed, the last value is served: %r", self.place.entity, error)
                return value
        raise error

    def _load_only(self) -> tuple[Any, None]:
        return self._timed_load(), None

    def _timed_load(self) -> Any:
        began = time.perf_counter()
        try:
            return self.load()
        finally:
            self._count("loads")
            self.metrics.count(self.place.entity, "load_seconds", time.perf_counter() - began)

    def _give_back(self, begun: Begun) -> None:
        if begun.token is None:
            return
        try:
            self.store.give_back(self.place, begun)
        except AwayError:
            return  # the lock ends by itself

    def _count(self, what: str) -> None:
        self.metrics.count(self.place.entity, what)


_STORED: Any = object()  # in place of marks: the value is in Redis, or it is old: in both cases look there


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _database_in_use() -> Any:
    """Return the database if this thread has a connection of it: a loader in another thread will want one too."""
    import sys

    module = sys.modules.get("legal_store.database")
    return None if module is None or module.db.is_closed() else module.db
