"""Filling an empty database from a source, as parallel as the source allows.

A backup of ours is a stream: it may be encrypted, and no plaintext may touch the disk. Its table of contents, which
is small, is kept in memory and gives pg_restore everything but the data: tables first, indexes and constraints in
parallel last. The data is read once and goes through pipes, one for each job, each with its own share of the rows.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from legal_store.backup.clients import (
    ProgramFailedError,
    Running,
    child_environment,
    close_quietly,
    memory_file,
    safe_psql,
)
from legal_store.backup.progress import SILENT, Progress
from legal_store.backup.reading import pg_restore, table_of_contents
from legal_store.errors import DamagedBackupError, WrongUseError
from legal_store.restore.archive import Head, read_head
from legal_store.restore.dividing import Job, JobGoneError, divide
from legal_store.restore.sources import ArchiveFile, Backup, DumpStream, Source, SqlFile

_PIPE_BYTES = 1 << 20

# pg_restore 17 and later sets a parameter that older servers do not know, whatever the archive holds.
_HARMLESS = "transaction_timeout"
_KNOWN_SINCE = 170000


class Loader:
    """Runs pg_restore against one database. Raises ProgramFailedError with PostgreSQL's words."""

    def __init__(
        self,
        parameters: dict[str, Any],
        *,
        server_version: int,
        jobs: int,
        index_settings: Mapping[str, str],
        options: Sequence[str] = (),
    ) -> None:
        self._options = ["--no-password", *options]
        settings = {
            "statement_timeout": "0",
            "synchronous_commit": "off",
            "row_security": "off",
            "standard_conforming_strings": "on",
            **index_settings,
        }
        text = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._environment = child_environment(parameters, PGOPTIONS=text)
        self._jobs = jobs
        self._server_version = server_version
        self.lenient = sets_unknown_parameters(server_version)

    def load(self, source: Source, progress: Progress = SILENT) -> None:
        """Fill the database from `source`, which was checked before."""
        if isinstance(source, SqlFile):
            self._load_sql(source)
        elif isinstance(source, ArchiveFile):
            self._load_file(source)
        elif isinstance(source, Backup):
            self._load_backup(source, progress)

    def _load_backup(self, source: Backup, progress: Progress) -> None:
        if hasattr(os, "memfd_create"):
            self._load_stream(source, progress)
        else:
            self.feed([], source, progress)

    def _load_file(self, source: ArchiveFile) -> None:
        self.run([f"--jobs={self._jobs if source.divisible else 1}", source.path])

    def _load_stream(self, source: Backup, progress: Progress) -> None:
        with in_memory(source.head) as head:
            progress.step("tables")
            self.run(["--section=pre-data", head.path], head.descriptor)
            progress.step("data")
            listed = table_of_contents(head.path, "--section=data", pass_fds=[head.descriptor])
            self._load_data(source, listed, progress)
            progress.step("indexes and constraints")
            self.run(["--section=post-data", f"--jobs={self._jobs}", head.path], head.descriptor)

    def _load_data(self, source: Backup, listed: str, progress: Progress) -> None:
        head, shares = read_head(source.head), shares_of(listed, self._jobs)
        if head is None or len(shares) < 2:
            self.feed(["--section=data"], source, progress)
        else:
            self._divide(source, head, shares, progress)

    def _divide(self, source: Backup, head: Head, shares: list[str], progress: Progress) -> None:
        with source.open() as archive, ExitStack() as opened:
            jobs = [self._job(share, opened) for share in shares]
            try:
                divide(archive, head, jobs, progress, source.manifest.raw_size)
            except JobGoneError:
                pass
            except (EOFError, zlib.error) as error:
                raise DamagedBackupError(f"{source.name} is no archive of pg_dump: {error}.") from None
            for job in sorted(jobs, key=lambda one: not one.gone):
                job.end()
                self._finish(job.running)
            archive.finish()

    def _job(self, share: str, opened: ExitStack) -> Job:
        entries = opened.enter_context(in_memory(share.encode()))
        arguments = ["--section=data", f"--use-list={entries.path}"]
        running = opened.enter_context(self._restoring(arguments, entries.descriptor, stdin=subprocess.PIPE))
        widen(running.process.stdin)
        return opened.enter_context(Job(running))

    def feed(self, arguments: Sequence[str], source: Backup, progress: Progress, *descriptors: int) -> None:
        """Run pg_restore on the whole stream of a backup."""
        with (
            source.open() as archive,
            self._restoring(arguments, *descriptors, stdin=subprocess.PIPE) as running,
        ):
            _pump(archive, running.process.stdin, progress, source.manifest.raw_size)
            self._finish(running)
            archive.finish()

    def _load_sql(self, source: SqlFile) -> None:
        arguments = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--no-password"]
        with (
            source.open() as pieces,
            Running(safe_psql(self._server_version), arguments, self._environment, stdin=subprocess.PIPE) as running,
        ):
            while_accepted(running.process.stdin, pieces)
            running.finish()

    def run(self, arguments: Sequence[str | Path], *descriptors: int) -> None:
        """Run pg_restore on an archive that it opens by its path."""
        with self._restoring(arguments, *descriptors) as running:
            self._finish(running)

    def _finish(self, running: Running) -> None:
        running.finish(harmless=_HARMLESS if self.lenient else None)

    def _restoring(self, arguments: Sequence[str | Path], *descriptors: int, **streams: Any) -> Running:
        strict = [] if self.lenient else ["--exit-on-error"]
        # no name: pg_restore would take one with "=" in it for a connection string; PGDATABASE says it
        given = ["--dbname=", *self._options, *strict, *arguments]
        return Running(pg_restore(), given, self._environment, pass_fds=descriptors, **streams)


