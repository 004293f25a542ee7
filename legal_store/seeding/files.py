"""The TOML files of a seed set, read into rows that still hold what the file says."""

from __future__ import annotations

import tomllib
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from legal_store.seeding.tables import TABLES, SeedTable

_BY_NAME = {table.name: table for table in TABLES}


class Problem(NamedTuple):
    """Something wrong in a file: where, what, and what to do about it. Row 0 is the file or table as a whole."""

    file: str
    table: str
    row: int
    what: str
    remedy: str

    def __str__(self) -> str:
        table = f", [[{self.table}]]" if self.table else ""
        row = f" number {self.row}" if self.row else ""
        return f"{self.file}{table}{row}: {self.what}. {self.remedy}"


@dataclass(eq=False)
class FileRow:
    """A row as it is written (`cells`), and what is known about it so far (`values`, `id`)."""

    file: str
    table: SeedTable
    number: int
    cells: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    id: uuid.UUID | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def place(self) -> str:
        name = self.cells.get(self.table.named_by or self.table.key[-1])
        known_as = f' ("{name}")' if isinstance(name, str) else ""
        return f"{self.file}, [[{self.table.name}]] number {self.number}{known_as}"

    def report(self, what: str, remedy: str) -> None:
        name = self.cells.get(self.table.named_by or self.table.key[-1])
        known_as = f'"{name}": ' if isinstance(name, str) else ""
        self.problems.append(Problem(self.file, self.table.name, self.number, known_as + what, remedy))


def read_files(folder: Path) -> tuple[list[FileRow], list[Problem]]:
    """Return the rows of all TOML files of `folder`, and what is wrong with the files themselves."""
    rows: list[FileRow] = []
    problems: list[Problem] = []
    paths = sorted(folder.glob("*.toml"))
    if not paths:
        problems.append(Problem(str(folder), "", 0, "there is no TOML file", "A seed set is a folder with some."))
    for path in paths:
        for name, entries in _parse(path, problems).items():
            rows += _rows_of(path.name, name, entries, problems)
    return rows, problems


def _parse(path: Path, problems: list[Problem]) -> dict[str, Any]:
    try:
        # utf-8-sig: an editor may have put a byte order mark in front
        return tomllib.loads(path.read_text("utf-8-sig"), parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        problems.append(Problem(path.name, "", 0, f"this is not valid TOML: {error}", "Correct the line."))
    except UnicodeDecodeError:
        problems.append(Problem(path.name, "", 0, "the file is not UTF-8 text", "Save it as UTF-8."))
    except OSError as error:
        problems.append(Problem(path.name, "", 0, f"cannot be read: {error.strerror}", "Check its permissions."))
    return {}


def _rows_of(file: str, name: str, entries: Any, problems: list[Problem]) -> list[FileRow]:
    table = _BY_NAME.get(name)
    if table is None:
        problems.append(Problem(file, name, 0, "there is no such table", suggest(name, _BY_NAME)))
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        remedy = f"Begin each row with [[{name}]], in double brackets."
        problems.append(Problem(file, name, 0, "this is not a list of rows", remedy))
        return []
    return [FileRow(file, table, number, cells) for number, cells in enumerate(entries, 1)]


def suggest(given: str, known: Any) -> str:
    """Return the remedy for a name that is not known: the nearest one, or all of them when they are few."""
    near = get_close_matches(given, known, n=1)
    if near:
        return f'Did you mean "{near[0]}"?'
    return f"There are: {', '.join(known)}." if len(known) <= 40 else "Check the spelling."
