"""What a pool counts, under the names that OpenTelemetry gives to database clients' connection pools."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

# https://opentelemetry.io/docs/specs/semconv/database/database-metrics/, section "Connection pools"; seconds
BOUNDARIES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


class Histogram:
    """How often a time fell between two boundaries, and the sum of all times. Any thread may record at any moment."""

    __slots__ = ("counts", "listener", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDARIES) + 1)
        self.sum = 0.0
        self.listener: Callable[[float], None] | None = None  # told of each time

    def record(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDARIES, seconds)] += 1  # one step under the interpreter's lock, as is the next
        self.sum += seconds
        if self.listener is not None:
            self.listener(seconds)

    @property
    def count(self) -> int:
        return sum(self.counts)


class PoolCounters:
    """What happened in a pool since it was made. The numbers are written under the pool's lock."""

    def __init__(self) -> None:
        self.create_time = Histogram()
        self.wait_time = Histogram()
        self.use_time = Histogram()
        self.timeouts = 0  # checkouts that ended without a connection
        self.connect_failures = 0
        self.cut = 0  # connections whose statement had no answer in time
        self.reclaimed = 0  # connections whose borrower ended without returning them


class PoolStats(NamedTuple):
    """How a pool stands at one moment."""

    size: int
    used: int
    idle: int
    connecting: int
    waiting: int
    timeouts: int
    connect_failures: int
    cut: int
    reclaimed: int
