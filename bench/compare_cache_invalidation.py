"""Invalidating ten thousand values by pattern among a million keys: by generation, and by walking through the keys."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import redis

from bench.measure import Medians, Result
from bench.redis_server import fill, redis_server
from legal_store.cache import CacheManager

GOAL_MS = 2.0
BATCH = 1000
WALKS = 3  # of each peer: they take seconds


def run(*, quick: bool) -> list[Result]:
    values, keys, rounds = (200, 2_000, 5) if quick else (10_000, 1_000_000, 500)
    with redis_server() as url:
        fill(url, keys)
        ours = _ours(url, values, rounds)
        walks: dict[str, list[float]] = {}
        for name, peer in _PEERS.items():
            try:
                walks[name] = [_timed(url, peer, values) for _ in range(1 if quick else WALKS)]
            except ImportError:
                continue  # pip install 'legal-store[bench]'
    p99 = sorted(ours)[len(ours) * 99 // 100]
    times = Medians({"legal_store (p99)": [p99], "legal_store": ours, **walks})
    what = f"invalidating {values:,} values among {keys:,} keys"
    return [Result(what, times, "ms", p99 / GOAL_MS, "at most 1 (p99 of 2 ms)")]


def _ours(url: str, values: int, rounds: int) -> list[float]:
    """Each round invalidates all values, which are valid again once their generation is put back as it was."""
    cache, firm, times = CacheManager(url, ttl=3600), uuid.uuid4(), []
    for start in range(0, values, BATCH):
        cache.set_many({f"case:{n}": n for n in range(start, min(start + BATCH, values))}, firm=firm)
    generation = f"cache:{{{firm}}}@case"
    with redis.Redis.from_url(url) as client:
        client.copy(generation, "generation as it was")
        for _ in range(rounds):
            client.copy("generation as it was", generation, replace=True)
            assert cache.get("case:0", firm=firm) == 0
            began = time.perf_counter()
            cache.invalidate("case:*", firm=firm)
            times.append((time.perf_counter() - began) * 1000)
            assert cache.get("case:0", firm=firm) is None
    cache.close()
    return times


def _timed(url: str, peer: Callable[[str, int], Callable[[], Any]], values: int) -> float:
    invalidate = peer(url, values)
    began = time.perf_counter()
    invalidate()
    return (time.perf_counter() - began) * 1000


def _keys_of_a_peer(url: str, values: int, pattern: str) -> None:
    with redis.Redis.from_url(url) as client:
        for start in range(0, values, BATCH):
            client.mset({pattern.format(n): n for n in range(start, min(start + BATCH, values))})


def _scan_and_delete(url: str, values: int) -> Callable[[], Any]:
    _keys_of_a_peer(url, values, "plain:case:{}")

    def invalidate() -> None:
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter("plain:case:*"):
                client.delete(key)

    return invalidate


def _django(url: str, values: int) -> Callable[[], Any]:
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from django_redis.cache import RedisCache

    _keys_of_a_peer(url, values, ":1:case:{}")
    return lambda: RedisCache(url, {}).delete_pattern("case:*")


def _cashews(url: str, values: int) -> Callable[[], Any]:
    from cashews import Cache

    _keys_of_a_peer(url, values, "cashews:case:{}")
    cache = Cache()
    cache.setup(url, client_side=False)
    return lambda: asyncio.run(cache.delete_match("cashews:case:*"))


def _aiocache(url: str, values: int) -> Callable[[], Any]:
    from aiocache import RedisCache

    _keys_of_a_peer(url, values, "aiocache:case:{}")

    async def invalidate() -> None:
        async with RedisCache(endpoint="127.0.0.1", port=urlsplit(url).port) as cache:
            await cache.clear(namespace="aiocache:case")

    return lambda: asyncio.run(invalidate())


# dogpile.cache has nothing to compare: its invalidation stays in the process
_PEERS = {
    "the original's SCAN and DEL": _scan_and_delete,
    "django-redis delete_pattern": _django,
    "cashews delete_match": _cashews,
    "aiocache clear": _aiocache,
}
