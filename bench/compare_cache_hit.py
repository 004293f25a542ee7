"""A hit: our cache beside a bare GET of redis-py and the caches that Python teams use; same value, same Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from bench.measure import Result, alternate
from bench.redis_server import redis_server
from legal_store.cache import CacheManager

GOAL = 1.5
VALUE: dict[str, Any] = {
    "id": "0196f0a0-0000-7000-8000-000000000001",
    "title": "Ionescu c. Popescu, cerere de chemare în judecată",
    "status": "Active",
    "parties": [{"name": f"Party {n}", "role": "Witness"} for n in range(6)],
    "open": True,
}
HITS = 50  # in each turn


def run(*, quick: bool) -> list[Result]:
    with redis_server() as url:
        loop = asyncio.new_event_loop()
        contestants = {"redis-py GET": _bare(url), **_ours(url), **_peers(url, loop)}
        for name, hit in contestants.items():
            assert hit() is not None, name
        repeated = {name: _repeat(hit) for name, hit in contestants.items()}
        medians = alternate(repeated, rounds=3 if quick else 300, warm_up=2)
        loop.close()
    micro = {name: milliseconds / HITS * 1000 for name, milliseconds in medians.items()}
    ratio = max(micro["legal_store get"], micro["legal_store get_or_load"]) / micro["redis-py GET"]
    return [Result("one hit", micro, "us", ratio, f"at most {GOAL} x a bare GET")]


def _repeat(hit: Callable[[], Any]) -> Callable[[], None]:
    def repeated() -> None:
        for _ in range(HITS):
            hit()

    return repeated


def _bare(url: str) -> Callable[[], Any]:
    import msgspec
    import redis

    client = redis.Redis.from_url(url)
    client.set("bare", msgspec.msgpack.encode(VALUE))
    return lambda: client.get("bare")


def _ours(url: str) -> dict[str, Callable[[], Any]]:
    cache, firm = CacheManager(url, ttl=3600), uuid.uuid4()
    cache.set("case:1", VALUE, firm=firm)
    return {
        "legal_store get": lambda: cache.get("case:1", firm=firm),
        "legal_store get_or_load": lambda: cache.get_or_load("case:1", dict, firm=firm),
    }


def _peers(url: str, loop: asyncio.AbstractEventLoop) -> dict[str, Callable[[], Any]]:
    peers: dict[str, Callable[[], Any]] = {}
    for name, make in _PEERS.items():
        try:
            peers[name] = make(url, loop)
        except ImportError:
            continue  # pip install 'legal-store[bench]'
    return peers


def _dogpile(url: str, loop: Any) -> Callable[[], Any]:
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.redis", expiration_time=3600, arguments={"url": url})
    region.set("dogpile", VALUE)
    return lambda: region.get("dogpile")


def _django(url: str, loop: Any) -> Callable[[], Any]:
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from django_redis.cache import RedisCache

    cache = RedisCache(url, {})
    cache.set("django", VALUE, 3600)
    return lambda: cache.get("django")


def _cashews(url: str, loop: asyncio.AbstractEventLoop) -> Callable[[], Any]:
    from cashews import Cache

    cache = Cache()
    cache.setup(url, client_side=False)
    loop.run_until_complete(cache.set("cashews", VALUE, expire=3600))
    return lambda: loop.run_until_complete(cache.get("cashews"))


def _aiocache(url: str, loop: asyncio.AbstractEventLoop) -> Callable[[], Any]:
    from urllib.parse import urlsplit

    from aiocache import RedisCache
    from aiocache.serializers import JsonSerializer

    cache = RedisCache(endpoint="127.0.0.1", port=urlsplit(url).port, serializer=JsonSerializer())
    loop.run_until_complete(cache.set("aiocache", VALUE, ttl=3600))
    return lambda: loop.run_until_complete(cache.get("aiocache"))


_PEERS = {"dogpile.cache": _dogpile, "django-redis": _django, "cashews": _cashews, "aiocache": _aiocache}
