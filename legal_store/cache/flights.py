"""Single flight inside the process: of all threads that miss the same key, one loads and the others wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Flight:
    """One load that is under way. `error` is the loader's; `value` is set only when Redis could not take it."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.leader = threading.get_ident()
        self.error: BaseException | None = None
        self.unstored: list[Any] = []

    def wait(self, seconds: float) -> bool:
        """Wait until it has landed; False when it takes longer."""
        return self.landed.wait(seconds)


class Flights:
    """The loads of this process, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}

    @contextmanager
    def board(self, key: str) -> Iterator[tuple[Flight, bool]]:
        """Yield the flight of `key` and whether the caller leads it. A leader's flight lands when the block ends."""
        with self._lock:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = Flight()
        if not leads:
            yield flight, False
            return
        try:
            yield flight, True
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.landed.set()

    def ground(self) -> None:
        """Let nobody board what is under way: something was invalidated, what is being loaded may be old."""
        with self._lock:
            self._flights.clear()
