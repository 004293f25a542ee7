"""Reading web-style queries, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legal_store.errors import SearchInputError
from legal_store.search.queries import Term, any_word, read_query, tsquery


def test_words_phrases_exclusions_and_alternatives_are_told_apart() -> None:
    assert read_query('contract "putere de lege" -chirie or factura -"fara plata"') == [
        [Term("contract"), Term("putere de lege"), Term("chirie", excluded=True)],
        [Term("factura"), Term("fara plata", excluded=True)],
    ]


def test_words_that_say_nothing_are_left_out_unless_alone_or_quoted() -> None:
    assert read_query("rezilierea de contract la termen") == [[Term("rezilierea"), Term("contract"), Term("termen")]]
    assert read_query("de") == [[Term("de")]]
    assert read_query('"de la"') == [[Term("de la")]]


@pytest.mark.parametrize("query", ["-chirie", "or", "- ! ?", '""', '"', "-", '-"a b"'])
def test_a_query_with_nothing_to_look_for_is_refused(query: str) -> None:
    with pytest.raises(SearchInputError, match="no word to look for"):
        read_query(query)


def test_too_many_words_are_refused() -> None:
    with pytest.raises(SearchInputError, match="more than 60 words"):
        read_query(" ".join(f"cuvant{number}" for number in range(61)))


def test_any_word_keeps_the_exclusions_in_every_alternative() -> None:
    no = Term("chirie", excluded=True)
    assert any_word(read_query('"contract vechi" -chirie')) == [[Term("contract"), no], [Term("vechi"), no]]


@given(st.text(max_size=200))
def test_whatever_is_typed_gives_parameters_and_no_sql(query: str) -> None:
    try:
        alternatives = read_query(query)
    except SearchInputError:
        return
    expression, parameters = tsquery(alternatives, ("ro", "en"))
    assert expression.count("%s") == len(parameters)
    assert set(expression.replace("phraseto_tsquery('public.legal_romanian', %s)", "").replace(
        "phraseto_tsquery('public.legal_english', %s)", "")) <= set("|&!() ")  # fmt: skip
