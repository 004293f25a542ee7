"""Runs the comparisons: all of them, or those named. `--quick` only proves that they run; its figures mean nothing."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import time
from pathlib import Path

import bench
from bench.measure import Result

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    names = [info.name for info in pkgutil.iter_modules(bench.__path__) if info.name.startswith("compare_")]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(n.removeprefix("compare_") for n in names))
    parser.add_argument("--quick", action="store_true", help="smallest sizes: proves that it runs, measures nothing")
    arguments = parser.parse_args()
    wanted = [f"compare_{name}" for name in arguments.names] or names
    if unknown := set(wanted) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    for name in wanted:
        report(name, importlib.import_module(f"bench.{name}").run(quick=arguments.quick), quick=arguments.quick)


def report(name: str, results: list[Result], *, quick: bool) -> None:
    """Print the results and keep them as JSON with the machine they were measured on."""
    for result in results:
        print(f"{name.removeprefix('compare_')}: {result}", flush=True)
    if quick:
        return
    RESULTS.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
    record = {"name": name, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine}
    record["results"] = [result._asdict() for result in results]
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
