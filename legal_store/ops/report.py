"""Everything that is watched, in one file for whoever helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context

from legal_store.cli.page import html_document, html_table, write_private
from legal_store.cli.render import print_json
from legal_store.cli.task import task

if TYPE_CHECKING:
    from legal_store.monitor.inspection import Row
    from legal_store.monitor.report import Report


@task("report", help={"file": "where to write it (report.html in LEGAL_STORE_HOME)", "json": "print JSON instead"})
def report(context: Context, file: str = "", json: bool = False) -> None:
    """Write one page that says how everything stands, to hand to whoever helps; it holds no value of a row."""
    from pathlib import Path

    from legal_store.config import settings
    from legal_store.monitor.report import make_report

    made = make_report(settings())
    if json:
        print_json(made)
        return
    path = Path(file) if file else settings().home / "report.html"
    if not file:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, _page(made))
    print(path)


def _page(made: Report) -> str:
    sizes = made.sizes
    return html_document(
        f"legal_store, {made.made}",
        (
            f"<h1>legal_store, {made.made}</h1>",
            html_table("Status", ("", "what", "how it stands"), [(x.state, x.topic, x.text) for x in made.lines]),
            html_table("Set-up", ("", "what", "found", "remedy"),
                       [(x.state, x.what, x.found, x.remedy) for x in made.checks]),
            _rows("Sessions of the database", made.connections),
            _rows("Statements that took the most time", made.statements),
            _rows("Tables, in bytes", sizes and sizes.tables),
            _rows("Indexes that no query has used", sizes and sizes.unused_indexes),
            _rows("Invalid indexes", sizes and sizes.invalid_indexes),
        ),
    )  # fmt: skip


def _rows(title: str, rows: list[Row] | None) -> str:
    return html_table(title, list(rows[0]), [list(row.values()) for row in rows]) if rows else ""
