"""The functions through which services search.

Trigram, full-text and LIKE operators are not leakproof: under row-level security PostgreSQL would not use their
indexes for a service. The search therefore runs in functions with the owner's rights that take the firm from the
statement's scope themselves, and that nobody but services may call.
"""

from __future__ import annotations

from collections.abc import Callable

from legal_store.models.searching import EMBEDDING_DIMENSIONS
from legal_store.schema.objects import Function

_NAMES = {
    "case": ("cases", "title", "row.id"),
    "document": ("documents", "title", "row.case_id"),
    "client": ("clients", "name", "NULL::uuid"),
    "party": ("case_actors", "name", "row.case_id"),
}
NAME_KINDS = tuple(_NAMES)

_FILTERS = {
    "in_cases uuid[]": "row.case_id = ANY (in_cases)",
    "of_types text[]": "row.document_type = ANY (of_types)",
    "of_statuses text[]": "row.status = ANY (of_statuses)",
    "created_from timestamp with time zone": "row.created_at >= created_from",
    "created_before timestamp with time zone": "row.created_at < created_before",
}
_FILTERED = "".join(f"\n          AND ({given.split()[0]} IS NULL OR {test})" for given, test in _FILTERS.items())

# a plan that is kept must not read a table whole because that was small when it was made
_AS_OWNER = (
    "STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp"
    " SET enable_seqscan = off SET jit = off"
)


def _search(
    name: str, arguments: str, returns: str, body: Callable[[bool], str], *, declare: str = "", settings: str = ""
) -> tuple[Function, Function]:
    """Return a search function over the firm's rows, and its namesake with filters; `body` is made for each.

    Without filters one plan serves all calls of a connection. With them each call is planned for its own: what is not
    given vanishes from the plan, where a plan for all filters at once could use no index.
    """

    def function(filtered: bool) -> Function:
        plans = "force_custom_plan" if filtered else "force_generic_plan"
        return Function(
            signature=f"{name}({', '.join([arguments, *(_FILTERS if filtered else ())])})",
            returns=f"TABLE ({returns})",
            attributes=f"{_AS_OWNER} SET plan_cache_mode = {plans}{settings}",
            service_only=True,
            body=f"""
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();{declare}
BEGIN{body(filtered)}
END
""",
        )

    return function(False), function(True)


def _names(filtered: bool) -> str:
    return f"""
    IF length(words) < 2 THEN
        RETURN;
    ELSIF words !~ '[^ ]{{3}}' THEN
        -- fewer than three letters have no trigram: words that begin with them; search_words holds no % and no _
        {_names_that("LIKE replace(words, ' ', '% ') || '%'", filtered)}
    ELSE
        {_names_that("OPERATOR(public.%>) words", filtered)}
    END IF;"""


def _names_that(condition: str, filtered: bool) -> str:
    each = "\n        UNION ALL\n".join(_names_of(kind, condition, filtered) for kind in NAME_KINDS)
    return f"""RETURN QUERY SELECT found.* FROM (
{each}
        ) AS found ORDER BY found.score DESC, found.id LIMIT at_most;"""


def _names_of(kind: str, condition: str, filtered: bool) -> str:
    table, label, case = _NAMES[kind]
    filters = _FILTERED if kind == "document" else f"\n          AND (in_cases IS NULL OR {case} = ANY (in_cases))"
    return f"""        SELECT '{kind}' AS kind, row.id, row.{label} AS label, {case} AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.{table} AS row
        WHERE '{kind}' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words {condition}{filters * filtered}"""


def _contents(filtered: bool) -> str:
    # sorted without what is shown of the hits: a content may be long
    return f"""
    RETURN QUERY SELECT row.id, row.title, row.case_id, found.score, row.content FROM (
        SELECT row.id, ts_rank(row.search_text, query, 1)::double precision AS score
        FROM public.documents AS row
        WHERE row.firm_id = firm AND row.search_text @@ query{_FILTERED * filtered}
        ORDER BY score DESC, row.id LIMIT at_most
    ) AS found JOIN public.documents AS row ON row.id = found.id AND row.firm_id = firm
    ORDER BY found.score DESC, row.id;"""


