"""What several of these test modules do with servers and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis

from legal_store import embedded

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it is about what root meets")
with_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")


KEEP = "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 42 AS answer"


def query(url: str, statement: str, *values: object) -> Any:
    """Run one statement in a connection of its own and return the first column of its first row."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0] if cursor.description else None


def redis_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def python(code: str, *arguments: object, before: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
    """Start Python on `code`, with what it prints in pipes; `before` stands before its command."""
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, **options)


UP = """
import sys
from pathlib import Path
from legal_store import embedded
servers = embedded.up(Path(sys.argv[1]))
print(servers.postgres.pid, servers.redis.pid)
"""

DOWN = """
import sys
from pathlib import Path
from legal_store import embedded
embedded.down(Path(sys.argv[1]))
"""


@contextmanager
def moved(home: Path, place: Path) -> Iterator[Path]:
    """Have the home in another place for a while, and stop its servers there: cheaper than a copy."""
    place.parent.mkdir(parents=True, exist_ok=True)
    home.rename(place)
    try:
        yield place
    finally:
        embedded.down(place)
        place.rename(home)
