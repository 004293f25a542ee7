"""Redis Cluster: six nodes of redis-server 7, three primaries and three replicas."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from legal_store.cache import CacheManager
from legal_store.embedded.server import free_port
from legal_store.errors import SessionGoneError
from legal_store.keyvalue import Limits
from legal_store.sessions import SessionManager
from tests.keyvalue.servers import RunningServer, documented_rights, program, running

NODES, PRIMARIES, SLOTS = 6, 3, 16384
SECRET = "a secret of at least thirty-two characters"
FIRMS = [uuid.UUID(int=n) for n in range(12)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningServer]]:
    with started_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@contextmanager
def started_cluster(folder: Path, *, node_timeout_ms: int = 5000) -> Iterator[list[RunningServer]]:
    path = program("redis-7")
    if path is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    with ExitStack() as stack:
        nodes = [stack.enter_context(_node(path, folder / str(number), node_timeout_ms)) for number in range(NODES)]
        _join([redis.Redis(port=node.port, decode_responses=True) for node in nodes])
        yield nodes


def _node(path: Path, folder: Path, node_timeout_ms: int) -> Any:
    port = free_port()
    while port > 55_000:  # the bus takes port + 10,000
        port = free_port()
    options = (
        "--cluster-enabled",
        "yes",
        "--cluster-config-file",
        "nodes.conf",
        "--cluster-node-timeout",
        str(node_timeout_ms),
    )
    options += ("--repl-diskless-sync-delay", "0")
    return running(path, folder, *options, "--cluster-port", str(free_port()), port=port)


def _join(clients: list[Any]) -> None:
    """Make one cluster of the nodes: what `redis-cli --cluster create` does."""
    first = clients[0]
    ids = [client.execute_command("CLUSTER MYID") for client in clients]
    for client in clients[1:]:
        node = client.connection_pool.connection_kwargs["port"]
        bus = client.config_get("cluster-port")["cluster-port"]
        first.execute_command("CLUSTER MEET", "127.0.0.1", node, bus)
    _until(
        lambda: all(client.execute_command("CLUSTER INFO")["cluster_known_nodes"] == str(NODES) for client in clients)
    )
    share = SLOTS // PRIMARIES
    for number in range(PRIMARIES):
        last = SLOTS - 1 if number == PRIMARIES - 1 else (number + 1) * share - 1
        clients[number].execute_command("CLUSTER ADDSLOTSRANGE", number * share, last)
    for number in range(PRIMARIES, NODES):
        _until(lambda number=number: ids[number - PRIMARIES] in str(clients[number].execute_command("CLUSTER NODES")))
        clients[number].execute_command("CLUSTER REPLICATE", ids[number - PRIMARIES])
    _until(lambda: all(client.info("replication")["master_link_status"] == "up" for client in clients[PRIMARIES:]))
    _until(lambda: all(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok" for client in clients))
    for client in clients:
        client.close()


def _until(condition: Any, patience: float = 30) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def url(cluster: list[RunningServer]) -> str:
    with redis.RedisCluster.from_url(cluster[0].url) as client:
        client.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
    return cluster[0].url


def test_the_cache_works_on_a_cluster_with_one_slot_for_each_firm(url: str, cluster: list[RunningServer]) -> None:
    cache = CacheManager(url, ttl=300)
    for firm in FIRMS:
        assert cache.set_many({"case:1": str(firm), "billing:case:1": 2, "document:1": 3}, firm=firm)
        assert cache.get_or_load("task:1", lambda: "loaded", firm=firm) == "loaded"
    assert cache.connection.is_cluster
    sizes = []
    for node in cluster[:PRIMARIES]:
        with redis.Redis(port=node.port) as client:
            sizes.append(client.dbsize())
    assert all(sizes), "the firms lie on all primaries"
    cache.invalidate("case:*", firm=FIRMS[0])
    assert cache.invalidate("doc*:?", firm=FIRMS[1]).removed == 1
    assert cache.delete("task:1", firm=FIRMS[2])
    keys = ["case:1", "billing:case:1", "document:1", "task:1"]
    assert set(cache.get_many(keys, firm=FIRMS[0])) == {"document:1", "task:1"}
    assert set(cache.get_many(keys, firm=FIRMS[1])) == {"case:1", "billing:case:1", "task:1"}
    assert set(cache.get_many(keys, firm=FIRMS[2])) == {"case:1", "billing:case:1", "document:1"}
    for firm in FIRMS[3:]:
        assert len(cache.get_many(keys, firm=firm)) == 4
    found = cache.stats()
    assert found.total_keys == sum(sizes) - 5
    assert cache.health().status == "pass"
    assert cache.clear().removed >= 4 * len(FIRMS[3:])
    assert cache.get("case:1", firm=FIRMS[5]) is None
    cache.close()


def test_sessions_work_on_a_cluster(url: str) -> None:
    sessions = SessionManager(url, secret=SECRET)
    made = [sessions.create({"userId": user, "firmId": f"f{user % 3}"}) for user in range(12) for _ in range(2)]
    sessions.set("chosen", {"userId": 1, "firmId": "f1"})
    assert sessions.connection.is_cluster
    assert all(sessions.get(session.id) == dict(session) for session in made)
    assert sessions.update(made[0].id, {"n": 1})["n"] == 1
    rotated = sessions.rotate(made[0].id, grace=0)
    assert sessions.refresh(rotated.id)
    assert len(sessions.list_user_sessions(0)) == 2
    assert len(sessions.list_firm_sessions("f1")) == 9
    assert len(list(sessions.list_all_sessions())) == 25
    assert sessions.delete_user_sessions(0) == 2
    assert not sessions.exists(rotated.id)
    with pytest.raises(SessionGoneError):
        sessions.update(rotated.id, {})
    assert sessions.delete_firm_sessions("f1") == 9
    assert not sessions.exists("chosen")
    assert [sessions.exists(s.id) for s in made if s["firmId"] == "f2"] == [True] * 8
    assert sessions.cleanup() == 2 + 9
    assert len(list(sessions.list_all_sessions())) == 25 - 2 - 9
    sessions.delete_all_sessions()
    assert list(sessions.list_all_sessions()) == []
    sessions.close()


def test_the_recommended_rights_suffice_on_a_cluster(url: str, cluster: list[RunningServer]) -> None:
    for node in cluster:
        with redis.Redis(port=node.port) as client:
            client.execute_command("ACL", "SETUSER", "service", "on", ">pass-word", *documented_rights(cluster=True))
    url = url.replace("://", "://service:pass-word@")
    cache, sessions = CacheManager(url, ttl=300), SessionManager(url, secret=SECRET)
    for firm in FIRMS:
        assert cache.set_many({"case:1": 1, "case:2": 2}, firm=firm)
        assert cache.get_or_load("case:3", lambda: 3, firm=firm) == 3
        assert cache.invalidate("case:*", firm=firm).complete
        assert cache.invalidate("case:?", firm=firm).complete
        assert cache.get_many(["case:1", "case:2", "case:3"], firm=firm) == {}
    created = sessions.create({"userId": 1, "firmId": "f"})
    assert cache.connection.is_cluster
    assert sessions.connection.is_cluster
    assert sessions.update(created.id, {"role": "Partner"}).id != created.id
    assert len(sessions.list_firm_sessions("f")) == 1
    assert sessions.delete_firm_sessions("f") == 1
    assert sessions.cleanup() >= 1
    assert cache.stats().total_keys > 0
    assert cache.health().status == sessions.health().status == "pass"
    cache.clear()
    cache.close()
    sessions.close()


@pytest.mark.timeout(120)
def test_a_primary_that_dies_is_replaced_and_the_rest_goes_on(tmp_path: Path) -> None:
    with started_cluster(tmp_path, node_timeout_ms=1000) as nodes:
        _lose_a_primary(nodes)


def _lose_a_primary(cluster: list[RunningServer]) -> None:
    cache = CacheManager(cluster[0].url, ttl=300, limits=Limits(connect=0.1, answer=0.1))
    for firm in FIRMS:
        cache.set("case:1", str(firm), firm=firm)
    cluster[1].process.kill()
    cluster[1].process.wait()

    def all_answer() -> bool:
        return all(cache.set("case:2", 1, firm=firm) for firm in FIRMS)

    for firm in FIRMS:  # whatever it says, it says it without an error
        assert cache.get("case:1", firm=firm) in (None, str(firm))
        assert cache.get_or_load("case:3", lambda: "loaded", firm=firm) == "loaded"
    _until(all_answer, 60)
    cache.close()
