"""Backups in a folder: files 0600, written under a temporary name, made durable, then renamed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from legal_store.backup.stores import Store, StoreWriter
from legal_store.errors import BackupError

PARTIAL = ".partial"
_LOCK = ".lock"


class LocalStore(Store):
    """A folder. It is made, for its owner only, at the first backup."""

    def __init__(self, path: str | Path) -> None:
        self.folder = Path(path).expanduser().absolute()
        self.url = str(self.folder)

    def objects(self) -> dict[str, int]:
        if not self.folder.is_dir():
            return {}
        return {file.name: file.stat().st_size for file in sorted(self.folder.iterdir()) if _is_object(file)}

    def writer(self, name: str, *, estimate: int | None = None) -> StoreWriter:
        self._prepare()
        if (self.folder / name).exists():
            raise _exists(self.folder / name)
        return _FileWriter(self.folder / name)

    @contextmanager
    def reader(self, name: str) -> Iterator[BinaryIO]:
        with (self.folder / name).open("rb") as file:
            yield file

    def replace(self, name: str, content: bytes) -> None:
        self._prepare()
        writer = _FileWriter(self.folder / name)
        try:
            writer.write(content)
            writer.commit(replace=True)
        except BaseException:
            writer.abort()
            raise

    def delete(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        _make_durable(self.folder)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        self._prepare()
        with self._lock_file() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    def clean_up(self, *, belongs: Callable[[str, dict[str, int]], bool]) -> list[str]:
        if not self.folder.is_dir():
            return []
        with self._lock_file() as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return []
            return self._remove_leftovers(belongs)

    def _remove_leftovers(self, belongs: Callable[[str, dict[str, int]], bool]) -> list[str]:
        complete = self.objects()
        leftovers = [file.name for file in self.folder.glob(f".*{PARTIAL}")]
        leftovers += [name for name in complete if not belongs(name, complete)]
        for name in leftovers:
            self.delete(name)
        return leftovers

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class _FileWriter(StoreWriter):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
        self._file = os.fdopen(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def write(self, data: bytes) -> object:
        return self._file.write(data)

    def commit(self, *, replace: bool = False) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if replace:
            self._partial.replace(self._path)
        else:
            self._publish()
        _make_durable(self._path.parent)

    def _publish(self) -> None:
        try:
            os.link(self._partial, self._path)  # unlike rename, it never takes the place of a file
        except FileExistsError:
            raise _exists(self._path) from None
        self._partial.unlink()

    def abort(self) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)


def _is_object(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".")


def _exists(path: Path) -> BackupError:
    return BackupError(
        f"{path} exists, and a backup is never overwritten.", remedy="Run it again: names hold the second."
    )


def _make_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
