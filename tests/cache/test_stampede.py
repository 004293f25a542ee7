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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from legal_store.cache import CacheManager
from legal_store.cache.entry import Entry, lifetime
from legal_store.keyvalue import Limits
from tests.keyvalue.fixtures import one_server as key_value_server

__all__ = ["key_value_server"]

PROCESSES, THREADS = 4, 50
FIRM = uuid.UUID(int=7)
CONTEXT = multiprocessing.get_context("spawn")


def ask(url: str, results: Any, ready: Any, start: Any, kill_holder: bool, threads: int) -> None:
    """Ask for one key from many threads at once; each load is counted in Redis."""
    cache = CacheManager(url, ttl=300, limits=Limits(connect=20, answer=20))
    counter = redis.Redis.from_url(url)
    cache.exists("case:1", firm=FIRM)

    def load() -> str:
        if counter.incr("loads") == 1 and kill_holder:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.1 if kill_holder else 0.3)
        return "loaded"

    got: list[Any] = []

    def work() -> None:
        # a busy machine must not make a load seem dead, a dead one must not keep the test waiting
        got.append(cache.get_or_load("case:1", load, firm=FIRM, load_limit=1.5 if kill_holder else 60))

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


def test_a_value_near_its_end_is_loaded_anew_by_one_reader_while_the_others_go_on(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Entry, "wants_refresh", lambda *_: True)  # every reader finds the end near
    cache = CacheManager(redis_url, ttl=300)
    assert cache.get_or_load("case:1", lambda: "old", firm=FIRM) == "old"
    loading, served = threading.Event(), threading.Semaphore(0)
    loads: list[str] = []

    def load() -> str:
        loads.append(threading.current_thread().name)
        loading.set()
        for _ in range(20):
            assert served.acquire(timeout=30), "the others wait for the one who loads"
        return "new"

    def read() -> str:
        assert loading.wait(30)
        value = str(cache.get_or_load("case:1", load, firm=FIRM))
        served.release()
        return value

    with ThreadPoolExecutor(5) as threads:
        loader = threads.submit(cache.get_or_load, "case:1", load, firm=FIRM)
        others = [threads.submit(read) for _ in range(20)]
        assert [other.result(60) for other in others] == ["old"] * 20
        assert loader.result(60) == "new"
    assert len(loads) == 1
    assert cache.get("case:1", firm=FIRM) == "new"
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