def _any_word(filtered: bool) -> str:
    # A document counts for the rarity of the words it has, not for how often it has them: what is in every contract
    # says little. The matches alone are read from the index, no document is opened for them.
    return f"""
    RETURN QUERY WITH found AS MATERIALIZED (
        SELECT asked.place, row.id
        FROM unnest(queries) WITH ORDINALITY AS asked (query, place)
        JOIN public.documents AS row ON row.search_text @@ asked.query
        WHERE row.firm_id = firm{_FILTERED * filtered}
    ), rarity AS (
        SELECT found.place, ln(1 + (SELECT count(DISTINCT found.id) FROM found)::double precision / count(*)) AS weight
        FROM found GROUP BY found.place
    )
    -- added in one order: documents with the same words have the same score, to the last bit
    SELECT found.id, sum(rarity.weight ORDER BY rarity.place) AS score
    FROM found JOIN rarity USING (place)
    GROUP BY found.id ORDER BY score DESC, found.id LIMIT at_most;"""


def _nearest(filtered: bool) -> str:
    embedded = f"row.firm_id = firm AND row.content_embedding IS NOT NULL{_FILTERED * filtered}"
    return f"""
    IF index_of IS NOT NULL AND compare_up_to < (SELECT count(*) FROM (
        SELECT FROM public.documents AS row WHERE {embedded} LIMIT compare_up_to + 1) AS counted)
    THEN
        IF index_of = 'halfvec' THEN
            {_walked(embedded, f"::halfvec({EMBEDDING_DIMENSIONS})")}
        ELSE
            {_walked(embedded)}
        END IF;
    END IF;
    IF NOT FOUND THEN
        -- there are few, or the walk brought too few: all are compared
        RETURN QUERY SELECT found.* FROM (
            SELECT row.id, row.title, row.case_id, CASE metric
                WHEN 'cosine' THEN row.content_embedding OPERATOR(public.<=>) asked
                WHEN 'l2' THEN row.content_embedding OPERATOR(public.<->) asked
                WHEN 'inner_product' THEN row.content_embedding OPERATOR(public.<#>) asked
            END AS distance
            FROM public.documents AS row WHERE {embedded}
            ORDER BY distance, row.id LIMIT at_most
        ) AS found WHERE found.distance <> 'NaN';
    END IF;"""


def _walked(embedded: str, cast: str = "") -> str:
    # all that are wanted, or none
    return f"""RETURN QUERY WITH walked AS MATERIALIZED (
                SELECT found.* FROM (
                    SELECT row.id, row.title, row.case_id, row.content_embedding OPERATOR(public.<=>) asked AS distance
                    FROM public.documents AS row WHERE {embedded}
                    ORDER BY row.content_embedding{cast} OPERATOR(public.<=>) asked{cast} LIMIT walk_for
                ) AS found ORDER BY found.distance, found.id LIMIT at_most
            ) SELECT walked.* FROM walked WHERE at_most <= (SELECT count(*) FROM walked);"""


SEARCH_NAMES = _search(
    "search_names",
    "query text, of_kinds text[], at_most integer",
    "kind text, id uuid, label text, case_id uuid, score double precision",
    _names,
    declare="\n    words text := public.search_words(query);",
)
SEARCH_CONTENTS = _search(
    "search_contents",
    "query tsquery, at_most integer",
    "id uuid, title text, case_id uuid, score double precision, content text",
    _contents,
)
SEARCH_ANY_WORD = _search(
    "search_any_word", "queries tsquery[], at_most integer", "id uuid, score double precision", _any_word
)
# `index_of` is the type of the index that may be walked, if any. The walk is wanted where it is asked for, whatever
# the estimates: an order that no sort makes.
SEARCH_NEAREST = _search(
    "search_nearest",
    "asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text",
    "id uuid, title text, case_id uuid, distance double precision",
    _nearest,
    settings=" SET enable_sort = off",
)
SEARCH_FUNCTIONS = (*SEARCH_NAMES, *SEARCH_CONTENTS, *SEARCH_ANY_WORD, *SEARCH_NEAREST)
