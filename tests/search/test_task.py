"""The tasks, as people run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from legal_store.config import Url
from tests.cli.conftest import Invoke
from tests.conftest import CHECKOUT
from tests.search.conftest import Office, add_document, axis


@pytest.fixture
def invoke(database_url: Url) -> Invoke:
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {"COLUMNS": "200"} | os.environ | {"DATABASE_URL": database_url}
        return subprocess.run(
            [sys.executable, "-m", "invoke", *arguments],
            cwd=CHECKOUT, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("how", ["hybrid", "text", "fuzzy", "semantic"])
def test_every_way_of_searching_answers_with_json(offices: tuple[Office, Office], invoke: Invoke, how: str) -> None:
    add_document(offices[0], "Contract de furnizare beton", "penalități")
    add_document(offices[1], "Contract de furnizare beton", "penalități")
    made = invoke("search.embed", "--json")
    assert (made.returncode, json.loads(made.stdout)["embedded"]) == (0, 2), made.stderr
    finished = invoke("search", "contract beton", "--firm", "RO1", "--how", how, "--json")
    assert finished.returncode == 0, finished.stderr
    hits = json.loads(finished.stdout)
    assert [hit["title"] for hit in hits if hit["kind"] == "document"] == ["Contract de furnizare beton"]


def test_without_a_way_names_are_found_beside_documents(offices: tuple[Office, Office], invoke: Invoke) -> None:
    add_document(offices[0], "Aviz betoane")
    finished = invoke("search", "betoane prahva", "--firm", "RO1", "--json")
    assert finished.returncode == 0, finished.stderr
    kinds = {hit["title"]: hit["kind"] for hit in json.loads(finished.stdout)}
    assert kinds == {"Betoane Prahova S.R.L.": "client", "Aviz betoane": "document"}


def test_a_title_is_shown_as_it_was_written_and_an_id_in_one_piece(
    offices: tuple[Office, Office], invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = add_document(offices[0], "Act [draft] [/b]")
    monkeypatch.setenv("COLUMNS", "80")
    finished = invoke("search", "act draft", "--firm", "RO1", "--how", "fuzzy")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "Act [draft] [/b]" in finished.stdout
    assert str(document.id) in finished.stdout


def test_people_get_a_table_and_programs_may_bring_a_vector(offices: tuple[Office, Office], invoke: Invoke) -> None:
    add_document(offices[0], "Contract beton", content_embedding=axis((0, 1)))
    vector = json.dumps(axis((0, 1)))
    finished = invoke("search", "contract", "--firm", "RO1", "--vector", "-", "--explain", stdin=vector)
    assert finished.returncode == 0, finished.stderr
    assert "Contract beton" in finished.stdout
    assert "semantic #1 (1.000)" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "abc"), "Which firm?"),
        (("search", "abc", "--firm", "RO9"), "There is no firm RO9"),
        (("search", "", "--firm", "RO1"), "The query is empty"),
        (("search", "abc", "--firm", "RO1", "--how", "magic"), "--how magic is unknown"),
        (("search", "abc", "--firm", "RO1", "--provider", "magic"), "no embedding provider 'magic'"),
        (("search", "abc", "--firm", "RO1", "--limit", "0"), "limit=0 is not possible"),
        (("search", "abc", "--firm", "RO1", "--vector", "-"), "holds no JSON"),
        (("search.calibrate",), "100 are needed to measure"),
        (("search.embed", "--batch", "0"), "batch=0"),
    ],
)
def test_wrong_use_is_one_paragraph_and_exit_code_2(
    offices: tuple[Office, Office], invoke: Invoke, arguments: tuple[str, ...], message: str
) -> None:
    finished = invoke(*arguments)
    assert (finished.returncode, finished.stdout) == (2, ""), finished.stdout
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_nothing_found_is_said_and_no_failure(offices: tuple[Office, Office], invoke: Invoke) -> None:
    finished = invoke("search", "xyzzy", "--firm", "RO1", "--how", "text")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert "Nothing found" in finished.stderr
