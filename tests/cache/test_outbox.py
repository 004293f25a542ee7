"""The outbox: every write leaves an event, whoever made it, and none is lost while Redis is away."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from legal_store.cache import CacheManager
from legal_store.cache.outbox import Drained, drain, follow
from legal_store.database import changes
from legal_store.embedded.server import free_port
from legal_store.errors import ServerUnavailableError
from legal_store.models import Case
from tests.cache.test_events import CASE, DOCUMENTS, EVERYTHING, World, filled, gone
from tests.keyvalue.fixtures import one_server as key_value_server
from tests.keyvalue.servers import RunningServer
from tests.proxy import TcpProxy

__all__ = ["key_value_server"]


@pytest.fixture
def world(database: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """A firm; nothing is told directly, as if another service wrote."""
    monkeypatch.setattr(changes, "SUBSCRIBERS", [])
    return World()


@pytest.fixture
def cache(redis_url: str, world: World) -> Iterator[CacheManager]:
    manager = CacheManager(redis_url, ttl=300)
    drain(manager)
    yield manager
    manager.close()


def outbox(database: Any) -> list[tuple[str, dict[str, Any]]]:
    return list(database.execute_sql("SELECT event, keys FROM cache_outbox ORDER BY created_at, id").fetchall())


WRITES = [
    ("UPDATE cases SET title = 'x' WHERE id = %(case)s", CASE),
    ("DELETE FROM cases WHERE id = %(case)s", CASE | DOCUMENTS),
    (
        "INSERT INTO documents (firm_id, case_id, title, document_type) VALUES (%(firm)s, %(case)s, 'x', 'Brief')",
        CASE | DOCUMENTS,
    ),
    ("UPDATE users SET role = 'Partner' WHERE id = %(user)s", {"user:{user}:profile", "user:{user}:rights"}),
    ("UPDATE users SET last_active = now()", set()),
    ("UPDATE firms SET name = 'x' WHERE id = %(firm)s", EVERYTHING),
]


@pytest.mark.parametrize(("statement", "expected"), WRITES, ids=[statement[:25] for statement, _ in WRITES])
def test_a_write_by_any_other_client_reaches_the_cache(
    cache: CacheManager, connection: Any, world: World, statement: str, expected: set[str]
) -> None:
    keys = filled(cache, world)
    with connection.cursor() as cursor:
        cursor.execute(statement, {"case": str(world.case.id), "firm": str(world.firm.id), "user": str(world.user.id)})
    assert gone(cache, world, keys) == set()
    drain(cache)
    assert gone(cache, world, keys) == expected


def test_a_statement_over_many_rows_leaves_one_event(cache: CacheManager, database: Any, world: World) -> None:
    for _ in range(101):
        world.new_case()
    assert outbox(database) == []
    Case.update(title="x").execute()
    assert outbox(database) == [("case.updated", {})]
    keys = filled(cache, world)
    assert drain(cache) == Drained(1, 1)
    assert gone(cache, world, keys) == CASE | {"case:other"}


def test_a_document_that_moves_makes_both_cases_old(cache: CacheManager, database: Any, world: World) -> None:
    other = world.new_case()
    world.document.case = other
    world.document.save()
    assert {keys["case_id"] for _, keys in outbox(database)} == {str(other.id), str(world.case.id)}


def test_a_rolled_back_write_leaves_nothing(database: Any, world: World, cache: CacheManager) -> None:
    with database.atomic() as transaction:
        world.new_document()
        transaction.rollback()
    assert outbox(database) == []


def test_a_service_cannot_read_or_change_the_outbox(world: World, connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE legal_store_service")
        cursor.execute("SELECT set_config('legal_store.firm_id', %s, false)", [str(world.firm.id)])
        cursor.execute("UPDATE cases SET title = 'by a service'")
        for statement in ("SELECT * FROM cache_outbox", "DELETE FROM cache_outbox"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


def test_events_of_an_outage_stay_and_are_told_afterwards(
    key_value_server: RunningServer, redis_url: str, world: World, database: Any
) -> None:
    with TcpProxy(("127.0.0.1", key_value_server.port)) as proxy:
        cache = CacheManager(f"redis://127.0.0.1:{proxy.port}", ttl=300)
        drain(cache)
        keys = filled(cache, world)
        proxy.refuse()
        proxy.drop()
        for n in range(20):
            world.case.title = f"x{n}"
            world.case.save()
        for _ in range(3):
            with pytest.raises(ServerUnavailableError):
                drain(cache)
        assert len(outbox(database)) == 20
        proxy.heal()
        cache._store.breaker.stop()
        assert drain(cache) == Drained(20, 1)
        assert outbox(database) == []
        assert gone(cache, world, keys) == CASE
        cache.close()


def test_workers_side_by_side_tell_every_event(
    cache: CacheManager, database: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(60):
        world.case.title = f"x{n}"
        world.case.save()
    drained: list[Drained] = []

    def work() -> None:
        with database.connection_context():
            drained.append(drain(cache, batch=7))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found.events for found in drained) == 60
    assert outbox(database) == []


def test_a_worker_follows_until_it_is_stopped(cache: CacheManager, database: Any, world: World) -> None:
    keys = filled(cache, world)
    stop = threading.Event()
    seen: list[Drained] = []

    def told(drained: Drained) -> None:
        seen.append(drained)
        stop.set()

    def work() -> None:
        with database.connection_context():
            follow(cache, stop, poll_seconds=0.02, told=told)

    worker = threading.Thread(target=work)
    worker.start()
    world.new_document()
    worker.join(20)
    stop.set()
    assert seen == [Drained(1, 1)]
    assert gone(cache, world, keys) == CASE | DOCUMENTS


def test_a_worker_survives_an_outage(world: World, database: Any) -> None:
    cache = CacheManager(f"redis://127.0.0.1:{free_port()}", ttl=300)
    stop = threading.Event()
    failures: list[Exception] = []

    def failed(error: Exception) -> None:
        failures.append(error)
        if len(failures) == 3:
            stop.set()

    def work() -> None:
        with database.connection_context():
            follow(cache, stop, poll_seconds=0.01, failed=failed)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(20)
    stop.set()
    assert all(isinstance(error, ServerUnavailableError) for error in failures)
    assert len(outbox(database)) == 1  # the document that World made
    assert uuid.UUID(str(world.firm.id))
    cache.close()
