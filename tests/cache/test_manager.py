"""The cache manager: the calls of the original, firms kept apart, and what an invalidation reaches."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

import pytest
import redis

import legal_store
from legal_store import Case, Skill
from legal_store.cache import CacheManager
from legal_store.database.scope import _current
from legal_store.errors import FirmScopeError, WrongUseError

FIRM, OTHER_FIRM = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def cache(redis_url: str) -> Iterator[CacheManager]:
    manager = CacheManager(redis_url, ttl=300)
    with legal_store.firm(FIRM):
        yield manager
    manager.close()


def test_the_calls_of_the_original(cache: CacheManager) -> None:
    assert cache.set("case:123", {"title": "Ionescu"}, 300)
    assert cache.get("case:123") == {"title": "Ionescu"}
    assert cache.exists("case:123")
    assert cache.delete("case:123")
    assert cache.get("case:123") is None
    assert not cache.delete("case:123")
    cache.set("case:1", 1)
    cache.set("case:2", 2)
    assert cache.invalidate("case:*").complete
    assert cache.get("case:1") is cache.get("case:2") is None


@pytest.mark.parametrize("key", ["settings", "case:1", "billing:case:1", "user:1:profile:photo:large"])
def test_keys_of_any_length_can_be_kept_and_removed(cache: CacheManager, key: str) -> None:
    cache.set(key, "here")
    assert cache.get(key) == "here"
    cache.delete(key)
    assert cache.get(key) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "case:*",
        "*:case:*",
        "case:123",
        "*:case:123",
        "billing:*",
        "billing:case:*",
        "billing:case:123",
        "b*",
        "*:12?",
    ],
)
def test_every_pattern_that_matches_a_key_invalidates_it(cache: CacheManager, pattern: str) -> None:
    cache.set("billing:case:123", 1)
    cache.set("billing:invoice:9", 2)
    assert cache.invalidate(pattern).complete
    assert cache.get("billing:case:123") is None
    spared = not pattern.startswith(("b*", "billing:*")) and pattern != "*"
    assert (cache.get("billing:invoice:9") == 2) == spared


def test_the_original_events_patterns_reach_keys_in_every_position(cache: CacheManager) -> None:
    for key in ("user:123:profile", "user:123:rights", "billing:user:123", "user:124:profile"):
        cache.set(key, key)
    cache.invalidate("user:123:*")
    assert set(cache.get_many(["user:123:profile", "user:123:rights", "billing:user:123", "user:124:profile"])) == {
        "user:124:profile"
    }


def test_firms_do_not_see_or_invalidate_each_other(cache: CacheManager) -> None:
    cache.set("case:1", "mine")
    with scope_of_the_other_firm():
        assert cache.get("case:1") is None
        cache.set("case:1", "theirs")
        cache.invalidate("*")
        cache.set("case:1", "theirs")
        cache.invalidate("c?se:*")
        assert cache.get("case:1") is None
    assert cache.get("case:1") == "mine"


CALLS: dict[str, Callable[[CacheManager, Any], object]] = {
    "get": lambda cache, firm: cache.get("case:1", firm=firm),
    "get_many": lambda cache, firm: cache.get_many(["case:1"], firm=firm),
    "set": lambda cache, firm: cache.set("case:1", 1, firm=firm),
    "set_many": lambda cache, firm: cache.set_many({"case:1": 1}, firm=firm),
    "fence": lambda cache, firm: cache.fence("case:1", firm=firm),
    "get_or_load": lambda cache, firm: cache.get_or_load("case:1", lambda: 1, firm=firm),
    "cached": lambda cache, firm: cache.cached("case:{x}", firm=firm)(lambda x: x)(1),
    "exists": lambda cache, firm: cache.exists("case:1", firm=firm),
    "delete": lambda cache, firm: cache.delete("case:1", firm=firm),
    "invalidate": lambda cache, firm: cache.invalidate("case:*", firm=firm),
    "invalidate_generations": lambda cache, firm: cache.invalidate_generations(firm, ["case:1"]),
}


@pytest.mark.parametrize("call", CALLS)
def test_another_firm_is_not_named_in_a_scope(cache: CacheManager, call: str) -> None:
    with pytest.raises(FirmScopeError, match=f"for firm {OTHER_FIRM} in the scope of firm {FIRM}"):
        CALLS[call](cache, OTHER_FIRM)
    CALLS[call](cache, FIRM)
    Context().run(CALLS[call], cache, OTHER_FIRM)
    Context().run(in_all_firms, lambda: CALLS[call](cache, OTHER_FIRM))


def in_all_firms(call: Callable[[], object]) -> None:
    with legal_store.all_firms(reason="test"):
        call()


@contextmanager
def scope_of_the_other_firm() -> Iterator[None]:
    """As in another thread: a scope of another firm is not opened inside one."""
    token = _current.set(None)
    try:
        with legal_store.firm(OTHER_FIRM):
            yield
    finally:
        _current.reset(token)


PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda row: row,
    "in a list": lambda row: [1, row],
    "in a dict": lambda row: {"a": {"b": row}},
    "in a dict by number": lambda row: {1: row},
    "in a tuple": lambda row: (row,),
    "in a dataclass": lambda row: Found(row),
}


@dataclasses.dataclass
class Found:
    row: Any


@pytest.mark.parametrize("place", PLACES)
def test_a_row_is_not_kept_where_another_firm_reads(cache: CacheManager, place: str) -> None:
    theirs, mine = (PLACES[place](Case(firm=firm, title="x")) for firm in (OTHER_FIRM, FIRM))
    keeps: list[Callable[[Any], object]] = [
        lambda value: cache.set("case:9", value),
        lambda value: cache.set("case:9", value, fence=cache.fence("case:9")),
        lambda value: cache.set_many({"case:8": 1, "case:9": value}),
        lambda value: cache.get_or_load("case:9", lambda: value),
    ]
    for keep in keeps:
        with pytest.raises(FirmScopeError, match=f"of firm {OTHER_FIRM} was to be kept where firm {FIRM} reads"):
            keep(theirs)
        assert cache.get_many(["case:8", "case:9"]) == {}
    for keep in keeps:
        keep(mine)
        assert cache.delete("case:9")
    with pytest.raises(FirmScopeError, match="what is kept with shared=True all firms read"):
        cache.set("case:9", mine, shared=True)
    assert cache.get("case:9", shared=True) is None


def test_a_row_of_no_firm_may_be_shared(cache: CacheManager) -> None:
    assert cache.set("skill:1", [Skill(skill_id="s")], shared=True)


def test_without_a_firm_a_call_is_refused(redis_url: str) -> None:
    manager = CacheManager(redis_url, ttl=300)
    for call in (lambda: manager.get("case:1"), lambda: manager.set("case:1", 1), lambda: manager.invalidate("*")):
        with pytest.raises(FirmScopeError, match="no firm was named"):
            call()
    assert manager.set("skill:1", "shared", shared=True)
    with legal_store.firm(FIRM):
        assert manager.get("skill:1") is None
        assert manager.get("skill:1", shared=True) == "shared"
    manager.close()


@pytest.mark.parametrize("key", ["", "a:", ":a", "a::b", "case:*", "case:{1}", "a b", "x" * 513])
def test_a_key_that_redis_would_take_for_something_else_is_refused(cache: CacheManager, key: str) -> None:
    with pytest.raises(WrongUseError):
        cache.set(key, 1)


def test_values_end_and_are_spread_over_a_tenth(cache: CacheManager, raw: redis.Redis) -> None:
    cache.set_many({f"case:{n}": n for n in range(50)}, 100)
    lives = [raw.pttl(name) / 1000 for name in raw.scan_iter("cache:*}:*")]
    assert len(lives) == 50
    assert min(lives) > 85
    assert max(lives) <= 100
    assert max(lives) - min(lives) > 1
    cache.set("case:short", 1, 0.05)
    time.sleep(0.08)
    assert cache.get("case:short") is None


def test_many_values_take_one_round_trip_each_way(cache: CacheManager, raw: redis.Redis) -> None:
    cache.set_many({f"case:{n}": n for n in range(100)})
    raw.config_resetstat()
    assert cache.get_many([f"case:{n}" for n in range(120)]) == {f"case:{n}": n for n in range(100)}
    assert raw.info("commandstats")["cmdstat_mget"]["calls"] == 1


def test_a_value_read_before_an_invalidation_is_refused_by_its_fence(cache: CacheManager) -> None:
    fence = cache.fence("case:1")
    assert cache.set("case:1", "new", fence=fence)
    fence = cache.fence("case:1")
    cache.invalidate("case:*")
    assert not cache.set("case:1", "old", fence=fence)
    assert cache.get("case:1") is None


@pytest.mark.parametrize("pattern", ["case:1", "case:*", "*", "ca?e:[0-9]"])
def test_what_is_loading_while_it_is_invalidated_is_not_kept(cache: CacheManager, pattern: str) -> None:
    def load() -> str:
        cache.invalidate(pattern)
        return "old"

    assert cache.get_or_load("case:1", load) == "old"
    assert cache.get("case:1") is None
    assert cache.get_or_load("case:1", lambda: "new") == "new"
    assert cache.get("case:1") == "new"


def test_none_is_kept_only_as_long_as_negative_ttl_says(cache: CacheManager) -> None:
    calls: list[int] = []

    def load() -> None:
        calls.append(1)

    cache.get_or_load("case:1", load)
    cache.get_or_load("case:1", load)
    assert len(calls) == 2
    for _ in range(3):
        assert cache.get_or_load("case:2", load, negative_ttl=30) is None
    assert len(calls) == 3


def test_an_error_of_the_loader_reaches_everybody_who_waits_and_is_not_kept(
    cache: CacheManager, waiters: threading.Semaphore
) -> None:
    calls: list[int] = []
    failures: list[BaseException] = []
    start = threading.Barrier(8)

    def load() -> Any:
        calls.append(1)
        for _ in range(7):
            assert waiters.acquire(timeout=30)
        raise LookupError("no such case")

    def call() -> None:
        with legal_store.firm(FIRM):
            start.wait()
            try:
                cache.get_or_load("case:1", load)
            except LookupError as error:
                failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(calls), len(failures)) == (1, 8)
    assert cache.get_or_load("case:1", lambda: "found") == "found"


def test_a_loader_that_asks_for_its_own_key_is_an_error_at_once(cache: CacheManager) -> None:
    def load() -> Any:
        return cache.get_or_load("case:1", load, load_limit=60)

    with pytest.raises(WrongUseError, match="loader of a cached case asks the cache for that key"):
        load()
    assert cache.get_or_load("case:1", lambda: "found") == "found"


def test_a_stale_value_is_served_while_a_new_one_loads_in_the_background(cache: CacheManager) -> None:
    loaded = threading.Event()

    def load() -> str:
        assert legal_store.current_firm() == FIRM
        time.sleep(0.05)
        loaded.set()
        return "new"

    cache.get_or_load("case:1", lambda: "old", 0.05, stale_while_revalidate=60)
    time.sleep(0.06)
    assert cache.get_or_load("case:1", load, 60, stale_while_revalidate=60) == "old"
    assert loaded.wait(5)
    deadline = time.monotonic() + 5
    while cache.get("case:1") != "new" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert cache.get("case:1") == "new"


def test_a_stale_value_is_served_when_loading_fails_but_never_after_an_invalidation(cache: CacheManager) -> None:
    def fail() -> Any:
        raise ConnectionError("the database is away")

    cache.get_or_load("case:1", lambda: "old", 0.02, stale_if_error=60)
    time.sleep(0.03)
    assert cache.get("case:1") is None
    assert cache.get_or_load("case:1", fail, 0.02, stale_if_error=60) == "old"
    cache.invalidate("case:1")
    with pytest.raises(ConnectionError):
        cache.get_or_load("case:1", fail, 0.02, stale_if_error=60)


def test_a_decorated_function_is_cached_per_arguments_and_can_be_invalidated(cache: CacheManager) -> None:
    calls: list[tuple[int, str]] = []

    @cache.cached("billing:case:{number}-{kind}", ttl=60)
    def balance(number: int, kind: str = "net") -> str:
        """Return the balance."""
        calls.append((number, kind))
        return f"{number} {kind}"

    assert [balance(1), balance(1, "net"), balance(number=1), balance(1, "gross")] == ["1 net"] * 3 + ["1 gross"]
    assert calls == [(1, "net"), (1, "gross")]
    assert balance.__doc__ == "Return the balance."
    assert balance.cache_key(1) == "billing:case:1-net"  # type: ignore[attr-defined]
    assert balance.invalidate(1)  # type: ignore[attr-defined]
    balance(1)
    assert len(calls) == 3
    with pytest.raises(WrongUseError, match="colon"):
        balance(1, "a:b")


def test_a_reader_gets_an_object_of_its_own(cache: CacheManager) -> None:
    cache.set("case:1", {"parties": ["a"]})
    cache.get("case:1")["parties"].append("b")
    assert cache.get("case:1") == {"parties": ["a"]}


def test_metrics_count_per_entity(cache: CacheManager) -> None:
    cache.get("case:1")
    cache.get_or_load("billing:case:2", lambda: time.sleep(0.01))
    cache.set("case:1", 1)
    cache.get("case:1")
    cache.get("document:1")
    found = {metrics.entity: metrics for metrics in cache.metrics()}
    assert (found["case"].hits, found["case"].misses, found["case"].loads) == (1, 2, 1)
    assert 0.01 <= found["case"].load_seconds < 60
    assert found["case"].hit_rate == pytest.approx(1 / 3)
    assert found["document"].misses == 1


def test_stats_count_few_keys_and_estimate_many(cache: CacheManager, raw: redis.Redis) -> None:
    raw.set("session:{a}:b", 1)
    cache.set_many({f"case:{n}": n for n in range(10)})
    found = cache.stats()
    assert (found.session_keys, found.cache_keys, found.margin) == (1, 10, 0)
    assert found.total_keys == raw.dbsize()
    assert found.memory_used > 100_000
    raw.mset({f"session:{{a}}:{n}": n for n in range(3000)})
    found = cache.stats()
    assert found.total_keys == raw.dbsize()
    assert abs(found.session_keys - 3001) <= 3 * max(found.margin, 1) / 1.96 * 2


def test_a_nearby_value_costs_no_round_trip_and_ends_with_an_invalidation_here(
    redis_url: str, raw: redis.Redis
) -> None:
    manager = CacheManager(redis_url, ttl=300, nearby_seconds=30)
    with legal_store.firm(FIRM):
        manager.set("case:1", "old")
        manager.get("case:1")
        raw.config_resetstat()
        assert [manager.get("case:1") for _ in range(10)] == ["old"] * 10
        assert "cmdstat_mget" not in raw.info("commandstats")
        manager.invalidate("case:*")
        assert manager.get("case:1") is None
    manager.close()


def test_clear_removes_all_firms_values_and_nothing_else(cache: CacheManager, raw: redis.Redis) -> None:
    raw.set("session:{a}:b", 1)
    cache.set("case:1", 1)
    with scope_of_the_other_firm():
        cache.set("case:1", 1)
    cache.set("skill:1", 1, shared=True)
    assert cache.clear().removed == 3
    assert raw.keys() == [b"session:{a}:b"]


def test_the_keys_in_redis_follow_the_documented_layout(cache: CacheManager, raw: redis.Redis) -> None:
    cache.set("billing:case:123", 1)
    assert raw.exists(f"cache:{{{FIRM}}}:billing:case:123")
    assert all(name.startswith(f"cache:{{{FIRM}}}".encode()) for name in raw.keys("*"))


def test_a_damaged_value_is_a_miss(cache: CacheManager, raw: redis.Redis) -> None:
    cache.set("case:1", {"a": 1})
    name = f"cache:{{{FIRM}}}:case:1"
    good = raw.get(name)
    assert isinstance(good, bytes)
    for damaged in (b"", b"\x80\x04.", good[:30], good[:-1], b"\x02" + good[1:], good[:22] + bytes(36) + good[58:]):
        raw.set(name, damaged)
        assert cache.get("case:1") is None
        assert cache.get_or_load("case:1", lambda: "anew") == "anew"


def test_a_background_load_has_a_database_connection_where_its_caller_had_one(redis_url: str, database: Any) -> None:
    from legal_store.models import Skill

    cache = CacheManager(redis_url, ttl=300)
    done = threading.Event()

    def load() -> int:
        count: int = Skill.select().count()
        if threading.current_thread().name == "cache-refresh":
            done.set()
        return count

    cache.get_or_load("skill:count", load, 0.02, stale_while_revalidate=60, shared=True)
    time.sleep(0.03)
    cache.get_or_load("skill:count", load, 0.02, stale_while_revalidate=60, shared=True)
    assert done.wait(10)
    cache.close()


@pytest.mark.parametrize("pattern", ["", "case:", ":case:1", "billing::*"])
def test_a_pattern_that_no_key_can_match_is_an_error(cache: CacheManager, pattern: str) -> None:
    with pytest.raises(WrongUseError, match="nothing would be invalidated"):
        cache.invalidate(pattern, firm=FIRM)
