"""What the tasks that mask data share: their report as a file, and in a few lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from legal_store.cli.page import write_private
from legal_store.cli.render import plain, print_table
from legal_store.errors import LeakError

if TYPE_CHECKING:
    from legal_store.anonymize import Report


def write_report(report: Report, path: Path) -> None:
    """Write the report into `path`, readable by its owner only: as a page where it ends in .html, else as JSON."""
    from legal_store.cli.masking_page import html_page

    text = html_page(report) if path.suffix == ".html" else json.dumps(plain(report), indent=2, ensure_ascii=False)
    write_private(path, text)


@contextmanager
def report_of_failure(path: str) -> Iterator[None]:
    """Write the report of a run that found real values into `path`, if it is not empty; the error goes on."""
    from legal_store.anonymize import Report

    try:
        yield
    except LeakError as error:
        if path and isinstance(error.report, Report):
            write_report(error.report, Path(path))
        raise


def show_report(report: Report) -> None:
    """Print what was masked, and what is known about it."""
    rows = [(table, report.changed[table], report.rows[table]) for table in report.changed]
    print_table(f"Anonymized {report.database}", ("table", "changed", "rows"), rows)
    if report.proof is None:
        print("NOT PROVEN: the search for real values was switched off.")
    else:
        print(f"Proven: none of {report.proof.traces:,} traces of real values in {report.proof.cells:,} cells;")
        print(f"{report.proof.ordinary:,} values consist of ordinary words and cannot be told from others.")
    for found in report.anonymity:
        print(f"Smallest group of {found.table} by {', '.join(found.columns)}: {found.k} rows.")
    for statement in report.untidied:
        print(f"Not removed, this login may not: {statement}")
