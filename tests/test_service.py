"""What a service meets that only imports legal_store: which server it finds, with which TLS, and what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from legal_store import embedded
from legal_store.config import Settings
from legal_store.database.target import connection_parameters, describe_target, service_parameters
from tests.conftest import Cluster

ASK = """
from legal_store import db
with db:
    print(db.execute_sql('SELECT current_database(), current_user').fetchone())
"""


def ask(folder: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        [sys.executable, "-c", ASK], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def parameters(url: str, **variables: str) -> dict[str, Any]:
    return connection_parameters(Settings.from_environ({"DATABASE_URL": url, **variables}))


def test_without_a_url_it_finds_the_embedded_server_and_takes_the_role_of_services(
    servers: embedded.Servers, template: str, tmp_path: Path
) -> None:
    home = servers.postgres.log.parent
    finished = ask(tmp_path, LEGAL_STORE_HOME=home)
    assert finished.stdout.strip() == "('legal_store', 'legal_store_service')", finished.stderr


def test_without_a_server_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    finished = ask(tmp_path)
    assert finished.returncode == 1
    assert (
        "ConfigurationError: DATABASE_URL is not set, and no embedded PostgreSQL runs in .legal_store"
        in finished.stderr
    )
    assert "Run `invoke up`, or set DATABASE_URL." in finished.stderr


def test_tls_is_required_over_tcp_by_default() -> None:
    assert parameters("postgresql://u:p@db.example.com/x")["sslmode"] == "require"
    assert parameters("postgresql://u:p@db.example.com/x", DATABASE_SSL_MODE="verify-full")["sslmode"] == "verify-full"


def test_an_sslmode_in_the_url_wins() -> None:
    assert parameters("postgresql://u:p@h/x?sslmode=disable", DATABASE_SSL_MODE="require")["sslmode"] == "disable"


@pytest.mark.parametrize("url", ["postgresql:///x", "postgresql://u@/x?host=/run/pg", "postgresql://%2Frun%2Fpg/x"])
def test_a_unix_socket_needs_no_tls(url: str) -> None:
    assert "sslmode" not in parameters(url)


def test_the_statement_timeout_and_a_name_reach_the_server(cluster: Cluster, template: str) -> None:
    import psycopg2

    settings = Settings.from_environ({"DATABASE_URL": cluster.url(template), "DATABASE_STATEMENT_TIMEOUT": "1234"})
    connection = psycopg2.connect(**service_parameters(settings))
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('application_name')")
        assert cursor.fetchone() == ("1234ms", "legal_store")
    connection.close()


def test_a_target_is_described_without_its_password() -> None:
    described = describe_target(parameters("postgresql://u:s3cr3t@h:6432/x"))
    assert described == 'database "x" at h:6432 as user "u"'


def test_importing_a_model_opens_nothing_and_imports_no_operation() -> None:
    code = (
        "import sys; from legal_store import Case;"
        "unwanted = {'redis', 'invoke', 'rich', 'mimesis', 'peewee_migrate', 'dotenv', 'legal_store.config'};"
        "print(sorted(unwanted & set(sys.modules)), sorted(m for m in sys.modules if m.startswith('legal_store.ops')))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[] []"
