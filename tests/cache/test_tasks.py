"""The tasks of cache and sessions, as people run them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from invoke import Program

from legal_store.cache import CacheManager
from legal_store.cli.discovery import build_collection
from legal_store.embedded.server import free_port
from legal_store.models import Skill  # noqa: F401  (models are loaded before the database is pointed elsewhere)
from legal_store.sessions import SessionManager
from tests.cache.test_events import World
from tests.cli.conftest import Invoke, invoke
from tests.conftest import CHECKOUT, set_variables
from tests.keyvalue.fixtures import one_server as key_value_server

__all__ = ["invoke", "key_value_server"]
FIRM = uuid.uuid4()


@pytest.fixture
def variables(redis_url: str) -> dict[str, str]:
    return {"REDIS_URL": redis_url, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}


@pytest.fixture
def sessions(redis_url: str) -> Iterator[SessionManager]:
    manager = SessionManager(redis_url)
    yield manager
    manager.close()


@pytest.fixture
def cache(redis_url: str) -> Iterator[CacheManager]:
    manager = CacheManager(redis_url, ttl=300)
    yield manager
    manager.close()


def done(finished: subprocess.CompletedProcess[str]) -> Any:
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_sessions_are_listed_revoked_and_cleaned(
    invoke: Invoke, variables: dict[str, str], sessions: SessionManager
) -> None:
    for user in (1, 1, 2):
        sessions.create({"userId": user, "firmId": "f"}, device="Firefox")
    listed = done(invoke("session.list", "--json", **variables))
    assert [row["device"] for row in listed] == ["Firefox"] * 3
    assert len(done(invoke("session.list", "--user", "1", "--json", **variables))) == 2
    ref = done(invoke("session.list", "--user", "2", "--json", **variables))[0]["ref"]
    assert done(invoke("session.revoke", "--user", "2", "--ref", ref, "--json", **variables)) == {"ended": 1}
    again = invoke("session.revoke", "--user", "2", "--ref", ref, **variables)
    assert (again.returncode, "`session.list --user 2`" in again.stderr) == (1, True)
    assert done(invoke("session.revoke", "--user", "1", "--json", **variables)) == {"ended": 2}
    assert done(invoke("session.cleanup", "--json", **variables)) == {"removed": 2}
    sessions.create({"userId": 3, "firmId": "f"})
    assert done(invoke("session.revoke", "--firm", "f", "--json", **variables)) == {"ended": 1}
    table = invoke("session.list", **variables)
    assert "ends at the latest" in table.stdout


def test_ending_everybodys_sessions_needs_a_yes(
    invoke: Invoke, variables: dict[str, str], sessions: SessionManager
) -> None:
    created = sessions.create({"userId": 1})
    refused = invoke("session.revoke", "--all", **variables)
    assert refused.returncode == 2
    assert sessions.exists(created.id)
    assert done(invoke("session.revoke", "--all", "--yes", "--json", **variables)) == {"ended": 1}
    assert not sessions.exists(created.id)


@pytest.mark.parametrize(
    "arguments",
    [
        ("session.revoke",),
        ("session.revoke", "--user", "1", "--firm", "2"),
        ("session.revoke", "--all", "--ref", "x", "--yes"),
        ("session.list", "--user", "1", "--firm", "2"),
        ("session.list", "--limit", "0"),
        ("cache.invalidate", "case:*"),
        ("cache.invalidate", "--all"),  # Invoke takes it for the pattern
        ("cache.invalidate", "case:*", "--firm", "not-a-uuid"),
        ("cache.clear",),
    ],
    ids=" ".join,
)
def test_wrong_use_changes_nothing_and_says_what_to_do(
    redis_url: str,
    raw: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    raw.set("cache:{shared}:x", 1)
    set_variables(monkeypatch, REDIS_URL=redis_url)
    program = Program(namespace=build_collection(CHECKOUT))  # in this process: nine more would take seconds
    with pytest.raises(SystemExit) as ended:
        program.run(["legal-store", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip()
    assert raw.exists("cache:{shared}:x")


def test_the_cache_is_shown_invalidated_and_cleared(
    invoke: Invoke, variables: dict[str, str], cache: CacheManager
) -> None:
    cache.set_many({"case:1": 1, "case:2": 2, "document:1": 3}, firm=FIRM)
    cache.set("skill:1", 1, shared=True)
    assert done(invoke("cache.stats", "--json", **variables))["cache_keys"] == 4
    assert "memory used" in invoke("cache.stats", **variables).stdout
    found = done(invoke("cache.invalidate", "case:*", "--firm", str(FIRM), "--json", **variables))
    assert (found["by"], found["complete"]) == ("generation", True)
    assert set(cache.get_many(["case:1", "case:2", "document:1"], firm=FIRM)) == {"document:1"}
    assert done(invoke("cache.invalidate", "sk*", "--shared", "--json", **variables))["removed"] == 1
    assert done(invoke("cache.clear", "--yes", "--json", **variables))["removed"] == 3
    assert cache.get("document:1", firm=FIRM) is None


def test_a_redis_that_is_away_is_one_paragraph_and_exit_code_3(invoke: Invoke, variables: dict[str, str]) -> None:
    variables["REDIS_URL"] = f"redis://:the-password@127.0.0.1:{free_port()}"
    for arguments in (("cache.stats",), ("session.list",), ("cache.invalidate", "*", "--shared")):
        finished = invoke(*arguments, **variables)
        assert finished.returncode == 3, finished.stderr
        assert "`invoke up`" in finished.stderr
        assert "the-password" not in finished.stderr + finished.stdout
        assert "Traceback" not in finished.stderr


def test_the_outbox_is_drained_once_or_until_it_is_stopped(
    invoke: Invoke, database: Any, database_url: str, redis_url: str, cache: CacheManager, monkeypatch: Any
) -> None:
    monkeypatch.setattr("legal_store.database.changes.SUBSCRIBERS", [])
    world = World()
    variables = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    assert done(invoke("cache.drain", "--json", **variables)) == {"events": 1, "firms": 1}
    assert done(invoke("cache.drain", "--json", **variables)) == {"events": 0, "firms": 0}
    cache.set("case:1", 1, firm=world.firm)
    import os

    command = [sys.executable, "-m", "invoke", "cache.drain", "--follow", "--json"]
    worker = subprocess.Popen(
        command, cwd=CHECKOUT, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert "following" in (worker.stderr.readline() if worker.stderr else "")
        world.firm.name = "changed"
        world.firm.save()
        assert json.loads(worker.stdout.readline() if worker.stdout else "") == {"events": 1, "firms": 1}
        deadline = time.monotonic() + 30
        while cache.exists("case:1", firm=world.firm) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not cache.exists("case:1", firm=world.firm)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    finally:
        worker.kill()
        worker.communicate()
