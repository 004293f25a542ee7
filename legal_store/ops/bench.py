"""The comparisons with other tools, for those who have a checkout."""

from __future__ import annotations

import importlib.util
import os
import sys

from invoke import Context

from legal_store.cli.task import task


@task(
    "bench",
    help={
        "name": "one comparison (default: all)",
        "quick": "smallest sizes: proves that it runs",
        "json": "print JSON",
    },
)
def bench(context: Context, name: str = "", quick: bool = False, json: bool = False) -> None:
    """Measure against other tools, side by side; writes docs/benchmarks.md and its plots."""
    from pathlib import Path

    from legal_store.errors import WrongUseError

    if not (Path.cwd() / "bench" / "__main__.py").is_file():
        raise WrongUseError(
            f"There are no comparisons in {Path.cwd()}.", remedy="Run this in a checkout of legal_store."
        )
    if importlib.util.find_spec("packaging") is None:
        raise WrongUseError("The other tools are not installed.", remedy="Run `pip install -e '.[bench]'`.")
    arguments = [*([name] if name else []), *["--quick"] * quick, *["--json"] * json]
    sys.stdout.flush()
    # in place of this process: Ctrl-C and exit codes (2: wrong use, 3: one failed) are those of the measuring
    os.execv(sys.executable, [sys.executable, "-m", "bench", *arguments])  # noqa: S606
