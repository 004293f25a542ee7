"""The tasks as people type them: exit codes, JSON, and questions that nobody is there to answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from legal_store.config import Url
from legal_store.schema.catalog import differences
from tests.cli.conftest import Invoke, invoke
from tests.conftest import MIGRATIONS
from tests.migrate.support import catalog, run, write

__all__ = ["invoke"]  # the fixture

UP = "-- migrate:up\nCREATE TABLE {0} (id int);\n-- migrate:down\nDROP TABLE {0};\n"


@pytest.fixture
def target(empty_database: Url, tmp_path: Path) -> dict[str, object]:
    """The variables of a shell: a database, and a folder with two migrations."""
    folder = write(tmp_path / "migrations", a001_first=UP.format("first"), a002_second=UP.format("second"))
    return {"DATABASE_URL": empty_database, "LEGAL_STORE_MIGRATIONS_DIR": folder, "REDIS_URL": "redis://localhost:1"}


def test_from_pending_to_applied_to_undone(invoke: Invoke, target: dict[str, object], empty_database: Url) -> None:
    pending = invoke("migrate.status", "--json", **target)
    assert (pending.returncode, json.loads(pending.stdout)["pending"]) == (1, ["001_first", "002_second"])
    assert "Not up to date: 2 pending" in pending.stderr
    planned = json.loads(invoke("migrate.plan", "--json", **target).stdout)
    assert [statement["statement"] for statement in planned["statements"]] == [
        "CREATE TABLE first (id int)",
        "CREATE TABLE second (id int)",
    ]
    deployed = invoke("migrate.deploy", "--json", **target)
    assert json.loads(deployed.stdout)["applied"] == ["001_first", "002_second"]
    assert invoke("migrate.status", **target).returncode == 0
    history = json.loads(invoke("migrate.history", "--json", **target).stdout)
    assert [(row["name"], row["state"]) for row in history] == [("001_first", "applied"), ("002_second", "applied")]
    assert all(row["applied_by"] and row["tool_version"] and len(row["checksum"]) == 64 for row in history)

    unanswered = invoke("migrate.undo", **target)
    assert unanswered.returncode == 2
    assert "DROP TABLE second;" in unanswered.stderr
    assert "Nobody is here to answer. Pass --yes" in unanswered.stderr
    assert ("table", "second") in catalog(empty_database)
    assert invoke("migrate.undo", "--yes", **target).returncode == 0
    assert ("table", "second") not in catalog(empty_database)


def test_what_the_models_say_and_no_file_does_becomes_a_migration(
    invoke: Invoke, empty_database: Url, database_url: Url, tmp_path: Path
) -> None:
    files = sorted(MIGRATIONS.glob("*.*"))
    last = max(path for path in files if path.suffix == ".py")
    for path in files:
        if path != last:
            shutil.copy(path, tmp_path)
    target = {
        "DATABASE_URL": empty_database,
        "LEGAL_STORE_MIGRATIONS_DIR": tmp_path,
        "REDIS_URL": "redis://localhost:1",
    }
    made = invoke("migrate", "--name", "later", "--yes", "--json", **target)
    assert made.returncode == 0, made.stderr
    written = json.loads(made.stdout)
    assert (tmp_path / f"{written['migration']}.py").is_file()
    assert written["applied"] == [written["migration"]]
    for found in differences(catalog(database_url), catalog(empty_database)):
        # what only the last file drops belongs to no model: reported, and left alone
        assert found.expected is None
        assert f"not declared by any model, left alone: {found.kind} {found.name}" in made.stderr


def test_wrong_use_ends_with_2_and_one_paragraph(invoke: Invoke, target: dict[str, object]) -> None:
    assert invoke("migrate.deploy", **target).returncode == 0
    for arguments, message in (
        (("migrate.undo", "--name", "typo", "--yes"), "'typo' is not the name of a migration"),
        (("migrate.resolve", "001_first"), "Say exactly one of --applied, --rolled-back and --retry."),
        (("migrate.resolve", "001_first", "--retry"), "001_first is applied: it cannot be resolved as retry"),
        (("migrate.baseline", "002_second"), "has a ledger with applied migrations"),
        (("schema.diagram", "--output", "x.png"), "nothing can be drawn into such a file"),
        (("migrate.deploy", "--lock-timeout", "0"), "--lock-timeout and --lock-budget are at least 1 second"),
        (("migrate", "--name", "Bad name"), "'Bad name' is no name for a migration"),
    ):
        finished = invoke(*arguments, **target)
        assert finished.returncode == 2, finished.stderr
        assert message in finished.stderr
        assert "Traceback" not in finished.stderr


def test_reset_asks_and_is_refused_in_production(
    invoke: Invoke, target: dict[str, object], empty_database: Url
) -> None:
    assert invoke("migrate.deploy", **target).returncode == 0
    run(empty_database, "INSERT INTO first VALUES (1)")
    production = invoke("migrate.reset", "--yes", **target, LEGAL_STORE_ENV="production")
    assert (production.returncode, "this is production" in production.stderr) == (2, True)
    assert invoke("migrate.reset", **target).returncode == 2
    assert run(empty_database, "SELECT * FROM first") == [(1,)]
    assert invoke("migrate.reset", "--yes", **target).returncode == 0
    assert run(empty_database, "SELECT * FROM first") == []


def test_a_deploy_that_fails_ends_with_3_and_says_what_was_kept(invoke: Invoke, target: dict[str, object]) -> None:
    write(Path(str(target["LEGAL_STORE_MIGRATIONS_DIR"])), a003_bad="CREATE TABLE third ();\nSELECT 1 / 0;")
    failed = invoke("migrate.deploy", **target)
    assert failed.returncode == 3
    assert "Migration 003_bad (statement 2, line 2) failed: division by zero" in failed.stderr
    assert "Nothing of it was kept" in failed.stderr
