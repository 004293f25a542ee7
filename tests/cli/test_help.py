"""`TASK --help` is help, for every task, also for those that take something without a flag."""

from __future__ import annotations

import invoke
import pytest

from legal_store.cli.discovery import build_collection

COLLECTION = build_collection()


@pytest.mark.parametrize("name", COLLECTION.task_names)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_a_task_is_printed_and_nothing_is_done(
    name: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke.Program(namespace=COLLECTION, binary="invoke").run(["invoke", name, flag], exit=False)
    printed = capsys.readouterr()
    assert "Usage:" in printed.out and (COLLECTION[name].__doc__ or "").split()[0] in printed.out
    assert printed.err == ""
