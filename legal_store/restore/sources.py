"""What can be restored: a backup of ours, an archive of pg_dump, or SQL of the original's kind."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from legal_store.backup.catalog import base_name, load
from legal_store.backup.keys import MasterKey
from legal_store.backup.manifest import SUFFIX, Manifest
from legal_store.backup.noting import damage_noted
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.reading import check_archive, open_archive, table_of_contents
from legal_store.backup.stores import Store
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import BackupError, DamagedBackupError, RefusedError

_ARCHIVE_MAGIC = b"PGDMP"
_GZIP_MAGIC = b"\x1f\x8b"


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
    """An archive of pg_dump that pg_restore can open by its path: custom format, or a directory."""

    def __init__(self, path: Path, manifest: Manifest | None = None) -> None:
        self.path = path
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
        with damage_noted(self.store, self.manifest, self.master, progress=progress):
            self.head = check_archive(self.store, self.manifest, self.master, progress=progress)

    def open(self) -> AbstractContextManager[DumpStream]:
        return open_archive(self.store, self.manifest, self.master)


class SqlFile(Source):
    """Plain SQL, gzipped or not. It can run commands, so it needs the user's word that it may be trusted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def check(self, progress: Progress = SILENT) -> None:
        try:
            with self.open() as text:
                while text.read(1 << 20):
                    pass
        except (OSError, EOFError) as error:
            raise DamagedBackupError(f"{self.path} cannot be read to its end: {error}.") from None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with self.path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            yield gzip.GzipFile(fileobj=file, mode="rb") if packed else file  # type: ignore[misc]


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
        begin = file.read(len(_ARCHIVE_MAGIC))
    if begin == _ARCHIVE_MAGIC:
        return ArchiveFile(path)
    if path.name.endswith((".zst", ".enc", ".dump.gz")):
        raise BackupError(f"{path} has no manifest beside it.", remedy=f"Put {base_name(path.name)}{SUFFIX} there.")
    if not trust_sql:
        raise RefusedError(
            f"{path} is an SQL file, and such a file can run any command as you, on this machine too (CVE-2025-8714).",
            remedy="If you know who made it, run it again with --trust-sql; better, use pg_dump -Fc.",
        )
    return SqlFile(path)
