"""The small layer inside the process: entries kept for a second or two, so that a very hot key costs no round trip."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from legal_store.cache.entry import Entry

MOST_ENTRIES = 2048


class _Kept(NamedTuple):
    until: float
    space: str
    entry: Entry


class NearbyEntries:
    """Entries by key, the least recently used first out. `era` tells whether something was invalidated meanwhile:
    an entry read from Redis before an invalidation is not kept after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self.era = 0

    def find(self, key: str, now: float) -> Entry | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.until <= now:
                return None
            self._kept.move_to_end(key)
            return kept.entry

    def keep(self, key: str, space: str, entry: Entry, until: float, era: int) -> None:
        with self._lock:
            if era != self.era:
                return
            self._kept[key] = _Kept(until, space, entry)
            while len(self._kept) > MOST_ENTRIES:
                self._kept.popitem(last=False)

    def forget(self, space: str) -> None:
        """Drop the entries of a space, and all that are on their way in."""
        with self._lock:
            self.era += 1
            for key in [key for key, kept in self._kept.items() if kept.space == space]:
                del self._kept[key]

    def forget_all(self) -> None:
        """Drop everything."""
        with self._lock:
            self.era += 1
            self._kept.clear()
