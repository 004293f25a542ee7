"""The report of a run as a page to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from legal_store.anonymize.run import Report

_STYLE = "body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd}"


def html_page(report: Report) -> str:
    """Return the report as one HTML document without scripts or references. It holds no value of any row."""
    proof = report.proof
    verdict = (
        "not proven: the proof was switched off"
        if proof is None
        else f"proven: none of {proof.traces:,} traces of real values in {proof.cells:,} cells;"
        f" {proof.ordinary:,} values consist of ordinary words and cannot be told from others"
    )
    figures = ((f.column, f.strategy, _pair(f.values), _pair(f.characters), _pair(f.different)) for f in report.figures)
    rows = ((table, count, report.changed.get(table, 0)) for table, count in report.rows.items())
    parts = [
        f"<h1>{escape(report.database)}: anonymized {escape(report.finished)}</h1><p>{escape(verdict)}</p>",
        _table("Rows", ("table", "rows", "changed"), rows),
        _table("Columns, before and after", ("column", "strategy", "values", "characters", "different"), figures),
        _table("Smallest groups (k-anonymity)", ("table", "columns", "k"),
               ((a.table, ", ".join(a.columns), a.k) for a in report.anonymity)),
        _table("Traces that this login may not remove", ("statement",), ((item,) for item in report.untidied)),
        _table("Seconds", ("step", "seconds"), report.seconds.items()),
    ]  # fmt: skip
    head = f'<meta charset="utf-8"><title>Anonymized</title><style>{_STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _pair(pair: tuple[int, int] | None) -> str:
    return "" if pair is None else f"{pair[0]:,} -> {pair[1]:,}"


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        return ""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>"
