"""How the long operations tell where they are. The default tells nobody."""

from __future__ import annotations


class Progress:
    """Listens to an operation. Subclasses show it; the methods are called from the operation's own thread."""

    def step(self, name: str) -> None:
        """Say that the step `name` begins."""

    def advance(self, done: int, total: int | None) -> None:
        """Say how many bytes of the current step are done, of an estimate that may be missing or too small."""

    def note(self, text: str) -> None:
        """Say what a person should know, though it stops nothing."""


SILENT = Progress()
