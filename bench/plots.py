"""SVGs of a comparison: a bar for each contestant, its quartiles, ours in a colour of its own; or points."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.report import VERDICTS, number

OURS, THEIRS, FAINT = "#1f5f8b", "#b8c4cc", "#56646d"
LETTERS = 85  # of a title that fit in the width
_LINE, _BAR = 0.17, 0.3  # inches


def draw(record: dict[str, Any], path: Path) -> None:
    """Write the plot of a comparison. The same record gives the same file, byte for byte."""
    results = record["results"]
    titles = [_title(result) for result in results]
    heights = [
        _LINE * (title.count("\n") + 2) + _BAR * len(r["medians"]) for title, r in zip(titles, results, strict=True)
    ]
    with _figure(record, path, rows=len(results), height=sum(heights) + 0.3, height_ratios=heights) as axes:
        for result, title, axis in zip(results, titles, axes, strict=True):
            _bars(axis, result)
            axis.set_title(title, loc="left", fontsize=9, color=FAINT)


def draw_scatter(record: dict[str, Any], path: Path) -> None:
    """Write the plot of two results of a comparison, those of `record["scatter"]`, one against the other.

    Contestants whose names differ only after the last comma are joined by a line.
    """
    across, up = (next(result for result in record["results"] if result["what"] == what) for what in record["scatter"])
    lines: dict[str, list[str]] = {}
    for name in across["medians"]:
        lines.setdefault(name.rpartition(", ")[0], []).append(name)
    with _figure(record, path, rows=1, height=4.5) as (axis,):
        for (line, names), marker in zip(lines.items(), cycle("osD^vPX*")):
            points = [(across["medians"][name], up["medians"][name]) for name in names]
            colour, joined = OURS if _is_ours(line) else FAINT, len(names) > 1
            label = line if joined else names[0]
            axis.plot(*zip(*points, strict=True), marker=marker, color=colour, lw=1, ms=5, alpha=0.8, label=label)
            for name, point in zip(names * joined, points * joined, strict=True):
                text = name.rpartition(", ")[2]
                axis.annotate(text, point, (6, -2), textcoords="offset points", fontsize=6, color=colour)
        axis.set(xlabel=f"{across['what']} ({across['unit']})", ylabel=f"{up['what']} ({up['unit']})", yscale="log")
        axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))


@contextmanager
def _figure(record: dict[str, Any], path: Path, *, rows: int, height: float, **options: Any) -> Iterator[list[Any]]:
    """Give the axes of a figure, one below the other, and write it after."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context({"svg.hashsalt": record["name"], "font.size": 9, "axes.spines.right": False}):
        figure, axes = pyplot.subplots(rows, 1, figsize=(8, height), squeeze=False, layout="constrained", **options)
        yield list(axes[:, 0])
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _is_ours(name: str) -> bool:
    return "legal_store" in name or "ours" in name


def _title(result: dict[str, Any]) -> str:
    """Return what was measured, and below it the ratio with its goal and whether that is reached."""
    verdict = f" · {VERDICTS[result['holds']].strip('*')}" if result["holds"] is not None else ""
    goal = f" · goal: {result['goal']}{verdict}" if result["goal"] else ""
    lines = (result["what"], f"ratio {number(result['ratio'])}{goal}")
    return "\n".join(textwrap.fill(line, LETTERS) for line in lines)


def _bars(axis: Any, result: dict[str, Any]) -> None:
    names, values = list(result["medians"]), list(result["medians"].values())
    colours = [OURS if _is_ours(name) else THEIRS for name in names]
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
