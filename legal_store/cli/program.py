"""The console script `legal-store`: the same tasks as `invoke` in a checkout, from any folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from legal_store.cli.streams import told
from legal_store.errors import LegalStoreError


def main() -> None:
    """Run the task named on the command line. Ends the process with the task's exit code; wrong use is 2."""
    try:
        from legal_store.cli.discovery import build_collection
    except ImportError:
        print("legal-store needs the packages of its tasks: pip install 'legal-store[ops]'", file=sys.stderr)
        sys.exit(2)
    try:
        namespace = build_collection(Path.cwd())
    except LegalStoreError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    try:
        with told():  # `legal-store --list | head`
            _program(namespace).run()
    except OSError as error:
        print(f"{error.filename}: {error.strerror}.", file=sys.stderr)
        sys.exit(LegalStoreError.exit_code)


def _program(namespace: Any) -> Any:
    from invoke import Program
    from invoke.exceptions import Exit, ParseError

    class TaskProgram(Program):
        """Invoke's program, but wrong use ends with our exit code 2 instead of 1."""

        def parse_core(self, argv: Any) -> None:
            with _wrong_use():
                super().parse_core(argv)

        def parse_tasks(self) -> None:
            with _wrong_use():
                super().parse_tasks()

    @contextmanager
    def _wrong_use() -> Iterator[None]:
        try:
            yield
        except ParseError as error:
            raise Exit(str(error), code=2) from None

    return TaskProgram(namespace=namespace, name="legal-store", version=version("legal-store"))
