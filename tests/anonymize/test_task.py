"""The task as people run it: refusals, confirmation, dry run, report, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from legal_store import embedded
from legal_store.anonymize import kept_key
from legal_store.cache import CacheManager
from tests.anonymize.conftest import run
from tests.conftest import CHECKOUT


def legal_store(url: str, *arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from legal_store.cli.program import main; main()", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "DATABASE_URL": url, **environment},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


def untouched(connection: Any) -> bool:
    return run(connection, "SELECT count(*) FROM users WHERE first_name = 'Demo'") == [(0,)]


def test_it_masks_and_writes_a_private_report_without_any_value(demo_url: str, demo: Any, tmp_path: Path) -> None:
    names = [name for (name,) in run(demo, "SELECT name FROM clients")]
    done = legal_store(demo_url, "anonymize", "--yes", "--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    assert "Proven: none of" in done.stdout and "... mask users" in done.stderr
    page = (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o600
    assert "proven" in page and not any(name in page for name in names)
    assert not untouched(demo)


@pytest.mark.parametrize("environment", [{"LEGAL_STORE_ENV": "production"}, {}])
def test_production_is_refused(demo_url: str, demo: Any, environment: dict[str, str]) -> None:
    if not environment:
        run(demo, f"ALTER DATABASE {demo.info.dbname} SET legal_store.environment = 'production'")
    done = legal_store(demo_url, "anonymize", "--yes", **environment)
    assert done.returncode == 2 and "this is production" in done.stderr
    assert untouched(demo)


def test_it_asks_and_nobody_is_there(demo_url: str, demo: Any) -> None:
    done = legal_store(demo_url, "anonymize")
    assert done.returncode == 2 and "Pass --yes" in done.stderr
    assert untouched(demo)


def test_the_cache_is_emptied_or_named(demo_url: str, demo: Any, servers: embedded.Servers) -> None:
    cache = CacheManager(url=servers.redis.url)
    cache.set("client:1", "Vasilica Onofrei", shared=True)
    done = legal_store(demo_url, "anonymize", "--yes", REDIS_URL=servers.redis.url)
    assert done.returncode == 0
    assert re.search(r"[1-9]\d* cached values removed; sessions stay", done.stderr)  # other tests leave some as well
    assert cache.get("client:1", shared=True) is None
    cache.close()
    done = legal_store(demo_url, "anonymize", "--yes", "--no-proof", "--json", REDIS_URL="redis://127.0.0.1:1")
    (left,) = json.loads(done.stdout)["untidied"]
    assert done.returncode == 0 and "cached values, which may be real" in left and "invoke cache.clear" in left
    checked = legal_store(demo_url, "validate", "--json")
    (found,) = [one for one in json.loads(checked.stdout)["results"] if one["name"] == "personal data"]
    assert found["status"] == "SKIP" and "--no-proof" in found["message"]


def test_a_report_that_cannot_be_written_is_refused_before_the_run(demo_url: str, demo: Any, tmp_path: Path) -> None:
    done = legal_store(demo_url, "anonymize", "--yes", "--report", str(tmp_path / "nowhere" / "report.html"))
    assert done.returncode == 2 and "cannot be written into" in done.stderr and untouched(demo)
    (tmp_path / "report.json").write_text("earlier")
    run(demo, "ALTER TABLE users ADD COLUMN motto text")
    done = legal_store(demo_url, "anonymize", "--yes", "--report", str(tmp_path / "report.json"))
    assert done.returncode == 2 and (tmp_path / "report.json").read_text() == "earlier"


def test_a_dry_run_shows_what_a_run_with_the_same_key_does(demo_url: str, demo: Any, tmp_path: Path) -> None:
    run(demo, 'UPDATE clients SET contact_info = \'{"a": "x"}\'')
    key = str(tmp_path / "mask.key")
    legal_store(demo_url, "anonymize", "--dry-run", "--key-file", key)
    assert not Path(key).exists()
    kept_key(Path(key))
    shown = json.loads(legal_store(demo_url, "anonymize", "--dry-run", "--json", "--key-file", key).stdout)
    (clients,) = [sample for sample in shown["samples"] if sample["table"] == "clients"]
    assert any('"contact_info" = CASE WHEN EXISTS' in statement for statement in shown["statements"])
    assert legal_store(demo_url, "anonymize", "--yes", "--key-file", key).returncode == 0
    columns = ", ".join(f"{name}::text" for name in clients["columns"])
    after = run(demo, f"SELECT {columns} FROM clients ORDER BY ctid LIMIT 10")
    assert [tuple(row) for row in clients["after"]] == after


def test_a_dry_run_has_no_report(demo_url: str, tmp_path: Path) -> None:
    done = legal_store(demo_url, "anonymize", "--dry-run", "--report", str(tmp_path / "r.html"))
    assert done.returncode == 2 and "--report is of a run" in done.stderr


def test_a_dry_run_shows_rows_and_statements_and_changes_nothing(demo_url: str, demo: Any) -> None:
    done = legal_store(demo_url, "anonymize", "--dry-run", "--json")
    shown = json.loads(done.stdout)
    assert done.returncode == 0 and shown["samples"] and shown["statements"]
    assert untouched(demo)


def test_rules_that_do_not_fit_end_with_2_and_every_problem(demo_url: str, demo: Any) -> None:
    run(demo, "ALTER TABLE users ADD COLUMN shoe_size int, ADD COLUMN motto text")
    done = legal_store(demo_url, "anonymize", "--yes")
    assert done.returncode == 2
    assert "users.shoe_size" in done.stderr and "users.motto" in done.stderr


def test_suggestions_are_printed_and_the_answer_is_no(demo_url: str, demo: Any) -> None:
    assert legal_store(demo_url, "anonymize.rules", "--suggest").returncode == 0
    run(demo, "ALTER TABLE users ADD COLUMN motto text")
    done = legal_store(demo_url, "anonymize.rules", "--suggest")
    assert done.returncode == 1 and 'motto = "redact"' in done.stdout


def test_a_missing_rules_file_is_named(demo_url: str) -> None:
    done = legal_store(demo_url, "anonymize", "--yes", "--rules", "nowhere.toml")
    assert done.returncode == 2 and "nowhere.toml" in done.stderr


def test_a_leak_ends_with_3_keeps_the_database_and_is_reported(demo_url: str, demo: Any, tmp_path: Path) -> None:
    run(demo, "UPDATE cases SET court_name = 'Judecător ' || (SELECT name FROM case_actors WHERE name ~ ' ' LIMIT 1)")
    done = legal_store(demo_url, "anonymize", "--yes", "--report", str(tmp_path / "report.json"))
    assert done.returncode == 3 and "cases.court_name" in done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "failed"
    assert "cases.court_name" in [survivor["place"] for survivor in report["proof"]["survivors"]]
    assert untouched(demo)
