"""An entry: a value with what decides whether it may be served. Pure; time is handed in.

Layout: version, flags, made at, fresh until (seconds since 1970), seconds that loading took, the generations (12 bytes
each, as many as the key has dependencies), then the value as codec.py codes it.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

VERSION = 1
MARK_BYTES = 12  # of a generation: 96 random bits never come twice
_HEADER = struct.Struct("!BBddf")
_BARE = 2 * 8 + 4 + 2

JITTER = 0.1  # values made together do not end together
_EAGERNESS = 1.0  # beta of XFetch; 1 is optimal for loads of exponentially distributed length


class Entry(NamedTuple):
    """What is known of a cached value before it is decoded. Times are seconds since 1970."""

    made_at: float
    fresh_until: float
    load_seconds: float
    body: memoryview

    def is_fresh(self, now: float) -> bool:
        return now < self.fresh_until

    def wants_refresh(self, now: float, chance: float) -> bool:
        """Whether this reader should load anew although the value is still fresh.

        XFetch (Vattani, Chierichetti, Lowenstein, VLDB 2015): the probability rises as the end comes nearer, the
        sooner the longer loading takes. `chance` is uniform in (0, 1].
        """
        return now - _EAGERNESS * self.load_seconds * math.log(chance) >= self.fresh_until


def header(now: float, fresh_for: float, load_seconds: float) -> bytes:
    """Return the first part of an entry."""
    return _HEADER.pack(VERSION, 0, now, now + fresh_for, load_seconds)


def read(blob: bytes | None, marks: list[bytes | None]) -> Entry | None:
    """Return the entry if `blob` is one and carries exactly the generations `marks`; else None.

    A generation that is gone, be it removed or evicted, makes the value invalid.
    """
    if blob is None or None in marks or len(blob) < _BARE:
        return None
    version, _, made_at, fresh_until, load_seconds = _HEADER.unpack_from(blob)
    end = _BARE + MARK_BYTES * len(marks)
    if version != VERSION or blob[_BARE:end] != b"".join(marks):  # type: ignore[arg-type]
        return None
    return Entry(made_at, fresh_until, load_seconds, memoryview(blob)[end:])


def lifetime(ttl: float, chance: float) -> float:
    """Return `ttl` shortened by up to a tenth, so that values made together do not end together."""
    return ttl * (1 - JITTER * chance)
