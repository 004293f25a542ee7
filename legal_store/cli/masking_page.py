"""The report of a run as a page to read."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from legal_store.cli.page import html_document, html_table

if TYPE_CHECKING:
    from legal_store.anonymize.measuring import Figures
    from legal_store.anonymize.run import Report


def html_page(report: Report) -> str:
    """Return the report as one HTML document without scripts or references. It holds no value that was masked."""
    proof = report.proof
    survivors = [(item.place, f"{item.cells:,} cells") for item in proof.survivors] if proof else []
    skipped = [(reason, "not searched") for reason in proof.skipped] if proof else []
    figures = (
        (f.column, f.strategy, *map(_pair, (f.values, f.different, f.characters)), _lengths(f)) for f in report.figures
    )
    kept = ((d.column, "same" if d.before == d.after else "CHANGED", _counted(d.before), _counted(d.after))
            for d in report.distributions)  # fmt: skip
    rows = ((table, f"{count:,}", f"{report.changed.get(table, 0):,}") for table, count in report.rows.items())
    parts = [
        f"<h1>{escape(report.database)}: {escape(report.verdict)}, {escape(report.finished)}</h1>",
        f"<p>{escape(_verdict(report))}</p>",
        html_table("Why it failed", ("place", "what"), [*survivors, *skipped]),
        html_table("Rows", ("table", "rows", "changed"), rows),
        html_table("Masked columns, before and after",
               ("column", "strategy", "values", "different", "characters", "lengths"), figures),
        html_table("Kept columns of few values", ("column", "", "before", "after"), kept),
        html_table("Smallest groups (k-anonymity)", ("table", "columns", "k", "groups", "rows alone"),
               ((a.table, ", ".join(a.columns), a.k, a.groups, a.alone) for a in report.anonymity)),
        html_table("Traces that could not be removed", ("what",), ((item,) for item in report.untidied)),
        html_table("Seconds", ("step", "seconds"), report.seconds.items()),
    ]  # fmt: skip
    return html_document("Anonymized", parts)


def _verdict(report: Report) -> str:
    proof = report.proof
    if proof is None:
        return "Not proven: the proof was switched off."
    if not proof.passed:
        return "Real values survived, or something could not be searched. Everything was rolled back."
    return (
        f"Proven: none of {proof.traces:,} traces of real values in {proof.cells:,} cells;"
        f" {proof.ordinary:,} values consist of ordinary words and cannot be told from others."
    )


def _pair(pair: tuple[int, int] | None) -> str:
    return "" if pair is None else f"{pair[0]:,} → {pair[1]:,}"


def _lengths(figures: Figures) -> str:
    if figures.lengths is None:
        return ""
    return " → ".join(" ".join(f"{length:,}" for length in lengths) or "none" for lengths in figures.lengths)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{value} {count:,}" for value, count in counts.items())
