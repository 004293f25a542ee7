"""Values as bytes: MessagePack with the types kept, zstd where it pays, and nothing that could run code.

Kept are None, bool, int of any size, float, str, bytes, list, tuple, set, frozenset, dict with any keys, datetime,
date, time, timedelta, UUID, Decimal, members of enumerations, dataclasses, msgspec Structs, and rows of models with the
related rows that they had loaded. A value whose class has changed since is unreadable: the caller takes it as a miss.
"""

from __future__ import annotations

import dataclasses
import sys
import zlib
from collections.abc import Callable
from contextvars import ContextVar
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from importlib import import_module
from typing import Any
from uuid import UUID

from legal_store.errors import WrongUseError

COMPRESS_FROM = 1024  # bytes: below it zstd saves little
WORTH_IT = 0.9
LARGEST = 64 * 2**20  # bytes after decompression: a bomb is not opened

RAW, ZSTD = b"\x00", b"\x01"
# MessagePack's extension codes; never renumber
_TUPLE, _SET, _FROZENSET, _PAIRS, _INT = range(1, 6)
_DATETIME, _DATE, _TIME, _TIMEDELTA, _UUID, _DECIMAL = range(10, 16)
_ENUM, _MODEL, _DATACLASS, _STRUCT = range(20, 24)


class UnreadableError(Exception):
    """These bytes are no value that this version of the code can read."""


# a parameter of everything that packs would cost a tenth of packing
_look: ContextVar[Callable[[Any], None] | None] = ContextVar("legal_store_look", default=None)


def encode(value: Any, look: Callable[[Any], None] | None = None) -> bytes:
    """Return `value` as bytes. Raises WrongUseError that names the type that cannot be kept.

    `look` is called with each row of a model, wherever in the value it is, and may raise.
    """
    outer = _look.set(look)
    try:
        packed = _pack(value)
    finally:
        _look.reset(outer)
    if len(packed) >= COMPRESS_FROM:
        import zstandard

        squeezed = zstandard.ZstdCompressor(level=1).compress(packed)
        if len(squeezed) < len(packed) * WORTH_IT:
            return ZSTD + squeezed
    return RAW + packed


def decode(data: bytes | memoryview) -> Any:
    """Return the value that `encode` made `data` of, always a new object. Raises UnreadableError."""
    body = memoryview(data)
    try:
        if body[:1] == ZSTD:
            body = memoryview(_decompress(body[1:]))
        elif body[:1] == RAW:
            body = body[1:]
        else:
            raise UnreadableError("unknown coding")
        return _decoder().decode(body)
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def _decompress(body: memoryview) -> bytes:
    import zstandard

    size = zstandard.frame_content_size(body)
    if not 0 <= size <= LARGEST:
        raise UnreadableError(f"{size} bytes when decompressed")
    return bytes(zstandard.ZstdDecompressor().decompress(body, max_output_size=LARGEST))


def _pack(value: Any) -> bytes:
    import msgspec

    return msgspec.msgpack.encode(_plain(value))


def _ext(code: int, data: Any) -> Any:
    import msgspec

    return msgspec.msgpack.Ext(code, data if type(data) is bytes else _pack(data))


def _plain(value: Any) -> Any:
    """Return `value` with everything that MessagePack has no type for as an extension."""
    kind = type(value)
    if value is None or kind in (bool, str, float, bytes):
        return value
    if kind is dict:
        if all(type(name) is str for name in value):
            return {name: _plain(item) for name, item in value.items()}
        return _ext(_PAIRS, [list(pair) for pair in value.items()])
    if kind is list:
        return [_plain(item) for item in value]
    if kind is int:
        return value if -(2**63) <= value < 2**64 else _ext(_INT, str(value).encode())
    known = _WRITERS.get(kind)
    if known is not None:
        code, write = known
        return _ext(code, write(value))
    return _plain_object(value)


_WRITERS: dict[type, tuple[int, Callable[[Any], Any]]] = {
    tuple: (_TUPLE, list),
    set: (_SET, list),
    frozenset: (_FROZENSET, list),
    datetime: (_DATETIME, lambda value: value.isoformat().encode()),
    date: (_DATE, lambda value: value.isoformat().encode()),
    time: (_TIME, lambda value: value.isoformat().encode()),
    timedelta: (_TIMEDELTA, lambda value: [value.days, value.seconds, value.microseconds]),
    UUID: (_UUID, lambda value: value.bytes),
    Decimal: (_DECIMAL, lambda value: str(value).encode()),
}


