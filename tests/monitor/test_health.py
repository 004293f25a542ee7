"""Health is answered within a second, whatever the servers do, and says what is wrong."""

from __future__ import annotations

import datetime
import json
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import peewee
import psycopg2
import pytest

from legal_store import check_database_health, check_redis_health, db, embedded
from legal_store.config import Settings
from legal_store.database import health
from legal_store.database.health import Finding, Health, HealthChecker
from tests.conftest import set_variables
from tests.database.conftest import MakeDatabase, open_database
from tests.proxy import TcpProxy


def timed(check: Any, *arguments: Any) -> Health:
    """Run a check; it may take no more than a second, even on a busy machine of ours."""
    began = time.monotonic()
    found: Health = check(*arguments)
    assert time.monotonic() - began < 1.0
    return found


def anew() -> None:
    health._checkers.clear()


def test_a_well_database(configured: None) -> None:
    found = timed(check_database_health)
    assert found.healthy and found.status == "pass" and 0 < found.latency < 1000
    assert datetime.datetime.fromisoformat(found.timestamp).tzinfo is not None and found.timestamp.endswith("Z")
    assert found.checks["query_ms"] > 0 and found.checks["pool_wait_ms"] >= 0
    assert found.checks["in_recovery"] is False and found.checks["pooler"] is False
    assert found.checks["pool"]["size"] == 10 and db.pool.stats().used == 0


def test_a_well_redis(configured: None) -> None:
    found = timed(check_redis_health)
    assert found.healthy and found.status == "pass" and found.checks["role"] == "master"


def test_a_database_that_is_down(pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str) -> None:
    proxy.refuse()
    found = timed(check_database_health, pooled(proxied_url))
    assert not found.healthy and found.status == "fail" and found.reason == "the server cannot be reached"


@pytest.mark.parametrize("connected", [False, True])
def test_a_blackholed_database(pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str, connected: bool) -> None:
    database = pooled(proxied_url, timeout=30)
    if connected:
        database.pool.warm_up(2)
    proxy.blackhole()
    for _ in range(3):
        found = timed(check_database_health, database)
        assert not found.healthy and found.status == "fail"
    proxy.heal()
    until = time.monotonic() + 10
    while not timed(check_database_health, database).healthy:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_saturated_pool_is_a_warning(pooled: MakeDatabase) -> None:
    database = pooled(size=1)
    with database:
        found = timed(check_database_health, database)
    assert found.healthy and found.status == "warn" and found.reason == "all connections of the pool are in use"
    assert found.checks["pool"]["used"] == 1


def test_a_server_out_of_connections_is_a_failure(pooled: MakeDatabase, connection: Any, database_url: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE turned_away LOGIN CONNECTION LIMIT 0")
        try:
            found = timed(check_database_health, pooled(database_url.replace("legal_store@", "turned_away@")))
        finally:
            cursor.execute("DROP ROLE turned_away")
    assert not found.healthy and found.reason == "the server has no free connection"


def test_a_saturated_pool_on_a_dead_network_is_a_failure(
    pooled: MakeDatabase, proxy: TcpProxy, proxied_url: str
) -> None:
    database = pooled(proxied_url, size=1)
    with suppress(peewee.PeeweeException), database:
        proxy.blackhole()
        found = timed(check_database_health, database)
        proxy.heal()
    assert not found.healthy


def test_a_standby_is_a_warning(tmp_path: Path) -> None:
    """A copy of a server that follows nobody and stays in recovery."""
    home = tmp_path / "standby"
    started = embedded.up(home, postgres_settings={"fsync": "off"})
    with closing(psycopg2.connect(started.postgres.url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE ROLE legal_store_service")
    embedded.down(home)
    (home / "postgres" / "standby.signal").touch()
    started = embedded.up(home, postgres_settings={"fsync": "off"})
    database = open_database(started.postgres.url)
    try:
        found = timed(check_database_health, database)
        assert found.healthy and found.status == "warn" and "in recovery" in found.reason
        assert found.checks["in_recovery"] is True
    finally:
        database.close_all()
        embedded.down(home)


def test_a_wrong_configuration_is_a_failure_not_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, REDIS_URL="http://wrong")
    assert timed(check_redis_health).reason.startswith("the settings are wrong")


def test_a_redis_that_is_down_or_blackholed(servers: embedded.Servers) -> None:
    path = servers.redis.url.removeprefix("unix://").partition("?")[0]
    with TcpProxy(path) as proxy:
        settings = Settings.from_environ({"REDIS_URL": f"redis://{proxy.host}:{proxy.port}/0"})
        assert timed(check_redis_health, settings).healthy
        for fault in (proxy.refuse, proxy.blackhole):
            anew()
            fault()
            found = timed(check_redis_health, settings)
            assert not found.healthy and found.status == "fail"
            proxy.heal()
        anew()
        assert timed(check_redis_health, settings).healthy


def test_one_probe_at_a_time_and_one_in_a_second() -> None:
    running, most, calls = [0], [0], [0]

    def probe(deadline: float) -> Finding:
        running[0] += 1
        calls[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.1)
        running[0] -= 1
        return Finding()

    checker = HealthChecker(probe, deadline=0.5, fresh=0.3)
    threads = [threading.Thread(target=checker.check) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert checker.check().healthy
    assert most[0] == 1 and calls[0] == 1
    time.sleep(0.35)
    checker.check()
    assert calls[0] == 2


def test_a_probe_that_hangs_is_not_started_twice() -> None:
    calls, release = [0], threading.Event()

    def probe(deadline: float) -> Finding:
        calls[0] += 1
        release.wait()
        return Finding()

    checker = HealthChecker(probe, deadline=0.1, fresh=0.1)
    assert not checker.check().healthy and not checker.check().healthy
    assert calls[0] == 1
    release.set()


def test_nothing_secret_is_in_an_answer(pooled: MakeDatabase, proxy: TcpProxy, database_url: str) -> None:
    name = psycopg2.extensions.parse_dsn(database_url)["dbname"]
    database = pooled(f"postgresql://someone:s3cret@{proxy.host}:{proxy.port}/{name}?sslmode=disable")
    text = json.dumps(timed(check_database_health, database).as_json())
    for secret in ("s3cret", "someone", name, proxy.host, str(proxy.port)):
        assert secret not in text
