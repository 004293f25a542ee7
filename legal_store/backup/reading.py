"""Reading a backup back: the stored bytes as pg_dump wrote them, checked on the way and to the end."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from legal_store.backup.clients import Client, Running, clients
from legal_store.backup.encryption import DataKey
from legal_store.backup.keys import KEY_SOURCES, MasterKey
from legal_store.backup.manifest import Manifest
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.stores import Store
from legal_store.backup.streams import CHUNK, HashingReader, decoding
from legal_store.errors import BackupError, ConfigurationError, DamagedBackupError


class ArchiveReader:
    """The dump inside a backup, read once from its beginning. Raises DamagedBackupError."""

    def __init__(self, stored: HashingReader, manifest: Manifest, data_key: DataKey | None) -> None:
        self._stored = stored
        self._manifest = manifest
        self._dump = decoding(stored, manifest.codec, data_key, manifest.bound_to())
        self.size = 0

    def read(self, size: int = CHUNK) -> bytes:
        """Return the next bytes, an empty answer at the end."""
        with _damage(self._manifest):
            content = self._dump.read(size)
        self.size += len(content)
        return content

    def finish(self) -> None:
        """Read to the end, then compare size and digest with the manifest's."""
        while self.read():
            pass
        with _damage(self._manifest):
            self._stored.drain()
        if self._stored.hexdigest() != self._manifest.sha256 or self._stored.size != self._manifest.size:
            raise _damaged(self._manifest, "its digest is not the one in the manifest")
        if self.size != self._manifest.raw_size:
            raise _damaged(self._manifest, f"it holds {self.size} bytes instead of {self._manifest.raw_size}")


@contextmanager
def open_archive(store: Store, manifest: Manifest, master: MasterKey | None) -> Iterator[ArchiveReader]:
    """Open the dump of a backup. Raises ConfigurationError where it is encrypted and there is no key."""
    data_key = None
    if manifest.encryption is not None:
        if master is None:
            raise ConfigurationError(
                f"{manifest.name} is encrypted, and there is no key.",
                remedy=f"Set the key {manifest.encryption.key_id}: {KEY_SOURCES}.",
            )
        data_key = manifest.data_key(master)
    with store.reader(manifest.data_file) as stored:
        yield ArchiveReader(HashingReader(stored), manifest, data_key)


def check_archive(store: Store, manifest: Manifest, master: MasterKey | None, *, progress: Progress = SILENT) -> bytes:
    """Read a backup to its end: digest, decryption, decompression, table of contents. Writes nothing to disk.

    Returns the beginning of the dump, with the whole table of contents in it. Raises DamagedBackupError.
    """
    with open_archive(store, manifest, master) as archive:
        head = _read_contents(archive, manifest)
        while archive.read():
            progress.advance(archive.size, manifest.raw_size)
        archive.finish()
    return head


def table_of_contents(path: Path, *arguments: str, pass_fds: Sequence[int] = ()) -> str:
    """Return what `pg_restore --list` says about an archive that it can open by its path.

    Raises DamagedBackupError when it cannot.
    """
    with Running(pg_restore(), ["--list", *arguments, path], {}, stdout=subprocess.PIPE, pass_fds=pass_fds) as running:
        output = running.process.stdout
        assert output is not None  # noqa: S101
        text = output.read().decode(errors="replace")
        if running.process.wait():
            raise DamagedBackupError(f"{path} is no archive that pg_restore can read: {running.messages()}.")
    return text


def pg_restore() -> Client:
    """Return the newest pg_restore: it reads what any older pg_dump wrote. Raises ConfigurationError without one."""
    return max(clients("pg_restore"), key=lambda one: one.version, default=None) or _no_pg_restore()


def _no_pg_restore() -> Client:
    raise ConfigurationError("There is no pg_restore.", remedy="`pip install 'legal-store[embedded]'`.")


def _read_contents(archive: ArchiveReader, manifest: Manifest) -> bytes:
    """Feed pg_restore until it has read the table of contents; return what it took."""
    head = bytearray()
    with Running(pg_restore(), ["--list"], {}, stdin=subprocess.PIPE) as running:
        feed_until_closed(archive, running.process.stdin, head)
        if running.process.wait():
            raise _damaged(manifest, f"pg_restore cannot read its table of contents ({running.messages()})")
    return bytes(head)


def feed_until_closed(archive: ArchiveReader, pipe: IO[bytes] | None, taken: bytearray) -> None:
    """Write the archive into `pipe` until its reader wants no more, noting in `taken` what was offered."""
    assert pipe is not None  # noqa: S101
    try:
        while content := archive.read(1 << 16):
            taken += content
            pipe.write(content)
        pipe.close()
    except BrokenPipeError:
        pass


@contextmanager
def _damage(manifest: Manifest) -> Iterator[None]:
    import zstandard
    from tink import TinkError

    try:
        yield
    except (TinkError, zstandard.ZstdError, EOFError, zlib.error) as error:
        raise _damaged(manifest, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:120]}") from None
    except OSError as error:
        if error.errno is None:  # gzip's BadGzipFile
            raise _damaged(manifest, str(error)) from None
        raise BackupError(f"Reading {manifest.data_file} failed: {error}.", remedy="Try again.") from error


def _damaged(manifest: Manifest, why: str) -> DamagedBackupError:
    return DamagedBackupError(
        f"{manifest.data_file} was changed or damaged: {why}.",
        remedy="Use another backup, or another copy of this one.",
    )
