"""Start, look, stop: the life of the servers when nothing goes wrong."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from legal_store import embedded
from legal_store.embedded.processes import is_alive
from tests.embedded.support import DOWN, KEEP, UP, python, query, redis_client, with_proc


def test_up_makes_a_database_and_a_redis_that_answer(new_home: Path) -> None:
    servers = embedded.up(new_home)
    assert query(servers.postgres.url, "SELECT current_user || ' ' || current_database()") == "legal_store legal_store"
    with closing(redis_client(servers.redis.url)) as client:
        assert client.ping()
    assert servers.postgres.started
    assert servers.redis.started
    assert servers.postgres.version == query(servers.postgres.url, "SHOW server_version").split()[0]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("max_connections", "100"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("listen_addresses", ""),
    ],
)
def test_database_is_set_up_for_development(running_servers: embedded.Servers, setting: str, value: str) -> None:
    assert query(running_servers.postgres.url, f"SHOW {setting}") == value


def test_database_sorts_by_code_point_and_lowers_unicode(running_servers: embedded.Servers) -> None:
    locale = "SELECT format('%%s %%s', datlocprovider, datlocale) FROM pg_database WHERE datname = current_database()"
    assert query(running_servers.postgres.url, locale) == "b C.UTF-8"
    assert query(running_servers.postgres.url, "SELECT lower('ȘTIRE')") == "știre"


def test_psql_understands_the_url(running_servers: embedded.Servers) -> None:
    command = [embedded.client_program("psql"), "-XAtc", "SELECT 1 + 1", running_servers.postgres.url]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "2\n"


def test_second_up_leaves_the_servers_as_they_are(home: Path) -> None:
    first, second = embedded.up(home), embedded.up(home)
    assert (first.postgres.pid, first.redis.pid) == (second.postgres.pid, second.redis.pid)
    assert not second.postgres.started
    assert not second.redis.started


def test_data_survives_down(home: Path) -> None:
    servers = embedded.up(home)
    query(servers.postgres.url, KEEP)
    with closing(redis_client(servers.redis.url)) as client:
        client.set("session", "kept")
    embedded.down(home)
    servers = embedded.up(home)
    assert query(servers.postgres.url, "SELECT answer FROM kept") == 42
    with closing(redis_client(servers.redis.url)) as client:
        assert client.get("session") == "kept"


def test_down_leaves_no_process_and_no_socket(home: Path) -> None:
    servers = embedded.up(home)
    stopped = embedded.down(home)
    assert (stopped.postgres, stopped.redis) == (servers.postgres.pid, servers.redis.pid)
    assert not is_alive(servers.postgres.pid)
    assert not is_alive(servers.redis.pid)
    assert not (home / "run").exists()


def test_down_says_when_nothing_ran(home: Path) -> None:
    assert str(embedded.down(home)) == f"Nothing was running in {home}."


def test_down_creates_no_home(tmp_path: Path) -> None:
    embedded.down(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_running_only_looks(home: Path) -> None:
    assert embedded.running(home) is None
    servers = embedded.up(home)
    found = embedded.running(home)
    assert found is not None
    assert found.postgres.pid == servers.postgres.pid
    embedded.down(home)
    assert embedded.running(home) is None


def test_running_creates_nothing(tmp_path: Path) -> None:
    assert embedded.running(tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()


def test_servers_outlive_the_caller_and_hold_none_of_its_pipes(home: Path) -> None:
    """`make demo | cat` ends: an extra pipe, inherited as make's are, is closed as well."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    with os.fdopen(reader, "rb") as pipe:
        with python(UP, home, pass_fds=[writer]) as caller:
            output, _ = caller.communicate(timeout=30)
        os.close(writer)
        assert pipe.read() == b""
    found = embedded.running(home)
    assert found is not None
    assert output.split() == [str(found.postgres.pid), str(found.redis.pid)]


def test_many_processes_may_start_them_at_once(new_home: Path) -> None:
    callers = [python(UP, new_home) for _ in range(4)]
    answers = [caller.communicate(timeout=60) for caller in callers]
    assert {caller.returncode for caller in callers} == {0}, answers
    assert len({output for output, _ in answers}) == 1


def test_up_and_down_at_once_leave_a_consistent_state(home: Path) -> None:
    callers = [python(code, home) for code in (UP, DOWN, UP, DOWN)]
    answers = [caller.communicate(timeout=60) for caller in callers]
    assert {caller.returncode for caller in callers} == {0}, answers
    servers = embedded.up(home)
    assert query(servers.postgres.url, "SELECT 1") == 1


@with_proc
def test_servers_get_no_secret_of_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "do-not-tell")
    monkeypatch.setenv("PGPORT", "1")
    servers = embedded.up(home)
    for server in servers:
        assert b"do-not-tell" not in Path(f"/proc/{server.pid}/environ").read_bytes()


def test_settings_can_be_given_for_one_run(home: Path) -> None:
    servers = embedded.up(home, postgres_settings={"fsync": "off", "work_mem": "5MB"})
    assert query(servers.postgres.url, "SHOW fsync") == "off"
    embedded.down(home)
    assert query(embedded.up(home).postgres.url, "SHOW fsync") == "on"


def test_default_home_is_named_by_the_environment_or_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert embedded.default_home({}) == tmp_path / ".legal_store"
    assert embedded.default_home({"LEGAL_STORE_HOME": "/elsewhere"}) == Path("/elsewhere")


def test_new_home_is_closed_to_others_and_ignored_by_git(new_home: Path) -> None:
    embedded.up(new_home)
    assert new_home.stat().st_mode & 0o777 == 0o700
    assert (new_home / ".gitignore").read_text() == "*\n"


def test_import_is_cheap() -> None:
    code = "import sys, legal_store.embedded; print(*{'subprocess', 'socket', 'json', 'tempfile'} & set(sys.modules))"
    with python(code) as process:
        assert process.communicate() == ("\n", "")
