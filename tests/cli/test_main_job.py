"""Migrate and seed through the tasks, on the embedded server and on an ordinary one over TCP with a password."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store import embedded
from tests.cli.conftest import Invoke
from tests.conftest import Cluster

COUNTS = {"firms": 1, "users": 5, "cases": 10, "documents": 20, "tasks": 30}


@pytest.fixture(params=["embedded socket", "tcp with password"])
def variables(request: pytest.FixtureRequest, cluster: Cluster, servers: embedded.Servers) -> Any:
    with cluster.database() as name:
        url = cluster.url(name) if request.param == "embedded socket" else cluster.tcp_url(name)
        yield {"DATABASE_URL": url, "REDIS_URL": servers.redis.url}


def rows(url: str, statement: str) -> list[Any]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_migrate_then_seed_twice_gives_the_demo_firm_once(invoke: Invoke, variables: dict[str, Any]) -> None:
    for arguments in (("migrate",), ("seed", "--json"), ("seed", "--json")):
        finished = invoke(*arguments, **variables)
        assert finished.returncode == 0, finished.stderr
    again = json.loads(finished.stdout)
    assert all(table["created"] == 0 and table["put_back"] == 0 for table in again["tables"])
    for table, count in COUNTS.items():
        assert rows(variables["DATABASE_URL"], f"SELECT count(*) FROM {table}") == [(count,)]
    distribution = rows(variables["DATABASE_URL"], "SELECT status, count(*) FROM cases GROUP BY 1 ORDER BY 1")
    assert distribution == [("Active", 4), ("Archived", 2), ("Closed", 2), ("OnHold", 2)]


def test_status_answers_no_while_something_is_pending(invoke: Invoke, variables: dict[str, Any]) -> None:
    before = invoke("migrate.status", "--json", **variables)
    assert before.returncode == 1
    assert "pending" in before.stderr
    assert len(json.loads(before.stdout)["pending"]) >= 7
    assert invoke("migrate.deploy", **variables).returncode == 0
    assert invoke("migrate.status", **variables).returncode == 0
