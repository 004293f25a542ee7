"""Redis's glob patterns: which text is one, and how to take a text literally. Pure."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([*?\[\]\\^-])")


def is_glob(text: str) -> bool:
    """Whether Redis would match `text` against more than itself."""
    return any(character in text for character in "*?[\\")


def escape(text: str) -> str:
    """Return a pattern that matches `text` and nothing else."""
    return _SPECIAL.sub(r"\\\1", text)
