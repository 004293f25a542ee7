"""The network and the server fail in every way we can play; no thread hangs, and service resumes by itself."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import peewee
import psycopg2
import pytest

from legal_store import embedded
from legal_store.config import Url
from legal_store.database import Database
from legal_store.errors import LegalStoreError, ServerUnavailableError
from tests.conftest import Cluster
from tests.database.conftest import MakeDatabase, connections_of, eventually, open_database, through
from tests.proxy import TcpProxy

FAILURES = (peewee.PeeweeException, LegalStoreError)
FULL_SWEEP = os.environ.get("LEGAL_STORE_SWEEP") == "full"


def works(database: Database) -> bool:
    with database:
        return bool(database.execute_sql("SELECT 1").fetchone() == (1,))


def test_a_refused_connection_fails_at_once_and_service_resumes(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str
) -> None:
    database = pooled(proxied_url)
    proxy.refuse()
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(ServerUnavailableError, match="cannot be reached"):
            database.connect()
    assert time.monotonic() - began < 2
    assert database.pool.stats().connect_failures < 20, "most attempts are answered from memory"
    proxy.heal()

    def resumed() -> bool:
        with suppress(ServerUnavailableError):
            return works(database)
        return False

    eventually(resumed)


def test_a_failed_attempt_keeps_no_socket_open(pooled: MakeDatabase, proxy: TcpProxy, database_url: Url) -> None:
    """The server would wait for it, by default for a minute, also when it is told to stop."""
    database = pooled(through(proxy, database_url, sslmode="require"))  # which this server does not offer
    with pytest.raises(ServerUnavailableError, match="TLS"):
        database.connect()
    assert proxy.accepted == 1
    eventually(lambda: proxy.open_links == 0, within=2)


def test_a_connection_cut_at_any_byte_of_its_opening_is_one_clear_error(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str
) -> None:
    outcomes = []
    for count in range(0, 1200, 20):  # from the greeting to beyond the first answers
        database = pooled(proxied_url, size=1)
        proxy.cut_after(count)
        try:
            database.connect()
        except ServerUnavailableError:
            outcomes.append(False)
        else:
            outcomes.append(True)
            database.close()
        proxy.heal()
        database.close_all()
    assert not outcomes[0] and outcomes[-1]


def test_a_blackholed_connection_attempt_delays_nobody_else(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str
) -> None:
    database = pooled(proxied_url, size=3, timeout=10)
    assert works(database)
    proxy.blackhole_next()
    give_back, delays = threading.Event(), []

    def borrow() -> None:
        began = time.monotonic()
        with database:
            delays.append(time.monotonic() - began)
            give_back.wait(0.05)

    threads = [threading.Thread(target=borrow) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(delays) == 9 and max(delays) < 2


def test_a_blackholed_server_costs_the_timeout_and_no_more(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str
) -> None:
    database = pooled(proxied_url, timeout=0.4)
    proxy.blackhole()
    began = time.monotonic()
    with pytest.raises(ServerUnavailableError, match=r"no answer after 0\.4 s"):
        database.connect()
    assert 0.4 <= time.monotonic() - began < 1.5
    proxy.heal()
    assert works(database)


def test_a_cut_in_the_middle_of_a_query_is_an_error_once(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str
) -> None:
    database = pooled(proxied_url)
    assert works(database)
    threading.Timer(0.2, proxy.drop).start()
    with pytest.raises((peewee.OperationalError, peewee.InterfaceError)), database:
        database.execute_sql("SELECT pg_sleep(5)")
    assert database.is_closed() and works(database)


def test_an_answer_cut_short_is_an_error_once(pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str) -> None:
    database = pooled(proxied_url)
    assert works(database)
    with pytest.raises(peewee.PeeweeException), database:
        proxy.cut_after(500)
        database.execute_sql("SELECT repeat('x', 100000)").fetchall()
    assert works(database)


def test_a_blackhole_in_the_middle_of_a_query_frees_the_thread(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str
) -> None:
    """The server cannot tell us that it cancelled the statement; the pool cuts a second after statement_timeout."""
    database = pooled(proxied_url, statement_timeout=0.5)
    assert works(database)
    threading.Timer(0.1, proxy.blackhole).start()
    began = time.monotonic()
    with pytest.raises((peewee.OperationalError, peewee.InterfaceError)), database:
        time.sleep(0.2)
        database.execute_sql("SELECT 1")
    assert 1.5 <= time.monotonic() - began < 3
    assert database.pool.stats().cut == 1
    proxy.heal()
    assert works(database)


def test_many_short_statements_are_not_mistaken_for_a_long_one(pooled: MakeDatabase) -> None:
    database = pooled(statement_timeout=0.1)
    with database:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            database.execute_sql("SELECT pg_sleep(0.05)")
    assert database.pool.stats().cut == 0


def test_a_longer_statement_timeout_of_the_borrower_is_respected(pooled: MakeDatabase) -> None:
    database = pooled(statement_timeout=0.1)
    with database:
        database.execute_sql("SET LOCAL statement_timeout = '10s'")
        database.execute_sql("SELECT pg_sleep(2)")
    assert database.pool.stats().cut == 0


@pytest.mark.parametrize("idle_for", [0.0, 0.7], ids=["just used", "idle for longer"])
def test_half_open_connections_are_replaced(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str, idle_for: float
) -> None:
    database = pooled(proxied_url, size=3, trusted_for=0.5, ping_timeout=0.3, statement_timeout=0.5)
    database.pool.warm_up()
    proxy.half_open()
    time.sleep(idle_for)
    began = time.monotonic()
    with suppress(*FAILURES):  # one that was used just now is trusted: the statement finds out
        works(database)
    assert works(database)
    assert time.monotonic() - began < 5


def test_sessions_that_the_server_ended_are_not_lent(pooled: MakeDatabase, connection: Any) -> None:
    database = pooled(size=4, trusted_for=1e6)
    database.pool.warm_up()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
            "WHERE application_name = 'legal_store' AND datname = current_database()"
        )
        assert cursor.fetchone() == (4,)
    for _ in range(4):
        assert works(database)


def test_a_connection_that_dies_at_begin_is_replaced(pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str) -> None:
    database = pooled(proxied_url, trusted_for=1e6)
    database.pool.warm_up(2)
    proxy.cut_after(0)
    assert works(database)


def test_out_of_connections_the_pool_gets_by_with_what_it_has(
    pooled: MakeDatabase, connection: Any, cluster: Cluster, database_url: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 2")
        cursor.execute("GRANT legal_store_service TO narrow")
    try:
        database = pooled(database_url.replace("legal_store@", "narrow@"), size=6, timeout=20)
        done = []

        def work() -> None:
            for _ in range(10):
                with database:
                    time.sleep(0.002)
            done.append(1)

        assert works(database)
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(done) == 6
        assert database.pool.stats().connect_failures > 0
        database.close_all()
        eventually(lambda: connections_of(connection, "legal_store") == 0)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP ROLE narrow")


@pytest.fixture
def two_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """The homes of two more PostgreSQL servers, each with the service's role and nothing else."""
    homes = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for home in homes:
        started = embedded.up(home, postgres_settings={"fsync": "off"})
        connection = psycopg2.connect(started.postgres.url)
        connection.autocommit = True
        connection.cursor().execute("CREATE ROLE legal_store_service")
        connection.close()
    yield homes
    for home in homes:
        embedded.down(home)


