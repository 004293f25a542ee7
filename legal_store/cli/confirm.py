"""Questions that a person answers before something is changed."""

from __future__ import annotations

import sys

from legal_store.errors import RefusedError


def confirm(question: str, *, yes: bool) -> None:
    """Return when `yes` is given or a person answers y or yes. Raises RefusedError on any other answer.

    Where nobody can answer (no terminal), `yes` is needed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} Nobody is here to answer.", remedy="Pass --yes if it is meant.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RefusedError("Not confirmed.", remedy="Nothing was changed.")
