"""Through PgBouncer in transaction mode, and over TLS: with Debian's programs, skipped where they are missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import peewee
import psycopg2
import pytest

from legal_store import check_database_health, firm
from legal_store.database import Database, health
from legal_store.embedded.server import free_port
from legal_store.errors import ServerUnavailableError
from tests.database.conftest import MakeDatabase, eventually, open_database, running
from tests.proxy import TcpProxy

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
DEBIANS_POSTGRES = Path("/usr/lib/postgresql/15/bin")
NOBODY = 65534


def as_nobody(*command: Any) -> list[str]:
    """Return `command` as root may run it: both programs refuse to run as root."""
    words = [str(word) for word in command]
    if os.getuid() != 0:
        return words
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *words]


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that nobody owns and reaches: pytest's are root's."""
    folder = Path(tempfile.mkdtemp(prefix="legal_store-", dir="/tmp"))
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["ignored", "refused"])
def bouncer_url(
    request: pytest.FixtureRequest, public_folder: Path, proxy: TcpProxy, database_url: str
) -> Iterator[str]:
    """The URL of this test's database through PgBouncer, which ignores start-up options or refuses them."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    parameters = psycopg2.extensions.parse_dsn(database_url)
    port = free_port()
    ignored = ",options" if request.param == "ignored" else ""
    users = public_folder / "users.txt"
    users.write_text('"legal_store" ""\n')
    config = public_folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={proxy.host} port={proxy.port} user=legal_store\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nauth_type=any\nauth_file={users}\n"
        f"pool_mode=transaction\ndefault_pool_size=2\nunix_socket_dir=\nserver_tls_sslmode=disable\n"
        f"ignore_startup_parameters=extra_float_digits{ignored}\n"
    )
    with running(as_nobody(PGBOUNCER, config), public_folder / "log"):
        eventually(lambda: _listens(port), within=30)
        yield f"postgresql://legal_store@127.0.0.1:{port}/{parameters['dbname']}?sslmode=disable"


def _listens(port: int) -> bool:
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
        return True
    return False


def value_of(database: Database, setting: str) -> str:
    return str(database.execute_sql("SELECT current_setting(%s, true)", (setting,)).fetchone()[0])


def test_through_pgbouncer_role_and_timeout_travel_with_each_statement(pooled: MakeDatabase, bouncer_url: str) -> None:
    database = pooled(bouncer_url, statement_timeout=0.3, size=4)
    for context in (database, database.connection_context()):
        with context:
            assert database.pooler is True
            assert value_of(database, "role") == "legal_store_service"
            assert value_of(database, "statement_timeout") == "300ms"
        with pytest.raises(peewee.OperationalError, match="statement timeout"), context:
            database.execute_sql("SELECT pg_sleep(5)")
    with database:
        database.execute_sql("SET LOCAL statement_timeout = '5s'")
        database.execute_sql("SELECT pg_sleep(0.5)")


def test_through_pgbouncer_nothing_stays_on_its_connections(pooled: MakeDatabase, bouncer_url: str) -> None:
    database = pooled(bouncer_url, statement_timeout=30, size=4)
    with firm("0192f3a0-0000-7000-8000-000000000001"), database:
        assert value_of(database, "legal_store.firm_id").startswith("0192f3a0")
    with closing(psycopg2.connect(bouncer_url)) as other, other.cursor() as cursor:
        other.autocommit = True
        for _ in range(6):
            cursor.execute("SELECT current_setting('role'), current_setting('legal_store.firm_id', true)")
            role, firm_id = cursor.fetchone()
            assert role == "none" and not firm_id


def test_through_pgbouncer_health_says_so(pooled: MakeDatabase, bouncer_url: str) -> None:
    health._checkers.clear()
    found = check_database_health(pooled(bouncer_url))
    assert found.healthy and found.checks["pooler"] is True


@pytest.fixture(scope="module")
def tls_server() -> Iterator[tuple[int, Path]]:
    """The port of a PostgreSQL 15 that speaks TLS only, and its certificate."""
    if not (DEBIANS_POSTGRES / "initdb").exists() or shutil.which("openssl") is None:
        pytest.skip("PostgreSQL 15 or openssl is not installed (apt-get install postgresql-15 openssl)")
    folder = Path(tempfile.mkdtemp(prefix="legal_store-", dir="/tmp"))
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    data, port, key, certificate = folder / "data", free_port(), folder / "key", folder / "certificate"
    run = {"check": True, "capture_output": True, "cwd": folder}
    subprocess.run(
        as_nobody("openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                  "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate), **run,
    )  # fmt: skip
    subprocess.run(as_nobody(DEBIANS_POSTGRES / "initdb", "-D", data, "-U", "legal_store", "-A", "trust"), **run)
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "ssl": "on",
               "ssl_key_file": key, "ssl_cert_file": certificate, "fsync": "off"}  # fmt: skip
    command = as_nobody(DEBIANS_POSTGRES / "postgres", "-D", data, *(f"--{k}={v}" for k, v in options.items()))
    with running(command, folder / "log", cwd=folder):
        eventually(lambda: "ready to accept connections" in (folder / "log").read_text(), within=60)
        with closing(psycopg2.connect(f"postgresql://legal_store@127.0.0.1:{port}/postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute("CREATE ROLE legal_store_service")
        yield port, certificate
    shutil.rmtree(folder)


def tls_url(port: int, query: str = "") -> str:
    return f"postgresql://legal_store@localhost:{port}/postgres?hostaddr=127.0.0.1{query}"


def test_over_tcp_the_connection_is_encrypted_without_being_asked(tls_server: tuple[int, Path]) -> None:
    database = open_database(tls_url(tls_server[0]))
    with database:
        assert database.connection().info.ssl_in_use
        assert database.execute_sql("SELECT 1").fetchone() == (1,)
    time.sleep(0.02)
    for _ in range(3):
        with database:
            pass
    assert database.pool.stats().idle == 1
    database.close_all()


def test_the_servers_certificate_is_checked_when_asked(tls_server: tuple[int, Path]) -> None:
    port, certificate = tls_server
    good = open_database(tls_url(port, f"&sslmode=verify-full&sslrootcert={certificate}"))
    with good:
        assert good.execute_sql("SELECT 1").fetchone() == (1,)
    good.close_all()
    with pytest.raises(ServerUnavailableError):
        open_database(tls_url(port, "&sslmode=verify-full&sslrootcert=/nonexistent")).connect()


def test_without_tls_such_a_server_says_what_to_do(tls_server: tuple[int, Path]) -> None:
    with pytest.raises(ServerUnavailableError, match="DATABASE_SSL_MODE=require"):
        open_database(tls_url(tls_server[0], "&sslmode=disable")).connect()
