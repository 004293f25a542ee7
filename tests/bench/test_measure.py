"""Figures: medians, spreads, and whether a goal is reached."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure import Medians, Result, alternate, rates
from bench.one import as_record
from bench.report import number


def result(ratio: float, goal: str) -> Result:
    return Result("something", {"a": 1.0, "b": 2.0}, "ms", ratio, goal)


@pytest.mark.parametrize(
    ("ratio", "goal", "holds"),
    [
        (1.2, "at most 1.3", True),
        (1.31, "at most 1.3 with running totals", False),
        (1.3, "at most 1.3", True),
        (0.5, "at least 0.5 of COPY", True),
        (9.99, "at least 10 x mimesis and insert_many", False),
        (3.0, "as fast as it goes", None),
        (3.0, "", None),
    ],
)
def test_a_goal_is_reached_or_not_or_makes_no_claim(ratio: float, goal: str, holds: bool | None) -> None:
    assert result(ratio, goal).holds is holds


def test_contestants_take_turns_and_warm_up_is_not_measured() -> None:
    turns: list[str] = []
    medians = alternate({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, rounds=3, warm_up=2)
    assert turns == ["a", "b"] * 5
    assert list(medians) == ["a", "b"]
    assert all(lower <= medians[name] <= upper for name, (lower, upper) in medians.spreads.items())


def test_rates_are_items_for_each_second_that_counts() -> None:
    seconds = iter([2.0, 4.0, 1.0])
    found = rates({"a": (100, lambda: next(seconds))}, rounds=3)
    assert found == {"a": 50.0}
    assert found.spreads == {"a": (37.5, 75.0)}


def test_what_was_measured_once_has_no_quartiles() -> None:
    once, often = Medians({"a": [1.0]}), Medians({"b": [1.0, 2.0]})
    assert (once, once.spreads) == ({"a": 1.0}, {})
    assert once.beside(often) == {"a": 1.0, "b": 1.5}
    assert once.beside(often).spreads == {"b": (1.25, 1.75)}


@given(st.lists(st.floats(0.001, 1e6), min_size=2, max_size=50))
def test_the_median_lies_between_the_quartiles(values: list[float]) -> None:
    medians = Medians({"a": values})
    lower, upper = medians.spreads["a"]
    assert lower <= medians["a"] <= upper


def test_a_record_keeps_spreads_where_there_are_any() -> None:
    assert as_record(result(1, ""))["spreads"] == {}
    measured = Result("x", Medians({"a": [1.0, 2.0, 3.0]}), "ms", 1.0, "at most 2")
    assert as_record(measured)["spreads"] == {"a": (1.5, 2.5)}
    assert as_record(measured)["holds"] is True


@pytest.mark.parametrize(
    ("value", "text"), [(1234567.8, "1,234,568"), (99.94, "99.9"), (1.005, "1.00"), (0.01234, "0.0123"), (-250, "-250")]
)
def test_figures_read_as_people_write_them(value: float, text: str) -> None:
    assert number(value) == text
