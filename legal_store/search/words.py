"""Search by words: full text over titles and contents, in Romanian and English."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from legal_store.errors import SearchInputError
from legal_store.models.searching import INDEXED_CHARACTERS
from legal_store.search.hits import Hit
from legal_store.search.inputs import Filters, checked_limit, checked_text, firm_of_scope
from legal_store.search.queries import CONFIGURATIONS, read_query, tsquery
from legal_store.search.running import rows

CALL = "search_contents({query}, %s::uuid[], %s::text[], %s::text[], %s::timestamptz, %s::timestamptz, %s)"
ANY_WORD_CALL = CALL.replace("search_contents({query}", "search_any_word(ARRAY[{queries}]")
_HEADLINE = "StartSel=<b>, StopSel=</b>, MaxFragments=2, MinWords=8, MaxWords=24, FragmentDelimiter=' … '"


def text(
    query: str,
    *,
    language: str | None = None,
    case: Any = None,
    document_type: Any = None,
    status: Any = None,
    created_from: Any = None,
    created_before: Any = None,
    limit: int = 10,
    highlight: bool = True,
    timeout_ms: int | None = None,
) -> list[Hit]:
    """Return the documents of the firm whose title and content have the words of `query`, in any of their forms.

    All words must be there; "words in quotes" in this order, -word not at all, OR for either side. Diacritics do not
    matter. `language` is "ro", "en" or None for both. Titles weigh more than contents; the first 200,000 characters
    of a content are searched. Each hit has a `highlight` unless it is turned off.
    Read-only. Raises FirmScopeError, SearchInputError, SearchError.
    """
    firm = firm_of_scope()
    languages = checked_languages(language)
    filters = Filters(case, document_type, status, created_from, created_before)
    expression, texts = tsquery(read_query(checked_text(query)), languages)
    wanted = [*texts, *filters.parameters(), checked_limit(limit), firm]
    found = rows(_statement(expression, languages, highlight, limit), wanted, {}, timeout_ms=timeout_ms)
    return [Hit("document", *row) for row in found]


def checked_languages(given: str | None) -> Sequence[str]:
    """Return the languages to search in. Raises SearchInputError for one that is not known."""
    if given is None:
        return tuple(CONFIGURATIONS)
    if given not in CONFIGURATIONS:
        raise SearchInputError(f"language={given!r} is unknown.", remedy=f"Known are {', '.join(CONFIGURATIONS)}.")
    return (given,)


def _statement(expression: str, languages: Sequence[str], highlight: bool, limit: int) -> str:
    call = CALL.format(query="(SELECT query FROM asked)")
    shown = _headline(languages) if highlight else "''"
    # the documents of the hits are read under row-level security, as everything a service reads; LIMIT tells the
    # planner how few they are: without it, it reads all of the firm's
    return f"""
WITH asked AS MATERIALIZED (SELECT {expression} AS query),
     hits AS MATERIALIZED (SELECT id, score FROM {call} LIMIT {limit})
SELECT row.id, row.title, row.case_id, hits.score, {shown}
FROM hits JOIN documents AS row ON row.id = hits.id AND row.firm_id = %s
ORDER BY hits.score DESC, row.id"""


def _headline(languages: Sequence[str]) -> str:
    source = f"""left(concat_ws(E'\\n', row.title, row.content), {INDEXED_CHARACTERS})"""
    options = _HEADLINE.replace("'", "''")
    each = [
        f"ts_headline('{CONFIGURATIONS[language]}', {source}, (SELECT query FROM asked), '{options}')"
        for language in languages
    ]
    if len(each) == 1:
        return each[0]
    # a word is marked in the language whose form of it was asked for
    return f"CASE WHEN strpos({each[0]}, '<b>') > 0 THEN {each[0]} ELSE {each[1]} END"
