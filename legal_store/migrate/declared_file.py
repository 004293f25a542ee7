"""`migrations/declared.txt`: what belonged to the models when the last migration was generated.

Without it a table that was made by hand and a model that was deleted look alike, and one must never be dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from legal_store.files import write_whole

DECLARED_FILE = "declared.txt"
_HEADER = "# What belonged to the models when the last migration was generated. Written by `invoke migrate`.\n"


def read_declared(folder: Path) -> set[str] | None:
    """Return the objects that belonged to the models at the last generation; None where that was never written."""
    path = folder / DECLARED_FILE
    if not path.is_file():
        return None
    return {line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")}


def remember_declared(folder: Path, declared: Sequence[str]) -> None:
    """Write down what belongs to the models now, where that is not written yet."""
    if read_declared(folder) != set(declared):
        write_whole(folder / DECLARED_FILE, _HEADER + "\n".join(declared) + "\n")
