"""Real servers for all tests: started once in a temporary folder, one cloned database for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2 import sql

from legal_store import embedded
from legal_store.config import Settings, Url, settings
from legal_store.database import all_firms, db
from legal_store.embedded.server import free_port
from legal_store.migrate import deploy

CHECKOUT = Path(__file__).parent.parent
MIGRATIONS = CHECKOUT / "migrations"


def pytest_configure() -> None:
    """Keep temporary folders inside the checkout, so that a run leaves nothing behind elsewhere."""
    root = CHECKOUT / ".legal_store" / "tests"
    root.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(root))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith(("DATABASE_", "REDIS_", "LEGAL_STORE_", "PG")):
            monkeypatch.delenv(name)
    settings.cache_clear()
    yield
    settings.cache_clear()


def set_variables(monkeypatch: pytest.MonkeyPatch, **variables: object) -> None:
    """Set environment variables and let settings be read anew: a thread of another test may have read them by now."""
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    settings.cache_clear()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Servers]:
    """The embedded PostgreSQL and Redis, in a temporary folder, without waiting for the disk."""
    home = tmp_path_factory.mktemp("servers")
    yield embedded.up(home, port=free_port(), postgres_settings={"fsync": "off", "full_page_writes": "off"})
    embedded.down(home)


class Cluster:
    """Makes and drops databases on one server."""

    def __init__(self, server: embedded.Server) -> None:
        self.parameters = psycopg2.extensions.parse_dsn(server.url)
        self.tcp_parameters = psycopg2.extensions.parse_dsn(server.tcp_url())

    def url(self, database: str) -> Url:
        user, host, port = (self.parameters[name] for name in ("user", "host", "port"))
        return Url(f"postgresql://{user}@/{database}?host={quote(host, safe='')}&port={port}")

    def tcp_url(self, database: str) -> Url:
        """The same server as an ordinary one: over TCP, with a password, without TLS."""
        tcp = self.tcp_parameters
        password = quote(tcp["password"], safe="")
        return Url(f"postgresql://{tcp['user']}:{password}@127.0.0.1:{tcp['port']}/{database}?sslmode=disable")

    def connect(self, database: str) -> Any:
        return psycopg2.connect(**{**self.parameters, "dbname": database})

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Yield the name of a copy of `template`, which is dropped at the end."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield name
        finally:
            self.drop(name)

    def drop(self, database: str) -> None:
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def _run(self, statement: sql.Composable) -> None:
        with closing(self.connect("postgres")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)


@pytest.fixture(scope="session")
def cluster(servers: embedded.Servers) -> Cluster:
    return Cluster(servers.postgres)


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> Iterator[str]:
    """The name of a database with the whole schema and no rows, for cloning."""
    with cluster.database() as name:
        deploy({**cluster.parameters, "dbname": name}, MIGRATIONS)
        yield name


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[Url]:
    """The URL of a database with nothing in it."""
    with cluster.database() as name:
        yield cluster.url(name)


@pytest.fixture
def database_url(cluster: Cluster, template: str) -> Iterator[Url]:
    """The URL of a migrated database without rows."""
    with cluster.database(template) as name:
        yield cluster.url(name)


@pytest.fixture
def database(database_url: Url) -> Iterator[Any]:
    """`legal_store.db`, pointed at a migrated database without rows, with a connection and sight of all firms."""
    db.configure(Settings.from_environ({"DATABASE_URL": database_url}))
    with db.connection_context(), all_firms(reason="test"):
        yield db
    db.close_all()


@pytest.fixture
def connection(database_url: Url) -> Iterator[Any]:
    """A plain psycopg2 connection to a migrated database without rows: what any other client sees."""
    with closing(psycopg2.connect(database_url)) as opened:
        opened.autocommit = True
        yield opened
