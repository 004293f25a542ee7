"""Measuring side by side: contestants take turns, so that a noisy moment hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Result(NamedTuple):
    """One figure: medians per contestant, and the ratio that our goal is about."""

    what: str
    medians: dict[str, float]
    unit: str
    ratio: float
    goal: str

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.medians.items())
        return f"{self.what}: {figures} {self.unit}; ratio {self.ratio:.2f} (goal: {self.goal})"


def alternate(contestants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Return each contestant's median time in milliseconds over `rounds` turns, after `warm_up` unmeasured ones."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            if turn >= warm_up:
                times[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(measured) for name, measured in times.items()}
