"""What was killed, lost, copied or left half done does not stop the next `up`, and never costs data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest

from legal_store import embedded
from legal_store.config import Settings
from legal_store.database.target import database_url, redis_url
from legal_store.embedded.processes import is_alive, wait_until
from legal_store.errors import ConfigurationError
from tests.embedded.support import KEEP, UP, moved, python, query, redis_client, with_proc


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(pid), 10)


def test_up_after_kill_9_has_every_committed_row(home: Path) -> None:
    servers = embedded.up(home)
    query(servers.postgres.url, KEEP)
    for server in servers:
        kill(server.pid)
    assert embedded.running(home) is None
    again = embedded.up(home)
    assert again.postgres.started
    assert again.redis.started
    assert query(again.postgres.url, "SELECT answer FROM kept") == 42


def test_up_after_kill_9_of_redis_leaves_postgres_alone(home: Path) -> None:
    servers = embedded.up(home)
    kill(servers.redis.pid)
    again = embedded.up(home)
    assert again.postgres.pid == servers.postgres.pid
    with closing(redis_client(again.redis.url)) as client:
        assert client.ping()


def test_up_waits_for_sessions_that_outlive_a_killed_server(home: Path) -> None:
    """A computing session notices the end of the server late, and nothing may start beside it."""
    servers = embedded.up(home)
    with closing(psycopg2.connect(servers.postgres.url)) as connection, connection.cursor() as cursor:

        def compute() -> None:
            with suppress(psycopg2.Error):
                cursor.execute("SELECT count(md5(i::text)) FROM generate_series(1, 3000000) AS i")

        thread = threading.Thread(target=compute)
        thread.start()
        time.sleep(0.1)
        kill(servers.postgres.pid)
        assert query(embedded.up(home).postgres.url, "SELECT 1") == 1
        thread.join()


def test_down_after_kill_9_finds_nothing_to_stop(home: Path) -> None:
    for server in embedded.up(home):
        kill(server.pid)
    stopped = embedded.down(home)
    assert (stopped.postgres, stopped.redis) == (None, None)


def test_pid_file_of_a_process_that_is_gone_is_stale(home: Path) -> None:
    servers = embedded.up(home)
    note = (home / "postgres" / "postmaster.pid").read_text()
    embedded.down(home)
    (home / "postgres" / "postmaster.pid").write_text(note)
    (home / "redis" / "redis.pid").write_text(f"{servers.redis.pid}\n")
    assert embedded.up(home).postgres.started


@with_proc
def test_recycled_pid_of_another_program_stops_neither_us_nor_it(home: Path, stranger: subprocess.Popen[bytes]) -> None:
    servers = embedded.up(home)
    note = (home / "postgres" / "postmaster.pid").read_text()
    for server in servers:
        kill(server.pid)
    (home / "postgres" / "postmaster.pid").write_text(note.replace(str(servers.postgres.pid), str(stranger.pid), 1))
    (home / "redis" / "redis.pid").write_text(f"{stranger.pid}\n")
    embedded.down(home)
    assert stranger.poll() is None
    assert embedded.up(home).postgres.started
    embedded.down(home)
    assert stranger.poll() is None


@with_proc
def test_servers_whose_sockets_were_removed_are_replaced(home: Path) -> None:
    servers = embedded.up(home)
    shutil.rmtree((home / "run").resolve())
    assert embedded.running(home) is None
    again = embedded.up(home)
    assert query(again.postgres.url, "SELECT 1") == 1
    assert not is_alive(servers.postgres.pid)
    assert not is_alive(servers.redis.pid)


@with_proc
def test_down_stops_servers_whose_sockets_were_removed(home: Path) -> None:
    servers = embedded.up(home)
    shutil.rmtree((home / "run").resolve())
    assert embedded.down(home).postgres == servers.postgres.pid
    assert not is_alive(servers.redis.pid)


def test_up_after_a_caller_was_killed_during_initdb_begins_anew(new_home: Path) -> None:
    with python(UP, new_home) as caller:
        assert wait_until(lambda: any(new_home.glob("postgres.new-*/global")), 20)
        caller.kill()
    assert not (new_home / "postgres").exists()
    assert query(embedded.up(new_home).postgres.url, "SELECT 1") == 1
    assert list(new_home.glob("postgres.new-*")) == []


def test_up_after_a_caller_was_killed_while_the_server_started_takes_that_server(home: Path) -> None:
    with python(UP, home) as caller:
        assert wait_until((home / "postgres" / "postmaster.pid").exists, 20)
        caller.kill()
    assert query(embedded.up(home).postgres.url, "SELECT 1") == 1


def test_copy_of_a_running_home_is_another_home(home: Path, tmp_path: Path) -> None:
    original = embedded.up(home)
    query(original.postgres.url, "CHECKPOINT")
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", home, copy], check=True)
    try:
        assert embedded.running(copy) is None
        servers = embedded.up(copy)
        assert servers.postgres.pid != original.postgres.pid
    finally:
        embedded.down(copy)
    assert is_alive(original.postgres.pid)
    assert is_alive(original.redis.pid)


def test_home_may_be_moved_while_the_servers_run(home: Path) -> None:
    """As long as its sockets are in it, and not in the short folder of a deep home."""
    with tempfile.TemporaryDirectory(prefix="ls-") as short, moved(home, Path(short) / "before") as before:
        servers = embedded.up(before)
        with moved(before, Path(short) / "after") as after:
            found = embedded.running(after)
            assert found is not None
            assert found.postgres.pid == servers.postgres.pid
            assert query(found.postgres.url, "SELECT 1") == 1
            assert embedded.down(after).redis == servers.redis.pid


@pytest.mark.parametrize("dead", ["PostgreSQL", "Redis"])
def test_one_server_serves_while_the_other_is_dead(home: Path, dead: str) -> None:
    servers, settings = embedded.up(home), Settings(home=home)
    urls = {"PostgreSQL": (database_url, servers.postgres), "Redis": (redis_url, servers.redis)}
    url_of_the_dead, server = urls.pop(dead)
    kill(server.pid)
    with pytest.raises(ConfigurationError, match=f"URL is not set, and no embedded {dead} runs"):
        url_of_the_dead(settings)
    [(url_of, alive)] = urls.values()
    assert url_of(settings) == alive.url
