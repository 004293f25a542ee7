"""The comparisons with other tools, for those who have a checkout."""

from __future__ import annotations

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
    import subprocess
    from pathlib import Path

    from legal_store.errors import OperationFailedError, WrongUseError

    if not (Path.cwd() / "bench" / "__main__.py").is_file():
        raise WrongUseError(
            f"There are no comparisons in {Path.cwd()}.", remedy="Run this in a checkout of legal_store."
        )
    arguments = [*([name] if name else []), *["--quick"] * quick, *["--json"] * json]
    done = subprocess.run([sys.executable, "-m", "bench", *arguments], check=False)
    if done.returncode == 2:
        raise WrongUseError("Nothing was measured.")
    if done.returncode:
        raise OperationFailedError("Not every comparison ran to its end; see above.")
