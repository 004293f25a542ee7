"""How a database that we made or put aside is known again, whatever happened to the one that made it: its comment says
of what kind it is, of which database, since when and from what, and its name nearly as much."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NamedTuple

STAGED, QUARANTINE, BEFORE, SCRATCH = "staged", "quarantine", "before", "scratch"

MARK = "legal_store "
"""How every comment of ours begins."""

UNMARKED = f"_({STAGED}|{QUARANTINE}|{SCRATCH})_[0-9]{{8}}_[0-9]{{6}}_[0-9]{{3}}$"
"""The names, as a regular expression, of those whose making can be killed before they are marked."""


class Marked(NamedTuple):
    """A database that carries our comment: what kind, of which database, since when, and from what."""

    name: str
    kind: str
    of: str
    at: datetime
    origin: str


def mark(kind: str, of: str, origin: str) -> str:
    """Return the comment by which a database is known as ours."""
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    return MARK + json.dumps({"kind": kind, "of": of, "at": at, "from": origin})


def name_for(database: str, kind: str, moment: datetime | None = None) -> str:
    """Return a name like `legal_store_before_20250120_143000_123`, short enough for PostgreSQL."""
    moment = moment or datetime.now(UTC)
    ending = f"_{kind}_{moment:%Y%m%d_%H%M%S}_{moment.microsecond // 1000:03d}"
    room = 63 - len(ending)
    return database.encode()[:room].decode(errors="ignore") + ending


def read(name: str, comment: str | None) -> Marked | None:
    """Return what a database says of itself: by its comment, else by its name, which UNMARKED has to match.

    None where the comment is somebody else's.
    """
    return _of_comment(name, comment) if comment else _of_name(name)


def _of_comment(name: str, comment: str) -> Marked | None:
    try:
        written = json.loads(comment.removeprefix(MARK))
        return Marked(name, written["kind"], written["of"], datetime.fromisoformat(written["at"]), written["from"])
    except (ValueError, KeyError, TypeError):
        return None  # somebody else's comment that begins like ours


def _of_name(name: str) -> Marked | None:
    of, kind, day, time_of_day, thousandths = name.rsplit("_", 4)
    try:
        at = datetime.strptime(f"{day}{time_of_day}{thousandths}+0000", "%Y%m%d%H%M%S%f%z")
    except ValueError:
        return None
    return Marked(name, kind, of, at, "")
