"""An independent search for real values in everything that the database holds, after masking.

It reads text in all types of all tables, encodings undone (see text.readings), planner statistics, comments,
definitions, settings and large objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from legal_store.anonymize.places import Place, places
from legal_store.anonymize.planning import Plan
from legal_store.anonymize.text import CELL
from legal_store.anonymize.traces import Traces

BATCH = 500


class Survivor(NamedTuple):
    """A place that still holds real values, in how many of its cells, and columns that had them."""

    place: str
    cells: int
    sources: tuple[str, ...]
    remedy: str


class Scan(NamedTuple):
    """What the search read and found; `skipped` names what it could not read, which counts as not proven."""

    traces: int
    ordinary: int
    cells: int
    survivors: tuple[Survivor, ...]
    skipped: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.survivors and not self.skipped


def scan(cursor: Any, traces: Traces, plan: Plan, *, progress: Callable[[str], None] = lambda what: None) -> Scan:
    """Search everything that the database holds for `traces`. Reads through `cursor`'s connection; writes nothing."""
    cells = 0
    survivors: list[Survivor] = []
    skipped: list[str] = []
    searched = ""
    for place in places(cursor, plan, skipped):
        if (part := place.name.rpartition(" ")[2].partition(".")[0]) != searched:
            progress(f"prove {part}")
            searched = part
        hits, sources = 0, set[str]()
        for batch in _batches(place.cells):
            cells += sum(count for _, count in batch)
            found = _hits(batch, traces, place)
            hits += sum(found.values())
            sources |= found.keys()
        if hits:
            survivors.append(Survivor(place.name, hits, tuple(sorted(sources)), place.remedy))
    return Scan(len(traces), traces.left_out, cells, tuple(survivors), tuple(skipped))


def told(found: Scan) -> tuple[str, str]:
    """Return what survived, place by place, and what can be done. Names columns, never a value."""
    lines = [
        f"  - {survivor.place}: {survivor.cells} cells hold what was in {', '.join(survivor.sources)}"
        for survivor in found.survivors
    ]
    lines += [f"  - not searched: {reason}" for reason in found.skipped]
    remedies = dict.fromkeys(survivor.remedy for survivor in found.survivors)
    return "\n".join(lines), "".join(f"\n  - {remedy}" for remedy in remedies)


def _hits(batch: list[tuple[str, int]], traces: Traces, place: Place) -> dict[str, int]:
    """Return in how many cells of a batch there is a real value, by the column it is from."""
    if not place.by_value:
        together = traces.source_in(f" {CELL} ".join(text for text, _ in batch), masked=place.masked)
        if not together:
            return {}
    hits: dict[str, int] = {}
    for text, count in batch:
        source = traces.source_of(text) if place.by_value else traces.source_in(text, masked=place.masked)
        if source:
            hits[source] = hits.get(source, 0) + count
    return hits or ({} if place.by_value else {together: 1})


def _batches(cells: Iterator[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    while batch := list(islice(cells, BATCH)):
        yield batch
