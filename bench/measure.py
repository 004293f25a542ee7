"""Measuring side by side: contestants take turns, so that a noisy moment hits all of them."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Medians(dict[str, float]):
    """Each contestant's median, and in `spreads` the quartiles (25 %, 75 %) of those that were measured repeatedly."""

    def __init__(self, times: Mapping[str, list[float]]) -> None:
        super().__init__({name: statistics.median(measured) for name, measured in times.items()})
        self.spreads = {name: _quartiles(measured) for name, measured in times.items() if len(measured) > 1}

    def beside(self, others: Medians) -> Medians:
        """Return these contestants, then the others."""
        together = Medians({})
        together.update({**self, **others})
        together.spreads = self.spreads | others.spreads
        return together


class Result(NamedTuple):
    """One figure: medians per contestant, and the ratio that our goal is about.

    `goal` starts with "at most X" or "at least X", which decides whether the ratio holds it; any other text makes no
    claim.
    """

    what: str
    medians: dict[str, float]
    unit: str
    ratio: float
    goal: str

    @property
    def spreads(self) -> dict[str, tuple[float, float]]:
        """Quartiles by contestant; empty where the medians were not measured by alternate()."""
        return getattr(self.medians, "spreads", {})

    @property
    def holds(self) -> bool | None:
        """Whether the goal is reached; None where it makes no claim."""
        claim = re.match(r"at (most|least) (\d+(?:\.\d+)?)", self.goal)
        if claim is None:
            return None
        limit = float(claim[2])
        return self.ratio <= limit if claim[1] == "most" else self.ratio >= limit

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.medians.items())
        return f"{self.what}: {figures} {self.unit}; ratio {self.ratio:.2f} (goal: {self.goal})"


def alternate(contestants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> Medians:
    """Return each contestant's median time in milliseconds over `rounds` turns, after `warm_up` unmeasured ones."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            if turn >= warm_up:
                times[name].append((time.perf_counter() - began) * 1000)
    return Medians(times)


def rates(contestants: Mapping[str, tuple[int, Callable[[], float]]], rounds: int) -> Medians:
    """Return each contestant's median rate per second over `rounds` turns.

    A contestant is how many items it handles, and a function that handles them and returns the seconds that count.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (items, run) in contestants.items():
            found[name].append(items / run())
    return Medians(found)


def _quartiles(values: list[float]) -> tuple[float, float]:
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper
