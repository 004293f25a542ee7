"""Migration files: one folder, one order, SQL and peewee-migrate's Python side by side.

`{number}_{name}.sql` are the hand-written ones for what lies below the models; `{timestamp}_{name}.py` (or .sql)
are the versioned ones. Numbers come before timestamps.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from legal_store.errors import ConfigurationError, MigrationError

_NAME = re.compile(r"(?P<order>\d{3}|\d{14})_[a-z0-9_]+")
_PSQL_STOPS_HERE = re.compile(r"^\\quit\s*$", re.MULTILINE)
_MARKER = re.compile(r"^-- migrate:(up|down)\b.*$", re.MULTILINE)


class Migration(NamedTuple):
    """One migration file; `name` is the file's name without its ending."""

    name: str
    path: Path
    checksum: str

    @property
    def is_python(self) -> bool:
        return self.path.suffix == ".py"


class SqlParts(NamedTuple):
    """The two halves of an SQL migration; `down` is empty where there is no way back."""

    up: str
    down: str


def read_migrations(folder: Path) -> list[Migration]:
    """Return the migrations in `folder` in the order in which they apply.

    Raises ConfigurationError when the folder is missing, MigrationError that lists every file whose name cannot be
    ordered and every name used twice.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"There is no folder of migrations at {folder}.",
            remedy="Run this in the checkout, or set LEGAL_STORE_MIGRATIONS_DIR.",
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".py", ".sql"})
    _refuse_bad_names(paths)
    migrations = [Migration(path.stem, path, checksum(path)) for path in paths]
    return sorted(migrations, key=lambda migration: (int(migration.name.partition("_")[0]), migration.name))


def checksum(path: Path) -> str:
    """Return the SHA-256 of the file's text, the same whatever its line ends are."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def split_sql(text: str) -> SqlParts:
    r"""Return the up and down part of an SQL file. A file without markers is all up.

    A line `\quit` ends a part: psql, by which such a file may also be run, stops there before the down part.
    """
    pieces = _MARKER.split(text)
    parts = {"up": pieces[0] if len(pieces) == 1 else "", "down": ""}
    parts.update(zip(pieces[1::2], pieces[2::2], strict=True))
    return SqlParts(*(_PSQL_STOPS_HERE.split(parts[half])[0].strip() for half in ("up", "down")))


def _refuse_bad_names(paths: list[Path]) -> None:
    problems = [
        f"{path.name}: not {{number}}_{{name}} or {{timestamp}}_{{name}}" for path in paths if not _well_named(path)
    ]
    names: dict[str, Path] = {}
    for path in paths:
        twin = names.setdefault(path.stem, path)
        if twin is not path:
            problems.append(f"{path.name}: the same name as {twin.name}")
    if problems:
        raise MigrationError("Migration files cannot be ordered: " + "; ".join(problems) + ".", remedy="Rename them.")


def _well_named(path: Path) -> bool:
    return bool(_NAME.fullmatch(path.stem)) and len(path.stem.encode()) <= 63
