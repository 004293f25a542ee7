"""Restore for logins that may not create databases: all objects replaced in one transaction of pg_restore."""

from __future__ import annotations

from legal_store.backup.progress import Progress
from legal_store.backup.reading import table_of_contents
from legal_store.restore.loading import Loader, in_memory
from legal_store.restore.sources import ArchiveFile, Backup, Source

# What belongs to the server's administrator on the hosts where this mode is needed, and stays as it is.
_LEFT_ALONE = (
    " EXTENSION - ",
    " COMMENT - EXTENSION ",
    " SCHEMA - public ",
    " COMMENT - SCHEMA public ",
    " ACL - SCHEMA public ",
)


def replace_objects(source: Source, loader: Loader, progress: Progress) -> None:
    """Drop and make again every object of the backup, in one transaction: all of it or nothing.

    Objects that the backup does not know stay; one of them that needs a replaced object makes it fail as a whole.
    Extensions are left alone. Raises ProgramFailedError.
    """
    arguments = ["--clean", "--if-exists", "--single-transaction"]
    if isinstance(source, Backup):
        with in_memory(source.head) as head:
            listed = table_of_contents(head.path, pass_fds=[head.descriptor])
        with in_memory(_wanted(listed)) as entries:
            loader.feed([*arguments, f"--use-list={entries.path}"], source, progress, entries.descriptor)
    elif isinstance(source, ArchiveFile):
        with in_memory(_wanted(source.contents)) as entries:
            loader.run([*arguments, f"--use-list={entries.path}", source.path], entries.descriptor)


def _wanted(listed: str) -> bytes:
    kept = [line for line in listed.splitlines() if not any(mark in line for mark in _LEFT_ALONE)]
    return ("\n".join(kept) + "\n").encode()
