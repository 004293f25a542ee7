"""Fixtures of the tests that need Redis: each runs on Redis 6.2 and on Valkey 9.

Tests of what does not depend on the program (outages, tasks, events) run on one of them, so that the suite is quick:

    from tests.keyvalue.fixtures import one_server as key_value_server
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from legal_store.cache import CacheManager
from legal_store.keyvalue import Limits
from tests.keyvalue.servers import RunningServer, program, running


@pytest.fixture(scope="session", params=["redis-6.2", "valkey-9"])
def key_value_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A Redis or Valkey of a named program."""
    path = program(request.param)
    if path is None:
        pytest.skip(f"{request.param} is not installed here (its package has no wheel for this Python)")
    with running(path, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Redis 6.2, or where it cannot be installed, Valkey."""
    path = program("redis-6.2") or program("valkey-9")
    assert path is not None
    with running(path, tmp_path_factory.mktemp("one-server")) as server:
        yield server


@pytest.fixture
def redis_url(key_value_server: RunningServer) -> Iterator[str]:
    """The URL of an empty server."""
    with redis.Redis.from_url(key_value_server.url) as client:
        client.flushall()
    yield key_value_server.url


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client of the same server: what anybody sees who can read Redis."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes more than a tenth of a second for an answer now and then, and a miss is not what most tests
    expect. Those of outages name the real limits."""
    assert CacheManager.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(CacheManager.__init__.__kwdefaults__, "limits", Limits(connect=20, answer=20))
