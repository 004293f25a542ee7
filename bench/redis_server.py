"""A Redis for comparisons, on a free port of 127.0.0.1, and a keyspace to fill it with."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from legal_store.embedded.programs import redis_program
from legal_store.embedded.server import free_port

BATCH = 20_000


@contextmanager
def redis_server() -> Iterator[str]:
    """Yield the URL of a server that keeps nothing on disk."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [str(redis_program().path), "--port", str(port), "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    for _ in range(500):
        try:
            with redis.Redis(port=port) as client:
                client.ping()
            return
        except redis.ConnectionError:
            time.sleep(0.02)
    raise RuntimeError("Redis did not start")


def fill(url: str, count: int) -> None:
    """Add `count` keys of others."""
    with redis.Redis.from_url(url) as client:
        for start in range(0, count, BATCH):
            client.mset({f"other:{n}": b"x" * 60 for n in range(start, min(start + BATCH, count))})
