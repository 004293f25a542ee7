"""What a search returns."""

from __future__ import annotations

import uuid
from typing import NamedTuple


class ArmRank(NamedTuple):
    """Where one arm of a hybrid search had a hit: its place, from 1, and that arm's own score."""

    rank: int
    score: float


class Hit(NamedTuple):
    """One thing found. `kind` is document, case, client or party; a higher `score` is better.

    `highlight` is text with the matches between <b> and </b>, from a full-text search; the text itself is as it was
    stored, so escape what you put on a page. `arms` is filled by `hybrid(..., explain=True)`.
    """

    kind: str
    id: uuid.UUID
    title: str
    case_id: uuid.UUID | None
    score: float
    highlight: str = ""
    arms: dict[str, ArmRank] = {}
