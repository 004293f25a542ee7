"""Redis or Valkey: started, looked at and stopped in one folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from urllib.parse import quote

from legal_store.embedded.processes import ANSWER_SECONDS, listener_pid, spawn
from legal_store.embedded.programs import redis_program
from legal_store.embedded.records import Server
from legal_store.embedded.server import EmbeddedServer, check_port

LOG = "redis.log"


class RedisServer(EmbeddedServer):
    """The Redis of a folder. It writes its data when it stops, and now and then, so sessions survive `down`."""

    title = "Redis"
    stop_signal = signal.SIGTERM  # saves, then ends

    @property
    def data(self) -> Path:
        """The folder of its data and its configuration."""
        return self.home.path / "redis"

    def look(self) -> Server | None:
        """Return the server if it runs and accepts connections. Starts no process."""
        pid = listener_pid(self._socket)
        program = self.home.recall("redis") if pid is not None else None
        if pid is None or program is None or not self._answers():
            return None
        url = f"unix://{quote(str(self._socket))}?db=0"
        return Server(url, *program, pid=pid, log=self.home.path / LOG, started=False, port=self._port())

    def start(self, *, port: int | None = None) -> Server:
        """Make the server run and return it. With `port` it also listens on 127.0.0.1, without a password.

        The folder has to be locked. Raises EmbeddedServerError, and WrongUseError when it runs already without
        the wanted port.
        """
        check_port(port)
        if server := self._found_or_cleared():
            return server.listening_on(port)
        last = self.home.recall("redis")
        program = redis_program(first=last.path if last else None)
        self.home.prepare_run()
        self._socket.unlink(missing_ok=True)
        self.data.mkdir(mode=0o700, exist_ok=True)
        self._write_configuration(port)
        self.home.remember("redis", program)
        log = self.home.open_log(LOG)
        return self._wait_until_ready(spawn([program.path, self._configuration], log.path), log, port)

    def _answers(self) -> bool:
        """It listens before it has read its data, and refuses every command until then."""
        import socket

        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_SECONDS)
            try:
                client.connect(os.fsencode(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    @property
    def _configuration(self) -> Path:
        return self.data / "redis.conf"

    @property
    def _socket(self) -> Path:
        return self.home.run / "redis.sock"

    def _write_configuration(self, port: int | None) -> None:
        """Only what Redis 6.2 knows. The process title stays the command line: by it the server is recognised."""
        lines = {
            "port": str(port or 0),
            "bind": "127.0.0.1",
            "protected-mode": "yes",
            "unixsocket": _quoted(self._socket),
            "unixsocketperm": "700",
            "dir": _quoted(self.data),
            "pidfile": _quoted(self.data / "redis.pid"),
            "save": "300 1",
            "appendonly": "no",
            "stop-writes-on-bgsave-error": "no",
            "set-proc-title": "no",
        }
        self._configuration.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))

    def _port(self) -> int | None:
        for line in self._configuration.read_text().splitlines():
            if line.startswith("port "):
                return int(line.split()[1]) or None
        return None

    def _noted_pid(self) -> int | None:
        try:
            return int((self.data / "redis.pid").read_text())
        except (OSError, ValueError):
            return None

    @property
    def _own_argument(self) -> Path:
        return self._configuration

    def _patience(self) -> float:
        return super()._patience() if self._socket.exists() else 0.0

    def _remedy(self) -> str:
        return (
            "If it cannot read its data, a newer program wrote them: put that one on PATH and run this again, or "
            f"remove {self.data / 'dump.rdb'}: sessions and cached values are lost, nothing else."
        )


def _quoted(path: Path) -> str:
    escaped = os.fspath(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
