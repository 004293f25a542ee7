"""Redis away: sessions fail closed, within their deadline, and say what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from legal_store.errors import ServerUnavailableError, SessionGoneError
from legal_store.sessions import SessionManager
from tests.keyvalue.fixtures import one_server as key_value_server
from tests.keyvalue.servers import RunningServer
from tests.proxy import TcpProxy

__all__ = ["key_value_server"]

DEADLINE = 2.5
SECRET = "a secret of at least thirty-two characters"
CALLS: dict[str, Callable[[SessionManager, str], Any]] = {
    "get": lambda sessions, found: sessions.get(found),
    "create": lambda sessions, found: sessions.create({"userId": 1}),
    "update": lambda sessions, found: sessions.update(found, {"a": 1}),
    "revoke": lambda sessions, found: sessions.delete_user_sessions(2),
    "cleanup": lambda sessions, found: sessions.cleanup(),
}


@pytest.fixture
def proxy(key_value_server: RunningServer, redis_url: str) -> Iterator[TcpProxy]:
    with TcpProxy(("127.0.0.1", key_value_server.port)) as opened:
        yield opened


def test_every_call_raises_within_its_deadline_when_redis_is_a_black_hole(proxy: TcpProxy) -> None:
    managers = {name: SessionManager(f"redis://127.0.0.1:{proxy.port}", secret=SECRET) for name in CALLS}
    ids = {name: sessions.create({"userId": 1}).id for name, sessions in managers.items()}
    proxy.blackhole()

    def seconds(name: str) -> float:
        """How long a call takes; of three attempts the fastest, for a busy machine only adds to it."""
        taken = [_time_to_fail(lambda: CALLS[name](managers[name], ids[name]))]
        while taken[-1] > DEADLINE and len(taken) < 3:
            taken.append(_time_to_fail(lambda: CALLS[name](managers[name], ids[name])))
        return min(taken)

    with ThreadPoolExecutor(len(CALLS) + 1) as threads:
        health = threads.submit(managers["get"].health)
        taken = dict(zip(CALLS, threads.map(seconds, CALLS), strict=True))
    assert max(taken.values()) <= DEADLINE, taken
    assert health.result().status == "fail"
    proxy.heal()
    assert managers["get"].get(ids["get"]) == {"userId": 1}
    for sessions in managers.values():
        sessions.close()


def test_threads_that_find_a_dead_redis_first_wait_for_it_together(proxy: TcpProxy) -> None:
    sessions = SessionManager(f"redis://127.0.0.1:{proxy.port}", secret=SECRET)
    proxy.blackhole()
    with ThreadPoolExecutor(10) as threads:
        calls = [threads.submit(_time_to_fail, lambda: sessions.get("chosen")) for _ in range(10)]
        assert all(call.result() > 0 for call in calls)
    assert proxy.accepted <= 4  # two attempts for all of them, or twice that; not two for each
    sessions.close()


def _time_to_fail(call: Callable[[], Any]) -> float:
    began = time.monotonic()
    with pytest.raises(ServerUnavailableError, match="Redis at redis://"):
        call()
    return time.monotonic() - began


def test_a_connection_that_was_cut_is_replaced_without_anybody_noticing(proxy: TcpProxy) -> None:
    sessions = SessionManager(f"redis://127.0.0.1:{proxy.port}", secret=SECRET)
    created = sessions.create({"userId": 1})
    for turn in range(5):
        proxy.drop()
        assert sessions.update(created.id, {"turn": turn})["turn"] == turn
    sessions.close()


def test_an_update_whose_answer_was_lost_is_made_once(proxy: TcpProxy) -> None:
    sessions = SessionManager(f"redis://127.0.0.1:{proxy.port}", secret=SECRET)
    created = sessions.create({"userId": 1, "count": 0})
    for turn in range(1, 6):
        read = sessions.get(created.id)
        assert read is not None
        read["count"] += 1
        proxy.cut_after(1)  # the server has written; its answer does not arrive
        sessions.save(read)
        found = sessions.get(created.id)
        assert found is not None
        assert (found["count"], found.version) == (turn, turn + 1)
    sessions.close()


def test_a_revocation_is_in_force_after_an_outage(proxy: TcpProxy) -> None:
    sessions = SessionManager(f"redis://127.0.0.1:{proxy.port}", secret=SECRET)
    created = sessions.create({"userId": 1})
    sessions.delete_user_sessions(1)
    proxy.drop()
    assert sessions.get(created.id) is None
    with pytest.raises(SessionGoneError):
        sessions.update(created.id, {})
    sessions.close()
