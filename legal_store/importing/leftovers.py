"""What a killed import leaves: a quarantine with real data. A note in a folder makes the next command drop it.

The note is locked while its import lives, so that a look and a lock tell every other command whether there is
something to do; which databases are to be dropped, they say themselves (see restore/marks.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2

from legal_store.database.target import describe_target
from legal_store.errors import RefusedError, ServerUnavailableError
from legal_store.restore import drop_abandoned


@contextmanager
def noted(folder: Path, parameters: dict[str, Any]) -> Iterator[None]:
    """Keep a note in `folder` while the block imports into the database of `parameters`.

    Afterwards, however the block ends, no quarantine is on the server, or the note stays. Raises RefusedError
    where another import into that database is at work.
    """
    target = describe_target(parameters)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    note = folder / hashlib.sha256(target.encode()).hexdigest()[:16]
    descriptor = os.open(note, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(descriptor):
            raise RefusedError(f"Another import into {target} is at work.", remedy="Wait for it, or end it.")
        os.pwrite(descriptor, _server(parameters).encode(), 0)
        try:
            yield
        finally:
            _drop(note, parameters)
    finally:
        os.close(descriptor)


def drop_what_was_left(folder: Path, parameters: dict[str, Any]) -> list[str]:
    """Drop what killed imports have left on the server of `parameters`; return the names. Without a note, ask nobody.

    The note of another server stays, and so does one whose server cannot be asked now.
    """
    dropped: list[str] = []
    for note in folder.glob("*"):
        with note.open() as file:
            if _lock(file.fileno()) and file.read() in (_server(parameters), ""):
                dropped += _drop(note, parameters)
    return dropped


def _server(parameters: dict[str, Any]) -> str:
    return describe_target({name: parameters[name] for name in ("host", "port") if name in parameters})


def _drop(note: Path, parameters: dict[str, Any]) -> list[str]:
    dropped: list[str] = []
    with suppress(ServerUnavailableError, psycopg2.Error):
        dropped = drop_abandoned(parameters)
        note.unlink(missing_ok=True)
    return dropped


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed or the process ends; return whether nobody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
