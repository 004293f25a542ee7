"""From a cell of a TOML file to the value that a column takes, by the type of the column."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from peewee import BooleanField, DateField, DecimalField, IntegerField, TextField, UUIDField

from legal_store.schema.fields import EnumField, JsonField, ListField, TimestampField
from legal_store.seeding.moments import to_date, to_moment


def to_value(field: Any, cell: object, now: datetime) -> Any:
    """Return what `cell` means for the column `field` at the time `now`. Raises ValueError: what is allowed."""
    for kind, convert in _CONVERTERS:
        if isinstance(field, kind):
            return convert(field, cell, now)
    raise ValueError("left out: seed files cannot fill this type of column")


def _enumerated(field: Any, cell: object, now: datetime) -> str:
    allowed = [member.value for member in field.members]
    if cell not in allowed:
        raise ValueError(f"one of {', '.join(allowed)}")
    return str(cell)


def _text(field: Any, cell: object, now: datetime) -> str:
    if not isinstance(cell, str) or "\0" in cell:
        raise ValueError('text, in quotes: "…"')
    return str(field.db_value(cell))


def _uuid(field: Any, cell: object, now: datetime) -> uuid.UUID:
    try:
        return uuid.UUID(str(cell))
    except ValueError:
        raise ValueError('a UUID such as "6f1d6f0e-4c53-4f0a-9a53-1f6f5c0a7b01"') from None


def _boolean(field: Any, cell: object, now: datetime) -> bool:
    if not isinstance(cell, bool):
        raise ValueError("true or false, without quotes")
    return cell


def _integer(field: Any, cell: object, now: datetime) -> int:
    if not isinstance(cell, int) or isinstance(cell, bool):
        raise ValueError("a whole number, without quotes")
    return cell


def _decimal(field: Any, cell: object, now: datetime) -> Decimal:
    if not isinstance(cell, int | Decimal) or isinstance(cell, bool) or not Decimal(cell).is_finite():
        raise ValueError("a number such as 1250.50, without quotes")
    return Decimal(cell)


def _list(field: Any, cell: object, now: datetime) -> list[str]:
    if not isinstance(cell, list) or not all(isinstance(item, str) for item in cell):
        raise ValueError('a list of texts: ["…", "…"]')
    return cell


def _json(field: Any, cell: object, now: datetime) -> Any:
    if not isinstance(cell, dict | list):
        raise ValueError("a table { name = … } or a list [ … ]")
    return _plain(cell)


def _plain(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: _plain(value) for name, value in item.items()}
    if isinstance(item, list):
        return [_plain(value) for value in item]
    if isinstance(item, Decimal):
        return float(item)
    if not isinstance(item, str | int):
        raise ValueError("JSON, which has no dates and times: put them in quotes")
    return item


_CONVERTERS: tuple[tuple[type, Callable[[Any, object, datetime], Any]], ...] = (
    (EnumField, _enumerated),  # before the text that it is stored as
    (TextField, _text),
    (UUIDField, _uuid),
    (BooleanField, _boolean),
    (IntegerField, _integer),
    (DecimalField, _decimal),
    (TimestampField, lambda field, cell, now: to_moment(cell, now)),
    (DateField, lambda field, cell, now: to_date(cell, now)),
    (ListField, _list),
    (JsonField, _json),
)
