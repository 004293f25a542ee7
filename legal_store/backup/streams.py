"""The pipe between pg_dump and a store, in both directions: compress, encrypt, count, hash; memory stays bounded."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from legal_store.backup.encryption import DataKey
from legal_store.backup.manifest import GZIP, ZSTD

CHUNK = 1 << 20
_ZSTD_LEVEL = 2  # levels 3 to 7 look for repetitions in the digits of vectors, and make them larger than gzip does
_GZIP_LEVEL = 6


class HashingWriter(io.RawIOBase):
    """Passes bytes on while it counts and hashes them. Closing it does not close the target."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self._write = write
        self._hash = hashlib.sha256()
        self.size = 0
        self.dead = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.dead:  # Tink's stream writes its end also when it is thrown away after an error
            return len(data)
        content = bytes(data)
        self._hash.update(content)
        self.size += len(content)
        self._write(content)
        return len(content)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class HashingReader(io.RawIOBase):
    """Reads from a source while it counts and hashes. Closing it does not close the source."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._source.read(len(buffer))
        buffer[: len(content)] = content
        self._hash.update(content)
        self.size += len(content)
        return len(content)

    def drain(self) -> None:
        """Read what the layers above left, so that the digest covers all."""
        while self.read(CHUNK):
            pass

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class Encoder:
    """What pg_dump writes goes in, what is stored comes out at `target`: compressed, then encrypted."""

    def __init__(self, target: HashingWriter, codec: str, data_key: DataKey | None, bound_to: bytes) -> None:
        self._target = target
        self._layers: list[BinaryIO] = []
        below = cast(BinaryIO, target)
        if data_key is not None:
            below = data_key.encrypting(below, bound_to)
            self._layers.append(below)
        if codec in (ZSTD, GZIP):
            below = _compressing(below, codec)
            self._layers.append(below)
        self._top = below
        self.raw_size = 0

    def write(self, data: bytes) -> None:
        self.raw_size += len(data)
        self._top.write(data)

    def finish(self) -> None:
        """Write the ends of all layers; only now is the stored stream whole."""
        for layer in reversed(self._layers):
            layer.close()

    def abandon(self) -> None:
        """Let nothing more reach the target: what it has stays without an end."""
        self._target.dead = True


def decoding(source: HashingReader, codec: str, data_key: DataKey | None, bound_to: bytes) -> BinaryIO:
    """Return a stream of what pg_dump wrote. It raises TinkError, ZstdError or OSError on what is not right."""
    below = cast(BinaryIO, source)
    if data_key is not None:
        below = data_key.decrypting(below, bound_to)
    if codec == ZSTD:
        import zstandard

        return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(below, read_size=CHUNK))
    if codec == GZIP:
        return cast(BinaryIO, gzip.GzipFile(fileobj=below, mode="rb"))
    return below


def _compressing(target: BinaryIO, codec: str) -> BinaryIO:
    if codec == GZIP:
        return cast(BinaryIO, gzip.GzipFile(fileobj=target, mode="wb", compresslevel=_GZIP_LEVEL, filename="", mtime=0))
    import zstandard

    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, threads=-1, write_checksum=True)
    return cast(BinaryIO, compressor.stream_writer(target, closefd=False, write_size=CHUNK))
