"""Fixtures of the cache's tests."""

from __future__ import annotations

import threading

import pytest

from legal_store.cache.flights import Flight
from tests.keyvalue.fixtures import key_value_server, patience, raw, redis_url

__all__ = ["key_value_server", "patience", "raw", "redis_url"]


@pytest.fixture
def waiters(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released once for each thread that begins to wait for another one's load."""
    arrived = threading.Semaphore(0)
    wait = Flight.wait

    def counted(flight: Flight, seconds: float) -> bool:
        arrived.release()
        return wait(flight, seconds)

    monkeypatch.setattr(Flight, "wait", counted)
    return arrived
