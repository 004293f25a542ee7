"""Fixtures of the tests that need Redis: each runs on Redis 6.2 and on Valkey 9."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

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
