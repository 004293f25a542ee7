"""The folder of the servers: its lock, its logs, and the short folder for sockets.

lock                one `up` or `down` at a time
postgres/           data of PostgreSQL          postgres.log        postgres.password
redis/              data of Redis               redis.log
run/                sockets, while a server runs; a link to a short path where this one is too long
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from legal_store.embedded.processes import wait_until
from legal_store.embedded.programs import Program
from legal_store.errors import EmbeddedServerError, WrongUseError

DEFAULT_NAME = ".legal_store"
LOCK_SECONDS = 120.0
LOG_BYTES_KEPT = 10_000_000
LOG_LINES_SHOWN = 12

# A socket's path has at most 103 bytes on macOS, 107 on Linux; the longest name we use in the folder is
# /.s.PGSQL.65535 with 15.
_RUN_FOLDER_BYTES = 103 - 15
# These mean something in the settings that name the folder: a colon separates paths, and so on.
_RUN_FOLDER_REFUSED = frozenset(':"\\\n')


class Home:
    """One folder with its servers. Making the object touches nothing.

    `lock` is the open lock file inside `locked()`.
    """

    lock: int

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        if "\n" in str(path):
            raise WrongUseError(
                f"{str(path)!r} cannot hold the servers: its name has a line break.",
                remedy="Set LEGAL_STORE_HOME to another folder.",
            )

    @property
    def run(self) -> Path:
        """The folder of the sockets, as short as sockets need it; it may not exist."""
        return self._run_link.readlink() if self._is_linked() else self._run_link

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone, creating it first; others wait.

        An OSError inside becomes an EmbeddedServerError with the remedy.
        """
        try:
            self._create()
            # first of all files: by it the others that come at the same time know the folder as ours
            self.lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._acquire(self.lock)
                self._hide_from_git()
                yield
            finally:
                os.close(self.lock)
        except OSError as error:
            raise self.explain(error) from error

    def explain(self, error: OSError) -> EmbeddedServerError:
        """Return the error to raise for a failed file operation in this folder."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return self.full(str(error))
        return EmbeddedServerError(
            f"The folder of the servers, {self.path}, cannot be used: {error}.",
            remedy="Make it a folder that you own and can write to (it may have been made by another user), "
            "or set LEGAL_STORE_HOME to another one.",
        )

    def full(self, details: str) -> EmbeddedServerError:
        """Return the error to raise when the disk of this folder is full."""
        return EmbeddedServerError(
            f"There is no space left on the disk of {self.path}: {details}",
            remedy="Free 200 MB there, or set LEGAL_STORE_HOME to a folder on another disk, and run it again.",
        )

    def prepare_run(self) -> Path:
        """Make the folder of the sockets if it is missing and return it: ours alone, with a short path."""
        if not self._suits_sockets(self._run_link) and not (self._is_linked() and self.run.is_dir()):
            self.remove_run()
            self._run_link.symlink_to(self._short_folder())
        self.run.mkdir(mode=0o700, exist_ok=True)
        self._check_that_run_is_ours()
        return self.run

    def remove_run(self) -> None:
        """Remove the folder of the sockets, wherever it is."""
        if self._is_linked() and self.run.is_dir():
            self._check_that_run_is_ours()
            shutil.rmtree(self.run)
        if self._run_link.is_symlink():
            self._run_link.unlink()
        elif self._run_link.is_dir():
            shutil.rmtree(self._run_link)

    def remember(self, server: str, program: Program) -> None:
        """Keep which program is about to run as `server`: it is the one that can read what it writes."""
        (self.path / f"{server}.json").write_text(json.dumps({"path": str(program.path), "version": program.version}))

    def recall(self, server: str) -> Program | None:
        """Return what `remember` kept."""
        try:
            kept = json.loads((self.path / f"{server}.json").read_text())
        except (OSError, ValueError):
            return None
        return Program(Path(kept["path"]), kept["version"])

    def open_log(self, name: str) -> Log:
        """Return the log `name`, set aside as `name`.old when it has grown long."""
        path = self.path / name
        if path.exists() and path.stat().st_size > LOG_BYTES_KEPT:
            path.replace(path.with_name(f"{name}.old"))
        return Log(path)

    @property
    def _run_link(self) -> Path:
        return self.path / "run"

    def _is_linked(self) -> bool:
        """Whether sockets are in the short folder of this home; a copied home has the link of the original."""
        return self._run_link.is_symlink() and self._run_link.readlink().name.endswith(self._short_name())

    def _short_name(self) -> str:
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]

    def _create(self) -> None:
        if self.is_foreign():
            raise WrongUseError(
                f"{self.path} holds other files, and no servers: nothing was put there.",
                remedy="Set LEGAL_STORE_HOME to a new or an empty folder.",
            )
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _hide_from_git(self) -> None:
        ignored = self.path / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n")

    def is_foreign(self) -> bool:
        """Return whether the folder holds other files and nothing of ours."""
        if not self.path.is_dir() or self.path.name == DEFAULT_NAME:
            return False
        names = {entry.name for entry in self.path.iterdir()}
        return bool(names) and names.isdisjoint({"lock", "postgres", "redis", "run"})

    def _acquire(self, descriptor: int) -> None:
        def try_once() -> bool:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not wait_until(try_once, LOCK_SECONDS):
            raise EmbeddedServerError(
                f"Another command has been starting or stopping the servers of {self.path} "
                f"for more than {LOCK_SECONDS:.0f} s.",
                remedy="Wait for it or end it, and run this again.",
            )

    def _short_folder(self) -> Path:
        import tempfile

        folder = Path(tempfile.gettempdir()).resolve() / f"legal-store-{os.geteuid()}-{self._short_name()}"
        if not self._suits_sockets(folder):
            raise WrongUseError(
                f"Neither {self.path} nor {folder.parent} can hold Unix sockets: the path is too long or has a colon.",
                remedy="Set LEGAL_STORE_HOME to a folder with a shorter path, or TMPDIR to one.",
            )
        return folder

    def _suits_sockets(self, folder: Path) -> bool:
        return len(os.fsencode(folder)) <= _RUN_FOLDER_BYTES and not _RUN_FOLDER_REFUSED & set(str(folder))

    def _check_that_run_is_ours(self) -> None:
        """Below the temporary folder anybody could have made it, to listen in our place."""
        found = self.run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid not in _owners_like_us():
            raise EmbeddedServerError(
                f"{self.run} was made by somebody else or is open to others: sockets are not safe in it.",
                remedy="Remove it, or set TMPDIR to a folder of yours, and run this again.",
            )


class Log:
    """The log of a server, and where the part written since this object was made begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = path.stat().st_size if path.exists() else 0

    def written(self) -> str:
        """Return what the server has written since."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._start)
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def last_lines(self) -> str:
        """Return the end of it, for an error message."""
        return "\n".join(self.written().splitlines()[-LOG_LINES_SHOWN:]) or "(nothing)"


def _owners_like_us() -> set[int]:
    from legal_store.embedded.privileges import NOBODY

    return {0, NOBODY} if os.geteuid() == 0 else {os.geteuid()}
