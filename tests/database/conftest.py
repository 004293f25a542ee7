"""Databases with a pool of their own, directly or through the proxy that misbehaves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg2
import pytest

from legal_store.config import Settings, Url
from legal_store.database import Database
from legal_store.database.options import PoolOptions
from legal_store.database.target import service_parameters
from tests.conftest import Cluster
from tests.proxy import TcpProxy

MakeDatabase = Callable[..., Database]


def open_database(url: str, **options: Any) -> Database:
    """Return a database with its own pool; `options` are PoolOptions."""
    parameters = service_parameters(Settings.from_environ({"DATABASE_URL": url}))
    limits: dict[str, Any] = {"timeout": 5.0, "statement_timeout": 0.0, "leak_warning": 0.0, **options}
    if limits["statement_timeout"]:
        parameters["options"] += f" -c statement_timeout={int(limits['statement_timeout'] * 1000)}"
    database = Database()
    database.init(parameters.pop("dbname"), pool=PoolOptions(**limits), **parameters)
    return database


@pytest.fixture
def pooled(database_url: Url) -> Iterator[MakeDatabase]:
    """Makes databases with their own pool on the migrated database of this test, and closes them."""
    made: list[Database] = []

    def make(url: str = database_url, **options: Any) -> Database:
        made.append(open_database(url, **options))
        return made[-1]

    yield make
    for database in made:
        database.close_all()


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[TcpProxy]:
    """A proxy in front of the test server."""
    parameters = cluster.parameters
    with TcpProxy(f"{parameters['host']}/.s.PGSQL.{parameters.get('port', 5432)}") as opened:
        yield opened


@pytest.fixture
def proxied_url(proxy: TcpProxy, database_url: Url) -> str:
    """The URL of this test's database through the proxy; connections name themselves `proxied`."""
    return through(proxy, database_url)


def through(proxy: TcpProxy, url: str, **more: str) -> str:
    """Return `url` as it is reached through `proxy`."""
    parameters = psycopg2.extensions.parse_dsn(url)
    query = urlencode({"sslmode": "disable", "application_name": "proxied", **more})
    return f"postgresql://{parameters['user']}@{proxy.host}:{proxy.port}/{parameters['dbname']}?{query}"


def connections_of(connection: Any, application_name: str) -> int:
    """Return how many sessions of `application_name` the server of `connection` counts in its database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            (application_name,),
        )
        return int(cursor.fetchone()[0])


def eventually(condition: Callable[[], object], within: float = 10.0) -> None:
    """Wait until `condition()` holds; fails when it does not `within` seconds."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"did not become true within {within:g} s"
        time.sleep(0.02)


@contextmanager
def running(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server with its output in `log`; it ends with the block, by force if need be."""
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, **options) as server:
        try:
            yield server
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
