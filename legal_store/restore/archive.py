"""pg_dump's custom format, as far as it takes to hand out the rows of one table to several jobs.

An archive is a head (what there is: definitions and the order of the data) and blocks of data. A block belongs to one
entry of the head; it is cut into chunks anywhere, and inside they are COPY's text, maybe as one zlib stream. The
format is that of PostgreSQL's src/bin/pg_dump, pg_backup_archiver.c and pg_backup_custom.c.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import NamedTuple

ROWS = 1

_PIECE = 1 << 20
_MAGIC = b"PGDMP"
_VERSIONS = {(1, 15), (1, 16)}  # PostgreSQL 16, and 17 and 18
_WIDTH, _CUSTOM = 4, 1
_NO_COMPRESSION, _ZLIB = 0, 1
_NUMBER = struct.Struct("<BI")  # sign and value, four bytes wide as pg_dump writes them everywhere today
_VALUE = struct.Struct("<xI")
_ROWS_END = b"\\.\n\n\n"


class Head(NamedTuple):
    """The beginning of an archive, up to its data; `content` announces blocks that are not compressed."""

    content: bytes
    compressed: bool

    @property
    def size(self) -> int:
        return len(self.content)


class Reader:
    """Bytes and numbers of an archive, from a function that reads on. Raises EOFError where it ends too early."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._buffer = b""
        self._place = 0
        self._seen = 0

    @property
    def position(self) -> int:
        """How much was taken."""
        return self._seen - len(self._buffer) + self._place

    def at_end(self) -> bool:
        if self._place == len(self._buffer):
            self._buffer, self._place = self._read(_PIECE), 0
            self._seen += len(self._buffer)
        return not self._buffer

    def take(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes, never more than a megabyte at a time."""
        while size:
            if self.at_end():
                raise EOFError("the archive ends in the middle of its data")
            piece = self._buffer[self._place : self._place + size]
            self._place += len(piece)
            size -= len(piece)
            yield piece

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        sign, value = _NUMBER.unpack(self.take(_NUMBER.size))
        return -value if sign else int(value)

    def text(self) -> bytes | None:
        size = self.number()
        return None if size < 0 else self.take(size)

    def chunks(self) -> Iterator[bytes]:
        """Yield what a sequence of chunks holds, up to its end, in pieces of any size."""
        while True:
            yield from self._whole_chunks()
            size = self.number()
            if not size:
                return
            yield from self.pieces(size)

    def _whole_chunks(self) -> Iterator[bytes]:
        """The chunks that are in the buffer as a whole: pg_dump writes one for each row, so this is the hot loop."""
        buffer, place, last = self._buffer, self._place, len(self._buffer) - _NUMBER.size
        found = []
        while place <= last:
            (size,) = _VALUE.unpack_from(buffer, place)
            begin = place + _NUMBER.size
            if not size or begin + size > len(buffer):
                break
            place = begin + size
            found.append(buffer[begin:place])
        self._place = place
        if found:
            yield b"".join(found)


def read_head(beginning: bytes) -> Head | None:
    """Return the head of the archive that begins so; None where it is of a kind that is not known here."""
    reader = Reader(BytesIO(beginning).read)
    if reader.take(len(_MAGIC)) != _MAGIC:
        return None
    version, _ = (reader.byte(), reader.byte()), reader.byte()
    width, offset_width, form = reader.byte(), reader.byte(), reader.byte()
    place, algorithm = reader.position, reader.byte()
    if version not in _VERSIONS or (width, form) != (_WIDTH, _CUSTOM) or algorithm not in (_NO_COMPRESSION, _ZLIB):
        return None
    for _ in range(7):  # the time it was made
        reader.number()
    for _ in range(3):  # database, versions of server and pg_dump
        reader.text()
    for _ in range(reader.number()):
        _skip_entry(reader, version, offset_width)
    content = bytearray(beginning[: reader.position])
    content[place] = _NO_COMPRESSION
    return Head(bytes(content), algorithm == _ZLIB)


def _skip_entry(reader: Reader, version: tuple[int, int], offset_width: int) -> None:
    """Read over one entry of the table of contents."""
    reader.take(2 * _NUMBER.size)  # its number, and whether it has data
    for _ in range(4):  # object ids, name, kind
        reader.text()
    reader.number()  # section
    for _ in range(6):  # definition, drop, copy, schema, tablespace, access method
        reader.text()
    if version >= (1, 16):
        reader.number()  # kind of relation
    for _ in range(2):  # owner, and a word that is always false
        reader.text()
    while reader.text() is not None:  # what it depends on
        pass
    reader.take(1 + offset_width)  # where its data is, if pg_dump could seek


def inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what a zlib stream in `pieces` holds, never more than a megabyte at a time. Raises zlib.error."""
    stream = zlib.decompressobj()
    for piece in pieces:
        while piece:
            if content := stream.decompress(piece, _PIECE):
                yield content
            piece = stream.unconsumed_tail
    if rest := stream.flush():
        yield rest
    if not stream.eof:
        raise EOFError("compressed rows end too early")


def rows(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what COPY reads in `pieces`, without the line that ends it. Raises EOFError where that is missing."""
    held = b""
    for piece in pieces:
        held += piece
        if len(held) > len(_ROWS_END):
            yield held[: -len(_ROWS_END)]
            held = held[-len(_ROWS_END) :]
    if held != _ROWS_END:
        raise EOFError("the rows of a table have no end")


def number(value: int) -> bytes:
    """Return a number as archives hold it."""
    return _NUMBER.pack(value < 0, abs(value))


def chunk(content: bytes) -> bytes:
    """Return `content` as one chunk."""
    return number(len(content)) + content
