"""Many threads in several processes ask for the same cold or ending key: one of them loads."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
import statistics
import threading
import time
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from legal_store.cache import CacheManager
from legal_store.cache.entry import Entry, lifetime

PROCESSES, THREADS = 4, 50
FIRM = uuid.UUID(int=7)
CONTEXT = multiprocessing.get_context("spawn")


def ask(url: str, results: Any, ready: Any, start: Any, kill_holder: bool, threads: int) -> None:
    """Ask for one key from many threads at once; each load is counted in Redis."""
    cache = CacheManager(url, ttl=300)
    counter = redis.Redis.from_url(url)
    cache.exists("case:1", firm=FIRM)

    def load() -> str:
        if counter.incr("loads") == 1 and kill_holder:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.3)
        return "loaded"

    got: list[Any] = []

    def work() -> None:
        got.append(cache.get_or_load("case:1", load, firm=FIRM, load_limit=1.0))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    ready.release()
    start.wait()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    results.put((len(got), set(got)))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kill_holder", [False, True], ids=["undisturbed", "the loader's process is killed"])
def test_two_hundred_threads_in_four_processes_load_a_cold_key_once(
    redis_url: str, raw: redis.Redis, kill_holder: bool
) -> None:
    results, ready, start = CONTEXT.Queue(), CONTEXT.Semaphore(0), CONTEXT.Event()
    arguments = (redis_url, results, ready, start, kill_holder, THREADS)
    processes = [CONTEXT.Process(target=ask, args=arguments) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=60)
    start.set()
    answered = [results.get(timeout=60) for _ in range(PROCESSES - kill_holder)]
    for process in processes:
        process.join(60)
    assert answered == [(THREADS, {"loaded"})] * (PROCESSES - kill_holder)
    assert int(raw.get("loads") or 0) == 1 + kill_holder


def test_the_chance_of_an_early_refresh_is_that_of_the_paper() -> None:
    """P(early | t before the end) = exp(-t / delta): within three standard errors."""
    chance = random.Random(3)
    for load_seconds, before_end in ((0.4, 0.4), (0.4, 1.0), (2.0, 1.0), (0.1, 0.5)):
        entry = Entry(0.0, 100.0, load_seconds, memoryview(b""))
        draws = 20_000
        early = sum(entry.wants_refresh(100.0 - before_end, 1 - chance.random()) for _ in range(draws))
        expected = math.exp(-before_end / load_seconds)
        error = math.sqrt(expected * (1 - expected) / draws)
        assert abs(early / draws - expected) < 3 * error + 1e-9


def test_lives_are_shortened_by_at_most_a_tenth() -> None:
    lives = [lifetime(100, random.random()) for _ in range(1000)]
    assert 90 <= min(lives) <= max(lives) <= 100
    assert statistics.pstdev(lives) > 1


def test_a_value_near_its_end_is_loaded_anew_by_one_reader_while_the_others_go_on(redis_url: str) -> None:
    cache = CacheManager(redis_url, ttl=300)
    loads: list[float] = []
    stop = time.monotonic() + 3.0
    longest: list[float] = []

    def load() -> float:
        loads.append(time.monotonic())
        time.sleep(0.05)
        return time.monotonic()

    def read() -> None:
        slow = 0
        while time.monotonic() < stop:
            began = time.monotonic()
            cache.get_or_load("case:1", load, 0.5, firm=FIRM)
            slow += time.monotonic() - began > 0.045
        longest.append(slow)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert 5 <= len(loads) <= 20
    assert min(after - before for before, after in pairwise(loads)) > 0.05  # never two at once
    assert sum(longest) <= len(loads) + 8  # who loads waits; at the first, cold one all do
    cache.close()


def test_the_log_names_no_key(redis_url: str, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    cache = CacheManager(redis_url, ttl=300)
    cache.get_or_load("case:confidential", lambda: "old", 0.02, stale_if_error=60, firm=FIRM)
    time.sleep(0.03)

    def fail() -> None:
        raise ConnectionError("away")

    cache.get_or_load("case:confidential", fail, 0.02, stale_if_error=60, firm=FIRM)
    assert "served" in caplog.text
    assert "confidential" not in caplog.text
    cache.close()
