"""What searching needs in the database: normalised words, full-text configurations, and functions that may use them.

Trigram, full-text and LIKE operators are not leakproof: under row-level security PostgreSQL would not use their
indexes for a service. The search therefore runs in functions with the owner's rights that take the firm from the
statement's scope themselves, and that nobody but services may call.
"""

from __future__ import annotations

from typing import ClassVar

from peewee import DoubleField, IntegerField

from legal_store.models.base import Record
from legal_store.schema.fields import NOW, JsonField, SearchField, TimestampField
from legal_store.schema.objects import Check, Default, Function, Index, TextSearchConfiguration

ROMANIAN = TextSearchConfiguration("legal_romanian", "pg_catalog.romanian", "public.unaccent, romanian_stem")
ENGLISH = TextSearchConfiguration("legal_english", "pg_catalog.english", "public.unaccent, english_stem")

# a tsvector holds 1 MB: this many characters fit in it whatever they are
INDEXED_CHARACTERS = 200_000
# what waits to be merged into a GIN index is read by every search: keep it short (kB; PostgreSQL's default is 4 MB)
SHORT_PENDING_LIST = "gin_pending_list_limit = 256"

CONTENT_HASH = r"md5(title || E'\n' || COALESCE(content, ''))"

# Hardly a sentence does without them. A content with some of one language and none of the other is indexed in that
# language only: taking a text apart is most of the time that storing a document takes (docs/decisions/0021).
SOME_ROMANIAN, SOME_ENGLISH = r"'\s(de|la|si|și)\s'", r"'\s(the|of|and)\s'"


def _lexemes(language: TextSearchConfiguration, text: str) -> str:
    return f"to_tsvector('public.{language.name}', {text})"


def _in_both(text: str) -> str:
    return f"{_lexemes(ROMANIAN, text)} || {_lexemes(ENGLISH, text)}"


SEARCH_TEXT = Function(
    signature="search_text(title text, content text)",
    returns="tsvector",
    attributes="IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp",
    body=f"""
DECLARE
    -- the parser takes 1234/3/2023 for a path, one word: people look for 1234
    heading text := replace(title, '/', ' ');
    words text := replace(CASE WHEN octet_length(content) > {INDEXED_CHARACTERS}
                               THEN "left"(content, {INDEXED_CHARACTERS}) ELSE coalesce(content, '') END, '/', ' ');
    romanian boolean := words ~* {SOME_ROMANIAN};
    english boolean := words ~* {SOME_ENGLISH};
BEGIN
    RETURN setweight({_in_both("heading")}, 'A') || setweight(CASE
        WHEN romanian AND NOT english THEN {_lexemes(ROMANIAN, "words")}
        WHEN english AND NOT romanian THEN {_lexemes(ENGLISH, "words")}
        ELSE {_in_both("words")} END, 'B');
END
""",
)

SEARCH_WORDS = Function(
    signature="search_words(given text)",
    returns="text",
    language="sql",
    attributes="IMMUTABLE STRICT PARALLEL SAFE",
    body="""
SELECT ' ' || trim(regexp_replace(
    lower(public.unaccent('public.unaccent', normalize(given, NFKC))), '[^[:alnum:]]+', ' ', 'g'))
""",
)


def words_of(column: str) -> SearchField:
    """Return the column with the words of another: lower case, no diacritics, a space before each word."""
    return SearchField("TEXT", f"search_words({column})")


def words_index(table: str) -> Index:
    """Return the index over the words of `table`, the firm first, so that a search reads no other firm's entries."""
    return Index(
        f"{table}_search_words_idx",
        ("firm_id", "search_words gin_trgm_ops"),
        using="gin",
        options=SHORT_PENDING_LIST,
    )


_NAMES = {
    "case": ("cases", "title", "row.id"),
    "document": ("documents", "title", "row.case_id"),
    "client": ("clients", "name", "NULL::uuid"),
    "party": ("case_actors", "name", "row.case_id"),
}
NAME_KINDS = tuple(_NAMES)

DOCUMENT_FILTERS = """
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)"""

_FILTER_ARGUMENTS = (
    "in_cases uuid[], of_types text[], of_statuses text[], created_from timestamptz, created_before timestamptz"
)

_CASE_FILTER = "\n          AND (in_cases IS NULL OR {case} = ANY (in_cases))"


def _names(condition: str) -> str:
    return "\n    UNION ALL\n".join(_names_of(kind, condition) for kind in NAME_KINDS)


