"""What the functions of this package return. No record holds a password, so none can leak through one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from legal_store.errors import WrongUseError


class Server(NamedTuple):
    """A server that runs.

    `url` goes over its Unix socket and needs no password. `pid` is 0 when the server runs in another container
    that shares the folder. `port` is the TCP port on 127.0.0.1, if it listens on one; `started` says whether this
    call started it.
    """

    url: str
    program: Path
    version: str
    pid: int
    log: Path
    started: bool
    port: int | None = None
    password_file: Path | None = None

    def tcp_url(self) -> str:
        """Return the URL over TCP, with the password read from its file.

        Raises LookupError when the server listens on no port.
        """
        if self.port is None:
            raise LookupError("this server listens on no TCP port; start it with one")
        if self.password_file is None:
            return f"redis://127.0.0.1:{self.port}/0"
        password = quote(self.password_file.read_text().strip(), safe="")
        return f"postgresql://legal_store:{password}@127.0.0.1:{self.port}/legal_store"

    def listening_on(self, port: int | None) -> Server:
        """Return this server; raise WrongUseError when it does not listen on `port` and one is wanted."""
        if port not in (None, self.port):
            where = f"only on port {self.port}" if self.port else "on no TCP port"
            raise WrongUseError(
                f"{self.program.name} runs already and listens {where}, not on {port}.",
                remedy="Stop it with `invoke down`, then start it with the port.",
            )
        return self


class Servers(NamedTuple):
    """Both servers of a folder."""

    postgres: Server
    redis: Server


class Stopped(NamedTuple):
    """What `down` stopped: process ids, None for a server that did not run. `str()` is a sentence for people."""

    home: Path
    postgres: int | None
    redis: int | None

    def __str__(self) -> str:
        names = {"PostgreSQL": self.postgres, "Redis": self.redis}
        stopped = [f"{name} (pid {pid})" for name, pid in names.items() if pid is not None]
        if not stopped:
            return f"Nothing was running in {self.home}."
        return f"Stopped {' and '.join(stopped)}. The data stays in {self.home}."
