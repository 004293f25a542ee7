"""Runs one comparison in this process and writes its results as JSON: `python -m bench.one NAME FILE [--quick]`.

Each comparison has a process of its own, so that none inherits the memory, the imports or the settings of another.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.machine import describe
from bench.measure import Result
from legal_store.cli.signals import ended_in_order, interrupted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.one", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("file", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    with ended_as_tasks_are():
        record = measured(arguments.name, quick=arguments.quick)
    arguments.file.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def measured(name: str, *, quick: bool) -> dict[str, Any]:
    """Run the comparison and return its record."""
    machine, began = describe(), time.monotonic()
    module = importlib.import_module(f"bench.compare_{name}")
    results = module.run(quick=quick)
    return {
        "name": name,
        "about": (module.__doc__ or "").strip(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - began, 1),
        "quick": quick,
        "machine": machine,
        "results": [as_record(result) for result in results],
        "scatter": getattr(module, "SCATTER", None),
    }


@contextmanager
def ended_as_tasks_are() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal end this process as an exception does: it stops what it started."""
    try:
        with ended_in_order():
            yield
    except KeyboardInterrupt as error:
        sys.exit(interrupted(error).code)


def as_record(result: Result) -> dict[str, Any]:
    """Return the result as it is kept."""
    return {**result._asdict(), "spreads": result.spreads, "holds": result.holds}


if __name__ == "__main__":
    main()