def _names_of(kind: str, condition: str) -> str:
    table, label, case = _NAMES[kind]
    filters = DOCUMENT_FILTERS if kind == "document" else _CASE_FILTER.format(case=case)
    return f"""        SELECT '{kind}' AS kind, row.id, {case} AS case_id, row.{label} AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.{table} AS row
        WHERE '{kind}' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words {condition}{filters}"""


def _ranked(query: str, order: str = "found.score DESC, found.id") -> str:
    return f"""RETURN QUERY SELECT found.* FROM (
{query}
    ) AS found ORDER BY {order} LIMIT at_most;"""


# planned for each call's own filters: a plan for all filters at once could use no index
_AS_OWNER = (
    "STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp"
    " SET plan_cache_mode = force_custom_plan"
)

SEARCH_NAMES = Function(
    signature=f"search_names(query text, of_kinds text[], {_FILTER_ARGUMENTS}, at_most integer)",
    returns="TABLE (kind text, id uuid, case_id uuid, label text, score double precision)",
    attributes=_AS_OWNER,
    service_only=True,
    body=f"""
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
    words text := public.search_words(query);
BEGIN
    IF length(words) < 2 THEN
        RETURN;
    ELSIF words !~ '[^ ]{{3}}' THEN
        -- fewer than three letters have no trigram: words that begin with them; search_words holds no % and no _
        {_ranked(_names("LIKE replace(words, ' ', '% ') || '%'"))}
    ELSE
        {_ranked(_names("OPERATOR(public.%>) words"))}
    END IF;
END
""",
)

SEARCH_CONTENTS = Function(
    signature=f"search_contents(query tsquery, {_FILTER_ARGUMENTS}, at_most integer)",
    returns="TABLE (id uuid, score double precision)",
    attributes=_AS_OWNER,
    service_only=True,
    body=f"""
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    {
        _ranked(f'''        SELECT row.id, ts_rank(row.search_text, query, 1)::double precision AS score
        FROM public.documents AS row
        WHERE row.firm_id = firm AND row.search_text @@ query{DOCUMENT_FILTERS}''')
    }
END
""",
)


# A document counts for the rarity of the words it has, not for how often it has them: what is in every contract says
# little. The matches alone are read from the index, no document is opened for them.
SEARCH_ANY_WORD = Function(
    signature=f"search_any_word(queries tsquery[], {_FILTER_ARGUMENTS}, at_most integer)",
    returns="TABLE (id uuid, score double precision)",
    attributes=_AS_OWNER,
    service_only=True,
    body=f"""
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    RETURN QUERY WITH found AS MATERIALIZED (
        SELECT asked.place, row.id
        FROM unnest(queries) WITH ORDINALITY AS asked (query, place)
        JOIN public.documents AS row ON row.search_text @@ asked.query
        WHERE row.firm_id = firm{DOCUMENT_FILTERS}
    ), rarity AS (
        SELECT found.place, ln(1 + (SELECT count(DISTINCT found.id) FROM found)::double precision / count(*)) AS weight
        FROM found GROUP BY found.place
    )
    -- added in one order: documents with the same words have the same score, to the last bit
    SELECT found.id, sum(rarity.weight ORDER BY rarity.place) AS score
    FROM found JOIN rarity USING (place)
    GROUP BY found.id ORDER BY score DESC, found.id LIMIT at_most;
END
""",
)


class SearchCalibration(Record):
    """What `search.calibrate` measured on this server; the newest row decides between exact search and index."""

    service_rights: ClassVar[str] = "SELECT"
    shared: ClassVar[str] = "speeds of this server, measured over all documents; no content"

    measured_at = TimestampField(constraints=[Default(NOW)])
    documents = IntegerField()
    exact_row_us = DoubleField()
    index_start_us = DoubleField()
    index_row_us = DoubleField()
    ef_search = IntegerField()
    overfetch = IntegerField()
    recall = DoubleField()
    figures = JsonField(default=dict, constraints=[Default("'{}'")])

    class Meta:
        table_name = "search_calibrations"
        declared = (
            Check("search_calibrations_costs_check", "exact_row_us > 0 AND index_start_us > 0 AND index_row_us > 0"),
            Check("search_calibrations_ef_search_check", "ef_search BETWEEN 1 AND 1000"),
            Check("search_calibrations_overfetch_check", "overfetch >= 0"),
            Check("search_calibrations_recall_check", "recall BETWEEN 0 AND 1"),
            Index("search_calibrations_measured_at_idx", ("measured_at DESC",)),
        )
