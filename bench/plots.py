"""One SVG for each comparison: a bar for each contestant, its quartiles, ours in a colour of its own."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from bench.report import VERDICTS, number

OURS, THEIRS, FAINT = "#1f5f8b", "#b8c4cc", "#56646d"
LETTERS = 85  # of a title that fit in the width
_LINE, _BAR = 0.17, 0.3  # inches


def draw(record: dict[str, Any], path: Path) -> None:
    """Write the plot of a comparison. The same record gives the same file, byte for byte."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    results = record["results"]
    titles = [_title(result) for result in results]
    heights = [
        _LINE * (title.count("\n") + 2) + _BAR * len(r["medians"]) for title, r in zip(titles, results, strict=True)
    ]
    with mpl.rc_context({"svg.hashsalt": record["name"], "font.size": 9, "axes.spines.right": False}):
        figure, axes = pyplot.subplots(
            len(results), 1, figsize=(8, sum(heights) + 0.3), squeeze=False, height_ratios=heights, layout="constrained"
        )
        for result, title, axis in zip(results, titles, axes[:, 0], strict=True):
            _bars(axis, result)
            axis.set_title(title, loc="left", fontsize=9, color=FAINT)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _title(result: dict[str, Any]) -> str:
    """Return what was measured, and below it the ratio with its goal and whether that is reached."""
    verdict = f" · {VERDICTS[result['holds']].strip('*')}" if result["holds"] is not None else ""
    goal = f" · goal: {result['goal']}{verdict}" if result["goal"] else ""
    lines = (result["what"], f"ratio {number(result['ratio'])}{goal}")
    return "\n".join(textwrap.fill(line, LETTERS) for line in lines)


def _bars(axis: Any, result: dict[str, Any]) -> None:
    names, values = list(result["medians"]), list(result["medians"].values())
    colours = [OURS if "legal_store" in name or "ours" in name else THEIRS for name in names]
    axis.barh(names, values, color=colours, height=0.7)
    for position, (name, value) in enumerate(result["medians"].items()):
        end = value
        if spread := result["spreads"].get(name):
            end = max(value, spread[1])
            errors = [[max(value - spread[0], 0)], [end - value]]
            axis.errorbar(value, position, xerr=errors, color="black", lw=1, capsize=2)
        text = f"{number(value)} {result['unit']}"
        axis.annotate(text, (end, position), (6, 0), textcoords="offset points", va="center")
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.margins(x=0.2)
    axis.spines[["top", "bottom"]].set_visible(False)
    axis.xaxis.set_visible(False)
