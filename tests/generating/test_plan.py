"""Plans: a size becomes exactly as many rows, in portions of bounded size."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legal_store.errors import WrongUseError
from legal_store.generating.plan import FIRST_FIRM, PORTION_ROWS, SMALLEST_FIRM, make_plan
from tests.generating.support import recipe


@given(rows=st.integers(FIRST_FIRM, 400_000), seed=st.integers(0, 10**9))
def test_a_plan_has_exactly_the_rows_that_were_asked_for(rows: int, seed: int) -> None:
    plan = make_plan(recipe(), seed=seed, rows=rows)
    assert plan.rows == rows == sum(portion.rows for portion in plan.portions)
    assert all(0 < portion.rows <= PORTION_ROWS for portion in plan.portions)
    assert [portion.number for portion in plan.portions] == list(range(len(plan.portions)))


@given(firms=st.integers(1, 120), seed=st.integers(0, 10**9))
def test_a_plan_has_exactly_the_firms_that_were_asked_for(firms: int, seed: int) -> None:
    plan = make_plan(recipe(), seed=seed, firms=firms)
    assert len(plan.firms) == firms
    assert plan.rows == firms * recipe().rows_per_firm
    assert all(firm.rows >= SMALLEST_FIRM and firm.users >= 3 for firm in plan.firms)
    by_firm: Counter[int] = Counter()
    for portion in plan.portions:
        by_firm[portion.firm] += portion.rows
    assert [by_firm[index] for index in range(firms)] == [firm.rows for firm in plan.firms]


def test_sizes_asked_for_together_are_both_kept() -> None:
    plan = make_plan(recipe(), seed=3, firms=7, rows=12_345)
    assert (len(plan.firms), plan.rows) == (7, 12_345)
    assert plan == make_plan(recipe(), seed=3, firms=7, rows=12_345)


def test_a_few_firms_are_big_and_many_are_small() -> None:
    sizes = sorted((firm.rows for firm in make_plan(recipe(), seed=1, firms=500).firms), reverse=True)
    assert sum(sizes[:50]) > 0.4 * sum(sizes)
    assert sizes[250] < recipe().rows_per_firm * 0.7


@pytest.mark.parametrize(("firms", "rows"), [(None, 999), (20, 2000), (-1, None)])
def test_a_size_that_cannot_be_divided_is_refused(firms: int | None, rows: int | None) -> None:
    with pytest.raises(WrongUseError, match="too few"):
        make_plan(recipe(), seed=1, firms=firms, rows=rows)


@pytest.mark.parametrize(("firms", "rows"), [(10**8, None), (None, 10**12), (10**6, 10**9)])
def test_a_size_whose_plan_would_fill_the_memory_is_refused(firms: int | None, rows: int | None) -> None:
    with pytest.raises(WrongUseError, match="too many for one load"):
        make_plan(recipe(), seed=1, firms=firms, rows=rows)
