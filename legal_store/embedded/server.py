"""What the two servers have in common: they are looked at, waited for and stopped the same way."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from legal_store.embedded.folder import Home, Log
from legal_store.embedded.processes import end, is_alive, is_running_with, wait_until
from legal_store.embedded.records import Server
from legal_store.errors import EmbeddedServerError, WrongUseError

START_SECONDS = 60.0
STOP_SECONDS = 60.0


class EmbeddedServer(ABC):
    """One server of one folder. Making the object touches nothing; `start` and `stop` want the folder locked."""

    title: str
    stop_signal: signal.Signals

    def __init__(self, home: Home) -> None:
        self.home = home

    @abstractmethod
    def look(self) -> Server | None:
        """Return the server if it runs and accepts connections. Starts no process."""

    @abstractmethod
    def _noted_pid(self) -> int | None:
        """The process id in the pid file, which proves nothing."""

    @property
    @abstractmethod
    def _own_argument(self) -> Path:
        """The argument that only the server of this folder is started with."""

    def stop(self) -> int | None:
        """Stop the server cleanly and return its process id, None if it did not run.

        Raises EmbeddedServerError when it does not stop within a minute or runs in another container.
        """
        server = self.look()
        pid = server.pid if server else self._own_pid()
        if pid is None:
            return None
        if pid == 0:
            raise EmbeddedServerError(
                f"The {self.title} of {self.home.path} runs in another container.", remedy="Stop it there."
            )
        if not end(pid, self.stop_signal, STOP_SECONDS):
            raise EmbeddedServerError(
                f"{self.title} (pid {pid}) has not stopped after {STOP_SECONDS:.0f} s.",
                remedy=f"Look into its log in {self.home.path}; it may still be writing.",
            )
        return pid

    def _own_pid(self) -> int | None:
        """The process id of our server even if its socket is gone or it is still starting."""
        pid = self._noted_pid()
        return pid if pid is not None and is_running_with(pid, self._own_argument) else None

    def _found_or_cleared(self) -> Server | None:
        """Return the running server. One that is still starting is waited for; a broken one is stopped."""
        server = self.look()
        if server is None and (pid := self._own_pid()) is not None:
            if wait_until(lambda: self.look() is not None or not is_alive(pid), self._patience()):
                return self._found_or_cleared()
            self.stop()
        return server

    def _patience(self) -> float:
        """How many seconds a server that runs without answering may take; one without a socket never will."""
        return START_SECONDS

    def _wait_until_ready(self, pid: int, log: Log, port: int | None) -> Server:
        wait_until(lambda: self.look() is not None or not is_alive(pid), START_SECONDS)
        server = self.look()
        if server is None:
            raise self._failure(pid, log, port)
        return server._replace(started=True)

    def _failure(self, pid: int, log: Log, port: int | None) -> EmbeddedServerError:
        text = log.written()
        if "No space left on device" in text:
            return self.home.full(log.last_lines())
        if port is not None and "Address already in use" in text:
            return EmbeddedServerError(
                f"Port {port} is taken: another program listens on 127.0.0.1:{port}, so {self.title} did not start.",
                remedy="Choose another port, or stop that program.",
            )
        state = f"has not become ready after {START_SECONDS:.0f} s" if is_alive(pid) else "did not start"
        return EmbeddedServerError(
            f"{self.title} {state}. Its log {log.path} ends with:\n{log.last_lines()}\n", remedy=self._remedy()
        )

    @abstractmethod
    def _remedy(self) -> str:
        """What to do when the server does not start for a reason of its own."""


def check_port(port: int | None) -> None:
    """Raise WrongUseError for a number that is no TCP port."""
    if port is not None and not 0 < port < 65536:
        raise WrongUseError(f"{port} is not a TCP port.", remedy="Use a number from 1 to 65535.")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, and that no outgoing connection is given before it is used."""
    import secrets
    import socket

    while True:
        port = 20_000 + secrets.randbelow(12_000)  # systems give outgoing connections others: Linux from 32768 on
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
