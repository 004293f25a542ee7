"""Where tasks print to, when nobody reads there any more, when the disk behind it is full, or when it was closed.

stdout into a closed pipe (`invoke status | head -1`): the task goes on in silence, and ends with the exit code that its
answer has. On a full disk it fails, so that nobody takes half an answer for one. stderr holds words about progress:
what cannot be written there is left out, and ends nothing.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class _Descriptor(io.FileIO):
    """Writes until that fails, then nowhere; raises the failure once, unless it is a `forgiven` one."""

    def __init__(self, descriptor: int, name: str, forgiven: type[OSError]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._called = name
        self._forgiven = forgiven

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            self._lead_nowhere()
            if not isinstance(error, self._forgiven):
                error.filename = self._called
                raise
        return len(data)

    def _lead_nowhere(self) -> None:
        """What is in the buffers still is flushed at the end of the process, and must not fail there again."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def mind_readers() -> None:
    """Let this process print in this way from now on."""
    sys.stdout = _checked(sys.stdout, sys.__stdout__, "stdout", BrokenPipeError)
    sys.stderr = _checked(sys.stderr, sys.__stderr__, "stderr", OSError)


@contextmanager
def told() -> Iterator[None]:
    """Let the block print in this way; at its end all of it is written.

    Raises OSError, with "stdout" as its file, where that could not be done.
    """
    mind_readers()
    try:
        yield
    finally:
        sys.stdout.flush()


def _checked(stream: TextIO | None, original: TextIO | None, name: str, forgiven: type[OSError]) -> TextIO:
    """Return what to print to instead of `stream`; what somebody (a test, or we) put there stays."""
    if stream is None:  # closed: no other file may get its number, and be printed into
        return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    if stream is not original:
        return stream
    buffer = io.BufferedWriter(_Descriptor(stream.fileno(), name, forgiven))
    by_line = name == "stderr" or stream.isatty()
    return io.TextIOWrapper(buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=by_line)
