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


PERSONAL = ["ion@firma.ro", "ion@realexample.com", "CNP 1850312089019", "1850312 089019", "ro49aaaa1b31007593840000"]


@pytest.mark.parametrize("text", PERSONAL)
def test_what_is_personal_by_its_form_fails(connection: Any, text: str) -> None:
    marked(connection, "2026-01-01")
    connection.cursor().execute("UPDATE firms SET address = %s", (text,))
    assert outcome(connection) == (Status.FAIL, ("firms.address",))


def test_tables_and_numbers_of_users_are_looked_at_too(connection: Any) -> None:
    marked(connection, "2026-01-01")
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE letters (user_id uuid, text text, cnp numeric(13), sent_at_ms bigint, note text)")
    cursor.execute(
        "INSERT INTO letters SELECT NULL, 'la ion@firma.ro', 1850312089019, 1700000000000 + 7919 * n,"
        " md5(n::text) || ' ' || gen_random_uuid() FROM generate_series(1, 900) AS n"
    )
    cursor.execute("CREATE TABLE product (text text); INSERT INTO product VALUES ('ask office@anaf.ro')")
    assert outcome(connection) == (Status.FAIL, ("letters.text", "letters.cnp"))


def test_an_unfinished_run_fails(connection: Any) -> None:
    marked(connection, f"2026-01-01 {CLEANING}")
    assert outcome(connection)[0] is Status.FAIL
