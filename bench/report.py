"""docs/benchmarks.md, made of the latest results of all comparisons. Pure text; the plots are drawn in plots.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

HEAD = """# Benchmarks

Made by `make bench` (`invoke bench`), from the results in `bench/results/`; not edited by hand. Contestants of a
comparison took turns in one process tree, after a warm-up. Figures are medians, with the quartiles in brackets. The
ratio is what the goal of this project is about; anyone can repeat it: `invoke bench --name NAME`.
"""
VERDICTS = {True: "reached", False: "**not reached**", None: "no claim"}


def benchmarks_page(records: Iterable[dict[str, Any]]) -> str:
    """Return the page in Markdown: a table of all ratios and goals, then each comparison with its figures."""
    records = sorted(records, key=lambda record: str(record["name"]))
    parts = [HEAD, _summary(records), *(_comparison(record) for record in records)]
    return "\n".join(parts)


def _summary(records: list[dict[str, Any]]) -> str:
    lines = ["| comparison | what | ratio | goal | |", "|---|---|---:|---|---|"]
    for record in records:
        for result in record["results"]:
            link = f"[{record['name']}](#{record['name'].replace('_', '-')})"
            lines.append(
                f"| {link} | {result['what']} | {number(result['ratio'])} | {result['goal']} | "
                f"{VERDICTS[result['holds']]} |"
            )
    return "\n".join(lines) + "\n"


def _comparison(record: dict[str, Any]) -> str:
    parts = [f"## {record['name'].replace('_', '-')}\n", record["about"] + "\n"]
    lines = ["| what | contestant | median | quartiles | unit |", "|---|---|---:|---:|---|"]
    for result in record["results"]:
        for name, median in result["medians"].items():
            spread = result["spreads"].get(name)
            quartiles = f"[{number(spread[0])}, {number(spread[1])}]" if spread else ""
            named = name.replace("|", "\\|")  # a pipe would end the cell
            lines.append(f"| {result['what']} | {named} | {number(median)} | {quartiles} | {result['unit']} |")
    parts.append("\n".join(lines) + "\n")
    parts.append(f"![{record['name']}](benchmarks/{record['name']}.svg)\n")
    if record.get("scatter"):
        across, up = record["scatter"]
        parts.append(f"![{up} against {across}](benchmarks/{record['name']}-scatter.svg)\n")
    parts.append(_machine(record) + "\n")
    return "\n".join(parts)


def _machine(record: dict[str, Any]) -> str:
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured {record['at']} in {record['seconds']:,.0f} s on {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}, load {machine['load']} at the start; commit "
        f"{machine['commit']}; Python {machine['python']}, {versions}."
    )


def number(value: float) -> str:
    """Return a figure as people read it: three digits that count, thousands apart, no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
