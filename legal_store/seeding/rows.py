"""A seed set with all values converted and all references found: plain rows, checked before any is written.

The id of a row is a UUID version 5 of its table and key as written in the file. So a row keeps its id when it is
deleted and seeded again, references without a foreign key (a log's user_id) stay true, and a demo row is found
again although a user has renamed it.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from legal_store.errors import SeedError
from legal_store.schema.fields import ListField
from legal_store.seeding.files import FileRow, Problem, read_files, suggest
from legal_store.seeding.sets import find_set
from legal_store.seeding.tables import TABLES, SeedTable
from legal_store.seeding.values import to_value

_NAMESPACE = uuid.UUID("5bd3e6c4-6a0f-4f0b-9f5e-8d1a2c7b9e10")
_BY_MODEL = {table.model: table for table in TABLES}


@dataclass(frozen=True)
class SeedRow:
    """A row to be loaded. `values` are by field name; a reference is the id of a row of the same set; `place` says
    where the row is written."""

    id: uuid.UUID
    values: Mapping[str, Any]
    place: str


@dataclass(frozen=True)
class SeedSet:
    """A checked seed set: its rows by table, in the order in which they can be loaded."""

    name: str
    rows: Mapping[str, tuple[SeedRow, ...]]


def read_seed_set(folder: Path, name: str, now: datetime) -> SeedSet:
    """Read and check the seed set `name` of `folder` or of a plugin, relative dates counted from `now`. No server is
    asked.

    Raises WrongUseError when there is no such set, SeedError that names every problem of every file with its remedy.
    """
    return read_set_in(find_set(folder, name), name, now)


def read_set_in(folder: Path, name: str, now: datetime) -> SeedSet:
    """Read and check the files of `folder`, a seed set that is called `name`. Raises SeedError as read_seed_set."""
    rows, problems = read_files(folder)
    _Checker(rows, now).run()
    problems += [problem for row in rows for problem in row.problems]
    if problems:
        raise SeedError(_listed(name, problems), remedy="Correct the files; nothing was written.")
    return SeedSet(name, {table.name: _rows_of(table, rows) for table in TABLES})


def _rows_of(table: SeedTable, rows: list[FileRow]) -> tuple[SeedRow, ...]:
    return tuple(SeedRow(row.id, row.values, row.place) for row in rows if row.table is table and row.id is not None)


def _listed(name: str, problems: list[Problem]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f'The seed set "{name}" has {count}:\n' + "".join(f"  - {problem}\n" for problem in problems)


class _Checker:
    """Fills `values` and `id` of file rows, and reports on each row what is wrong with it."""

    def __init__(self, rows: list[FileRow], now: datetime) -> None:
        self.rows = rows
        self.now = now
        self.named: dict[tuple[SeedTable, str], list[FileRow]] = defaultdict(list)
        self.by_id: dict[uuid.UUID, FileRow] = {}
        self.firms = [row for row in rows if row.table is TABLES[0]]

    def run(self) -> None:
        for row in self.rows:
            self._convert_plain_cells(row)
            self._demand_required_cells(row)
        for table in TABLES:  # in this order a key refers to rows that have their id already
            for row in self.rows:
                if row.table is table:
                    self._identify(row)
        for row in self.rows:
            self._find_references(row)

    def _convert_plain_cells(self, row: FileRow) -> None:
        for column, cell in row.cells.items():
            if column not in row.table.fields:
                row.report(f'there is no column "{column}" to fill', suggest(column, row.table.fields))
            elif column not in row.table.references:
                self._convert(row, column, cell)

    def _convert(self, row: FileRow, column: str, cell: object) -> None:
        try:
            row.values[column] = to_value(row.table.fields[column], cell, self.now)
        except ValueError as allowed:
            row.report(f"{column} = {_shown(cell)} is not allowed", f"It must be {allowed}.")

    def _demand_required_cells(self, row: FileRow) -> None:
        for column, field in row.table.fields.items():
            has_default = field.null or field.default is not None or field.constraints
            if column not in row.cells and not has_default and column != "firm":
                row.report(f"{column} is missing", f"Add a line {column} = …")

    def _identify(self, row: FileRow) -> None:
        if row.table.firm_owned:
            self._find_firm(row)
        for column in row.table.key:
            if column != "firm":
                self._complete_key(row, column)
        key = [_key_part(row, column) for column in row.table.key]
        row.id = uuid.uuid5(_NAMESPACE, json.dumps([row.table.name, *key]))
        if not row.problems:
            self._refuse_duplicate(row)
        if name := row.values.get(row.table.named_by):
            self.named[row.table, name].append(row)

    def _find_firm(self, row: FileRow) -> None:
        if "firm" in row.cells:
            row.values["firm"] = self._target(row, "firm", row.cells["firm"])
        elif len(self.firms) == 1:
            row.values["firm"] = self.firms[0].id
        else:
            row.report(f"it is not clear whose row this is: the set has {len(self.firms)} firms", "Add firm = …")

    def _complete_key(self, row: FileRow, column: str) -> None:
        if column in row.table.references and column in row.cells:
            row.values[column] = self._target(row, column, row.cells[column])
        elif column not in row.cells and row.table.fields[column].default is not None:
            row.values[column] = row.table.fields[column].default

    def _refuse_duplicate(self, row: FileRow) -> None:
        first = self.by_id.setdefault(row.id, row) if row.id else row
        if first is not row:
            key = ", ".join(column for column in row.table.key if column != "firm")
            row.report(
                f"number {first.number} of {first.file} has the same {key}",
                f"Rows of {row.table.name} are told apart by these: change one, or remove the row.",
            )

    def _find_references(self, row: FileRow) -> None:
        for column in row.table.references:
            if column in row.cells and column not in row.table.key and column != "firm":
                row.values[column] = self._referenced(row, column, row.cells[column])

    def _referenced(self, row: FileRow, column: str, cell: object) -> Any:
        if not isinstance(row.table.fields[column], ListField):
            return self._target(row, column, cell)
        if not isinstance(cell, list):
            row.report(f"{column} = {_shown(cell)} is not allowed", 'It must be a list of names: ["…", "…"].')
            return None
        return [self._target(row, column, item) for item in cell]

    def _target(self, row: FileRow, column: str, name: object) -> uuid.UUID | None:
        """Return the id of the row that `name` names, or report why there is none."""
        target = _BY_MODEL[row.table.references[column]]
        candidates = self._candidates(row, target, name)
        if len(candidates) == 1:
            return candidates[0].id
        refers = f"{column} = {_shown(name)} names {len(candidates) or 'no'} rows of {target.name}"
        if candidates:
            row.report(refers, f"Give each of them a {target.named_by} of its own.")
        else:
            known = [known for table, known in self.named if table is target]
            row.report(refers, f"Write the {target.named_by} of one. {suggest(str(name), known)}")
        return None

    def _candidates(self, row: FileRow, target: SeedTable, name: object) -> list[FileRow]:
        if not isinstance(name, str):
            return []
        named = self.named.get((target, str(target.fields[target.named_by].db_value(name))), [])
        firm = row.values.get("firm")
        if firm is None or not target.firm_owned:
            return named
        return [other for other in named if other.values.get("firm") == firm]


def _key_part(row: FileRow, column: str) -> str | None:
    """Return what the id of a row is made of: a reference's id, a moment as it is written, else the value."""
    as_written = not row.table.found_by_key and column not in row.table.references
    value = row.cells.get(column) if as_written else row.values.get(column)
    return None if value is None else str(value)


def _shown(cell: object) -> str:
    text = f'"{cell}"' if isinstance(cell, str) else str(cell)
    return text if len(text) <= 60 else f"{text[:57]}…"
