"""Runs the comparisons, all or those named, and makes docs/benchmarks.md and its plots of their results.

With --quick they run in their smallest sizes, several at a time: that proves that they run and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bench
from bench.machine import CHECKOUT, missing_peers
from bench.one import ended_as_tasks_are
from bench.report import VERDICTS, benchmarks_page, number
from legal_store import embedded

RESULTS = CHECKOUT / "bench" / "results"
DOCS = CHECKOUT / "docs"

# Ctrl-C, told to a whole terminal, would cut a comparison short while it stops its servers: each has a session of its
# own, and is told once, by SIGTERM
_running: set[subprocess.Popen[str]] = set()


def main() -> None:
    names = comparisons()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="smallest sizes: proves that it runs, measures nothing")
    parser.add_argument("--json", action="store_true", help="print the records on stdout")
    arguments = parser.parse_args()
    wanted = [name.replace("-", "_") for name in arguments.names] or names
    if unknown := set(wanted) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if missing := missing_peers():
        parser.error(f"the peers {', '.join(missing)} are not installed: pip install --editable '.[dev,bench]'")
    with ended_as_tasks_are():
        records, failed = run(wanted, quick=arguments.quick)
    if records and not arguments.quick:
        say(f"wrote {DOCS / 'benchmarks.md'}")
    if arguments.json:
        print(json.dumps(records, indent=2, ensure_ascii=False))
    if failed:
        say(f"failed: {', '.join(failed)}")
        sys.exit(3)


def comparisons() -> list[str]:
    """Return the names of all comparisons: the modules compare_*.py of this package."""
    return [
        info.name.removeprefix("compare_")
        for info in pkgutil.iter_modules(bench.__path__)
        if info.name.startswith("compare_")
    ]


def run(names: list[str], *, quick: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Run the comparisons one after the other, each kept as it ends; quick ones several at a time, and not kept.

    Return records, and names that failed.
    """
    with ThreadPoolExecutor(min(4, (os.cpu_count() or 1) + 1) if quick else 1) as pool:
        try:
            done = list(pool.map(run_quick if quick else run_and_keep, names))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for each in tuple(_running):
                each.terminate()
            raise
    return [record for record in done if record], [n for n, record in zip(names, done, strict=True) if not record]


def run_quick(name: str) -> dict[str, Any] | None:
    return run_one(name, quick=True)


def run_and_keep(name: str) -> dict[str, Any] | None:
    return keep(run_one(name, quick=False))


def run_one(name: str, *, quick: bool) -> dict[str, Any] | None:
    """Run a comparison in a process of its own and say what it found. Return its record, None if it failed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "record.json"
        code, output = _run_to_its_end(
            [sys.executable, "-m", "bench.one", name, str(file), *["--quick"] * quick], folder
        )
        if code or not file.is_file():
            say(f"{name}: failed with exit code {code}\n{output}")
            return None
        record: dict[str, Any] = json.loads(file.read_text())
    if quick:
        say(f"{name}: runs ({time.monotonic() - began:.1f} s)")
    for result in record["results"] if not quick else ():
        figures = ", ".join(f"{contestant} {number(value)}" for contestant, value in result["medians"].items())
        say(
            f"{name}: {result['what']}: {figures} {result['unit']}; ratio {number(result['ratio'])} "
            f"(goal: {result['goal']}; {VERDICTS[result['holds']].strip('*')})"
        )
    return record


def _run_to_its_end(command: list[str], folder: str) -> tuple[int, str]:
    """Return exit code and output. What it leaves in `folder`, its temporary one, is stopped."""
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": folder},
    ) as running:  # fmt: skip
        _running.add(running)
        try:
            output, _ = running.communicate()
        finally:
            _running.discard(running)
            _stop_servers(Path(folder))
    return running.returncode, output


def _stop_servers(folder: Path) -> None:
    """Stop what a comparison that was killed could not stop itself."""
    for data in folder.glob("*/postgres"):
        embedded.down(data.parent)


def keep(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """Write a result, its plot, and the page of this and all that were kept before. Return the result."""
    from bench.plots import draw, draw_scatter

    if record is None:
        return None
    RESULTS.mkdir(exist_ok=True)
    (DOCS / "benchmarks").mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{record['name']}.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    draw(record, DOCS / "benchmarks" / f"{record['name']}.svg")
    if record["scatter"]:
        draw_scatter(record, DOCS / "benchmarks" / f"{record['name']}-scatter.svg")
    known = [json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))]
    (DOCS / "benchmarks.md").write_text(benchmarks_page(known))
    return record


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
