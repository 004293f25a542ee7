"""One SVG for each comparison: a bar for each contestant, its quartiles, ours in a colour of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS, THEIRS = "#1f5f8b", "#b8c4cc"


def draw(record: dict[str, Any], path: Path) -> None:
    """Write the plot of a comparison. The same record gives the same file, byte for byte."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    results = record["results"]
    heights = [0.55 + 0.32 * len(result["medians"]) for result in results]
    with mpl.rc_context({"svg.hashsalt": record["name"], "font.size": 9, "axes.spines.right": False}):
        figure, axes = pyplot.subplots(
            len(results), 1, figsize=(8, sum(heights) + 0.3), squeeze=False, height_ratios=heights, layout="constrained"
        )
        for result, axis in zip(results, axes[:, 0], strict=True):
            _bars(axis, result)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _bars(axis: Any, result: dict[str, Any]) -> None:
    from bench.report import number

    names, values = list(result["medians"]), list(result["medians"].values())
    spreads = [result["spreads"].get(name, (value, value)) for name, value in result["medians"].items()]
    colours = [OURS if "legal_store" in name else THEIRS for name in names]
    errors = [
        [max(value - lower, 0) for value, (lower, _) in zip(values, spreads, strict=True)],
        [max(upper - value, 0) for value, (_, upper) in zip(values, spreads, strict=True)],
    ]
    bars = axis.barh(names, values, xerr=errors, color=colours, height=0.7, error_kw={"lw": 1, "capsize": 2})
    axis.bar_label(bars, [f" {number(value)} {result['unit']}" for value in values], padding=6)
    axis.invert_yaxis()
    axis.margins(x=0.2)
    axis.spines[["top", "bottom"]].set_visible(False)
    axis.xaxis.set_visible(False)
    goal = f" · goal: {result['goal']}" if result["goal"] else ""
    axis.set_title(f"{result['what']} · ratio {number(result['ratio'])}{goal}", loc="left", fontsize=9)
