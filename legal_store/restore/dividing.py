"""One reading of an archive for several pg_restores: each gets the head, every block, and a share of its rows.

A table is divided by rows, not given to one job as a whole: most databases have one table that is larger than all
others together, and its generated columns and parsing keep one core busy while the other ones wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from queue import Queue
from threading import Thread
from typing import Any, Protocol

from legal_store.backup.clients import Running, close_quietly
from legal_store.backup.progress import Progress
from legal_store.restore.archive import ROWS, Head, Reader, chunk, inflated, number, rows

_PIECES_AHEAD = 4  # of about a megabyte each


class Archive(Protocol):
    """A dump that is read once from its beginning."""

    def read(self, size: int = ...) -> bytes: ...


class JobGoneError(Exception):
    """A job has ended and reads no more; its exit code says why."""


class Job:
    """A pg_restore and the thread that fills its pipe, some pieces behind whoever writes. `gone`: it reads no more."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.gone = False
        self.given = 0
        self._pieces: Queue[bytes] = Queue(_PIECES_AHEAD)
        self._thread = Thread(target=self._fill, args=(running.process.stdin,), daemon=True)

    def __enter__(self) -> Job:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:  # what it has is of no use without the rest, and it may wait for a lock
            self.running.process.terminate()
        self.end()

    @property
    def backlog(self) -> int:
        return self._pieces.qsize()

    def write(self, piece: bytes) -> None:
        """Put a piece into its queue; waits while that is full. Raises JobGoneError."""
        if self.gone:
            raise JobGoneError
        if piece:
            self.given += len(piece)
            self._pieces.put(piece)

    def end(self) -> None:
        """Let it have what it was given, and then the end of its input."""
        if self._thread.is_alive():
            self._pieces.put(b"")
            self._thread.join()

    def _fill(self, pipe: Any) -> None:
        pieces = iter(self._pieces.get, b"")
        try:
            for piece in pieces:
                pipe.write(piece)
        except BrokenPipeError:
            self.gone = True
            deque(pieces, maxlen=0)  # its writer must not wait for somebody who is gone
        close_quietly(pipe)


def divide(archive: Archive, head: Head, jobs: Sequence[Job], progress: Progress, total: int) -> None:
    """Give every job the head and all blocks with rows, each with another share of them; large objects to the first.

    Raises JobGoneError, what `archive` raises, and EOFError or zlib.error where it is no archive like `head`.
    """
    reader = Reader(archive.read)
    deque(reader.pieces(head.size), maxlen=0)
    for job in jobs:
        job.write(head.content)
    while not reader.at_end():
        kind, entry = reader.byte(), reader.number()
        takers = jobs if kind == ROWS else jobs[:1]
        for job in takers:
            job.write(bytes([kind]) + number(entry))
        copy = _share_out(reader, head, jobs) if kind == ROWS else _copy_large_objects(reader, head, jobs[0])
        for _ in copy:
            progress.advance(reader.position, total)
        for job in takers:
            job.write(number(0))


def _content(reader: Reader, head: Head) -> Iterator[bytes]:
    chunks = reader.chunks()
    return inflated(chunks) if head.compressed else chunks


def _share_out(reader: Reader, head: Head, jobs: Sequence[Job]) -> Iterator[None]:
    """Write each row to one of the jobs; after every piece the next row goes to whoever has least to do."""
    job = _idlest(jobs)
    for piece in rows(_content(reader, head)):
        end = piece.rfind(b"\n") + 1  # the end of a row: inside a value it is written otherwise
        if end:
            job.write(chunk(piece[:end]))
            job = _idlest(jobs)
        if piece[end:]:
            job.write(chunk(piece[end:]))
        yield


def _idlest(jobs: Sequence[Job]) -> Job:
    return min(jobs, key=lambda job: (job.backlog, job.given))


def _copy_large_objects(reader: Reader, head: Head, job: Job) -> Iterator[None]:
    while object_id := reader.number():
        job.write(number(object_id))
        for piece in _content(reader, head):
            job.write(chunk(piece))
            yield
        job.write(number(0))