def sets_unknown_parameters(server_version: int) -> bool:
    """Say whether pg_restore ends with an error at a server of this version though all went well."""
    return server_version < _KNOWN_SINCE and pg_restore().version >= (17,)


def check_jobs(jobs: int) -> None:
    """Raise WrongUseError unless so many jobs can work."""
    if jobs < 1:
        raise WrongUseError(f"{jobs} jobs cannot restore anything.", remedy="Leave --jobs out, or give 1 or more.")


def shares_of(listed: str, jobs: int) -> list[str]:
    """Return what each job has to do of the data entries of `pg_restore --list`.

    Every job has a share of each table's rows; sequences and large objects are for the first one only.
    """
    tables = [line for line in listed.splitlines() if not line.startswith(";") and " TABLE DATA " in line]
    return [listed, *["\n".join([*tables, ""])] * (jobs - 1)] if tables else [listed]


class _InMemory:
    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.path = Path(f"/dev/fd/{descriptor}")


@contextmanager
def in_memory(content: bytes) -> Iterator[_InMemory]:
    """Give `content` a path that child processes can open and that is never on a disk."""
    with memory_file("entries") as file:
        file.write(content)
        file.flush()
        yield _InMemory(file.fileno())


def _pump(archive: DumpStream, pipe: IO[bytes] | None, progress: Progress, total: int) -> None:
    def chunks() -> Iterator[bytes]:
        done = 0
        while content := archive.read(_PIPE_BYTES):
            yield content
            done += len(content)
            progress.advance(done, total)

    while_accepted(pipe, chunks())


def while_accepted(pipe: IO[bytes] | None, chunks: Iterator[bytes]) -> None:
    """Write `chunks` into `pipe` and close it; stop quietly when its reader has gone: its exit code says why."""
    assert pipe is not None  # noqa: S101
    widen(pipe)
    try:
        for chunk in chunks:
            pipe.write(chunk)
    except BrokenPipeError:
        pass
    close_quietly(pipe)


def widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold a megabyte, where the system can."""
    if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


__all__ = ["Loader", "ProgramFailedError", "in_memory", "shares_of"]
