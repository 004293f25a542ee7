"""Runs tasks as people do: in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import CHECKOUT

Invoke = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def invoke() -> Invoke:
    """A function that runs `invoke ARGUMENTS` in the checkout, with only the given variables of ours set."""

    def run(*arguments: str, folder: object = CHECKOUT, **variables: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "200"} | {name: str(value) for name, value in variables.items()}
        command = [sys.executable, "-m", "invoke", *arguments]
        return subprocess.run(
            command, cwd=str(folder), env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run
