"""The ordinary form of the server: on a TCP port of this machine, with a password."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from legal_store import embedded
from legal_store.embedded.server import free_port
from legal_store.errors import EmbeddedServerError, WrongUseError
from tests.embedded.support import query, redis_client, with_proc


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def test_port_asks_for_the_password_and_the_socket_does_not(home: Path) -> None:
    postgres = embedded.up(home, port=free_port()).postgres
    assert query(postgres.tcp_url(), "SHOW password_encryption") == "scram-sha-256"
    assert query(postgres.url, "SELECT current_user") == "legal_store"
    wrong = postgres.tcp_url().replace("legal_store:", "legal_store:x", 1)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)
    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(f"postgresql://legal_store@127.0.0.1:{postgres.port}/legal_store")


def test_stored_password_is_a_scram_verifier(home: Path) -> None:
    postgres = embedded.up(home).postgres
    assert query(
        postgres.url, "SELECT rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid WHERE rolname = %s", "legal_store"
    )


@with_proc
def test_password_is_in_its_file_only(home: Path) -> None:
    servers = embedded.up(home, port=free_port())
    password = urlsplit(servers.postgres.tcp_url()).password or ""
    assert len(password) > 20
    assert (home / "postgres.password").stat().st_mode & 0o777 == 0o600
    assert password not in repr(servers)
    assert password not in servers.postgres.log.read_text()
    assert password.encode() not in Path(f"/proc/{servers.postgres.pid}/cmdline").read_bytes()


def test_port_holds_for_one_run(home: Path) -> None:
    port = free_port()
    embedded.up(home, port=port)
    found = embedded.running(home)
    assert found is not None
    assert found.postgres.port == port
    embedded.down(home)
    assert embedded.up(home).postgres.port is None


def test_up_without_a_port_takes_a_server_that_has_one(home: Path) -> None:
    first = embedded.up(home, port=free_port()).postgres
    assert embedded.up(home).postgres.pid == first.pid


def test_running_server_does_not_get_a_port_later(home: Path) -> None:
    embedded.up(home)
    with pytest.raises(WrongUseError, match="on no TCP port") as caught:
        embedded.up(home, port=free_port())
    assert "invoke down" in caught.value.remedy


def test_taken_port_is_named(home: Path, taken_port: int) -> None:
    with pytest.raises(EmbeddedServerError, match=f"Port {taken_port} is taken") as caught:
        embedded.up(home, port=taken_port)
    assert "another port" in caught.value.remedy
    assert embedded.running(home) is None


def test_taken_port_of_redis_is_named(home: Path, taken_port: int) -> None:
    with pytest.raises(EmbeddedServerError, match=f"Port {taken_port} is taken"):
        embedded.up(home, redis_port=taken_port)


def test_redis_listens_on_a_port_if_asked(home: Path) -> None:
    server = embedded.up(home, redis_port=free_port()).redis
    with closing(redis_client(server.tcp_url())) as client:
        assert client.ping()


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_impossible_port_is_refused(home: Path, port: int) -> None:
    with pytest.raises(WrongUseError, match="not a TCP port"):
        embedded.up(home, port=port)


def test_server_without_a_port_has_no_tcp_url(home: Path) -> None:
    with pytest.raises(LookupError):
        embedded.up(home).postgres.tcp_url()
