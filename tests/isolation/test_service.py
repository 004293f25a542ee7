"""Services as the documents show them: the README's ten lines, and a login of their own."""

from __future__ import annotations

import re
import uuid
from contextlib import closing
from datetime import date
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

import legal_store
from legal_store import Case, Document, db
from legal_store.config import Settings, Url
from legal_store.seeding import seed
from tests.conftest import CHECKOUT, Cluster
from tests.isolation.conftest import Host
from tests.isolation.world import World


def readme_service() -> str:
    section = (CHECKOUT / "README.md").read_text(encoding="utf-8").partition("## A service in ten lines")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    return found.group(1)


def test_the_service_in_the_readme_runs(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    with db.connection_context():
        seed(db, CHECKOUT / "seeds", today=date(2025, 1, 1))
    exec(compile(readme_service(), "README.md", "exec"), {})
    assert "CASE-2024-001" in capsys.readouterr().out
    with db, legal_store.all_firms(reason="test"):
        assert Document.select().where(Document.title == "Cerere de chemare în judecată").count() >= 1


@pytest.fixture
def own_login(cluster: Cluster, embedded_host: Host, embedded_world: World) -> Any:
    """`db` connected by a login that is a member of the service role and nothing else."""
    login, password = f"app_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    database = embedded_host.owner_parameters["dbname"]
    name = sql.Identifier(login)
    with closing(cluster.connect("postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password)))
        cursor.execute(sql.SQL("GRANT legal_store_service TO {} WITH INHERIT FALSE, SET TRUE").format(name))
    port = cluster.tcp_parameters["port"]
    url = Url(f"postgresql://{login}:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    db.configure(Settings.from_environ({"DATABASE_URL": url}))
    yield embedded_world
    db.close_all()
    with closing(cluster.connect("postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql.SQL("DROP ROLE {}").format(name))


def test_a_login_of_its_own_works_for_one_firm_and_never_for_all(own_login: World) -> None:
    firm = own_login.firms[0]
    with db.connection_context():
        with legal_store.firm(firm.id):
            assert {case.firm_id for case in Case.select()} == {firm.id}
        for scope in (legal_store.all_firms(reason="test"), legal_store.firm(firm.id)):
            with scope, pytest.raises(Exception, match="permission denied"):
                db.execute_sql("SET LOCAL ROLE none; SELECT * FROM cases")


def test_the_driver_of_another_program_gets_nothing_without_a_firm(own_login: World) -> None:
    parameters = {**db.connect_params, "dbname": db.database, "connection_factory": None, "cursor_factory": None}
    refused = pytest.raises(psycopg2.errors.InsufficientPrivilege, match="no firm is named")
    with closing(psycopg2.connect(**parameters)) as connection, connection.cursor() as cursor, refused:
        cursor.execute("SELECT * FROM cases")
