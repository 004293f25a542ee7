"""Redis away: sessions fail closed, within their deadline, and say what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from legal_store.errors import ServerUnavailableError, SessionGoneError
from legal_store.sessions import SessionManager
from tests.keyvalue.servers import RunningServer
from tests.proxy import TcpProxy

DEADLINE = 2.5
SECRET = "a secret of at least thirty-two characters"
CALLS: dict[str, Callable[[SessionManager, str], Any]] = {
    "get": lambda sessions, found: sessions.get(found),
    "create": lambda sessions, found: sessions.create({"userId": 1}),
    "update": lambda sessions, found: sessions.update(found, {"a": 1}),
    "revoke": lambda sessions, found: sessions.delete_user_sessions(1),
    "cleanup": lambda sessions, found: sessions.cleanup(),
}


@pytest.fixture
def proxy(key_value_server: RunningServer, redis_url: str) -> Iterator[TcpProxy]:
    with TcpProxy(("127.0.0.1", key_value_server.port)) as opened:
        yield opened


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_raises_within_its_deadline_when_redis_is_a_black_hole(
    proxy: TcpProxy, call: Callable[[SessionManager, str], Any]
) -> None:
    sessions = SessionManager(f"redis://127.0.0.1:{proxy.port}", secret=SECRET)
    created = sessions.create({"userId": 1})
    proxy.blackhole()
    began = time.monotonic()
    with pytest.raises(ServerUnavailableError, match="Redis at redis://"):
        call(sessions, created.id)
    assert time.monotonic() - began <= DEADLINE
    assert sessions.health().status == "fail"
    proxy.heal()
    assert sessions.health().status in ("pass", "fail")
    sessions.close()


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
