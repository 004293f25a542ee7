"""Generated rows, before any server has seen them: the same each time, and as in a law firm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from legal_store.generating.market import Market, rows_of
from legal_store.generating.tables import CATALOGUE, COLUMNS, Rows, count, no_rows
from legal_store.models.declared import SCHEMA
from tests.generating.support import market, recipe


@cache
def all_rows(market: Market) -> Rows:
    rows = no_rows()
    for portion in market.plan.portions:
        for table, lines in rows_of(market, portion).items():
            rows[table] += lines
    return rows


def rows_as_dicts(market: Market, table: str) -> Iterator[dict[str, str]]:
    for line in all_rows(market)[table]:
        yield dict(zip(COLUMNS[table], line.split("\t"), strict=True))


def test_the_columns_are_those_of_the_models() -> None:
    models = {model._meta.table_name: model for model in SCHEMA.models}
    assert set(models) == {*COLUMNS, *CATALOGUE, "cache_outbox", "search_calibrations"}
    for table, columns in COLUMNS.items():
        written = {field.column_name for field in models[table]._meta.sorted_fields if not computed(field)}
        assert set(columns) == written - {"embedded_with"}


def computed(field: Any) -> bool:
    return any(constraint.sql.startswith("GENERATED") for constraint in field.constraints or ())


def test_every_portion_has_exactly_the_planned_rows() -> None:
    for portion in market().plan.portions:
        assert count(rows_of(market(), portion)) == portion.rows


def test_a_portion_is_the_same_whenever_it_is_made() -> None:
    last, first = market().plan.portions[-1], market().plan.portions[0]
    again = rows_of(market(), last)
    rows_of(market(), first)
    assert rows_of(market(), last) == again


def test_another_seed_makes_other_rows() -> None:
    mine = {row["name"] for row in rows_as_dicts(market(), "firms")}
    assert mine != {row["name"] for row in rows_as_dicts(market(seed=2), "firms")}


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        *((table, ("id",)) for table in COLUMNS),
        ("firms", ("vat_id",)),
        ("users", ("email",)),
        ("clients", ("firm_id", "name")),
        ("cases", ("firm_id", "case_number")),
        ("case_team", ("case_id", "user_id")),
    ],
)
def test_keys_are_unique_over_all_portions(table: str, columns: tuple[str, ...]) -> None:
    keys = Counter(tuple(row[column] for column in columns) for row in rows_as_dicts(market(), table))
    assert [key for key, times in keys.items() if times > 1] == []


def test_the_work_of_a_case_is_done_in_its_life() -> None:
    cases = {row["id"]: row for row in rows_as_dicts(market(), "cases")}
    today = recipe().today.isoformat()
    for table in ("documents", "tasks", "case_audit_logs", "case_team", "case_actors"):
        for row in rows_as_dicts(market(), table):
            case = cases[row["case_id"]]
            end = case["closed_date"] if case["closed_date"] != r"\N" else today
            assert case["opened_date"] <= row["created_at"][:10] <= row["updated_at"][:10] <= end <= today


def test_the_names_of_a_case_recur_in_its_documents() -> None:
    cases = {row["id"]: row for row in rows_as_dicts(market(), "cases")}
    names = {(row["case_id"], row["role"]): row["name"] for row in rows_as_dicts(market(), "case_actors")}
    for row in rows_as_dicts(market(), "documents"):
        assert cases[row["case_id"]]["case_number"] in row["content"]
        assert names[row["case_id"], "Client"] in row["title"]
        assert names[row["case_id"], "OpposingParty"] in row["content"]


def test_both_languages_occur_as_the_recipe_says() -> None:
    languages = Counter('"language": "en"' in row["metadata"] for row in rows_as_dicts(market(), "cases"))
    assert languages[True] / languages.total() == pytest.approx(recipe().shares["english_share"], abs=0.08)


def test_a_few_people_make_most_of_the_usage_logs() -> None:
    by_user = Counter(row["user_id"] for row in rows_as_dicts(market(), "skill_usage_logs"))
    busiest = sum(times for _, times in by_user.most_common(len(by_user) // 5))
    assert busiest > 0.5 * by_user.total()
