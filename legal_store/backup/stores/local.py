"""Backups in a folder: files 0600, written under a temporary name, made durable, then renamed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from legal_store.backup.stores import LEFT_AFTER, LeftoverOf, Store, StoreWriter
from legal_store.errors import BackupError

PARTIAL = ".partial"
_CLAIM = ".legal_store-run"
_LOCK = ".lock"


class LocalStore(Store):
    """A folder. It is made, for its owner only, at the first backup.

    A run holds its names by a lock on a file, which ends with it, however it ends. What nobody held (somebody may
    be copying it back) is a leftover only when it is older than `left_after`.
    """

    def __init__(self, path: str | Path, *, left_after: timedelta = LEFT_AFTER) -> None:
        self.folder = Path(path).expanduser().resolve()
        self.url = str(self.folder)
        self._left_after = left_after

    def objects(self) -> dict[str, int]:
        if self.folder.exists() and not self.folder.is_dir():
            raise BackupError(f"{self.folder} is no folder.", remedy="Name the folder of the backups.")
        if not self.folder.is_dir():
            return {}
        found = {}
        for file in sorted(self.folder.iterdir()):
            with suppress(FileNotFoundError):  # somebody deletes it at this moment
                if _is_object(file):
                    found[file.name] = file.stat().st_size
        return found

    def writer(self, name: str, *, estimate: int | None = None) -> StoreWriter:
        self._prepare()
        if (self.folder / name).exists():
            raise _exists(self.folder / name)
        return _FileWriter(self.folder / name)

    @contextmanager
    def reader(self, name: str) -> Iterator[BinaryIO]:
        try:
            file = (self.folder / name).open("rb")
        except FileNotFoundError:
            raise BackupError(f"There is no {name} in {self.url}.", remedy="See `invoke backup.list`.") from None
        with file:
            yield file

    def exchange(self, name: str, old: bytes, new: bytes) -> bool:
        with self._changing():
            if self.read(name) != old:
                return False
            writer = _FileWriter(self.folder / name)
            try:
                writer.write(new)
                writer.commit(replace=True)
            except BaseException:
                writer.abort()
                raise
        return True

    def delete(self, name: str) -> None:
        with self._changing():
            (self.folder / name).unlink(missing_ok=True)
            _make_durable(self.folder)

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        self._prepare()
        path = self.folder / f".{name}{_CLAIM}"
        descriptor = _locked(path)
        if descriptor is None:
            yield False
            return
        try:
            yield True
            path.unlink(missing_ok=True)
        except BaseException:
            if not self._has_files_of(name):  # else it stays, unlocked: a sign of what has to be cleaned up
                path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def _has_files_of(self, name: str) -> bool:
        ours = (f"{name}.", f".{name}.")
        return any(file.name.startswith(ours) and not file.name.endswith(_CLAIM) for file in self.folder.iterdir())

    def clean_up(self, leftover_of: LeftoverOf) -> list[str]:
        abandoned = {claim.name[1 : -len(_CLAIM)] for claim in self.folder.glob(f".*{_CLAIM}")}
        removed = []
        for name in sorted({*abandoned, *self._leftovers(leftover_of).values()}):
            with self.claim(name) as ours:
                files = [file for file, of in self._leftovers(leftover_of).items() if of == name] if ours else []
                removed += self._remove([file for file in files if name in abandoned or self._is_old(file)])
        return removed

    def _leftovers(self, leftover_of: LeftoverOf) -> dict[str, str]:
        """Return the files that are of no use if no run is at them, each with the name it belongs to."""
        complete = self.objects()
        found = {name: leftover_of(name, complete) for name in complete}
        for partial in self.folder.glob(f".*.*{PARTIAL}"):
            target = partial.name.removesuffix(PARTIAL).removeprefix(".").rpartition(".")[0]
            found[partial.name] = leftover_of(target, {})
        return {file: of for file, of in found.items() if of is not None}

    def _remove(self, names: list[str]) -> list[str]:
        for name in names:
            self.delete(name)
        return names

    def _is_old(self, name: str) -> bool:
        """By the time at which its inode last changed: unlike that of its content, no copying brings it along."""
        try:
            return time.time() - (self.folder / name).stat().st_ctime >= self._left_after.total_seconds()
        except FileNotFoundError:
            return False

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold off others that change or delete an object; for moments only."""
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class _FileWriter(StoreWriter):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
        self._file = os.fdopen(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def write(self, data: bytes) -> object:
        with self._room():
            return self._file.write(data)

    def commit(self, *, replace: bool = False) -> None:
        with self._room():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        if replace:
            self._partial.replace(self._path)
        else:
            self._publish()
        _make_durable(self._path.parent)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackupError(
                f"{self._path} cannot be written: {error.strerror}.",
                remedy="Make room there, or name another folder; what was written of it is removed.",
            ) from None

    def _publish(self) -> None:
        try:
            os.link(self._partial, self._path)  # unlike rename, it never takes the place of a file
        except FileExistsError:
            raise _exists(self._path) from None
        self._partial.unlink()

    def abort(self) -> None:
        with suppress(OSError):  # closing writes what is buffered
            self._file.close()
        self._partial.unlink(missing_ok=True)


def _is_object(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".")


def _locked(path: Path) -> int | None:
    """Make the file `path` and return a descriptor that holds its lock; None where another run holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)  # its holder removed it between our opening and locking it


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
