"""A database with everything that is hard to carry over, a store, a key, and a way to look at databases."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from legal_store.backup import MasterKey, generate_key
from legal_store.backup.clients import child_environment, clients
from legal_store.backup.manifest import Contents
from legal_store.backup.snapshot import snapshot
from legal_store.backup.stores.local import LocalStore
from legal_store.restore.databases import server
from tests.conftest import Cluster

HARD_CASES = (Path(__file__).parent / "hard_cases.sql").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def hard_template(cluster: Cluster, template: str) -> Iterator[str]:
    """The name of a database with the schema of legal_store and all hard cases."""
    with cluster.database(template) as name:
        with closing(cluster.connect(name)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(HARD_CASES)
        yield name


@contextmanager
def restorable(cluster: Cluster, template: str) -> Iterator[dict[str, Any]]:
    """Yield psycopg2 parameters of a copy of `template`; at the end it goes, and what restores made of it."""
    with cluster.database(template) as name:
        parameters: dict[str, Any] = parse_dsn(cluster.url(name))
        yield parameters
        with server(parameters) as opened:
            for left in opened.marked():
                if left.of == name:
                    opened.drop(left.name)


@pytest.fixture
def live(cluster: Cluster, hard_template: str) -> Iterator[dict[str, Any]]:
    """psycopg2 parameters of a database of its own, with all hard cases."""
    with restorable(cluster, hard_template) as parameters:
        yield parameters


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "backups")


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> MasterKey:
    return generate_key(tmp_path_factory.mktemp("keys") / "key")


def contents(parameters: dict[str, Any], **different: Any) -> Contents:
    """What is in a database now."""
    with snapshot({**parameters, **different}) as seen:
        return seen.contents()


def schema(parameters: dict[str, Any]) -> str:
    """The whole definition of a database: tables, grants, policies, triggers, comments."""
    program = clients("pg_dump")[0].path
    done = subprocess.run(
        [program, "--schema-only", "--restrict-key=same"],
        env=child_environment(parameters),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def execute(parameters: dict[str, Any], statement: str) -> list[Any]:
    with closing(psycopg2.connect(**parameters)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
