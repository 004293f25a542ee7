"""Search by spelling: names and titles, with typing errors, without diacritics, in any order of words."""

from __future__ import annotations

from typing import Any

from legal_store.errors import SearchInputError
from legal_store.models.search_functions import NAME_KINDS
from legal_store.search.hits import Hit
from legal_store.search.inputs import Filters, checked_limit, checked_text, firm_of_scope
from legal_store.search.running import rows

# of a query's trigrams, the share that must be close together in a name for it to be considered
LEAST_SIMILARITY = 0.4
SETTINGS = {"pg_trgm.word_similarity_threshold": LEAST_SIMILARITY}
CALL = "search_names(%s, %s::text[], %s{filters})"


def fuzzy(
    text: str, *, kinds: Any = NAME_KINDS, case: Any = None, limit: int = 10, timeout_ms: int | None = None
) -> list[Hit]:
    """Return the case titles, document titles, client names and party names of the firm that `text` resembles.

    The score, 0 to 1, is the mean of pg_trgm's word similarity (is it inside the name?) and similarity (is it the
    whole name?), both without case, diacritics and punctuation. Queries whose words all have fewer than three
    letters find the words that begin with them. `case` limits to one or more cases and what belongs to them.
    Read-only. Raises FirmScopeError, SearchInputError, SearchError.
    """
    firm_of_scope()
    filters, values = Filters(case=case).arguments()
    wanted = [checked_text(text), _checked_kinds(kinds), checked_limit(limit), *values]
    found = rows(f"SELECT * FROM {CALL.format(filters=filters)}", wanted, SETTINGS, timeout_ms=timeout_ms)
    return [Hit(*row) for row in found]


def _checked_kinds(given: Any) -> list[str]:
    kinds = [given] if isinstance(given, str) else list(given)
    if not kinds or set(kinds) - set(NAME_KINDS):
        raise SearchInputError(f"kinds={given!r} is unknown.", remedy=f"Known are {', '.join(NAME_KINDS)}.")
    return kinds
