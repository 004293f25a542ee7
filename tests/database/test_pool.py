"""The pool as its users meet it: what it lends, to whom, for how long, and what it says when it cannot."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import peewee
import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legal_store import Case
from legal_store.config import Settings
from legal_store.database import Database
from legal_store.database.options import Backoff, PoolOptions
from legal_store.errors import NotConnectedError, OperationFailedError, PoolClosedError, PoolExhaustedError
from tests.database.conftest import MakeDatabase, connections_of, eventually


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def process_id(database: Database) -> int:
    return int(database.execute_sql("SELECT pg_backend_pid()").fetchone()[0])


def hold(database: Database) -> tuple[threading.Event, threading.Thread]:
    """Borrow a connection in another thread, until the returned event is set."""
    borrowed, give_back = threading.Event(), threading.Event()

    def work() -> None:
        with suppress(peewee.PeeweeException), database:  # it may be cut meanwhile
            borrowed.set()
            give_back.wait()

    thread = in_thread(work)
    assert borrowed.wait(5)
    return give_back, thread


def test_a_returned_connection_is_lent_again(pooled: MakeDatabase) -> None:
    database = pooled()
    with database:
        first = process_id(database)
    with database:
        assert process_id(database) == first
    assert database.pool.stats().idle == 1


def test_opens_no_more_than_its_size(pooled: MakeDatabase) -> None:
    database = pooled(size=3)
    seen: set[int] = set()
    most = []

    def work() -> None:
        for _ in range(20):
            with database:
                seen.add(process_id(database))
                most.append(database.pool.stats().used)

    threads = [in_thread(work) for _ in range(12)]
    for thread in threads:
        thread.join()
    assert len(seen) <= 3 and max(most) <= 3
    assert database.pool.stats().used == 0


def test_who_waits_longest_is_served_first(pooled: MakeDatabase) -> None:
    database = pooled(size=1)
    give_back, _ = hold(database)
    order: list[int] = []

    def work(number: int) -> None:
        with database:
            order.append(number)

    threads = []
    for number in range(8):
        threads.append(in_thread(lambda number=number: work(number)))
        eventually(lambda number=number: database.pool.waiting == number + 1)
    give_back.set()
    for thread in threads:
        thread.join()
    assert order == list(range(8))


def test_exhaustion_says_who_holds_what_and_what_to_change(pooled: MakeDatabase) -> None:
    database = pooled(size=1, timeout=0.2)
    give_back, thread = hold(database)
    began = time.monotonic()
    with pytest.raises(PoolExhaustedError) as caught, database:
        pass
    assert 0.2 <= time.monotonic() - began < 1
    message = str(caught.value)
    assert "after 0.2 s: 1 of the pool's 1 connections are in use and 0 other threads wait" in message
    assert thread.name in message and "test_pool.py" in message and "in work" in message
    assert "DATABASE_POOL_SIZE" in message
    assert database.pool.stats().timeouts == 1 and database.pool.waiting == 0
    give_back.set()
    thread.join()
    with database:
        assert process_id(database)


def test_turns_away_more_waiters_than_allowed(pooled: MakeDatabase) -> None:
    database = pooled(size=1, max_waiting=1)
    give_back, _ = hold(database)
    waiting = in_thread(lambda: database.connect() and database.close())
    eventually(lambda: database.pool.waiting == 1)
    began = time.monotonic()
    with pytest.raises(PoolExhaustedError, match="1 threads wait already"):
        database.connect()
    assert time.monotonic() - began < 1
    give_back.set()
    waiting.join()


def test_closes_what_is_idle_down_to_its_minimum(pooled: MakeDatabase, connection: Any) -> None:
    database = pooled(size=4, min_size=1, idle_timeout=0.3)
    assert database.pool.warm_up() == 4
    assert connections_of(connection, "legal_store") == 4
    eventually(lambda: connections_of(connection, "legal_store") == 1)
    time.sleep(0.6)
    assert database.pool.stats().idle == 1


def test_replaces_what_is_too_old(pooled: MakeDatabase) -> None:
    database = pooled(max_lifetime=0.05)
    with database:
        first = process_id(database)
        time.sleep(0.06)
    with database:
        assert process_id(database) != first


@given(st.floats(0.1, 1e5), st.floats(0, 1e9))
def test_lifetimes_are_jittered_downwards(lifetime: float, now: float) -> None:
    expiry = PoolOptions(max_lifetime=lifetime).expiry(now)
    assert now + lifetime * 0.9 <= expiry * (1 + 1e-9) and expiry <= (now + lifetime) * (1 + 1e-9)


@given(st.integers(1, 40))
def test_backoff_grows_to_its_limit_and_ends_with_success(failures: int) -> None:
    backoff = Backoff(first=0.1, longest=5.0)
    for _ in range(failures):
        backoff.failed(OSError(), now=100.0)
    pause = min(5.0, 0.1 * 2 ** (failures - 1))
    assert pause * 0.8 <= backoff.until - 100.0 <= pause * 1.2 + 1e-9
    backoff.succeeded()
    assert not backoff.forbids(0.0)


def test_warm_up_opens_as_many_as_asked_for(pooled: MakeDatabase, connection: Any) -> None:
    database = pooled(size=4)
    assert database.pool.warm_up(3) == 3
    assert connections_of(connection, "legal_store") == 3
    assert database.pool.warm_up(99) == 4


def test_takes_back_what_a_dead_thread_held(pooled: MakeDatabase, caplog: pytest.LogCaptureFixture) -> None:
    database = pooled(size=1)

    def forget_to_close() -> None:
        database.connect()

    with caplog.at_level(logging.WARNING, "legal_store.pool"):
        in_thread(forget_to_close).join()
        with database:
            assert process_id(database)
    assert database.pool.stats().reclaimed == 1
    assert "ended without returning" in caplog.text and "in forget_to_close" in caplog.text


def test_warns_once_of_a_connection_held_for_long(pooled: MakeDatabase, caplog: pytest.LogCaptureFixture) -> None:
    database = pooled(leak_warning=0.1)
    with caplog.at_level(logging.WARNING, "legal_store.pool"), database:
        time.sleep(1.0)
    assert caplog.text.count("Is it ever returned?") == 1
    assert "test_warns_once_of_a_connection_held_for_long" in caplog.text


def test_close_all_interrupts_a_running_statement_and_the_database_works_again(pooled: MakeDatabase) -> None:
    database = pooled()
    errors: list[BaseException] = []
    running = threading.Event()

    def work() -> None:
        try:
            with database:
                running.set()
                database.execute_sql("SELECT pg_sleep(30)")
        except peewee.OperationalError as error:
            errors.append(error)

    thread = in_thread(work)
    running.wait()
    time.sleep(0.1)
    began = time.monotonic()
    database.close_all()
    thread.join(5)
    assert not thread.is_alive() and time.monotonic() - began < 2 and len(errors) == 1
    with database:
        assert process_id(database)
    assert database.pool.stats().used == 0


def test_drain_waits_for_borrowers_and_lends_no_more(pooled: MakeDatabase, connection: Any) -> None:
    database = pooled()
    give_back, thread = hold(database)
    threading.Timer(0.3, give_back.set).start()
    assert database.drain(timeout=5) == 0
    with pytest.raises(PoolClosedError):
        database.connect()
    thread.join()
    eventually(lambda: connections_of(connection, "legal_store") == 0)


def test_drain_cuts_who_does_not_come_back(pooled: MakeDatabase) -> None:
    database = pooled()
    give_back, thread = hold(database)
    began = time.monotonic()
    assert database.drain(timeout=0.2) == 1
    assert time.monotonic() - began < 1
    give_back.set()
    thread.join()


def test_use_outside_of_a_block_says_what_to_write(database_url: str) -> None:
    from legal_store import all_firms, db

    db.configure(Settings.from_environ({"DATABASE_URL": database_url}))
    with all_firms(reason="test"), pytest.raises(NotConnectedError, match="with db:"):
        Case.select().count()
    assert db.pool.stats().used == 0


@pytest.mark.parametrize("block", [lambda database: database, lambda database: database.connection_context()])
def test_a_block_that_another_thread_leaves_is_an_error_there(pooled: MakeDatabase, block: Any) -> None:
    database = pooled()

    def rows() -> Iterator[Any]:
        with block(database):
            yield database.execute_sql("SELECT 1").fetchone()

    generator = rows()
    thread = in_thread(lambda: next(generator))
    thread.join()
    with pytest.raises(NotConnectedError, match="Close a generator in the thread that began it"):
        generator.close()
    eventually(lambda: database.pool.stats().used == 0)


def test_keeps_the_interface_of_peewees_pool(pooled: MakeDatabase) -> None:
    database = pooled()
    assert isinstance(database, peewee.PostgresqlDatabase)
    assert database.close() is False and database.is_closed()
    assert database.connect() is True and database.connect(reuse_if_open=True) is False
    with pytest.raises(peewee.OperationalError, match="already opened"):
        database.connect()
    with database.atomic(), database.atomic():
        assert database.transaction_depth() == 1
        with pytest.raises(peewee.OperationalError, match="transaction is open"):
            database.close()
    first = process_id(database)
    assert database.close() is True
    with database.connection_context():
        assert process_id(database) == first
    database.connect()
    database.manual_close()
    database.connect()
    assert process_id(database) != first and database.server_version >= 160000
    assert database.close_stale(age=0) == 1
    database.close()
    database.close_idle()
    assert database.pool.stats()[1:4] == (0, 0, 0)


def test_takes_the_options_of_peewees_pool(database_url: str) -> None:
    parameters = psycopg2.extensions.parse_dsn(database_url)
    database = Database()
    database.init(parameters.pop("dbname"), max_connections=2, timeout=3, stale_timeout=60, **parameters)
    with database:
        assert process_id(database)
    options = database.pool.options
    assert (options.size, options.timeout, options.max_lifetime) == (2, 3.0, 60.0)
    database.close_all()


def test_a_failing_begin_leaves_nothing_borrowed(pooled: MakeDatabase) -> None:
    database = pooled()
    with database:
        pass
    with pytest.raises(RuntimeError), database:
        raise RuntimeError
    assert database.is_closed() and database.pool.stats().used == 0


@pytest.mark.parametrize("kept", ["cursor", "connection"])
def test_what_is_kept_beyond_its_block_reaches_nobody_elses_transaction(pooled: MakeDatabase, kept: str) -> None:
    database = pooled(size=1)
    with database:
        connection = database.connection()
        cursor = connection.cursor()

    def use() -> None:
        (cursor if kept == "cursor" else connection.cursor()).execute("ROLLBACK")

    with pytest.raises(NotConnectedError, match="was given back to the pool"):
        use()
    with ThreadPoolExecutor(1) as other, database:
        database.execute_sql("CREATE TEMP TABLE mine (id int)")
        with pytest.raises(NotConnectedError, match="belongs to another thread"):
            other.submit(use).result()
        assert database.execute_sql("SELECT count(*) FROM mine").fetchone() == (0,)


def test_a_caught_error_cannot_lose_a_transaction_silently(pooled: MakeDatabase) -> None:
    database = pooled(size=1)
    with database.connection_context():
        with pytest.raises(OperationFailedError, match="an error in it was caught"), database:
            database.execute_sql("CREATE TEMP TABLE lost ()")
            with suppress(peewee.DataError):
                database.execute_sql("SELECT 1 / 0")
        with database:
            database.execute_sql("CREATE TEMP TABLE kept ()")
            with suppress(peewee.DataError), database.atomic():
                database.execute_sql("SELECT 1 / 0")
        found = database.execute_sql("SELECT to_regclass('pg_temp.lost')::text, to_regclass('pg_temp.kept')::text")
        assert found.fetchone() == (None, "kept")


def test_many_threads_and_few_connections_come_to_an_end(pooled: MakeDatabase) -> None:
    database = pooled(size=2, timeout=30)
    done: list[int] = []

    def work() -> None:
        for _ in range(50):
            with database:
                pass
        done.append(1)

    threads = [in_thread(work) for _ in range(16)]
    for thread in threads:
        thread.join(60)
    assert len(done) == 16
    stats = database.pool.stats()
    assert stats.used == 0 and stats.waiting == 0 and stats.idle <= 2


@pytest.mark.parametrize("disturbance", ["nothing", "close_idle", "close_all", "cut_held_since"])
def test_threads_that_switch_at_every_step_never_share_or_lose_a_connection(
    pooled: MakeDatabase, connection: Any, disturbance: str
) -> None:
    size = 4
    database = pooled(size=size, timeout=30)
    pool, held, broken, lent = database.pool, set(), [], []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            lent.append(1)
            connection = pool.acquire()
            if connection in held:
                broken.append("lent to two threads")
            held.add(connection)
            if pool.total > size:
                broken.append(f"{pool.total} connections")
            held.discard(connection)
            pool.release(connection)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [in_thread(work) for _ in range(12)]
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            time.sleep(0.01)
            if disturbance == "cut_held_since":
                pool.cut_held_since(0)
            elif disturbance != "nothing":
                getattr(pool, disturbance)()
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a thread waits for ever"
    finally:
        sys.setswitchinterval(interval)
    assert not broken
    eventually(lambda: pool.stats().connecting == 0)
    assert pool.in_use == set() and pool.connections == set(pool.idle) and pool.waiting == 0
    eventually(lambda: connections_of(connection, "legal_store") == len(pool.idle))
    if disturbance in ("nothing", "close_idle"):
        assert pool.counters.use_time.count == pool.counters.wait_time.count == len(lent)


def test_new_connections_are_prepared_once(pooled: MakeDatabase) -> None:
    database = pooled()
    prepared: list[Any] = []
    database.at_connect(prepared.append)
    for _ in range(3):
        with database:
            pass
    assert len(prepared) == 1


def test_statement_timeout_holds(pooled: MakeDatabase) -> None:
    database = pooled(statement_timeout=0.2)
    with pytest.raises(peewee.OperationalError, match="statement timeout"), database:
        database.execute_sql("SELECT pg_sleep(5)")
    assert database.pool.stats().cut == 0
