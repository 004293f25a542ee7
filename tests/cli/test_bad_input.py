"""What goes wrong at 3 a.m.: one paragraph with the remedy, the right exit code, no traceback, no password."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from legal_store.config import Url
from legal_store.embedded.server import free_port
from tests.cli.conftest import Invoke
from tests.conftest import CHECKOUT, Cluster

SECRET = "s3cr3t-Zq"


def assert_explained(finished: Any, code: int, *fragments: str) -> None:
    assert finished.returncode == code, finished.stderr
    for fragment in fragments:
        assert fragment in finished.stderr
    assert "Traceback" not in finished.stderr
    assert SECRET not in finished.stdout + finished.stderr
    assert len(finished.stderr.strip().splitlines()) <= 4


def test_an_unreachable_server(invoke: Invoke) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/db?sslmode=disable"
    finished = invoke("migrate.deploy", DATABASE_URL=url)
    assert_explained(finished, 3, "the server cannot be reached", "127.0.0.1", "invoke up")


def test_an_unknown_host(invoke: Invoke) -> None:
    finished = invoke("migrate.deploy", DATABASE_URL=f"postgresql://u:{SECRET}@no-such-host.invalid/db")
    assert_explained(finished, 3, "the host name is unknown", "VPN")


def test_a_wrong_password(invoke: Invoke, cluster: Cluster) -> None:
    port = cluster.tcp_parameters["port"]
    url = f"postgresql://legal_store:{SECRET}@127.0.0.1:{port}/postgres?sslmode=disable"
    assert_explained(invoke("migrate.deploy", DATABASE_URL=url), 3, "the password or the user name was not accepted")


def test_a_missing_database(invoke: Invoke, cluster: Cluster) -> None:
    finished = invoke("migrate.deploy", DATABASE_URL=cluster.tcp_url("nowhere"))
    assert_explained(finished, 3, 'database "nowhere"', "there is no such database", "Create it")
    assert cluster.tcp_parameters["password"] not in finished.stderr


def test_a_server_without_tls(invoke: Invoke, cluster: Cluster) -> None:
    url = cluster.tcp_url("postgres").replace("sslmode=disable", "sslmode=require")
    finished = invoke("migrate.deploy", DATABASE_URL=url)
    assert_explained(finished, 3, "the server offers no TLS", "DATABASE_SSL_MODE=disable")


@pytest.fixture
def login_without_rights(cluster: Cluster) -> Iterator[Url]:
    role, port = f"guest_{uuid.uuid4().hex[:8]}", cluster.tcp_parameters["port"]
    with cluster.database() as name:
        with closing(cluster.connect(name)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
        yield Url(f"postgresql://{role}:{SECRET}@127.0.0.1:{port}/{name}?sslmode=disable")
    with closing(cluster.connect("postgres")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"DROP ROLE {role}")


def test_a_login_that_may_not_create(invoke: Invoke, login_without_rights: Url) -> None:
    finished = invoke("migrate.deploy", DATABASE_URL=login_without_rights)
    assert_explained(finished, 3, "permission denied", "has the right")


def test_a_malformed_url(invoke: Invoke) -> None:
    finished = invoke("migrate.status", DATABASE_URL=f"postgresql://u:{SECRET}@h:12x/db")
    assert_explained(finished, 2, "DATABASE_URL=postgresql://u:***@h:12x/db", "must be a URL")


def test_a_url_without_a_database(invoke: Invoke) -> None:
    finished = invoke("migrate.status", DATABASE_URL=f"postgresql://u:{SECRET}@h")
    assert_explained(finished, 2, "DATABASE_URL=postgresql://u:***@h", "names a database", "user@host/database")


def test_a_pool_that_keeps_more_than_it_may_hold(invoke: Invoke) -> None:
    finished = invoke("migrate.status", DATABASE_POOL_MIN_SIZE=15)
    assert_explained(finished, 2, "DATABASE_POOL_MIN_SIZE=15", "DATABASE_POOL_SIZE, which is 10")


def test_no_database_at_all(invoke: Invoke, tmp_path: Path) -> None:
    finished = invoke("migrate.status", LEGAL_STORE_HOME=tmp_path / "home")
    assert_explained(finished, 2, "DATABASE_URL is not set", "invoke up")


def test_no_database_in_production(invoke: Invoke) -> None:
    finished = invoke("migrate", LEGAL_STORE_ENV="production")
    assert_explained(finished, 2, "DATABASE_URL is not set: in production")


def test_a_port_that_is_taken(invoke: Invoke, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        finished = invoke("up", f"--port={port}", LEGAL_STORE_HOME=tmp_path / "home")
    assert_explained(finished, 3, str(port))


def test_services_before_the_first_migration_are_told_what_to_do(
    invoke: Invoke, cluster: Cluster, empty_database: Url
) -> None:
    finished = invoke("seed", DATABASE_URL=empty_database, REDIS_URL="redis://127.0.0.1:1")
    assert_explained(finished, 3, "invoke migrate")


def test_an_unknown_seed_set(invoke: Invoke, database_url: Url) -> None:
    finished = invoke("seed", "--name=nothing", DATABASE_URL=database_url, REDIS_URL="redis://127.0.0.1:1")
    assert_explained(finished, 2, "nothing", "demo")


def test_debug_shows_the_traceback_as_well(invoke: Invoke) -> None:
    finished = invoke("--debug", "migrate.status", DATABASE_URL=f"postgresql://u:{SECRET}@127.0.0.1:1/db")
    assert finished.returncode == 3
    assert "Traceback" in finished.stderr
    assert SECRET not in finished.stderr


def test_settings_come_from_an_env_file_of_the_folder(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "from legal_store.cli.discovery import build_collection\nnamespace = build_collection()\n"
    )
    (tmp_path / ".env").write_text("DATABASE_POOL_SIZE=many\n")
    assert_explained(invoke("migrate.status", folder=tmp_path), 2, "DATABASE_POOL_SIZE='many'")


def test_an_env_file_that_is_not_utf8(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        "from legal_store.cli.discovery import build_collection\nnamespace = build_collection()\n"
    )
    (tmp_path / ".env").write_bytes("LEGAL_STORE_ENV=tést\n".encode("latin-1"))
    assert_explained(invoke("migrate.status", folder=tmp_path), 2, ".env is not UTF-8")


def test_a_folder_of_the_checkout_works_in_the_checkout(invoke: Invoke) -> None:
    finished = invoke("migrate.status", folder=CHECKOUT / "docs")
    assert f"(in {CHECKOUT})" in finished.stderr
    assert not (CHECKOUT / "docs" / ".legal_store").exists()


def test_the_library_reads_no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from legal_store.config import Settings

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("DATABASE_POOL_SIZE=3\n")
    assert Settings.from_environ().pool_size == 10


@pytest.mark.parametrize(
    ("flags", "fragment"),
    [
        ("db.slow --limit many", "--limit many is no whole number"),
        ("migrate.deploy --lock-wait many", "--lock-wait many is no whole number"),
        ("db.slow --limit 0", "--limit 0 shows nothing"),
        ("db.pool-plan --surge half", "--surge half is no number"),
        ("serve-health --port 70000", "Cannot listen on 127.0.0.1:70000"),
    ],
)
def test_a_flag_that_is_no_number_or_no_such_number(invoke: Invoke, flags: str, fragment: str) -> None:
    finished = invoke(*flags.split())
    assert_explained(finished, 3 if "port" in flags else 2, fragment)
