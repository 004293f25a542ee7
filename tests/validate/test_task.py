"""`invoke validate` as people and programs use it."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import psycopg2

from legal_store.config import Url
from tests.cli.conftest import Invoke, invoke

__all__ = ["invoke"]


def run(url: Url, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def test_exit_code_and_json_say_whether_all_is_well(invoke: Invoke, database_url: Url) -> None:
    finished = invoke("validate", "--json", DATABASE_URL=database_url)
    assert finished.returncode == 0, finished.stderr
    report: dict[str, Any] = json.loads(finished.stdout)
    assert {result["status"] for result in report["results"]} <= {"PASS", "SKIP"}
    run(database_url, "INSERT INTO skills (skill_id, display_name, usage_count) VALUES ('x', 'X', 3)")
    finished = invoke("validate", DATABASE_URL=database_url)
    assert finished.returncode == 1
    assert "statistics: skills" in finished.stdout
    assert "--fix" in finished.stderr


def test_fix_mends_and_then_answers_yes(invoke: Invoke, database_url: Url) -> None:
    run(database_url, "INSERT INTO skills (skill_id, display_name, usage_count) VALUES ('x', 'X', 3)")
    finished = invoke("validate", "--fix", DATABASE_URL=database_url)
    assert finished.returncode == 0, finished.stderr
    assert "mended statistics: skills" in finished.stderr


def test_fix_says_what_it_mended_and_what_not(invoke: Invoke, database_url: Url) -> None:
    run(database_url, "INSERT INTO firms (name, vat_id) VALUES ('F', 'RO1')")
    run(database_url, "ALTER TABLE firms DROP CONSTRAINT firms_vat_id_key, ADD CHECK (name = '') NOT VALID")
    run(database_url, "ALTER TABLE users DISABLE TRIGGER ALL; DELETE FROM _migrations")
    finished = invoke("validate", "--fix", "--json", DATABASE_URL=database_url)
    assert finished.returncode == 1
    report = json.loads(finished.stdout)
    failed = {result["name"] for result in report["results"] if result["status"] == "FAIL"}
    assert failed == {"migrations", "drift", "constraints"}
    assert {mending["check"] for mending in report["mended"]} == {"disabled triggers", "constraints"}
    assert "mended disabled triggers: users.RI_ConstraintTrigger" in finished.stderr
    assert "not mended constraints: firms.firms_name_check: CheckViolation" in finished.stderr


def test_a_package_adds_checks_of_its_own(invoke: Invoke, database_url: Url, tmp_path: Any) -> None:
    (tmp_path / "their_checks.py").write_text(
        "from legal_store.validate.checks import no_rows\n"
        "def checks():\n    return [no_rows('theirs', 'firms exist', 'SELECT id FROM firms')]\n"
        "def nothing():\n    return None\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[legal_store.checks]\ntheirs = their_checks:checks\nbroken = their_checks:nothing\n"
    )
    run(database_url, "INSERT INTO firms (name, vat_id) VALUES ('F', 'RO1')")
    finished = invoke("validate", "--json", DATABASE_URL=database_url, PYTHONPATH=tmp_path)
    assert finished.returncode == 1
    results = json.loads(finished.stdout)["results"]
    failed = {result["name"]: result["message"] for result in results if result["status"] == "FAIL"}
    assert failed.keys() == {"theirs", "checks of their_checks:nothing"}
    assert "TypeError" in failed["checks of their_checks:nothing"]
