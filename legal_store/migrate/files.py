"""Migration files: one folder, one order, SQL and peewee-migrate's Python side by side.

`{number}_{name}.sql` are the hand-written ones for what lies below the models; `{timestamp}_{name}.py` (or .sql)
are the versioned ones. Numbers come before timestamps.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from legal_store.errors import ConfigurationError, MigrationError, WrongUseError
from legal_store.migrate.statements import normalized

_NAME = re.compile(r"(?:\d{3}|\d{14})_[a-z0-9_]+")
_PSQL_STOPS_HERE = re.compile(r"^\\quit\s*$", re.MULTILINE)
_MARKER = re.compile(r"^-- migrate:(up|down)\b.*$", re.MULTILINE)
_MEANT_AS_MARKER = re.compile(
    r"^[ \t]*--+[ \t]*migrate(?:[ \t]*:[ \t]*(?:up|down)\b|:\w).*$", re.MULTILINE | re.IGNORECASE
)
_TRANSACTION_OFF = re.compile(
    r"^-- transaction:[ ]*off\s*$|^-- migrate:up\b.*\btransaction:[ ]*false\b|^transaction *= *(?:False|\"off\"|'off')",
    re.MULTILINE,
)
_LONGEST_NAME = 63


class Migration(NamedTuple):
    """One migration file; `name` is the file's name without its ending, `text` what was read when it was found."""

    name: str
    path: Path
    checksum: str
    text: str

    @property
    def is_python(self) -> bool:
        return self.path.suffix == ".py"

    @property
    def transactional(self) -> bool:
        """False where the file declares that its statements commit one by one."""
        return _TRANSACTION_OFF.search(self.text) is None

    @property
    def sql_parts(self) -> SqlParts:
        """The halves of an SQL file. Raises MigrationError as split_sql() does, with the file's name."""
        with told_with_file(self.path):
            return split_sql(self.text)

    @property
    def normalized_checksum(self) -> str:
        """SHA-256 of the text without comments and white space; of the raw text where it cannot be read."""
        return normalized_checksum(self.text, python=self.is_python)


class SqlPart(NamedTuple):
    """One half of an SQL file: its text and the number of its first line."""

    text: str
    first_line: int


class SqlParts(NamedTuple):
    """The two halves of an SQL migration; `down` is empty where there is no way back."""

    up: SqlPart
    down: SqlPart


def read_migrations(folder: Path) -> list[Migration]:
    """Return the migrations in `folder` in the order in which they apply.

    Raises ConfigurationError when the folder is missing, MigrationError that lists every file whose name cannot be
    ordered and every name used twice.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            f"There is no folder of migrations at {folder}.",
            remedy="Name one by LEGAL_STORE_MIGRATIONS_DIR; without it, those in `migrations` or of the package serve.",
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix in {".py", ".sql"})
    _refuse_bad_names(paths)
    return sorted(map(read_migration, paths), key=lambda migration: position(migration.name))


def read_migration(path: Path) -> Migration:
    """Return one file as a migration. Raises MigrationError when it is not UTF-8."""
    raw = path.read_bytes().replace(b"\r\n", b"\n")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MigrationError(f"{path.name} is not UTF-8: {error.reason}.", remedy="Save it as UTF-8.") from None
    return Migration(path.stem, path, hashlib.sha256(raw).hexdigest(), text)


def position(name: str) -> tuple[int, str]:
    """Return what migrations are ordered by: the number, then the name."""
    return int(name.partition("_")[0]), name


def find(name: str, among: Iterable[str]) -> str:
    """Return the one of `among` that is called `name`, or that begins with it.

    Raises WrongUseError for an unknown or ambiguous name; neither ever means "everything".
    """
    known = list(among)
    if name in known:
        return name
    matches = [candidate for candidate in known if name and candidate.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    why = "could be any of " + ", ".join(matches) if matches else "is not the name of a migration"
    raise WrongUseError(f"{name!r} {why}.", remedy="`invoke migrate.status` lists the names.")


def normalized_checksum(text: str, *, python: bool) -> str:
    """Return the SHA-256 of what a formatter cannot change: tokens without comments and white space."""
    return hashlib.sha256((_python_tokens(text) if python else _sql_tokens(text)).encode()).hexdigest()


@contextmanager
def told_with_file(path: Path) -> Iterator[None]:
    """Put the name of the file before what a MigrationError within says."""
    try:
        yield
    except MigrationError as error:
        raise MigrationError(f"{path.name}: {error.message}", remedy=error.remedy) from None


def split_sql(text: str) -> SqlParts:
    r"""Return the up and down part of an SQL file. A file without markers is all up.

    A line `\quit` ends a part: psql, by which such a file may also be run, stops there before the down part.
    Raises MigrationError for a marker that stands twice or is misspelt, and for SQL before the first one.
    """
    markers = list(_MARKER.finditer(text))
    _refuse_stray(text, markers)
    found: dict[str, SqlPart] = {} if markers else {"up": _part(text, 0, len(text))}
    for marker, following in zip(markers, [*markers[1:], None], strict=False):
        half = marker.group(1)
        if half in found:
            raise MigrationError(f"The marker `-- migrate:{half}` stands twice.", remedy="Keep one.")
        found[half] = _part(text, marker.end(), following.start() if following else len(text))
    nothing = SqlPart("", 1)
    return SqlParts(found.get("up", nothing), found.get("down", nothing))


def _refuse_stray(text: str, markers: list[re.Match[str]]) -> None:
    """Refuse what would silently belong to the wrong half, or to none."""
    for line in _MEANT_AS_MARKER.findall(text):
        if not _MARKER.match(line):
            raise MigrationError(
                f"{line.strip()!r} is no marker.", remedy="Write `-- migrate:up` or `-- migrate:down`, as it is here."
            )
    if markers and normalized(text[: markers[0].start()]):
        raise MigrationError(
            f"There is SQL before `{markers[0].group().strip()}`, which belongs to no part.",
            remedy="Put `-- migrate:up` before it.",
        )


def _part(text: str, start: int, end: int) -> SqlPart:
    return SqlPart(_PSQL_STOPS_HERE.split(text[start:end])[0], text.count("\n", 0, start) + 1)


def _sql_tokens(text: str) -> str:
    try:
        parts = split_sql(text)
        return normalized(parts.up.text) + "\n-- migrate:down\n" + normalized(parts.down.text)
    except MigrationError:
        return text


def _python_tokens(text: str) -> str:
    import io
    import tokenize

    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    depth, pieces = 0, []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            depth += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
            if token.type not in layout:
                pieces.append(f"{depth}:{token.string}")
    except (tokenize.TokenError, SyntaxError):
        return text
    return "\n".join(pieces)


def _refuse_bad_names(paths: list[Path]) -> None:
    problems = [problem for path in paths if (problem := _problem_of_name(path))]
    names: dict[str, Path] = {}
    for path in paths:
        twin = names.setdefault(path.stem, path)
        if twin is not path:
            problems.append(f"{path.name}: the same name as {twin.name}")
    if problems:
        raise MigrationError("Migration files cannot be ordered: " + "; ".join(problems) + ".", remedy="Rename them.")


def _problem_of_name(path: Path) -> str:
    if not _NAME.fullmatch(path.stem):
        return f"{path.name}: not {{number}}_{{name}} or {{timestamp}}_{{name}}, in small letters"
    if len(path.stem) > _LONGEST_NAME:
        return f"{path.name}: longer than {_LONGEST_NAME} bytes"
    return ""
