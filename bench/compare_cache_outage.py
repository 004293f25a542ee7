"""Redis as a black hole: what a read of the cache costs at first, and what each later one costs.

The peers are set up as a careful user would: 0.1 s to connect and to answer, no retries, failures are misses.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bench.measure import Medians, Result
from bench.redis_server import redis_server
from legal_store.cache import CacheManager
from tests.proxy import TcpProxy

FIRST_MS, LATER_MS = 250.0, 5.0
LIMITS: dict[str, Any] = {
    "socket_connect_timeout": 0.1,
    "socket_timeout": 0.1,
    "retry": Retry(NoBackoff(), 0),
}


def run(*, quick: bool) -> list[Result]:
    outages, later_reads, of_peers = (1, 20, 3) if quick else (20, 200, 30)
    logging.disable(logging.WARNING)  # each outage is said once
    first: dict[str, list[float]] = {}
    later: dict[str, list[float]] = {}
    with redis_server() as url, TcpProxy(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))) as proxy:
        for name, make in _CONTESTANTS.items():
            reads = of_peers if name != "legal_store" else later_reads
            try:
                outage = [_outage(proxy, make, reads) for _ in range(outages if name == "legal_store" else 1)]
            except ImportError:
                continue  # pip install 'legal-store[bench]'
            first[name] = [taken for times in outage for taken in times[:2]]
            later[name] = [taken for times in outage for taken in times[2:]]
    return [
        _result("the first two reads of an outage, the slowest", first, FIRST_MS),
        _result("the reads that follow, p99", later, LATER_MS),
    ]


def _outage(proxy: TcpProxy, make: Callable[[str], Callable[[], Any]], reads: int) -> list[float]:
    read = make(f"redis://{proxy.host}:{proxy.port}")
    proxy.blackhole()
    try:
        return [_milliseconds(read) for _ in range(2 + reads)]
    finally:
        proxy.heal()


def _milliseconds(read: Callable[[], Any]) -> float:
    began = time.perf_counter()
    read()
    return (time.perf_counter() - began) * 1000


def _result(what: str, times: dict[str, list[float]], goal_ms: float) -> Result:
    worst = {
        name: [sorted(measured)[min(len(measured) - 1, len(measured) * 99 // 100)]] for name, measured in times.items()
    }
    medians = Medians(worst)
    return Result(what, medians, "ms", medians["legal_store"] / goal_ms, f"at most 1 ({goal_ms:g} ms)")


def _ours(url: str) -> Callable[[], Any]:
    cache, firm = CacheManager(url, ttl=300), uuid.uuid4()
    cache.set("case:1", 1, firm=firm)
    return lambda: cache.get("case:1", firm=firm)


def _bare(url: str) -> Callable[[], Any]:
    client = redis.Redis.from_url(url, **LIMITS)
    client.set("bare", 1)

    def read() -> Any:
        try:
            return client.get("bare")
        except redis.RedisError:
            return None

    return read


def _django(url: str) -> Callable[[], Any]:
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from django_redis.cache import RedisCache

    options = {"CONNECTION_POOL_KWARGS": LIMITS, "IGNORE_EXCEPTIONS": True}
    cache = RedisCache(url, {"OPTIONS": options})
    cache.set("django", 1, 300)
    return lambda: cache.get("django")


_CONTESTANTS: dict[str, Callable[[str], Callable[[], Any]]] = {
    "legal_store": _ours,
    "redis-py": _bare,
    "django-redis": _django,
}