def _plain_object(value: Any) -> Any:
    kind = type(value)
    if isinstance(value, Enum):
        return _ext(_ENUM, [_name_of(kind), value.value])
    if _is_model(kind):
        if (look := _look.get()) is not None:
            look(value)
        return _ext(_MODEL, [_name_of(kind), _shape_of(kind), value.__data__, value.__rel__])
    if dataclasses.is_dataclass(kind):
        values = {field.name: getattr(value, field.name) for field in dataclasses.fields(kind) if field.init}
        return _ext(_DATACLASS, [_name_of(kind), _shape_of(kind), values])
    if _is_struct(kind):
        values = {name: getattr(value, name) for name in kind.__struct_fields__}
        return _ext(_STRUCT, [_name_of(kind), _shape_of(kind), values])
    if hasattr(value, "tolist") and kind.__module__.startswith("numpy"):
        return _plain(value.tolist())
    raise WrongUseError(
        f"A {kind.__module__}.{kind.__qualname__} cannot be kept in Redis.",
        remedy="Keep plain data, rows of models, dataclasses or msgspec Structs.",
    )


def _restore(code: int, data: memoryview) -> Any:
    read = _READERS.get(code)
    if read is None:
        raise UnreadableError(f"unknown type {code}")
    return read(data)


def _unpack(data: memoryview) -> Any:
    return _decoder().decode(data)


@lru_cache(maxsize=1)
def _decoder() -> Any:
    import msgspec

    return msgspec.msgpack.Decoder(ext_hook=_restore)


def _text(data: memoryview) -> str:
    return str(data, "utf-8")


_READERS: dict[int, Callable[[memoryview], Any]] = {
    _TUPLE: lambda data: tuple(_unpack(data)),
    _SET: lambda data: set(_unpack(data)),
    _FROZENSET: lambda data: frozenset(_unpack(data)),
    _PAIRS: lambda data: dict(_unpack(data)),
    _INT: lambda data: int(_text(data)),
    _DATETIME: lambda data: datetime.fromisoformat(_text(data)),
    _DATE: lambda data: date.fromisoformat(_text(data)),
    _TIME: lambda data: time.fromisoformat(_text(data)),
    _TIMEDELTA: lambda data: timedelta(*_unpack(data)),
    _UUID: lambda data: UUID(bytes=bytes(data)),
    _DECIMAL: lambda data: Decimal(_text(data)),
    _ENUM: lambda data: _enum_member(*_unpack(data)),
    _MODEL: lambda data: _row(*_unpack(data)),
    _DATACLASS: lambda data: _record(dataclasses.is_dataclass, *_unpack(data)),
    _STRUCT: lambda data: _record(_is_struct, *_unpack(data)),
}


def _enum_member(name: str, value: Any) -> Any:
    return _class(name, lambda kind: issubclass(kind, Enum))(value)


def _record(allowed: Callable[[type], bool], name: str, shape: int, values: dict[str, Any]) -> Any:
    kind = _class(name, allowed)
    if _shape_of(kind) != shape:
        raise UnreadableError(f"{name} has other fields now")
    return kind(**values)


def _row(name: str, shape: int, columns: dict[str, Any], rows: dict[str, Any]) -> Any:
    model: Any = _class(name, _is_model)
    if _shape_of(model) != shape:
        raise UnreadableError(f"{name} has other columns now")
    row = model(__no_default__=1)
    row.__data__.update(columns)
    row.__rel__.update(rows)
    row._dirty.clear()
    return row


def _class(name: str, allowed: Callable[[type], bool]) -> Any:
    """Find a class by name among those that this process has imported; only our own modules are imported for it."""
    module_name, _, qualified = name.partition(":")
    module = sys.modules.get(module_name)
    if module is None and module_name.startswith("legal_store.models"):
        module = import_module(module_name)
    found: Any = module
    for part in qualified.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or not allowed(found):
        raise UnreadableError(f"{name} is no class that a value may have")
    return found


def _name_of(kind: type) -> str:
    if "<locals>" in kind.__qualname__:
        raise WrongUseError(
            f"The cache cannot find {kind.__qualname__} again: it was defined inside a function.",
            remedy="Define the class at the top of a module.",
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def _shape_of(kind: Any) -> int:
    """Return a number that changes when the class gets other fields: a value of an older release is not read."""
    if _is_model(kind):
        described = ",".join(f"{field.name} {field.field_type}" for field in kind._meta.sorted_fields)
    elif dataclasses.is_dataclass(kind):
        described = ",".join(f"{field.name} {field.type}" for field in dataclasses.fields(kind))
    else:
        described = ",".join(kind.__struct_fields__)
    return zlib.crc32(described.encode())


def _is_model(kind: type) -> bool:
    peewee = sys.modules.get("peewee")
    return peewee is not None and issubclass(kind, peewee.Model)


def _is_struct(kind: type) -> bool:
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and issubclass(kind, msgspec.Struct)
