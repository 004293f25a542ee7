"""PostgreSQL of the embedded package: started, looked at and stopped in one folder."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from legal_store.embedded.cluster import PASSWORD_FILE, check_cluster, make_cluster
from legal_store.embedded.privileges import choose_route
from legal_store.embedded.processes import POLL_SECONDS, listener_pid, spawn
from legal_store.embedded.programs import EXTENSIONS, postgres_program
from legal_store.embedded.records import Server
from legal_store.embedded.server import EmbeddedServer, check_port
from legal_store.errors import EmbeddedServerError

USUAL_PORT = 5432
LOG = "postgres.log"

# After a kill -9 of the server its sessions take a moment to notice; PostgreSQL refuses to start until then.
_ORPHANS_SECONDS = 20.0
_ORPHANS = "pre-existing shared memory block"

_NO_PID = 2**31 - 1  # beyond what any kernel gives out


class _PidFile(NamedTuple):
    """What PostgreSQL notes about itself in postmaster.pid, and changes as it goes."""

    pid: int
    port: int
    over_tcp: bool
    ready: bool


class PostgresServer(EmbeddedServer):
    """The PostgreSQL of a folder: role and database `legal_store`, trusted on its Unix socket."""

    title = "PostgreSQL"
    stop_signal = signal.SIGINT  # fast shutdown: sessions are ended, everything is written

    @property
    def data(self) -> Path:
        """The data folder; it exists only when it is complete."""
        return self.home.path / "postgres"

    def look(self) -> Server | None:
        """Return the server if it runs and accepts connections. Starts no process."""
        noted = self._pid_file()
        if noted is None or not noted.ready:
            return None
        pid = listener_pid(self._socket(noted.port))
        program = self.home.recall("postgres")
        if pid not in (noted.pid, 0) or program is None:
            return None
        port = noted.port if noted.over_tcp else None
        return Server(
            self._url(noted.port),
            *program,
            pid=pid,
            log=self.home.path / LOG,
            started=False,
            port=port,
            password_file=self.home.path / PASSWORD_FILE if port else None,
        )

    def start(self, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> Server:
        """Make the server run, with a new data folder if there is none, and return it.

        With `port` it also listens on 127.0.0.1 and asks for the password (scram-sha-256). `settings` are further
        configuration parameters for this run. The folder has to be locked. Raises EmbeddedServerError, and
        WrongUseError when it runs already without the wanted port.
        """
        check_port(port)
        if server := self._found_or_cleared():
            return server.listening_on(port)
        program = postgres_program()
        run = self._prepare_run()
        route = choose_route(program.path, run)
        if self.data.exists():
            check_cluster(self.data, program)
        else:
            make_cluster(self.home, self.data, route)
        route.give(self.data)
        self.home.remember("postgres", program)
        return self._launch(route.command(program.path, *self._arguments(run, port, settings or {})), port)

    def _launch(self, command: list[str | Path], port: int | None) -> Server:
        deadline = time.monotonic() + _ORPHANS_SECONDS
        while True:
            self._disown_pid_file()
            log = self.home.open_log(LOG)
            try:
                return self._wait_until_ready(spawn(command, log.path), log, port)
            except EmbeddedServerError:
                if _ORPHANS not in log.written() or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def _arguments(self, run: Path, port: int | None, settings: Mapping[str, str]) -> list[str | Path]:
        """What may differ from run to run; the rest is in postgresql.conf, where developers can change it."""
        parameters = {
            "unix_socket_directories": f'"{run}"',
            "unix_socket_permissions": "0700",
            "listen_addresses": "127.0.0.1" if port else "",
            "port": str(port or USUAL_PORT),
            "extension_control_path": f"$system:{run}",
            **settings,
        }
        return ["-D", self.data, *(f"--{name}={value}" for name, value in parameters.items())]

    def _prepare_run(self) -> Path:
        """Clear the sockets of a server that was killed, and put our extensions where any path can name them."""
        run = self.home.prepare_run()
        for stale in run.glob(".s.PGSQL.*"):
            stale.unlink()
        shutil.copytree(EXTENSIONS, run / "extension", dirs_exist_ok=True)
        return run

    def _disown_pid_file(self) -> None:
        """Take the process id out of a stale pid file: it may belong to another program by now.

        PostgreSQL would take that program for itself and refuse to start. The other lines stay: by them it finds
        sessions of the old server that still run, and must not start beside them.
        """
        file = self.data / "postmaster.pid"
        try:
            lines = file.read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return
        file.write_text("".join([f"{_NO_PID}\n", *lines[1:]]))

    def _pid_file(self) -> _PidFile | None:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return _PidFile(int(lines[0]), int(lines[3]), bool(lines[5].strip()), lines[7].strip() == "ready")
        except (OSError, ValueError, IndexError):  # there is none, or it is being written
            return None

    def _noted_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    @property
    def _own_argument(self) -> Path:
        return self.data

    def _patience(self) -> float:
        noted = self._pid_file()
        lost_its_socket = noted is not None and noted.ready and not self._socket(noted.port).exists()
        return 0.0 if lost_its_socket else super()._patience()

    def _socket(self, port: int) -> Path:
        return self.home.run / f".s.PGSQL.{port}"

    def _url(self, port: int) -> str:
        where = f"host={quote(str(self.home.run), safe='')}" + (f"&port={port}" if port != USUAL_PORT else "")
        return f"postgresql://legal_store@/legal_store?{where}"

    def _remedy(self) -> str:
        return (
            f"If its data is damaged and can be made again, remove {self.data} and run this again "
            "(`invoke demo` fills it)."
        )
