"""The two kinds of server that isolation has to hold on: one superuser URL, and a managed host's ordinary login."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from psycopg2 import sql

from legal_store.config import Settings, Url
from legal_store.database import db
from legal_store.database.target import connection_parameters
from legal_store.migrate import deploy
from tests.conftest import MIGRATIONS, Cluster
from tests.isolation.world import World

FIRMS = 7  # two for each of three workers, and one that nobody works for
FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"


class Host:
    """A migrated database and the URL by which a customer reaches it."""

    def __init__(self, kind: str, url: Url) -> None:
        self.kind = kind
        self.settings = Settings.from_environ({"DATABASE_URL": url, "DATABASE_POOL_SIZE": "8"})

    @property
    def owner_parameters(self) -> dict[str, Any]:
        return connection_parameters(self.settings)


@pytest.fixture(scope="session")
def managed_template(cluster: Cluster, template: str) -> Iterator[tuple[str, Url]]:
    """A migrated database that belongs to an ordinary login, and the URL of that login over TCP.

    What a managed host's administrator does once is done here: the extensions, and the role of services.
    """
    login, password = f"customer_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    with cluster.database() as database:
        with closing(cluster.connect(database)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            name = sql.Identifier(login)
            for extension in ("uuid-ossp", "vector", "pg_trgm"):
                cursor.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))
            cursor.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD {}").format(name, sql.Literal(password))
            )
            cursor.execute(sql.SQL("GRANT legal_store_service TO {} WITH INHERIT FALSE, SET TRUE").format(name))
            cursor.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), name))
            cursor.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(name))
        port = cluster.tcp_parameters["port"]
        url = Url(f"postgresql://{login}:{password}@127.0.0.1:{port}/{{}}?sslmode=disable")
        deploy(Host("managed", Url(url.format(database))).owner_parameters, MIGRATIONS)
        yield database, url
    with closing(cluster.connect("postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


@pytest.fixture(params=["embedded", "managed"])
def host(request: pytest.FixtureRequest, cluster: Cluster, template: str) -> Iterator[Host]:
    """A fresh migrated database on each kind of server; `db` is pointed at it as a service would."""
    yield from _host(request, cluster, template, request.param)


@pytest.fixture
def embedded_host(request: pytest.FixtureRequest, cluster: Cluster, template: str) -> Iterator[Host]:
    yield from _host(request, cluster, template, "embedded")


def _host(request: pytest.FixtureRequest, cluster: Cluster, template: str, kind: str) -> Iterator[Host]:
    migrated, url = request.getfixturevalue("managed_template") if kind == "managed" else (template, None)
    with cluster.database(migrated) as name:
        if url:
            _hand_over(cluster, name, url.partition("//")[2].partition(":")[0])
        host = Host(kind, Url(url.format(name)) if url else cluster.url(name))
        db.configure(host.settings)
        yield host
        db.close_all()
        db.connect_params.clear()


def _hand_over(cluster: Cluster, database: str, login: str) -> None:
    with closing(cluster.connect("postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        names = map(sql.Identifier, (database, login))
        cursor.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*names))


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster, template: str) -> Iterator[dict[str, Any]]:
    """The owner's parameters of a migrated database that the tests of one module share; each rolls back."""
    with cluster.database(template) as name:
        yield Host("embedded", cluster.url(name)).owner_parameters


@pytest.fixture
def world(host: Host) -> World:
    return World(host.owner_parameters, FIRMS)


@pytest.fixture
def embedded_world(embedded_host: Host) -> World:
    return World(embedded_host.owner_parameters, FIRMS)
