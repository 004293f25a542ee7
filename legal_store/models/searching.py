"""What searching needs in the tables: normalised words, full text in two languages, embeddings, and its costs."""

from __future__ import annotations

from typing import ClassVar

from peewee import DoubleField, IntegerField

from legal_store.models.base import Record
from legal_store.schema.fields import NOW, JsonField, SearchField, TimestampField
from legal_store.schema.objects import Check, Default, Function, Index, TextSearchConfiguration

ROMANIAN = TextSearchConfiguration("legal_romanian", "pg_catalog.romanian", "public.unaccent, romanian_stem")
ENGLISH = TextSearchConfiguration("legal_english", "pg_catalog.english", "public.unaccent, english_stem")

EMBEDDING_DIMENSIONS = 1536
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
