"""Behind a pooler in transaction mode the lock between deployers is worthless: refused. Session mode will do."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from legal_store.config import Url
from legal_store.embedded.server import free_port
from legal_store.errors import RefusedError
from legal_store.migrate import deploy, status
from tests.conftest import Cluster
from tests.database.conftest import eventually, running
from tests.migrate.support import catalog, parameters, run, write

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NOBODY = 65534
REFUSED = r"a pooler in transaction mode.*Deploy through the direct address"

Bouncer = Callable[..., AbstractContextManager[dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(
        tmp_path / "migrations",
        a001_first="CREATE TABLE first (id int);",
        a002_index="-- transaction: off\nCREATE INDEX CONCURRENTLY first_idx ON first (id);",
    )


@pytest.fixture
def bouncer(cluster: Cluster, empty_database: Url) -> Iterator[Bouncer]:
    """Starts PgBouncer in front of this test's database, with the given pool; yields the parameters that lead there."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    home = Path(tempfile.mkdtemp(prefix="legal_store-", dir="/tmp"))  # pytest's folders are root's
    name = parameters(empty_database)["dbname"]

    @contextmanager
    def start(mode: str, size: int, *, options: str) -> Iterator[dict[str, Any]]:
        port, server = free_port(), cluster.tcp_parameters
        config = home / "pgbouncer.ini"
        config.touch(mode=0o600)
        config.write_text(
            f"[databases]\n{name} = host=127.0.0.1 port={server['port']} user={server['user']}"
            f" password={server['password']}\n"
            f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\n"
            f"pool_mode={mode}\ndefault_pool_size={size}\nserver_tls_sslmode=disable\nquery_wait_timeout=20\n"
            f"ignore_startup_parameters=extra_float_digits{',options' if options == 'ignored' else ''}\n"
        )
        command = [PGBOUNCER, str(config)]
        if os.getuid() == 0:  # which it refuses to run as
            os.chown(home, NOBODY, NOBODY)
            os.chown(config, NOBODY, NOBODY)
            command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
        with running(command, home / "log"):
            eventually(lambda: listens(port))
            yield {"host": "127.0.0.1", "port": str(port), "user": server["user"], "dbname": name, "sslmode": "disable"}

    yield start
    shutil.rmtree(home)


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.mark.parametrize("options", ["ignored", "refused"])
@pytest.mark.parametrize("size", [1, 4])
def test_pgbouncer_in_transaction_mode_is_refused_with_the_cause(
    bouncer: Bouncer, size: int, options: str, empty_database: Url, folder: Path
) -> None:
    with bouncer("transaction", size, options=options) as through:
        with pytest.raises(RefusedError, match=REFUSED):
            deploy(through, folder)
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
        assert run(empty_database, f"{held} WHERE datname = current_database())") == [(0,)]
        assert status(through, folder).pending == ["001_first", "002_index"]
    assert catalog(empty_database) == {}


@pytest.mark.parametrize("options", ["ignored", "refused"])
def test_pgbouncer_in_session_mode_will_do(bouncer: Bouncer, options: str, empty_database: Url, folder: Path) -> None:
    with bouncer("session", 4, options=options) as through:
        assert deploy(through, folder).applied == ["001_first", "002_index"]
    assert ("index", "first.first_idx") in catalog(empty_database)


def test_any_pooler_in_transaction_mode_is_refused(empty_database: Url, folder: Path) -> None:
    with _Pooler(parameters(empty_database)["host"], parameters(empty_database)["port"]) as port:
        through = {**parameters(empty_database), "host": "127.0.0.1", "port": str(port), "sslmode": "disable"}
        with pytest.raises(RefusedError, match=REFUSED):
            deploy(through, folder)
    assert catalog(empty_database) == {}


class _Pooler:
    """A proxy that, as poolers do, tells each client a process id of its own and serves all from one server process.

    It understands just enough of the protocol: one server session, shared; a client's query is passed on, the answer
    returned.
    """

    def __init__(self, host: str, port: str) -> None:
        self._address = f"{host}/.s.PGSQL.{port}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server: socket.socket | None = None
        self._hello = b""
        self._turn = threading.Lock()

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        if self._server is not None:
            self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            length = int.from_bytes(client.recv(4), "big")
            startup = client.recv(length - 4)
            with self._turn:
                if self._server is None:
                    self._server = socket.socket(socket.AF_UNIX)
                    self._server.connect(self._address)
                    self._server.sendall(length.to_bytes(4, "big") + startup)
                    self._hello = self._until_ready()
            client.sendall(_with_other_pid(self._hello))
            while (message := client.recv(65536)) and message[:1] != b"X":
                with self._turn:
                    self._server.sendall(message)
                    answer = self._until_ready()
                client.sendall(answer)

    def _until_ready(self) -> bytes:
        assert self._server is not None
        answer = b""
        while not _complete(answer):
            answer += self._server.recv(65536)
        return answer


def _messages(stream: bytes) -> list[tuple[bytes, int, int]]:
    found, position = [], 0
    while position + 5 <= len(stream):
        length = int.from_bytes(stream[position + 1 : position + 5], "big") + 1
        found.append((stream[position : position + 1], position, length))
        position += length
    return found


def _complete(stream: bytes) -> bool:
    messages = _messages(stream)
    return bool(messages) and messages[-1][0] == b"Z" and messages[-1][1] + messages[-1][2] == len(stream)


def _with_other_pid(hello: bytes) -> bytes:
    for kind, position, _ in _messages(hello):
        if kind == b"K":
            return hello[: position + 5] + (4_000_000).to_bytes(4, "big") + hello[position + 9 :]
    return hello
