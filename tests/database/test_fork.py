"""Child processes of a preforking server get connections of their own, and the parent keeps its own."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.database.conftest import eventually, running

FORKING = """
import os, sys, threading
from legal_store import db

def process_id():
    with db:
        return db.execute_sql("SELECT pg_backend_pid()").fetchone()[0]

parents = process_id()
db.connect()                                  # a connection in use, one idle, and the pool's lock held meanwhile
db.pool.lock.acquire()
child = os.fork()
if child == 0:
    assert db.is_closed() and db.pool.stats().used == 0 and db.pool.stats().idle == 0
    mine = [process_id(), process_id()]
    assert parents not in mine and len(set(mine)) == 1, mine
    db.close_all()
    os._exit(0)
db.pool.lock.release()
_, status = os.waitpid(child, 0)
assert status == 0, status
assert db.execute_sql("SELECT pg_backend_pid()").fetchone()[0] == parents
db.close()
assert process_id() == parents
print("both have their own")
"""

FORKING_IN_A_BLOCK = """
import os, sys
from legal_store import db
from legal_store.errors import NotConnectedError

child = None
try:
    with {block}:
        child = os.fork()
except NotConnectedError as error:
    os._exit(7 if child == 0 and "fork outside of `with db:`" in str(error) else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert db.is_closed() and db.pool.stats().used == 0
print("told")
"""

SERVICE = """
from legal_store import db
from legal_store.monitor.endpoint import wsgi_beside

with db:
    parents = db.execute_sql("SELECT pg_backend_pid()").fetchone()[0]      # before the workers are forked

def service(environ, start_response):
    with db:
        found = db.execute_sql("SELECT pg_backend_pid()").fetchone()[0]
    start_response("200 OK", [])
    import os
    return [f"{os.getpid()} {found} {parents}".encode()]

app = wsgi_beside(service)
"""


def environment(database_url: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database_url, "PYTHONWARNINGS": "error"}


def test_a_forked_child_has_a_pool_of_its_own(database_url: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", FORKING], env=environment(database_url), capture_output=True, text=True, timeout=60
    )
    assert finished.stdout.strip() == "both have their own", finished.stderr


@pytest.mark.parametrize("block", ["db", "db.connection_context()", "db.connection_context(), db.atomic()"])
def test_a_child_that_was_forked_in_a_block_is_told_so(database_url: str, block: str) -> None:
    program = FORKING_IN_A_BLOCK.format(block=block)
    finished = subprocess.run(
        [sys.executable, "-c", program], env=environment(database_url), capture_output=True, text=True, timeout=60
    )
    assert finished.stdout.strip() == "told", finished.stderr


def test_gunicorn_with_preload(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    log = tmp_path / "log"
    options = ["--preload", "--workers=3", "--threads=2", "--bind=127.0.0.1:0", "--graceful-timeout=2"]
    command = [sys.executable, "-m", "gunicorn", *options, "service:app"]
    with running(command, log, cwd=tmp_path, env={**environment(database_url), "PYTHONWARNINGS": "default"}):
        eventually(lambda: "Listening at" in log.read_text(), within=60)
        address = log.read_text().partition("Listening at: ")[2].partition(" ")[0]
        seen: dict[str, set[str]] = {}

        def ask() -> bool:
            with urllib.request.urlopen(address, timeout=30) as answer:
                worker, session, parents = answer.read().decode().split()
            assert session != parents
            seen.setdefault(worker, set()).add(session)
            return len(seen) >= 2

        eventually(ask, within=60)
        for _ in range(40):
            ask()
        sessions = [session for found in seen.values() for session in found]
        assert len(sessions) == len(set(sessions)), "no session is used by two workers"
        with urllib.request.urlopen(f"{address}/api/health/database", timeout=30) as answer:
            assert answer.status == 200
