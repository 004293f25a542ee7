"""The comparisons with other tools, for those who have a checkout."""

from __future__ import annotations

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
    from importlib.util import find_spec
    from pathlib import Path

    from legal_store.errors import WrongUseError

    if not (Path.cwd() / "bench" / "__main__.py").is_file():
        raise WrongUseError(
            f"There are no comparisons in {Path.cwd()}.", remedy="Run this in a checkout of legal_store."
        )
    if find_spec("psutil") is None or find_spec("packaging") is None:
        raise WrongUseError("The packages that measure are missing.", remedy="pip install -e '.[dev]', or `make test`.")
    arguments = [*([name] if name else []), *["--quick"] * quick, *["--json"] * json]
    sys.stdout.flush()
    # in place of this process: Ctrl-C and exit codes (2: wrong use, 3: one failed) are those of the measuring
    os.execv(sys.executable, [sys.executable, "-m", "bench", *arguments])  # noqa: S606
