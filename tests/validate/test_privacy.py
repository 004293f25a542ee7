"""A database that says it was anonymized is searched for what is personal by its form."""

from __future__ import annotations

from typing import Any

import pytest

from legal_store.anonymize.run import CLEANING, MARK
from legal_store.validate import Status, validate
from legal_store.validate.privacy import checks_of_privacy


def outcome(connection: Any) -> tuple[Status, tuple[str, ...]]:
    (result,) = validate(connection, checks_of_privacy()).results
    return result.status, result.examples


def marked(connection: Any, value: str) -> None:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO firms (name, vat_id, email) VALUES ('Demo Firm 1', 'RO1', 'firm1@example.com')")
    cursor.execute(f"ALTER DATABASE {connection.info.dbname} SET {MARK} = '{value}'")


def test_a_database_that_was_never_anonymized_is_skipped(connection: Any) -> None:
    assert outcome(connection)[0] is Status.SKIP


def test_an_anonymized_one_passes(connection: Any) -> None:
    marked(connection, "2026-01-01")
    assert outcome(connection)[0] is Status.PASS


@pytest.mark.parametrize("text", ["ion@firma.ro", "CNP 1850312089019", "cont RO49AAAA1B31007593840000"])
def test_what_is_personal_by_its_form_fails(connection: Any, text: str) -> None:
    marked(connection, "2026-01-01")
    connection.cursor().execute("UPDATE firms SET address = %s", (text,))
    assert outcome(connection) == (Status.FAIL, ("firms.address",))


def test_an_unfinished_run_fails(connection: Any) -> None:
    marked(connection, f"2026-01-01 {CLEANING}")
    assert outcome(connection)[0] is Status.FAIL
