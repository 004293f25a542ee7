"""Where backups are kept. A store is named by a URL: a folder's path, `s3://bucket/prefix`, or a plugin's scheme.

A plugin is an entry point in the group `legal_store.backup_stores` whose name is the scheme and which, called with
the URL, returns a Store.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from importlib.metadata import entry_points
from typing import BinaryIO
from urllib.parse import urlsplit

from legal_store.errors import ConfigurationError

_READ_BYTES = 1 << 20
ENTRY_POINT_GROUP = "legal_store.backup_stores"

# After this a leftover is one, where nobody can see whether a run is still at it.
LEFT_AFTER = timedelta(hours=24)

LeftoverOf = Callable[[str, dict[str, int]], str | None]
"""Given an object's name and the sizes of all: the name of the backup of which it is left, None where it is of use."""


class StoreWriter(ABC):
    """Writes one object. It appears under its name when `commit` returns, whole, or never."""

    @abstractmethod
    def write(self, data: bytes) -> object:
        """Add `data`."""

    @abstractmethod
    def commit(self) -> None:
        """Make the object visible and durable. Raises BackupError when the name is taken."""

    @abstractmethod
    def abort(self) -> None:
        """Remove what was written so far. Called after an error; raises nothing of its own."""


class Store(ABC):
    """A flat set of named objects. All errors are BackupError."""

    url: str
    """What to show and to open it by again; without secrets."""

    @abstractmethod
    def objects(self) -> dict[str, int]:
        """Return the size in bytes of every object that is complete, by name."""

    @abstractmethod
    def writer(self, name: str, *, estimate: int | None = None) -> StoreWriter:
        """Begin an object. `estimate`: its size in bytes, if something is known. Raises BackupError if it exists."""

    @abstractmethod
    def reader(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open an object for reading from its beginning to its end."""

    @abstractmethod
    def exchange(self, name: str, old: bytes, new: bytes) -> bool:
        """Write `new` over a small object that holds `old`, whole; return False where it holds something else.

        One that is gone is not made again.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object; one that is gone already is no error."""

    @abstractmethod
    def claim(self, name: str) -> AbstractContextManager[bool]:
        """Hold all objects called `name` and a suffix for the block: no `clean_up` of others takes them for left.

        Yields False where another run holds them.
        """

    @abstractmethod
    def clean_up(self, leftover_of: LeftoverOf) -> list[str]:
        """Remove what interrupted runs left, and return its names.

        That is what `leftover_of` names, where the run that held it by `claim` is dead, or where it is so old that no
        run can be at it. Nothing else is ever removed.
        """

    def read(self, name: str) -> bytes:
        """Return a small object."""
        with self.reader(name) as source:
            return b"".join(iter(lambda: source.read(_READ_BYTES), b""))

    def create(self, name: str, content: bytes) -> None:
        """Write a small object that must not exist yet."""
        with written(self.writer(name, estimate=len(content))) as target:
            target.write(content)


@contextmanager
def written(writer: StoreWriter) -> Iterator[StoreWriter]:
    """Commit `writer` at the end of the block, abort it when the block fails."""
    try:
        yield writer
        writer.commit()
    except BaseException:
        writer.abort()
        raise


def open_store(url: str) -> Store:
    """Return the store that `url` names. No connection is made. Raises ConfigurationError for an unknown scheme."""
    from legal_store.backup.stores.local import LocalStore

    scheme = urlsplit(url).scheme if "://" in url else "file"
    if scheme == "file":
        return LocalStore(url.removeprefix("file://"))
    if scheme == "s3":
        from legal_store.backup.stores.s3 import S3Store

        return S3Store(url)
    return _plugin(scheme, url)


def _plugin(scheme: str, url: str) -> Store:
    found = [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == scheme]
    if len(found) > 1:
        places = " and ".join(entry.value for entry in found)
        raise ConfigurationError(f"Backups at {scheme}:// are claimed by {places}.", remedy="Uninstall one of them.")
    if not found:
        raise ConfigurationError(
            f"Backups cannot be kept at {scheme}://.",
            remedy=f"Use a folder or s3://bucket/prefix, or install a plugin ({ENTRY_POINT_GROUP}) for it.",
        )
    store: Store = found[0].load()(url)
    return store
