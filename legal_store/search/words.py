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
    firm_of_scope()
    languages = checked_languages(language)
    filters, values = Filters(case, document_type, status, created_from, created_before).arguments()
    asked, texts = tsquery(read_query(checked_text(query)), languages)
    shown = _headline(languages) if highlight else "''"
    statement = (
        f"SELECT id, title, case_id, score, {shown} "
        f"FROM (SELECT {asked} AS query) AS asked, search_contents(query, %s{filters})"
    )
    found = rows(statement, [*texts, checked_limit(limit), *values], {}, timeout_ms=timeout_ms)
    return [Hit("document", *row) for row in found]


def checked_languages(given: str | None) -> Sequence[str]:
    """Return the languages to search in. Raises SearchInputError for one that is not known."""
    if given is None:
        return tuple(CONFIGURATIONS)
    if given not in CONFIGURATIONS:
        raise SearchInputError(f"language={given!r} is unknown.", remedy=f"Known are {', '.join(CONFIGURATIONS)}.")
    return (given,)


def _headline(languages: Sequence[str]) -> str:
    source = f"""left(concat_ws(E'\\n', title, content), {INDEXED_CHARACTERS})"""
    options = _HEADLINE.replace("'", "''")
    each = [f"ts_headline('{CONFIGURATIONS[language]}', {source}, query, '{options}')" for language in languages]
    if len(each) == 1:
        return each[0]
    # a word is marked in the language whose form of it was asked for
    return f"CASE WHEN strpos({each[0]}, '<b>') > 0 THEN {each[0]} ELSE {each[1]} END"
