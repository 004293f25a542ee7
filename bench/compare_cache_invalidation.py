"""Invalidating ten thousand values by pattern among a million keys: by generation, and by walking through the keys."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import redis

from bench.measure import Result
from bench.redis_server import fill, redis_server
from legal_store.cache import CacheManager

GOAL_MS = 2.0
BATCH = 1000


def run(*, quick: bool) -> list[Result]:
    values, keys, rounds = (200, 2_000, 5) if quick else (10_000, 1_000_000, 200)
    with redis_server() as url:
        fill(url, keys)
        cache, firm = CacheManager(url, ttl=3600), uuid.uuid4()
        ours = [_ours(cache, firm, values if turn == 0 else 50) for turn in range(rounds)]
        peers = {"the original's SCAN and DEL": _scan_and_delete, "django-redis delete_pattern": _django}
        times = {"legal_store (p99)": _percentile(ours, 99), "legal_store (first)": ours[0]}
        for name, peer in peers.items():
            try:
                times[name] = statistics.median(_timed(url, peer, values) for _ in range(1 if quick else 3))
            except ImportError:
                continue  # pip install 'legal-store[bench]'
    ratio = times["legal_store (p99)"] / GOAL_MS
    what = f"invalidating {values:,} values among {keys:,} keys"
    return [Result(what, times, "ms", ratio, f"p99 at most {GOAL_MS} ms (ratio 1)")]


def _ours(cache: CacheManager, firm: uuid.UUID, values: int) -> float:
    for start in range(0, values, BATCH):
        cache.set_many({f"case:{n}": n for n in range(start, min(start + BATCH, values))}, firm=firm)
    began = time.perf_counter()
    cache.invalidate("case:*", firm=firm)
    taken = (time.perf_counter() - began) * 1000
    assert cache.get("case:0", firm=firm) is None
    return taken


def _timed(url: str, peer: Callable[[str], Any], values: int) -> float:
    with redis.Redis.from_url(url) as client:
        for start in range(0, values, BATCH):
            client.mset({f":1:case:{n}": n for n in range(start, min(start + BATCH, values))})
    began = time.perf_counter()
    peer(url)
    return (time.perf_counter() - began) * 1000


def _scan_and_delete(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(":1:case:*"):
            client.delete(key)


def _django(url: str) -> None:
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from django_redis.cache import RedisCache

    RedisCache(url, {}).delete_pattern("case:*")


def _percentile(times: list[float], percent: int) -> float:
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]
