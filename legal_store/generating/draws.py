"""Drawing values: weighted enumerations, long tails, ids and moments, each in well under a microsecond."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TypeVar

from legal_store.generating.recipe import Recipe

T = TypeVar("T")

DAY = 86_400
_EPOCH = date(1970, 1, 1)
_MINUTES = tuple(f"{minute // 60:02}:{minute % 60:02}:" for minute in range(1440))
_SECONDS = tuple(f"{second:02}+00" for second in range(60))


class Draw:
    """Random values of one portion. With `covering`, the first draws from a column show all of its values once."""

    def __init__(self, source: random.Random, recipe: Recipe, *, covering: bool = False) -> None:
        self.random = source.random
        self.bits = source.getrandbits
        self.sample = source.sample
        self._choices = recipe.choices
        self._tails = {name: tail.table for name, tail in recipe.tails.items()}
        self._shares = recipe.shares
        self._owed = (
            {column: list(dict.fromkeys(values)) for column, values in recipe.choices.items()} if covering else {}
        )

    def choice(self, column: str) -> str:
        """Return a value of the enumeration `column`, by its weight."""
        if self._owed and (owed := self._owed.get(column)):
            return owed.pop()
        values = self._choices[column]
        return values[int(self.random() * len(values))]

    def one_of(self, values: Sequence[T]) -> T:
        return values[int(self.random() * len(values))]

    def early_one_of(self, values: Sequence[T]) -> T:
        """Return an element of `values`; those in front are drawn far more often."""
        return values[int(self.random() ** 3 * len(values))]

    def tail(self, name: str) -> int:
        return self._tails[name][int(self.random() * 2048)]

    def happens(self, share: str) -> bool:
        return self.random() < self._shares[share]

    def between(self, lowest: int, highest: int) -> int:
        """Return a whole number from `lowest` to `highest`, both included."""
        return lowest + int(self.random() * (highest - lowest + 1))

    def id(self, second: int) -> str:
        """Return a UUID version 7 of that second since 1970, so that rows of a time stay together in an index."""
        bits = self.bits
        return f"{second * 1000 + bits(9):012x}7{bits(12):03x}{bits(62) | 1 << 63:016x}"


def day_number(day: date) -> int:
    """Return the days from 1970 to `day`."""
    return (day - _EPOCH).days


class Calendar:
    """Days and seconds since 1970 as PostgreSQL reads them, for the years that a recipe can reach."""

    def __init__(self, recipe: Recipe) -> None:
        self.today = day_number(recipe.today)
        self.first = self.today - 366 * recipe.history_years
        last = self.today + 1500
        self._texts = [(_EPOCH + timedelta(days=number)).isoformat() for number in range(self.first - 800, last)]
        self._start = self.first - 800

    def day(self, number: int) -> str:
        return self._texts[number - self._start]

    def moment(self, second: int) -> str:
        day, rest = divmod(second, DAY)
        return f"{self._texts[day - self._start]} {_MINUTES[rest // 60]}{_SECONDS[rest % 60]}"
