"""Many deployers at once, and what becomes of the others when one is killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from legal_store.config import Url
from legal_store.migrate import history
from tests.migrate.corpus import write_corpus
from tests.migrate.support import parameters, run, start_deploy, write

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
OFF = "-- transaction: off\n"


@pytest.mark.sweep
@pytest.mark.timeout(1200)
def test_many_deployers_apply_each_migration_exactly_once(empty_database: Url, tmp_path: Path) -> None:
    processes, rounds = (8, 20) if FULL else (4, 2)
    folder = write(
        tmp_path / "migrations",
        a001_table="CREATE TABLE t (id int, runs int); INSERT INTO t SELECT n, 0 FROM generate_series(1, 2000) n;",
        a002_index=OFF + "CREATE INDEX CONCURRENTLY t_id_idx ON t (id);",
        a003_count="UPDATE t SET runs = runs + 1;",
        a004_index=OFF + "CREATE INDEX CONCURRENTLY t_runs_idx ON t (runs);",
    )
    for _ in range(rounds):
        run(empty_database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        started = [start_deploy(empty_database, folder) for _ in range(processes)]
        applied = []
        for process in started:
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            applied += out.splitlines()[-1].split()[1:]
        assert sorted(applied) == ["001_table", "002_index", "003_count", "004_index"]
        assert run(empty_database, "SELECT DISTINCT runs FROM t") == [(1,)]
        assert [attempt.state for attempt in history(parameters(empty_database))] == ["applied"] * 4


def test_the_next_deployer_goes_on_within_two_seconds_when_the_holder_is_killed(
    empty_database: Url, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "migrations",
        a001_table="CREATE TABLE t (id int);",
        a002_long=OFF + "CREATE TABLE u (id int);\nSELECT pg_sleep(600);",
    )
    holder = start_deploy(empty_database, folder)
    wait_for_line(holder, "step 002_long 2")
    waiter = start_deploy(empty_database, folder, pause=True)
    assert waiter.stderr is not None and waiter.stdout is not None
    assert "waiting for another deploy: session" in waiter.stderr.readline()
    began = time.monotonic()
    holder.kill()
    wait_for_line(waiter, "step 002_long 2")
    assert time.monotonic() - began < 2
    waiter.kill()
    waiter.communicate()
    holder.communicate()


def wait_for_line(process: object, line: str) -> None:
    for seen in process.stdout:  # type: ignore[attr-defined]
        if seen.strip() == line:
            return
    raise AssertionError(f"{line!r} was never seen")


def test_a_killed_process_is_continued_by_the_next_one(empty_database: Url, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "migrations")
    first = start_deploy(empty_database, folder, exit_at=60)
    first.communicate(timeout=60)
    assert first.returncode == 9
    second = start_deploy(empty_database, folder)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert out.splitlines()[-1].endswith("20250102000000_steps")
