"""Notes with the database what models write: rows by their keys, queries over many rows without."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from peewee import ForeignKeyField

from legal_store.database.changes import Change
from legal_store.database.scope import current_firm


def note_row(row: Any, verb: str, fields: tuple[str, ...] = ()) -> None:
    """Note that one row was written."""
    keys = {column: row.__data__.get(name) for name, column in _key_columns(row.__class__)}
    firm_id = row.__data__.get(row.firm_column) if row.firm_column else None
    _note(row._meta.database, type(row), verb, keys, fields, firm_id)


class NotedQuery:
    """A query that writes. Rows that were saved one by one are noted by `Record`, with their keys."""

    model: Any
    verb = "updated"
    row: Any = None

    def _execute(self, database: Any) -> Any:
        result = super()._execute(database)  # type: ignore[misc]
        if self.row is None and result != 0:
            _note(database, self.model, self.verb, {}, self._changed_fields(), None)
        return result

    def _changed_fields(self) -> tuple[str, ...]:
        return tuple(getattr(field, "name", str(field)) for field in getattr(self, "_update", None) or ())


def _note(database: Any, model: Any, verb: str, keys: dict[str, Any], fields: tuple[str, ...], firm_id: Any) -> None:
    change = Change(_subject(model), verb, keys, fields, firm_id or current_firm(), model.firm_column is not None)
    note_change = getattr(database, "note_change", None)  # a plain Peewee database has nobody to tell
    if note_change is not None:
        note_change(change)


@lru_cache(maxsize=256)
def _key_columns(model: Any) -> tuple[tuple[str, str], ...]:
    fields = model._meta.sorted_fields
    return tuple((f.name, f.column_name) for f in fields if f.name == "id" or isinstance(f, ForeignKeyField))


@lru_cache(maxsize=256)
def _subject(model: Any) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", model.__name__).lower()
