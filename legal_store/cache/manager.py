"""The cache as services see it."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

from legal_store.cache import entry
from legal_store.cache.decorator import decorate
from legal_store.cache.flights import Flights
from legal_store.cache.invalidation import Invalidated, Invalidation
from legal_store.cache.keys import Place, Space
from legal_store.cache.loading import Loading, Policy
from legal_store.cache.metrics import EntityMetrics, Metrics
from legal_store.cache.ownership import only_rows_of, space_of
from legal_store.cache.rules import Event, Rules
from legal_store.cache.store import AwayError, Begun, Store
from legal_store.errors import WrongUseError
from legal_store.keyvalue import Connection, Health, Limits, codec
from legal_store.keyvalue.statistics import Statistics, read_statistics

PREFIX = "cache:"
# the first calls of an outage cost one of these each, and then the breaker is open
LIMITS = Limits(connect=0.1, answer=0.1)

P = ParamSpec("P")
R = TypeVar("R")


class Fence(NamedTuple):
    """The state of a key before its value is read from the database; `set` refuses the value if it changed since."""

    key: str
    marks: list[bytes]


class CacheManager:
    """A cache of values for services: keyed by firm, never stale after an invalidation, and never in the way.

    Keys are `{service}:{entity}:{id}`, or shorter. They belong to the firm of the scope (`with
    legal_store.firm(...)`) or to the one given as `firm=`; what belongs to no firm needs `shared=True`. FirmScopeError:
    another firm than the scope's was named, or a row would be kept where another firm than its own reads. While Redis
    is away, every read is a miss after at most 100 ms (200 ms where it has to connect), and after two of them at once.

    `url`: of Redis, by default that of the settings; `ttl`: seconds, by default REDIS_CACHE_DEFAULT_TTL (5 min);
    `nearby_seconds`: how long this process may serve a value without asking Redis, 0 for never. In that time it does
    not see the invalidations of other processes.
    """

    def __init__(
        self,
        url: str | Callable[[], str] | None = None,
        *,
        ttl: float | None = None,
        prefix: str = PREFIX,
        nearby_seconds: float = 0.0,
        limits: Limits = LIMITS,
    ) -> None:
        self.connection = Connection(url, limits)
        self.prefix = prefix
        self._ttl = ttl
        self._store = Store(self.connection, nearby_seconds)
        self._flights = Flights()
        self._metrics = Metrics()
        self._rules = Rules()
        self._invalidation = Invalidation(self._store, self._flights, prefix)

    # reading and writing

    def get(self, key: str, default: Any = None, *, firm: Any = None, shared: bool = False) -> Any:
        """Return the value under `key`, a new object each time; `default` where there is none."""
        place = self._space(firm, shared).place(key)
        try:
            found = self._store.find(place)
        except AwayError:
            self._metrics.count(place.entity, "degraded")
            return default
        return self._served(place, found, default)

    def get_many(self, keys: Iterable[str], *, firm: Any = None, shared: bool = False) -> dict[str, Any]:
        """Return the values that are there, by key, in one round trip."""
        space = self._space(firm, shared)
        places = {key: space.place(key) for key in keys}
        if not places:
            return {}
        try:
            found = self._store.find_many(list(places.values()))
        except AwayError:
            for place in places.values():
                self._metrics.count(place.entity, "degraded")
            return {}
        served = {
            key: self._served(place, one, _MISSING) for (key, place), one in zip(places.items(), found, strict=True)
        }
        return {key: value for key, value in served.items() if value is not _MISSING}

    def set(
        self,
        key: str,
        value: Any,
        ttl: float | None = None,
        *,
        firm: Any = None,
        shared: bool = False,
        fence: Fence | None = None,
    ) -> bool:
        """Keep `value` for `ttl` seconds (by default 5 minutes, less up to a tenth); return whether it was kept.

        A value that was read from the database before an invalidation is kept by `set` all the same, because nobody
        can tell: use `get_or_load`, or take a `fence` before reading. Raises WrongUseError for a value of a type
        that cannot be kept.
        """
        space = self._space(firm, shared)
        if fence is not None:
            return self._set_fenced(space, key, value, self._lifetime(ttl), fence)
        return self._put(space, {key: value}, ttl)

    def set_many(
        self, values: Mapping[str, Any], ttl: float | None = None, *, firm: Any = None, shared: bool = False
    ) -> bool:
        """Keep several values in one round trip; return whether they were kept."""
        space = self._space(firm, shared)
        return self._put(space, values, ttl) if values else True

    def fence(self, key: str, *, firm: Any = None, shared: bool = False) -> Fence | None:
        """Return the state of `key` to hand to `set` later; None while Redis is away."""
        place = self._space(firm, shared).place(key)
        try:
            return Fence(key, self._store.fence(place, self._default_ttl))
        except AwayError:
            return None

    def get_or_load(
        self,
        key: str,
        load: Callable[[], Any],
        ttl: float | None = None,
        *,
        stale_while_revalidate: float = 0.0,
        stale_if_error: float = 0.0,
        negative_ttl: float | None = None,
        load_limit: float = 10.0,
        firm: Any = None,
        shared: bool = False,
    ) -> Any:
        """Return the value under `key`, calling `load()` and keeping its result when there is none.

        Of all threads and processes that miss the key at once, one loads. A value loaded before an invalidation is
        not kept after it. Shortly before its end a value is loaded anew by one reader (XFetch). Options in seconds:
        see Policy. Raises what `load` raises.
        """
        space = self._space(firm, shared)
        seconds = self._default_ttl if ttl is None else _positive(ttl)
        policy = Policy(seconds, stale_while_revalidate, stale_if_error, negative_ttl, load_limit)
        return Loading(self._store, self._flights, self._metrics, space, key, load, policy).value()

    def cached(self, key: str, ttl: float | None = None, **options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Cache the results of a function under `key`, a template over its arguments:

            @cache_manager.cached("billing:case:{case_id}", ttl=60)
            def balance(case_id): ...

        Options as in `get_or_load`. The function gets `cache_key(...)` and `invalidate(...)`, which take the same
        arguments. Raises WrongUseError for a template that names no argument of the function.
        """

        return lambda function: decorate(self, function, key, ttl, options)

    def exists(self, key: str, *, firm: Any = None, shared: bool = False) -> bool:
        """Whether a value is there that `get` would return. Not counted as a hit or a miss."""
        try:
            found = self._store.find(self._space(firm, shared).place(key))
        except AwayError:
            return False
        return found is not None and found.is_fresh(time.time())

    # invalidating

    def delete(self, key: str, *, firm: Any = None, shared: bool = False) -> bool:
        """Remove one value; return whether it was there. What is being loaded for it now will not be kept.

        `case:123` also invalidates that case in every service (`billing:case:123`). While Redis is away it returns
        False, and the removal follows before this process reads from Redis again.
        """
        return self._invalidation.one(self._space(firm, shared), key)

    def invalidate(
        self,
        pattern: str,
        *,
        firm: Any = None,
        shared: bool = False,
        seconds: float | None = None,
        strict: bool = False,
    ) -> Invalidated:
        """Make all values under `pattern` invalid, also those that are being loaded now.

        `*`, `case:*`, `case:123`, `user:123:*`, `billing:*`, `billing:case:*` take one round trip however many
        values there are. Other globs (`case:1*`) walk through the keys in steps of a thousand, for at most `seconds`,
        and raise ServerUnavailableError when Redis goes away. `strict`: raise it for the former too. WrongUseError: the
        pattern has an empty part, which no key has.
        """
        return self._invalidation.matching(self._space(firm, shared), pattern, seconds, strict=strict)

    def invalidate_generations(self, firm: uuid.UUID | None, patterns: Iterable[str], *, strict: bool = False) -> bool:
        """Make the values under several documented patterns of one firm (None: the shared space) invalid in one
        round trip; return False when Redis is away. Raises WrongUseError for a pattern that needs a scan."""
        space = self._space(firm, shared=firm is None)
        return self._invalidation.documented(space, patterns, strict=strict)

    def on(self, event: str, *patterns: str) -> None:
        """Let an event invalidate patterns too, one line for each rule of a service:

            cache_manager.on("task.updated", "task:{id}", "case:{case_id}")

        See legal_store/cache/rules.py. Raises WrongUseError for a pattern that needs a scan.
        """
        self._rules.add(event, patterns)

    def apply(self, events: Iterable[Event], *, strict: bool = False) -> bool:
        """Invalidate what `events` make old, one round trip for each firm; return False when Redis is away.

        `strict`: raise ServerUnavailableError instead.
        """
        done = True
        for firm, patterns in self._rules.patterns(events).items():
            # whoever was in scope when it was written, another may be when it is committed
            done = self._invalidation.documented(Space(self.prefix, firm), patterns, strict=strict) and done
        return done

    def clear(self, *, seconds: float | None = None) -> Invalidated:
        """Remove every value of every firm, in steps; sessions and other keys stay."""
        return self._invalidation.everything(seconds)

    # watching

    def metrics(self) -> list[EntityMetrics]:
        """Return what this process counted, per entity. Asks no server."""
        return self._metrics.read()

    def stats(self) -> Statistics:
        """Return how many keys there are, how many of them sessions and cached values, and the memory they use.

        Does not walk through the keys: above 2,000 of them, the two parts are estimated from a sample. Raises
        ServerUnavailableError.
        """
        return read_statistics(self.connection, cache_prefix=self.prefix)

    def health(self) -> Health:
        """Return whether Redis answers, how fast, and what is not as it should be. Never raises."""
        from legal_store.keyvalue.health import check

        return check(self.connection, bypassed=self._store.breaker.is_open)

    def close(self) -> None:
        """Close the connections and end the thread that looks for a lost server. The next use opens new ones."""
        self._store.breaker.stop()
        self.connection.close()

    # parts

    def _space(self, firm: Any, shared: bool) -> Space:
        return space_of(self.prefix, firm, shared)

    def _served(self, place: Place, found: entry.Entry | None, default: Any) -> Any:
        if found is not None and found.is_fresh(time.time()):
            try:
                value = codec.decode(found.body)
            except codec.UnreadableError:
                pass
            else:
                self._metrics.count(place.entity, "hits")
                return value
        self._metrics.count(place.entity, "misses")
        return default

    def _put(self, space: Space, values: Mapping[str, Any], ttl: float | None) -> bool:
        lives = [self._lifetime(ttl) for _ in values]
        now = time.time()
        look = only_rows_of(space.owner)
        items = [
            (space.place(key), entry.header(now, life, 0.0), codec.encode(value, look))
            for (key, value), life in zip(values.items(), lives, strict=True)
        ]
        try:
            self._store.put(items, lives)
        except AwayError:
            return False
        return True

    def _set_fenced(self, space: Space, key: str, value: Any, life: float, fence: Fence) -> bool:
        place = space.place(key)
        if not place.value.endswith(f":{fence.key}"):
            raise WrongUseError(f"This fence is of {fence.key!r}.", remedy="Take one for each key.")
        begun = Begun(None, None, list(fence.marks))
        body = codec.encode(value, only_rows_of(space.owner))
        try:
            kept = self._store.keep(place, begun, entry.header(time.time(), life, 0.0), body, life)
        except AwayError:
            return False
        if not kept:
            self._metrics.count(place.entity, "refused_stores")
        return kept

    @property
    def _default_ttl(self) -> float:
        if self._ttl is None:
            from legal_store.config import settings

            return settings().cache_ttl_s
        return self._ttl

    def _lifetime(self, ttl: float | None) -> float:
        return entry.lifetime(self._default_ttl if ttl is None else _positive(ttl), random.random())  # noqa: S311


_MISSING = object()


def _positive(ttl: float) -> float:
    if not 0 < ttl <= 365 * 86_400:
        raise WrongUseError(f"A cached value lives more than 0 seconds and at most a year, not {ttl}.")
    return ttl
