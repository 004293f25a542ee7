"""Decides between comparing every vector and walking the index. Pure.

Both find the nearest; comparing costs time for each document that the filters leave, the index for each document it
passes on the way, also those of other firms. With `n` documents left of `total` in the index, finding `fetch` of
them passes about `fetch * total / n`. The two cost the same at one n: below it, compare.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Costs(NamedTuple):
    """What searching costs on one server, in microseconds; the defaults are of a machine with two cores.

    `ef_search` is the breadth of a walk through the index, `overfetch` how many more hits than wanted it brings, so
    that the best of them are the right ones.
    """

    exact_row_us: float = 12.0
    index_start_us: float = 2_000.0
    index_row_us: float = 20.0
    ef_search: int = 100
    overfetch: int = 30


def default_costs(documents: int) -> Costs:
    """Return what is assumed of an index over so many documents until `search.calibrate` has measured.

    Measured on embeddings around 40 topics (docs/search.md): a breadth of 100 has a recall@10 of 1.0 at 25,000, 0.98 at
    50,000 and 0.93 at 112,000 documents, one of 400 has 0.99 there.
    """
    return Costs() if documents <= 40_000 else Costs(index_start_us=8_000.0, ef_search=400, overfetch=100)


def exact_limit(costs: Costs, total: int, wanted: int) -> int:
    """Return up to how many documents comparing all is the cheaper way to find `wanted` of `total` documents.

    Solves exact_row_us * n = index_start_us + index_row_us * fetch * total / n for n.
    """
    fetch = wanted + costs.overfetch
    start, rest = costs.index_start_us, 4 * costs.exact_row_us * costs.index_row_us * fetch * max(total, 0)
    return max(wanted, round((start + math.sqrt(start * start + rest)) / (2 * costs.exact_row_us)))
