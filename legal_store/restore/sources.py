"""What can be restored: a backup of ours, an archive of pg_dump, or SQL of the original's kind."""

from __future__ import annotations

import gzip
import os
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from legal_store.backup.catalog import base_name, load
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import SUFFIX, Manifest
from legal_store.backup.noting import failure_noted
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.reading import check_archive, open_archive, table_of_contents
from legal_store.backup.stores import Store
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import BackupError, DamagedBackupError, RefusedError
from legal_store.restore.plain_sql import PlainSql

_ARCHIVE_MAGIC = b"PGDMP"
_GZIP_MAGIC = b"\x1f\x8b"
_PACKED = {
    _GZIP_MAGIC: "gzip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257
_BEGINNING = 4096


class DumpStream(Protocol):
    """A dump that is read once from its beginning; `finish` proves that all of it was right."""

    def read(self, size: int = ...) -> bytes: ...

    def finish(self) -> None: ...


class Source:
    """Something to restore. `manifest` is None where it is not a backup of ours."""

    name: str
    manifest: Manifest | None = None

    def check(self, progress: Progress = SILENT) -> None:
        """Read all of it and raise DamagedBackupError unless it is whole; nothing is written anywhere."""
        raise NotImplementedError


class ArchiveFile(Source):
    """An archive of pg_dump that pg_restore can open by its path: custom format, a directory, or tar.

    Of the last one only a single job can read.
    """

    def __init__(self, path: Path, manifest: Manifest | None = None, *, divisible: bool = True) -> None:
        self.path = path
        self.divisible = divisible
        self.name = path.name
        self.manifest = manifest
        self.contents = ""

    def check(self, progress: Progress = SILENT) -> None:
        self.contents = table_of_contents(self.path)


class Backup(Source):
    """A backup of ours that has to be decoded while it is read."""

    def __init__(self, store: Store, manifest: Manifest, master: MasterKey | None) -> None:
        self.store = store
        self.manifest: Manifest = manifest
        self.master = master
        self.name = manifest.name
        self.head = b""

    @property
    def hash_seed(self) -> int:
        """The seed of the content hashes in the manifest."""
        if self.manifest.encryption is None or self.master is None:
            return 0
        return self.manifest.data_key(self.master).hash_seed()

    def check(self, progress: Progress = SILENT) -> None:
        with failure_noted(self.store, self.manifest, self.master, progress=progress):
            self.head = check_archive(self.store, self.manifest, self.master, progress=progress)

    def open(self) -> AbstractContextManager[DumpStream]:
        return open_archive(self.store, self.manifest, self.master)


class SqlFile(Source):
    """Plain SQL, gzipped or not. It can run commands, so it needs the user's word that it may be trusted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def check(self, progress: Progress = SILENT) -> None:
        with self.open() as pieces:
            deque(pieces, maxlen=0)

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        """Yield the text in pieces, of statements that were judged. Reading them raises what PlainSql raises."""
        with self.path.open("rb") as file:
            packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            file.seek(0)
            text: Any = gzip.GzipFile(fileobj=file, mode="rb") if packed else file
            yield PlainSql(self.name, lambda size: self._read(text, size)).pieces()

    def _read(self, text: Any, size: int) -> bytes:
        try:
            return bytes(text.read(size))
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedBackupError(f"{self.path} cannot be read to its end: {error}.") from None


def find_source(wanted: str, store: Store, master: MasterKey | None, *, trust_sql: bool = False) -> Source:
    """Return what `wanted` names: a backup in `store`, or the path of a file or directory.

    A file that lies beside its manifest is a backup of ours. Raises BackupError when there is nothing,
    DamagedBackupError for a broken manifest, RefusedError for SQL without `trust_sql`.
    """
    path = Path(wanted).expanduser()
    if not path.exists() and os.sep in wanted:
        raise BackupError(f"There is no file {path}.", remedy="See `invoke backup.list`.")
    if not path.exists():
        return Backup(store, load(store, path.name, master), master)
    beside = LocalStore(path.parent)
    if path.is_file() and base_name(path.name) + SUFFIX in beside.objects():
        return Backup(beside, load(beside, path.name, master), master)
    if path.is_dir():
        return _directory(path)
    return _file(path, trust_sql)


def _directory(path: Path) -> Source:
    if not (path / "toc.dat").is_file():
        raise BackupError(f"{path} is a folder but no archive of pg_dump: it has no file toc.dat.")
    return ArchiveFile(path)


def _file(path: Path, trust_sql: bool) -> Source:
    with path.open("rb") as file:
        begin = file.read(_BEGINNING)
    if begin.startswith(_ARCHIVE_MAGIC):
        return ArchiveFile(path)
    if _is_tar(begin):
        return ArchiveFile(path, divisible=False)
    _refuse_other_kinds(path, begin)
    if not trust_sql:
        raise RefusedError(
            f"{path} is an SQL file, and such a file can run any command as you, on this machine too (CVE-2025-8714).",
            remedy="If you know who made it, run it again with --trust-sql; better, use pg_dump -Fc.",
        )
    return SqlFile(path)


def _refuse_other_kinds(path: Path, begin: bytes) -> None:
    """Raise BackupError that names the kind of a file that is neither an archive of pg_dump nor SQL."""
    ours = f"If it is a backup of ours, put {base_name(path.name)}{SUFFIX} beside it"
    if path.name.endswith(".enc"):
        raise BackupError(f"{path} is encrypted, and has no manifest beside it.", remedy=f"{ours}.")
    packed = next((how for magic, how in _PACKED.items() if begin.startswith(magic)), None)
    content = _unzipped(begin) if packed == "gzip" else begin
    if packed and (packed != "gzip" or content.startswith(_ARCHIVE_MAGIC) or _is_tar(content)):
        raise BackupError(
            f"{path} is packed by {packed}, and has no manifest beside it.",
            remedy=f"{ours}; else unpack it, and restore what comes out.",
        )
    if b"\0" in content:
        raise BackupError(
            f"{path} is neither an archive of pg_dump nor SQL.", remedy="Use pg_dump -Fc, or see `invoke backup.list`."
        )


def _is_tar(begin: bytes) -> bool:
    return begin[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC)


def _unzipped(begin: bytes) -> bytes:
    """Return how the content of a gzip file begins, nothing where it is broken: reading it to its end tells."""
    try:
        return zlib.decompressobj(wbits=31).decompress(begin, _BEGINNING)
    except zlib.error:
        return b""
