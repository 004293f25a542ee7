"""Search by all three at once: their rankings fused.

Reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009): score = sum of weight / (10 + rank) over the arms
that have the document. Ranks, not scores, are joined, because the arms' scores are not comparable. Documents that an
arm cannot tell apart all have the last of their places: an arm that finds everything alike says nothing
(docs/decisions/0018-fusion.md has the figures).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from legal_store.errors import SearchInputError
from legal_store.search import names, words
from legal_store.search.hits import ArmRank, Hit
from legal_store.search.inputs import Filters, checked_limit, checked_text, checked_vector, firm_of_scope
from legal_store.search.meaning import SCORES
from legal_store.search.nearest import Arm, nearest
from legal_store.search.queries import any_word, read_query, tsquery
from legal_store.search.running import rows
from legal_store.search.server import server

RANK_CONSTANT = 10
LEAST_ARM_LENGTH = 60
WEIGHTS = {"fuzzy": 1.0, "text": 1.0, "semantic": 1.0}


def hybrid(
    text: str,
    vector: Any = None,
    *,
    weights: Mapping[str, float] | None = None,
    language: str | None = None,
    case: Any = None,
    document_type: Any = None,
    status: Any = None,
    created_from: Any = None,
    created_before: Any = None,
    limit: int = 10,
    explain: bool = False,
    timeout_ms: int | None = None,
) -> list[Hit]:
    """Return the firm's documents that `text` and `vector`, its embedding, find together; one statement.

    Three arms rank documents: "fuzzy" by title, "text" by the rarity of the words found, "semantic" by `vector` (left
    out without one). `weights` says what each counts, 0 leaves it out; what is not named keeps its weight of 1. Equal
    scores are ordered by id, so that the order is always the same. `explain` fills each hit's `arms` with rank and
    score in each arm. Read-only. Raises FirmScopeError, SearchInputError, SearchError, ConfigurationError.
    """
    firm, given = firm_of_scope(), checked_text(text)
    filters = Filters(case, document_type, status, created_from, created_before)
    used = _checked_weights(weights, with_vector=vector is not None)
    depth = max(2 * checked_limit(limit), LEAST_ARM_LENGTH)
    arms = {
        "fuzzy": lambda: _fuzzy_arm(given, filters, depth),
        "text": lambda: _text_arm(given, language, filters, depth),
        "semantic": lambda: nearest(server(), checked_vector(vector), "cosine", filters, depth),
    }
    chosen = {name: arms[name]() for name in used}
    parameters = [value for arm in chosen.values() for value in arm.parameters]
    settings = {name: value for arm in chosen.values() for name, value in arm.settings.items()}
    found = rows(_fused(chosen, used, limit), [*parameters, firm], settings, timeout_ms=timeout_ms)
    return [_hit(row, list(chosen), explain) for row in found]


def _checked_weights(given: Mapping[str, float] | None, *, with_vector: bool) -> dict[str, float]:
    unknown = set(given or {}) - set(WEIGHTS)
    weights = {
        name: weight for name, weight in {**WEIGHTS, **(given or {})}.items() if with_vector or name != "semantic"
    }
    if unknown or not all(isinstance(weight, int | float) and 0 <= weight <= 1e6 for weight in weights.values()):
        raise SearchInputError(
            f"weights={dict(given or {})!r} is not possible.",
            remedy=f"Give a number from 0 to 1,000,000 for any of {', '.join(WEIGHTS)}.",
        )
    used = {name: float(weight) for name, weight in weights.items() if weight > 0}
    if not used:
        raise SearchInputError("No arm of the search has a weight.", remedy="Give one of them a weight above 0.")
    return used


def _fuzzy_arm(text: str, filters: Filters, depth: int) -> Arm:
    arguments, values = filters.arguments()
    return Arm(names.CALL.format(filters=arguments), [text, ["document"], depth, *values], names.SETTINGS)


def _text_arm(text: str, language: str | None, filters: Filters, depth: int) -> Arm:
    languages = words.checked_languages(language)
    queries, texts = zip(*(tsquery([terms], languages) for terms in any_word(read_query(text))), strict=True)
    arguments, values = filters.arguments()
    call = f"search_any_word(ARRAY[{', '.join(queries)}], %s{arguments})"
    return Arm(call, [*chain.from_iterable(texts), depth, *values], {})


def _fused(arms: Mapping[str, Arm], weights: Mapping[str, float], limit: int) -> str:
    scores = {"semantic": SCORES["cosine"]}
    expressions = ",\n".join(
        f"{name} AS MATERIALIZED (SELECT id, {scores.get(name, 'score')} AS score FROM {arm.sql})"
        for name, arm in arms.items()
    )
    ranked = "\n    UNION ALL ".join(
        f"SELECT '{name}' AS arm, id, score, count(*) OVER (ORDER BY score DESC) AS rank FROM {name}" for name in arms
    )
    # added in one order, whatever the plan: floating-point sums depend on it
    score = " + ".join(
        f"coalesce(max({weights[name]!r}::float8 / ({RANK_CONSTANT} + rank)) FILTER (WHERE arm = '{name}'), 0)"
        for name in arms
    )
    shown = ", ".join(
        f"max(rank) FILTER (WHERE arm = '{name}') AS {name}_rank, "
        f"max(score) FILTER (WHERE arm = '{name}') AS {name}_score"
        for name in arms
    )
    each = ", ".join(f"{name}_rank, {name}_score" for name in arms)
    return f"""
WITH {expressions},
ranked AS (
    {ranked}
),
fused AS (
    SELECT id, {score} AS fused_score, {shown}
    FROM ranked GROUP BY id ORDER BY fused_score DESC, id LIMIT {limit}
)
SELECT row.id, row.title, row.case_id, fused_score, {each}
FROM fused JOIN documents AS row ON row.id = fused.id AND row.firm_id = %s
ORDER BY fused_score DESC, row.id"""


def _hit(row: tuple[Any, ...], arms: list[str], explain: bool) -> Hit:
    hit = Hit("document", *row[:4])
    if not explain:
        return hit
    places = zip(arms, row[4::2], row[5::2], strict=True)
    return hit._replace(arms={arm: ArmRank(rank, score) for arm, rank, score in places if rank is not None})
