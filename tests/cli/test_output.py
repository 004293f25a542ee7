"""What becomes of a task whose output, or whose file, cannot be written."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

NOWHERE = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x?sslmode=disable", "REDIS_URL": "redis://127.0.0.1:1/0"}


def shell(line: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which INVOKE stands for `invoke`."""
    line = line.replace("INVOKE", f"{shlex.quote(sys.executable)} -m invoke")
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        ["bash", "-c", line], cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("task", ["doctor", "schema.diagram --output {folder}/x.md"])
def test_an_answer_that_does_not_fit_on_the_disk_is_a_failure(task: str, tmp_path: Path) -> None:
    finished = shell(f"INVOKE {task.format(folder=tmp_path)} > /dev/full", **NOWHERE)
    assert finished.returncode == 3
    assert finished.stderr == "stdout: No space left on device. Check the path, rights and free space.\n"


@pytest.mark.parametrize(("task", "code"), [("doctor", 1), ("status", 1), ("anonymize.rules", 0), ("--list", 0)])
def test_a_reader_who_has_gone_changes_nothing_but_that_it_is_quiet(task: str, code: int) -> None:
    finished = shell(f"INVOKE {task} | true; exit ${{PIPESTATUS[0]}}", **NOWHERE)
    assert finished.returncode == code and "Traceback" not in finished.stderr and "Broken" not in finished.stderr


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_output_is_no_output(closing: str) -> None:
    finished = shell(f"INVOKE status {closing}", **NOWHERE)
    assert finished.returncode == 1 and "Traceback" not in finished.stdout + finished.stderr


def test_words_about_progress_that_cannot_be_written_end_nothing() -> None:
    finished = shell("INVOKE status 2> /dev/full", **NOWHERE)
    assert finished.returncode == 1 and "PostgreSQL" in finished.stdout


def test_a_file_that_does_not_fit_on_the_disk_is_named_and_stays_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "x.md"
    file.write_text("as it was")
    limited = [sys.executable, "-m", "invoke", "schema.diagram", "--output", str(file)]
    finished = subprocess.run(
        limited, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )  # fmt: skip
    assert finished.returncode == 3
    assert finished.stderr == f"{file}: File too large. Check the path, rights and free space.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.md"] and file.read_text() == "as it was"
