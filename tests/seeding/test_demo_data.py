"""The demo data is what the specification says, before any server has seen it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest

from legal_store.seeding import read_seed_set
from tests.seeding.expected import BY_COLUMN, DUE, SEEDS, counted, due_counts

NOW = datetime(2025, 11, 20, 10, 30)
CLOSED = ("Closed", "Archived")


@cache
def demo() -> dict[str, list[dict[str, Any]]]:
    rows = read_seed_set(SEEDS, "demo", NOW).rows
    return {table: [{"id": row.id, **row.values} for row in found] for table, found in rows.items()}


@pytest.mark.parametrize(
    ("table", "count"), [("firms", 1), ("users", 5), ("cases", 10), ("documents", 20), ("tasks", 30)]
)
def test_rows_of_a_table(table: str, count: int) -> None:
    assert len(demo()[table]) == count


def test_every_table_has_rows() -> None:
    assert [table for table, rows in demo().items() if not rows] == []
    assert len(demo()["clients"]) >= 4


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, columns in BY_COLUMN.items() for column in columns]
)
def test_distribution_of_a_column(table: str, column: str) -> None:
    assert counted(demo()[table], column) == BY_COLUMN[table][column]


def test_the_firm() -> None:
    (firm,) = demo()["firms"]
    assert (firm["name"], firm["vat_id"]) == ("Demo Law Firm S.R.L.", "RO12345678")
    assert "București" in firm["address"]


def test_users_have_the_rights_of_their_role() -> None:
    rights = {(u["role"], u["can_approve_documents"], u["can_manage_cases"]) for u in demo()["users"]}
    assert rights == {("Partner", True, True), ("Associate", False, True), ("Paralegal", False, False)}
    assert all(user["email"].endswith("@demo.lawfirm.ro") for user in demo()["users"])


def test_cases_are_numbered_and_closed_ones_have_their_date() -> None:
    assert [case["case_number"] for case in demo()["cases"]] == [f"CASE-2024-{n:03}" for n in range(1, 11)]
    for case in demo()["cases"]:
        assert (case["status"] in CLOSED) == ("closed_date" in case)
        assert case["opened_date"] <= case.get("closed_date", NOW.date())


def test_every_case_has_a_team_and_parties() -> None:
    cases = {case["id"] for case in demo()["cases"]}
    assert {member["case"] for member in demo()["case_team"]} == cases
    assert {actor["case"] for actor in demo()["case_actors"] if actor["role"] == "Client"} == cases
    assert {actor["role"] for actor in demo()["case_actors"]} >= {"Witness", "Expert", "OpposingCounsel"}


def test_three_documents_exist_in_several_versions() -> None:
    versions = Counter((document["case"], document["title"]) for document in demo()["documents"])
    assert sorted(versions.values()) == [1] * 14 + [2] * 3
    assert sum(document["version"] > 1 for document in demo()["documents"]) == 3


def test_sizes_and_kinds_of_files() -> None:
    sizes = [document["file_size_bytes"] for document in demo()["documents"]]
    assert sum(size > 5 * 1024 * 1024 for size in sizes) == sum(size > 5_000_000 for size in sizes) == 2
    assert sum(size < 100_000 for size in sizes) == sum(size < 100 * 1024 for size in sizes) == 2
    endings = {(d["file_name"].rpartition(".")[2], d["mime_type"]) for d in demo()["documents"]}
    assert endings == {
        ("pdf", "application/pdf"),
        ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("txt", "text/plain"),
    }


def test_names_and_addresses_of_files() -> None:
    names = [document["file_name"] for document in demo()["documents"]]
    assert sum(not name.isascii() for name in names) == 2
    assert all(document["storage_url"].startswith("https://storage.example.com/") for document in demo()["documents"])
    assert len({document["storage_url"] for document in demo()["documents"]}) == 20


def test_one_title_is_longer_than_200_characters() -> None:
    assert sum(len(document["title"]) > 200 for document in demo()["documents"]) == 1


@pytest.mark.parametrize("days", [-1, 0, 1])
def test_due_dates_hold_also_in_a_time_zone_that_is_a_day_off(days: int) -> None:
    assert due_counts(demo()["tasks"], NOW.date() + timedelta(days=days)) == DUE


def test_tasks_are_spread_over_all_users() -> None:
    assigned = Counter(task.get("assigned_to") for task in demo()["tasks"])
    assert assigned.pop(None) == 5
    assert set(assigned) == {user["id"] for user in demo()["users"]}


def test_tasks_are_plausible() -> None:
    statuses = {case["id"]: case["status"] for case in demo()["cases"]}
    for task in demo()["tasks"]:
        assert (task["status"] == "Completed") == ("completed_at" in task)
        assert task["status"] == "Pending" or "assigned_to" in task
        if task["due_date"] < NOW.date():
            assert task["status"] != "Completed"
            assert statuses[task["case"]] not in CLOSED
        if "completed_at" in task:
            assert task["completed_at"] < NOW.astimezone()


def test_each_skill_has_two_generations_and_one_current_version() -> None:
    for skill in demo()["skills"]:
        versions = [version for version in demo()["skill_versions"] if version["skill"] == skill["id"]]
        assert len(versions) >= 2
        assert [version["version"] for version in versions if version["is_current"]] == [skill["version"]]
    assert counted(demo()["skill_usage_logs"], "success")[False] >= 1


def test_there_are_candidates_for_new_templates() -> None:
    candidates = [
        found
        for found in demo()["document_type_registry"]
        if found["mapping_status"] in ("pending", "queue_review") and found["total_occurrences"] >= 20
    ]
    assert len(candidates) == 4
    assert all(template["civil_code_references"] for template in demo()["romanian_templates"])


def test_romanian_letters_are_the_right_ones() -> None:
    for file in (SEEDS / "demo").glob("*.toml"):
        text = file.read_text("utf-8")
        assert not set(text) & set("şţŞŢ"), f"cedilla instead of comma in {file.name}"
        assert unicodedata.is_normalized("NFC", text), file.name
    letters = set("ăâîșț")
    for table in ("cases", "documents", "tasks", "romanian_templates"):
        assert letters <= set(str(demo()[table]).lower()), table
