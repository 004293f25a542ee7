"""A hot key whose value ends again and again: how long readers wait then, beside one that never ends."""

from __future__ import annotations

import threading
import time
import uuid

from bench.measure import Result
from bench.redis_server import redis_server
from legal_store.cache import CacheManager

GOAL = 1.5
READERS, LOAD_SECONDS, TTL = 4, 0.02, 0.5


def run(*, quick: bool) -> list[Result]:
    rounds, seconds = (1, 0.6) if quick else (5, 4.0)
    steady: list[float] = []
    ending: list[float] = []
    with redis_server() as url:
        for _ in range(rounds):  # in turns, so that a noisy moment hits both
            steady += _read(url, 3600.0, seconds)
            ending += _read(url, TTL, seconds)
    times = {"steady": _p99(steady), "ending every half second": _p99(ending)}
    ratio = times["ending every half second"] / times["steady"]
    return [Result("p99 of a read of a hot key", times, "ms", ratio, f"at most {GOAL}")]


def _read(url: str, ttl: float, seconds: float) -> list[float]:
    cache, firm = CacheManager(url), uuid.uuid4()
    cache.get_or_load("case:1", _load, ttl, firm=firm)
    stop = time.monotonic() + seconds
    times: list[float] = []

    def read() -> None:
        while time.monotonic() < stop:
            began = time.perf_counter()
            cache.get_or_load("case:1", _load, ttl, firm=firm)
            times.append((time.perf_counter() - began) * 1000)

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return times


def _load() -> str:
    time.sleep(LOAD_SECONDS)
    return "loaded"


def _p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
