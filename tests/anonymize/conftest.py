"""A migrated database with the demo firm, the rules that the project ships, an export of it and where it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

from legal_store.anonymize import Rules, new_key, read_rules
from legal_store.backup import MasterKey, export, generate_key
from legal_store.backup.stores.local import LocalStore
from legal_store.config import Settings, Url
from legal_store.database import db
from legal_store.importing import ImportPlan
from legal_store.restore import find_source
from legal_store.restore.databases import server
from legal_store.seeding import seed
from tests.backup.conftest import restorable
from tests.conftest import CHECKOUT, Cluster


@pytest.fixture(scope="session")
def seeded(cluster: Cluster, template: str) -> Iterator[str]:
    """The name of a database with the demo firm, for cloning."""
    with cluster.database(template) as name:
        db.configure(Settings.from_environ({"DATABASE_URL": cluster.url(name)}))
        with db.connection_context():
            seed(db, CHECKOUT / "seeds", name="demo")
        db.close_all()
        yield name


@pytest.fixture
def demo_url(cluster: Cluster, seeded: str) -> Iterator[Url]:
    with cluster.database(seeded) as name:
        yield cluster.url(name)


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


class Exported(NamedTuple):
    """An export of the demo firm, its key, and everything of it that is personal for sure: names and addresses."""

    store: LocalStore
    name: str
    key: MasterKey
    key_file: Path
    personal: frozenset[str]

    @property
    def data(self) -> Path:
        return self.store.folder / f"{self.name}.dump.zst.enc"

    def plan(self, parameters: dict[str, Any], rules: Rules, **different: Any) -> ImportPlan:
        """What `invoke import-anonymized` would do, with the name typed."""
        given: dict[str, Any] = {
            "source": find_source(str(self.data), self.store, self.key),
            "parameters": parameters,
            "environment": "development",
            "rules": rules,
            "key": new_key(),
            "migrations": CHECKOUT / "migrations",
            "typed": parameters["dbname"],
        }
        return ImportPlan(**{**given, **different})


PERSONAL = "SELECT name FROM clients UNION SELECT email FROM users UNION SELECT first_name FROM users"


@pytest.fixture(scope="session")
def exported(cluster: Cluster, seeded: str, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    store, key_file = LocalStore(folder / "exports"), folder / "key"
    key = generate_key(key_file)
    made = export({**cluster.parameters, "dbname": seeded}, [store], environment="production", master=key)
    with closing(cluster.connect(seeded)) as connection:
        personal = frozenset(value for (value,) in run(connection, PERSONAL))
    return Exported(store, made.manifest.name, key, key_file, personal)


@pytest.fixture
def target(cluster: Cluster, template: str) -> Iterator[dict[str, Any]]:
    """psycopg2 parameters of a development database with one firm of its own; what imports made of it goes, too."""
    with restorable(cluster, template) as parameters:
        with closing(psycopg2.connect(**parameters)) as connection:
            run(connection, "INSERT INTO firms (name, vat_id) VALUES ('Old', 'RO1')")
        yield parameters


def look(parameters: dict[str, Any], query: str, **different: Any) -> list[Any]:
    """Return the rows of a query, over a connection of its own, without a transaction to end: it may be cut by then."""
    with closing(psycopg2.connect(**{**parameters, **different})) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def firms(parameters: dict[str, Any]) -> list[str]:
    return [name for (name,) in look(parameters, "SELECT name FROM firms ORDER BY 1")]


def kinds(parameters: dict[str, Any]) -> list[str]:
    """What restores and imports of a database have on its server now."""
    with server(parameters) as opened:
        return [found.kind for found in opened.marked() if found.of == parameters["dbname"]]
