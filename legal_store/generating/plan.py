"""From a size to portions of work: how many firms, how large each is, and what is made at a time. Pure."""

from __future__ import annotations

import hashlib
import random
from typing import NamedTuple

from legal_store.errors import WrongUseError
from legal_store.generating.recipe import Recipe

PORTION_ROWS = 5000
"""Rows made and committed at a time: a few MB, so that memory stays bounded, and some 0.1 s of work to lose."""

SMALLEST_FIRM = 120
FIRST_FIRM = 1000
"""The first firm is large enough to show every value of every enumeration."""

MOST_FIRMS, MOST_ROWS = 200_000, 10**9
"""The plan is held in memory: some 200 MB for this much."""


class FirmSize(NamedTuple):
    """How many rows belong to a firm, all tables together, and to its people."""

    rows: int
    users: int
    changes: int
    """Rows of user_audit_logs."""

    @property
    def head(self) -> int:
        return 1 + self.users + self.changes


class Portion(NamedTuple):
    """A piece of work that is made and committed as a whole. Part 0 is the firm and its people."""

    number: int
    firm: int
    part: int
    rows: int


class Plan(NamedTuple):
    """All the work, and what makes it what it is: same seed, recipe and sizes, same rows."""

    seed: int
    firms: tuple[FirmSize, ...]
    portions: tuple[Portion, ...]

    @property
    def rows(self) -> int:
        return sum(firm.rows for firm in self.firms)


def make_plan(recipe: Recipe, *, seed: int, firms: int | None = None, rows: int | None = None) -> Plan:
    """Return the plan for `firms` firms, or `rows` rows in all tables together, or both; exactly as many.

    Firm sizes follow a Pareto distribution: a few big firms hold most of the rows. The biggest comes first. The
    catalogue (skills, types, templates) is not counted. Raises WrongUseError for a size too small to be divided.
    """
    if rows is None:
        rows = (firms or 1) * recipe.rows_per_firm
    if firms is None:
        firms = max(1, min(rows // recipe.rows_per_firm, (rows - FIRST_FIRM) // SMALLEST_FIRM + 1, MOST_FIRMS))
    _refuse_impossible(rows, firms)
    sizes = tuple(_firm_size(recipe, size) for size in _divide(rows, firms, recipe.firm_size_tail, seed))
    return Plan(seed, sizes, tuple(_portions(sizes)))


def _refuse_impossible(rows: int, firms: int) -> None:
    asked = f"{rows:,} rows for {firms:,} {'firm' if firms == 1 else 'firms'}"
    if firms > MOST_FIRMS or rows > MOST_ROWS:
        raise WrongUseError(
            f"{asked} are too many for one load.",
            remedy=f"At most {MOST_FIRMS:,} firms and {MOST_ROWS:,} rows; another --seed adds as many again.",
        )
    if firms < 1 or rows < FIRST_FIRM + (firms - 1) * SMALLEST_FIRM:
        raise WrongUseError(
            f"{asked} are too few.",
            remedy=f"It takes at least one firm, {FIRST_FIRM:,} rows for the first and {SMALLEST_FIRM} for each other.",
        )


def generator_of(seed: int, *names: object) -> random.Random:
    """Return the generator of random numbers for one thing; independent of all others and of the order of work."""
    text = "/".join(str(name) for name in (seed, *names))
    return random.Random(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=32).digest(), "big"))  # noqa: S311


def _divide(rows: int, firms: int, tail: float, seed: int) -> list[int]:
    source = generator_of(seed, "firm sizes")
    weights = sorted((min(source.paretovariate(tail), 400.0) for _ in range(firms)), reverse=True)
    spare = rows - FIRST_FIRM - (firms - 1) * SMALLEST_FIRM
    total = sum(weights)
    extra = [int(spare * weight / total) for weight in weights]
    extra[0] += spare - sum(extra)
    return [FIRST_FIRM + extra[0], *(SMALLEST_FIRM + more for more in extra[1:])]


def _firm_size(recipe: Recipe, rows: int) -> FirmSize:
    users = min(max(3, rows // recipe.rows_per_user), 500, rows // 10)
    return FirmSize(rows, users, max(3, users * 3 // 2))


def _portions(firms: tuple[FirmSize, ...]) -> list[Portion]:
    heads = [Portion(number, number, 0, firm.head) for number, firm in enumerate(firms)]
    parts = [
        (index, part + 1, size)
        for index, firm in enumerate(firms)
        for part, size in enumerate(_cut(firm.rows - firm.head))
    ]
    return heads + [Portion(len(firms) + number, *work) for number, work in enumerate(parts)]


def _cut(rows: int) -> list[int]:
    count = -(-rows // PORTION_ROWS)
    small, larger = divmod(rows, count)
    return [small + 1] * larger + [small] * (count - larger)