def socket_of(home: Path) -> str:
    running = embedded.running(home)
    assert running is not None
    return f"{psycopg2.extensions.parse_dsn(running.postgres.url)['host']}/.s.PGSQL.5432"


def test_service_resumes_after_a_restart_and_after_a_failover(two_servers: list[Path]) -> None:
    first, second = two_servers
    running = embedded.running(first)
    assert running is not None
    with TcpProxy(socket_of(first)) as proxy:
        database = open_database(through(proxy, running.postgres.url), size=3, timeout=2)
        ended, errors, successes = threading.Event(), [], []

        def serve() -> None:
            while not ended.is_set():
                try:
                    works(database)
                    successes.append(time.monotonic())
                except FAILURES as error:
                    errors.append(error)
                    time.sleep(0.01)

        threads = [threading.Thread(target=serve) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(successes) > 20)
        embedded.down(first)
        eventually(lambda: errors)
        embedded.up(first, postgres_settings={"fsync": "off"})
        restarted = time.monotonic()
        eventually(lambda: successes[-1] > restarted, within=15)
        proxy.upstream = socket_of(second)
        proxy.drop()
        moved = time.monotonic()
        eventually(lambda: sum(at > moved for at in successes) > 20, within=15)
        ended.set()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert database.pool.stats().used == 0
        database.close_all()


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_cycles_under_faults_end_with_the_connections_that_the_pool_says(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str, connection: Any
) -> None:
    """Eight threads borrow and return while the network fails at random; afterwards the server agrees with the pool."""
    cycles = 10_000 if FULL_SWEEP else 1_000
    database = pooled(proxied_url, size=5, timeout=1, statement_timeout=0.5, ping_timeout=0.3, trusted_for=0.01)
    remaining = iter(range(cycles))
    lock, longest, failed = threading.Lock(), [0.0], [0]

    def work() -> None:
        while True:
            with lock:
                if next(remaining, None) is None:
                    return
            began = time.monotonic()
            try:
                with database:
                    database.execute_sql("SELECT pg_sleep(0.002)")
            except FAILURES:
                failed[0] += 1
            longest[0] = max(longest[0], time.monotonic() - began)

    def misbehave(dice: random.Random) -> None:
        faults = [proxy.drop, proxy.blackhole, proxy.refuse, proxy.half_open, proxy.blackhole_next,
                  lambda: proxy.cut_after(dice.randrange(200)), lambda: setattr(proxy, "delay", 0.02)]  # fmt: skip
        while not finished.wait(dice.uniform(0.02, 0.3)):
            dice.choice(faults)()
            finished.wait(dice.uniform(0, 0.15))
            proxy.heal()

    finished = threading.Event()
    trouble = threading.Thread(target=misbehave, args=(random.Random(cycles),))
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in [*threads, trouble]:
        thread.start()
    for thread in threads:
        thread.join(800)
        assert not thread.is_alive()
    finished.set()
    trouble.join()
    proxy.heal()
    # a checkout, a statement and a return each have a limit; their sum is the longest that a thread may be away
    assert longest[0] < 1 + 2 * (0.5 + 1 + 0.3) + 2
    eventually(lambda: database.pool.stats().connecting == 0)
    stats = database.pool.stats()
    assert stats.used == 0 and stats.waiting == 0 and stats.idle <= 5
    eventually(lambda: connections_of(connection, "proxied") == database.pool.stats().idle, within=30)
    assert 0 < failed[0] < cycles
    database.pool.warm_up()
    assert connections_of(connection, "proxied") == 5
    database.close_all()
    eventually(lambda: connections_of(connection, "proxied") == 0)
