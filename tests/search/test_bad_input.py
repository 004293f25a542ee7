"""Whatever a search is given: an error that says what is wrong, or nothing found; soon, and of this firm only."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legal_store import Document, all_firms, firm, search
from legal_store.config import Settings, Url
from legal_store.database import db
from legal_store.errors import FirmScopeError, SearchError, SearchInputError
from legal_store.models.search_functions import SEARCH_FUNCTIONS
from legal_store.schema.objects import Function
from legal_store.search.running import rows
from tests.conftest import Cluster
from tests.search.conftest import DIMENSIONS, Office, add_document, axis, open_office

CALLS: dict[str, Callable[[str], Any]] = {"fuzzy": search.fuzzy, "text": search.text, "hybrid": search.hybrid}


@pytest.fixture(scope="module")
def database_url(cluster: Cluster, template: str) -> Iterator[Url]:
    """One database for all tests here: most only ask, and none minds what others add."""
    with cluster.database(template) as name:
        yield cluster.url(name)


@pytest.fixture(scope="module")
def offices(database_url: Url) -> Iterator[tuple[Office, Office]]:
    db.configure(Settings.from_environ({"DATABASE_URL": database_url}))
    with db.connection_context():
        with all_firms(reason="test"):
            opened = open_office("Firma A", "RO1"), open_office("Firma B", "RO2")
        yield opened
    db.close_all()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("given_text", "message"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("a" * 10_000, "10,000 characters"),
        ("a\0b", "NUL"),
        (None, "NoneType"),
        (3, "int"),
    ],
)
def test_text_that_cannot_be_searched_is_named(
    offices: tuple[Office, Office], call: Callable[[Any], Any], given_text: Any, message: str
) -> None:
    with firm(offices[0].firm_id), pytest.raises(SearchInputError, match=message):
        call(given_text)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1.0] * 10, "10 dimensions"),
        ([], "0 dimensions"),
        ([1.0] * (DIMENSIONS + 1), "1537 dimensions"),
        ([math.nan] + [1.0] * (DIMENSIONS - 1), "NaN"),
        ([math.inf] + [1.0] * (DIMENSIONS - 1), "infinity"),
        ([1e30] * DIMENSIONS, "too large"),
        ([0.0] * DIMENSIONS, "zero"),
        ("abc", "no sequence of numbers"),
        (None, "no sequence of numbers"),
        (5, "no sequence of numbers"),
    ],
)
def test_a_vector_that_cannot_be_compared_is_named(offices: tuple[Office, Office], vector: Any, message: str) -> None:
    with firm(offices[0].firm_id), pytest.raises(SearchInputError, match=message):
        search.semantic(vector)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit=0"),
        ({"limit": 201}, "limit=201"),
        ({"limit": True}, "limit=True"),
        ({"limit": "5"}, "limit='5'"),
        ({"metric": "hamming"}, "metric='hamming'"),
        ({"case": "nonsense"}, "case='nonsense'"),
        ({"document_type": "Poem"}, "document_type='Poem'"),
        ({"status": ["Draft", "Lost"]}, "status="),
        ({"created_from": "yesterday"}, "created_from='yesterday'"),
    ],
)
def test_an_impossible_option_is_named(offices: tuple[Office, Office], options: dict[str, Any], message: str) -> None:
    with firm(offices[0].firm_id), pytest.raises(SearchInputError, match=message):
        search.semantic(axis((0, 1)), **options)


def test_unknown_kinds_and_languages_are_named(offices: tuple[Office, Office]) -> None:
    with firm(offices[0].firm_id):
        with pytest.raises(SearchInputError, match="kinds="):
            search.fuzzy("abc", kinds=["judge"])
        with pytest.raises(SearchInputError, match="kinds="):
            search.fuzzy("abc", kinds=[])
        with pytest.raises(SearchInputError, match="language='de'"):
            search.text("abc", language="de")


@pytest.mark.parametrize(
    "call", [*CALLS.values(), lambda text: search.semantic(axis((0, 1)))], ids=[*CALLS, "semantic"]
)
def test_a_search_needs_the_scope_of_one_firm(offices: tuple[Office, Office], call: Callable[[str], Any]) -> None:
    with pytest.raises(FirmScopeError, match="no firm was named"):
        call("abc")
    with all_firms(reason="test"), pytest.raises(FirmScopeError, match="inside all_firms"):
        call("abc")


def test_a_case_of_another_firm_or_of_none_finds_nothing(offices: tuple[Office, Office]) -> None:
    office, other = offices
    add_document(office, "Contract beton", "contract", content_embedding=axis((0, 1)))
    add_document(other, "Contract beton", "contract", content_embedding=axis((0, 1)))
    for case in (other.case, other.case.id, uuid.uuid4()):
        with firm(office.firm_id):
            assert search.fuzzy("contract", case=case) == []
            assert search.text("contract", case=case) == []
            assert search.semantic(axis((0, 1)), case=case) == []
            assert search.hybrid("contract", axis((0, 1)), case=case) == []


@pytest.mark.parametrize("function", SEARCH_FUNCTIONS, ids=lambda function: function.signature)
def test_the_functions_of_the_search_serve_nobody_without_a_firm(
    offices: tuple[Office, Office], connection: Any, function: Function
) -> None:
    name, arguments = function.signature.removesuffix(")").split("(")
    call = f"SELECT * FROM {name}({', '.join('NULL::' + given.split()[1] for given in arguments.split(', '))})"
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege, match="no firm is named"):
        cursor.execute(call)
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE stranger_of_search")
        try:
            cursor.execute("SET ROLE stranger_of_search; SET legal_store.firm_id = %s", [str(offices[0].firm_id)])
            with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied for function"):
                cursor.execute(call)
        finally:
            cursor.execute("RESET ROLE; DROP ROLE stranger_of_search")


def test_a_search_ends_at_its_own_limit_and_the_connection_stays_usable(offices: tuple[Office, Office]) -> None:
    began = time.monotonic()
    with firm(offices[0].firm_id):
        with pytest.raises(SearchError, match="longer than 100 ms"):
            rows("SELECT pg_sleep(20)", [], {}, timeout_ms=100)
        assert time.monotonic() - began < 10
        assert search.fuzzy("dosar")[0].kind == "case"
        assert db.execute_sql("SHOW statement_timeout").fetchone() == ("1min",)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("'\"%_\\-|&!():*<> \n")), min_size=1, max_size=80))
def test_whatever_is_typed_ends_in_hits_of_this_firm_or_in_our_error(offices: tuple[Office, Office], text: str) -> None:
    with firm(offices[0].firm_id):
        own = {offices[0].client.id, offices[0].case.id, *(document.id for document in Document.select())}
        for call in CALLS.values():
            try:
                hits = call(text)
            except SearchInputError:
                continue
            assert {hit.id for hit in hits} <= own
