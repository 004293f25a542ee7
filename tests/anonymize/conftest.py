"""A migrated database with the demo firm, and the rules that the project ships."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store.anonymize import Rules, read_rules
from legal_store.config import Settings, Url
from legal_store.database import db
from legal_store.seeding import seed
from tests.conftest import CHECKOUT, Cluster


@pytest.fixture(scope="session")
def seeded(cluster: Cluster, template: str) -> Iterator[str]:
    """The name of a database with the demo firm, for cloning."""
    name = cluster.create(template)
    db.configure(Settings.from_environ({"DATABASE_URL": cluster.url(name)}))
    with db.connection_context():
        seed(db, CHECKOUT / "seeds", name="demo")
    db.close_all()
    yield name
    cluster.drop(name)


@pytest.fixture
def demo_url(cluster: Cluster, seeded: str) -> Iterator[Url]:
    name = cluster.create(seeded)
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture
def demo(demo_url: Url) -> Iterator[Any]:
    """A plain connection to a database with the demo firm."""
    with closing(psycopg2.connect(demo_url)) as connection:
        yield connection


@pytest.fixture(scope="session")
def rules() -> Rules:
    return read_rules(CHECKOUT / "anonymize.toml")


def run(connection: Any, statement: str, *values: Any) -> list[Any]:
    """Execute and commit; return the rows, if there are any."""
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []
