"""Recipes: what users edit is read whole, and its faults are told whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from legal_store.errors import SeedError
from legal_store.generating.recipe import ENUMERATIONS, LongTail, read_recipe
from tests.generating.support import copied_recipe, recipe


def test_the_shipped_recipe_draws_every_value_of_every_enumeration() -> None:
    for column, members in ENUMERATIONS.items():
        assert set(recipe().choices[column]) == {member.value for member in members}


def test_weights_decide_how_often_a_value_is_drawn() -> None:
    drawn = recipe().choices["users.role"]
    assert drawn.count("Associate") / len(drawn) == pytest.approx(0.52, abs=0.01)


def test_a_long_tail_has_its_median_and_reaches_both_ends() -> None:
    table = sorted(LongTail(median=40, spread=1.0, lowest=3, highest=900).table)
    assert (table[0], table[-1]) == (3, 900)
    assert table[len(table) // 2] == pytest.approx(40, abs=1)
    assert table[int(len(table) * 0.975)] > 7 * 40


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("recipe.toml", "today = 2026-01-15", 'today = "soon"', "today = 'soon' must be a date"),
        (
            "recipe.toml",
            "english_share = 0.15",
            "english_share = 1.5",
            "english_share = 1.5 must be a number from 0 to 1",
        ),
        ("recipe.toml", "english_share = 0.15", "englsh_share = 0.15", "there is no setting englsh_share"),
        ("recipe.toml", "rows_per_user = 120", "rows_per_user = true", "rows_per_user = True must be a whole number"),
        ("recipe.toml", "Paralegal = 30", "", "weights.'users.role' needs a positive number for each of Partner"),
        ("recipe.toml", "median = 240,  spread", "median = 1,  spread", "tails.case_days"),
        ("recipe.toml", "tasks_per_case ", "taks_per_case ", "there is no tail taks_per_case"),
        ("words.toml", '"Adrian"', '"Adri\\tan"', "'Adri\\tan' holds a tab"),
        ("clauses.toml", "președinte {judge}", "președinte {jugde}", "uses ['jugde']"),
        ("clauses.toml", "[ro]", "[ro]\nLetter = ['x']", "ro has no kind Letter"),
        ("clauses.toml", "președinte {judge}", "președinte {judge", "unexpected '{'"),
    ],
)
def test_a_fault_is_told_with_file_and_value(tmp_path: Path, file: str, old: str, new: str, told: str) -> None:
    path = copied_recipe(tmp_path) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SeedError) as failure:
        read_recipe(path.parent)
    assert told in str(failure.value)
    assert file in str(failure.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    folder = copied_recipe(tmp_path)
    for old, new in (("history_years = 6", "history_years = 0"), ("ai_share = 0.35", "ai_share = -1")):
        path = folder / "recipe.toml"
        path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SeedError) as failure:
        read_recipe(folder)
    assert "history_years = 0" in str(failure.value)
    assert "ai_share = -1" in str(failure.value)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    folder = copied_recipe(tmp_path)
    (folder / "words.toml").unlink()
    (folder / "clauses.toml").write_text("[ro")
    with pytest.raises(SeedError, match=r"words\.toml cannot be read(.|\n)*clauses\.toml cannot be read"):
        read_recipe(folder)


def test_an_edit_changes_the_digest(tmp_path: Path) -> None:
    folder = copied_recipe(tmp_path)
    assert read_recipe(folder).digest == recipe().digest
    path = folder / "words.toml"
    path.write_text(path.read_text().replace("Adrian", "Adriean"))
    assert read_recipe(folder).digest != recipe().digest
