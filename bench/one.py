"""Runs one comparison in this process and writes its results as JSON: `python -m bench.one NAME FILE [--quick]`.

Each comparison has a process of its own, so that none inherits the memory, the imports or the settings of another.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench.machine import describe
from bench.measure import Result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.one", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("file", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    end_on_sigterm()
    machine, began = describe(), time.monotonic()
    module = importlib.import_module(f"bench.compare_{arguments.name}")
    results = module.run(quick=arguments.quick)
    record = {
        "name": arguments.name,
        "about": (module.__doc__ or "").strip(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - began, 1),
        "quick": arguments.quick,
        "machine": machine,
        "results": [as_record(result) for result in results],
        "scatter": getattr(module, "SCATTER", None),
    }
    arguments.file.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def end_on_sigterm() -> None:
    """Let SIGTERM, or a terminal that is closed, end this process as an exception does: it stops what it started."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, frame: sys.exit(128 + number))


def as_record(result: Result) -> dict[str, Any]:
    """Return the result as it is kept."""
    return {**result._asdict(), "spreads": result.spreads, "holds": result.holds}


if __name__ == "__main__":
    main()
