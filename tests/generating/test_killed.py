"""A load that is killed at any moment is gone on with by running it again, with the same result as without."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from legal_store.config import Url
from legal_store.errors import SeedError, WrongUseError
from legal_store.generating import generate, ledger
from legal_store.schema.catalog import differences, read_catalog
from tests.conftest import CHECKOUT, Cluster
from tests.generating.support import fingerprint, query, settings_for, short_recipe

ROWS = 24_000
STEPS = [("rows", 1), ("rows", 4), ("indexes", 2), ("indexes", 60), ("statistics", 3)]
if os.environ.get("LEGAL_STORE_SWEEP") == "full":
    STEPS = (
        [("rows", n) for n in range(1, 9)]
        + [("indexes", n) for n in range(1, 83)]
        + [("statistics", n) for n in range(1, 19)]
    )

# tells each step and waits to be told to go on, so that a test can kill at exactly that step
CHILD = f"""
import sys
from pathlib import Path
from legal_store.config import Settings
from legal_store.generating import generate

def progress(stage, done, total):
    print(stage, done, total, flush=True)
    sys.stdin.readline()

settings = Settings.from_environ(dict(DATABASE_URL=sys.argv[1]))  # no guard: its processes do not import this file
generate(settings, Path(sys.argv[2]), rows={ROWS}, progress=progress)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def expected(cluster: Cluster, template: str, folder: Path) -> Any:
    """What an undisturbed load leaves: content hash, fingerprint, schema."""
    with cluster.database(template) as name:
        url = cluster.url(name)
        report = generate(settings_for(url), folder, rows=ROWS)
        with closing(psycopg2.connect(url)) as connection:
            yield report.content_hash, fingerprint(url), read_catalog(connection)


def start(url: Url, folder: Path, script: Path) -> subprocess.Popen[str]:
    script.write_text(CHILD)
    return subprocess.Popen(
        [sys.executable, str(script), url, str(folder)], cwd=CHECKOUT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip


def run_until(child: subprocess.Popen[str], stage: str, steps: int) -> None:
    """Let the child go on until it has told `steps` steps of `stage`."""
    seen = 0
    for line in child.stdout or ():
        seen += line.startswith(stage)
        if seen >= steps:
            return
        child.stdin.write("\n")  # type: ignore[union-attr]
        child.stdin.flush()  # type: ignore[union-attr]
    raise AssertionError(f"it ended before step {steps} of {stage}")


def kill(child: subprocess.Popen[str]) -> list[psutil.Process]:
    """kill -9 of the parent alone. Return its children, which nobody told."""
    workers = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(signal.SIGKILL)
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream:
            stream.close()
    return workers


def assert_as_without(url: Url, folder: Path, expected: Any) -> None:
    report = generate(settings_for(url), folder, rows=ROWS)
    content_hash, content, catalog = expected
    assert report.already_there or report.content_hash == content_hash
    assert fingerprint(url) == content
    with closing(psycopg2.connect(url)) as connection:
        assert differences(catalog, read_catalog(connection)) == []


@pytest.mark.sweep
@pytest.mark.parametrize(("stage", "steps"), STEPS)
def test_kill_9_at_a_step_and_again(
    database_url: Url, tmp_path: Path, folder: Path, expected: Any, stage: str, steps: int
) -> None:
    child = start(database_url, folder, tmp_path / "child.py")
    run_until(child, stage, steps)
    workers = kill(child)
    assert_as_without(database_url, folder, expected)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def test_kill_9_at_any_time_again_and_again(database_url: Url, tmp_path: Path, folder: Path, expected: Any) -> None:
    for seconds in (0.6, 0.7, 0.9):
        child = start(database_url, folder, tmp_path / "child.py")
        child.stdin.write("\n" * 200)  # type: ignore[union-attr]
        child.stdin.flush()  # type: ignore[union-attr]
        time.sleep(seconds)
        kill(child)
    assert_as_without(database_url, folder, expected)


def test_a_killed_worker_ends_the_load_and_the_next_run_completes_it(
    database_url: Url, folder: Path, expected: Any
) -> None:
    def kill_a_worker(stage: str, done: int, total: int) -> None:
        if stage == "rows" and 0 < done < total:
            for child in psutil.Process().children():
                if child.status() != psutil.STATUS_ZOMBIE and "legal_store.generating.worker" in child.cmdline():
                    child.kill()

    with pytest.raises(SeedError, match=r"exit code -9.*committed stays.*Run the same command again"):
        generate(settings_for(database_url), folder, rows=ROWS, progress=kill_a_worker)
    assert_as_without(database_url, folder, expected)


def test_a_cut_connection_ends_the_load_and_the_next_run_completes_it(
    database_url: Url, folder: Path, expected: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def cut(stage: str, done: int, total: int) -> None:
        if stage == "rows" and 0 < done < total:
            query(
                database_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND query LIKE ANY (ARRAY['COPY%', 'COMMIT', 'INSERT%'])",
            )

    with pytest.raises(SeedError, match=r"(terminating|server closed the) connection .*committed stays"):
        generate(settings_for(database_url), folder, rows=ROWS, progress=cut)
    assert "Traceback" not in capfd.readouterr().err
    assert_as_without(database_url, folder, expected)


def test_an_unfinished_load_is_not_mixed_with_another(database_url: Url, tmp_path: Path, folder: Path) -> None:
    child = start(database_url, folder, tmp_path / "child.py")
    run_until(child, "rows", 2)
    psutil.wait_procs(kill(child), timeout=20)
    with pytest.raises(WrongUseError, match=r"unfinished load .*seed 1.*--seed 1 --scale \d+ --rows 24000"):
        generate(settings_for(database_url), folder, rows=ROWS, seed=2)
    assert query(database_url, f"SELECT count(*) > 0 FROM {ledger.SCHEMA}.removed") == [(True,)]


def test_one_process_makes_the_same(database_url: Url, folder: Path, expected: Any) -> None:
    report = generate(settings_for(database_url), folder, rows=ROWS, workers=1)
    assert (report.content_hash, fingerprint(database_url)) == expected[:2]
