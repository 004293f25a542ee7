"""What the tasks that mask data share: their report as a file, and in a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from legal_store.cli.page import private_file
from legal_store.cli.render import plain, print_table
from legal_store.errors import LeakError, WrongUseError

if TYPE_CHECKING:
    from legal_store.anonymize import Report


@contextmanager
def report_file(path: str) -> Iterator[Callable[[Report], None]]:
    """Open `path` before a run, and hand out what writes the report into it: a page where it ends in .html, else JSON.

    Writes the report of a run that found real values itself; the error goes on. Does nothing where `path` is empty.
    Raises WrongUseError where it cannot be written.
    """
    from legal_store.anonymize import Report

    with ExitStack() as stack:
        try:
            write = stack.enter_context(private_file(Path(path))) if path else None
        except OSError as error:
            raise WrongUseError(
                f"The report cannot be written into {path}: {error.strerror}.", remedy="Nothing was changed."
            ) from None

        def write_report(report: Report) -> None:
            if write:
                write(_as_text(report, Path(path).suffix))

        try:
            yield write_report
        except LeakError as error:
            if isinstance(error.report, Report):
                write_report(error.report)
            raise


def _as_text(report: Report, suffix: str) -> str:
    from legal_store.cli.masking_page import html_page

    return html_page(report) if suffix == ".html" else json.dumps(plain(report), indent=2, ensure_ascii=False)


def show_report(report: Report) -> None:
    """Print what was masked, and what is known about it."""
    rows = [(table, report.changed[table], report.rows[table]) for table in report.changed]
    print_table(f"Anonymized {report.database}", ("table", "changed", "rows"), rows)
    if report.proof is None:
        print("NOT PROVEN: the search for real values was switched off.")
    else:
        print(f"Proven: none of {report.proof.traces:,} traces of real values in {report.proof.cells:,} cells.")
    for found in report.anonymity:
        print(f"Smallest group of {found.table} by {', '.join(found.columns)}: {found.k} rows.")
    for left in report.untidied:
        print(f"Not removed: {left}.")
