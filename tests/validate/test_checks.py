"""A check may be anybody's: whatever it does is an answer of its own, and the others go on."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2
import pytest

from legal_store.config import Url
from legal_store.errors import ServerUnavailableError
from legal_store.validate import Check, Outcome, Remedy, Status, failed, fix, no_rows, passed, validate


def raising(error: BaseException) -> Any:
    def run(cursor: Any) -> Outcome:
        raise error

    return run


def executing(statement: str) -> Any:
    def run(cursor: Any) -> Outcome:
        cursor.execute(statement)
        return passed()

    return run


def closing_its_cursor(cursor: Any) -> Outcome:
    cursor.close()
    return passed()


def committing(cursor: Any) -> Outcome:
    cursor.connection.commit()
    return passed()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (raising(KeyError("x")), "KeyError: 'x'"),
        (raising(ValueError()), "ValueError"),
        (raising(SystemExit(3)), "SystemExit: 3"),
        (executing("SELECT nothing"), 'UndefinedColumn: column "nothing" does not exist'),
        (executing("DELETE FROM firms"), "ReadOnlySqlTransaction"),
        (executing("COMMIT"), "ended the transaction"),
        (committing, "ended the transaction"),
        (lambda cursor: None, "returned NoneType instead of an Outcome"),
        (lambda cursor: Outcome("perhaps"), "'perhaps' is not a valid Status"),  # type: ignore[arg-type]
    ],
)
def test_a_check_that_breaks_fails_by_itself(database_url: Url, run: Any, message: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection:
        broken, other = validate(connection, [Check("broken", "?", run), no_rows("other", "?", "SELECT 1")]).results
    assert broken.status is Status.FAIL and message in broken.message
    assert (other.status, other.offenders) == (Status.FAIL, 1)


def test_what_one_check_sets_does_not_reach_the_next(database_url: Url) -> None:
    setting = Check("setting", "?", executing("SET LOCAL search_path = pg_catalog"))
    with closing(psycopg2.connect(database_url)) as connection:
        report = validate(
            connection,
            [setting, Check("closing", "?", closing_its_cursor), no_rows("n", "?", "SELECT id FROM firms")],
        )
    assert [result.status for result in report.results] == [Status.PASS] * 3


def test_an_answer_in_plain_words_counts_as_what_it_says(database_url: Url) -> None:
    odd = Outcome("FAIL", "odd", 1, (7,))  # type: ignore[arg-type]
    with closing(psycopg2.connect(database_url)) as connection:
        (found,) = validate(connection, [Check("odd", "?", lambda cursor: odd)]).failures
    assert found.examples == ("7",)


def closing_the_connection(cursor: Any) -> Outcome:
    cursor.connection.close()
    return passed()


@pytest.mark.parametrize("run", [executing("SELECT pg_terminate_backend(pg_backend_pid())"), closing_the_connection])
def test_a_lost_connection_is_said_once(database_url: Url, run: Any) -> None:
    with (
        closing(psycopg2.connect(database_url)) as connection,
        pytest.raises(ServerUnavailableError, match="during the check ending"),
    ):
        validate(connection, [Check("ending", "?", run), no_rows("n", "?", "SELECT 1")])


def test_a_login_from_which_policies_hide_rows_is_not_told_that_all_is_well(database_url: Url) -> None:
    with closing(psycopg2.connect(database_url, options="-c role=legal_store_service")) as connection:
        (found,) = validate(connection, [no_rows("firms", "?", "SELECT id FROM firms")]).failures[:1]
    assert "row-level security" in found.message


def test_a_remedy_that_breaks_is_reported_and_the_next_one_runs(database_url: Url) -> None:
    def cannot(cursor: Any) -> Outcome:
        return failed("broken")

    checks = [
        Check("first", "?", cannot, raising(KeyError("x"))),
        Check("second", "?", cannot, lambda cursor: [Remedy("a", "SELECT nothing"), Remedy("b", "SELECT 1")]),
        Check("third", "?", cannot),
    ]
    with closing(psycopg2.connect(database_url)) as connection:
        found = fix(connection, validate(connection, checks), checks)
    assert [(mending.check, mending.object, mending.done) for mending in found] == [
        ("first", "", False),
        ("second", "a", False),
        ("second", "b", True),
    ]
    assert found[0].what == "KeyError: 'x'"
