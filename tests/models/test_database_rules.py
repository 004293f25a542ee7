"""The rules of the domain, refused by PostgreSQL itself through a plain connection."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors


class Rows:
    """Inserts rows the way psql would: no Python between the values and the server."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def insert(self, table: str, **values: Any) -> str:
        columns = ", ".join(values)
        marks = ", ".join(["%s"] * len(values))
        return self.run(f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING id", tuple(values.values()))

    def run(self, statement: str, values: Any = None) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone()[0] if cursor.description else cursor.rowcount

    def firm(self) -> str:
        return self.insert("firms", name="F", vat_id=uuid.uuid4().hex)

    def user(self, firm: str) -> str:
        return self.insert(
            "users", firm_id=firm, email=f"{uuid.uuid4().hex}@x.ro", first_name="A", last_name="B", role="Partner"
        )

    def client(self, firm: str) -> str:
        return self.insert("clients", firm_id=firm, name=uuid.uuid4().hex)

    def case(self, firm: str, client: str | None = None, **values: Any) -> str:
        values = {"case_number": uuid.uuid4().hex, "title": "T", "type": "Civil", "opened_date": "2024-01-01", **values}
        return self.insert("cases", firm_id=firm, client_id=client or self.client(firm), **values)

    def document(self, firm: str, case: str, **values: Any) -> str:
        return self.insert("documents", firm_id=firm, case_id=case, title="D", **{"document_type": "Other", **values})

    def skill(self) -> str:
        return self.insert("skills", skill_id=uuid.uuid4().hex, display_name="S")

    def log(self, skill: str, **values: Any) -> str:
        given = {"execution_time_ms": 1, "tokens_used": 1, "success": True, **values}
        return self.insert("skill_usage_logs", skill_id=skill, **given)


@pytest.fixture
def rows(connection: Any) -> Rows:
    return Rows(connection)


def test_a_reference_to_another_firms_row(rows: Rows) -> None:
    mine, theirs = rows.firm(), rows.firm()
    with pytest.raises(errors.ForeignKeyViolation):
        rows.document(mine, rows.case(theirs))
    with pytest.raises(errors.ForeignKeyViolation):
        rows.case(mine, client=rows.client(theirs))


@pytest.mark.parametrize("status", ["Closed", "Archived"])
def test_a_closed_case_without_closing_date(rows: Rows, status: str) -> None:
    with pytest.raises(errors.CheckViolation, match="cases_closed_has_date_check"):
        rows.case(rows.firm(), status=status)


def test_a_case_closed_before_it_was_opened(rows: Rows) -> None:
    with pytest.raises(errors.CheckViolation, match="cases_closed_after_opened_check"):
        rows.case(rows.firm(), status="Closed", closed_date="2023-12-31")


def test_a_case_number_used_twice_in_a_firm_but_not_in_two_firms(rows: Rows) -> None:
    firm = rows.firm()
    rows.case(firm, case_number="CASE-1")
    rows.case(rows.firm(), case_number="CASE-1")
    with pytest.raises(errors.UniqueViolation, match="cases_firm_id_case_number_key"):
        rows.case(firm, case_number="CASE-1")


@pytest.mark.parametrize(("column", "value"), [("status", "Lost"), ("type", "Tax"), ("priority", "Urgent")])
def test_a_value_outside_an_enumeration(rows: Rows, column: str, value: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"cases_{column}_check"):
        rows.case(rows.firm(), **{column: value})


def test_a_document_version_below_one(rows: Rows) -> None:
    firm = rows.firm()
    with pytest.raises(errors.CheckViolation, match="documents_version_check"):
        rows.document(firm, rows.case(firm), version=0)


@pytest.mark.parametrize(("status", "completed_at"), [("Completed", None), ("Pending", "2024-01-01")])
def test_a_task_is_completed_exactly_when_it_has_a_completion_time(
    rows: Rows, status: str, completed_at: str | None
) -> None:
    firm = rows.firm()
    with pytest.raises(errors.CheckViolation, match="tasks_completed_at_check"):
        rows.insert(
            "tasks",
            firm_id=firm,
            case_id=rows.case(firm),
            title="T",
            task_type="Research",
            status=status,
            completed_at=completed_at,
        )


@pytest.mark.parametrize("column", ["tokens_used", "execution_time_ms"])
def test_a_negative_count_in_a_usage_log(rows: Rows, column: str) -> None:
    with pytest.raises(errors.CheckViolation, match=f"skill_usage_logs_{column}_check"):
        rows.log(rows.skill(), **{column: -1})


def test_a_second_current_version_of_a_skill(rows: Rows) -> None:
    skill = rows.skill()
    rows.insert("skill_versions", skill_id=skill, version="1.0.0", content="a", is_current=True)
    rows.insert("skill_versions", skill_id=skill, version="1.1.0", content="b", is_current=False)
    with pytest.raises(errors.UniqueViolation, match="skill_versions_one_current_idx"):
        rows.insert("skill_versions", skill_id=skill, version="2.0.0", content="c", is_current=True)


def test_an_address_of_another_firms_user_and_one_in_capitals(rows: Rows) -> None:
    person = {"first_name": "A", "last_name": "B", "role": "Partner"}
    rows.insert("users", firm_id=rows.firm(), email="a@x.ro", **person)
    with pytest.raises(errors.UniqueViolation, match="users_email_key"):
        rows.insert("users", firm_id=rows.firm(), email="a@x.ro", **person)
    with pytest.raises(errors.CheckViolation, match="users_email_lowercase_check"):
        rows.insert("users", firm_id=rows.firm(), email="A@x.ro", **person)


def test_a_client_with_cases_cannot_be_deleted(rows: Rows) -> None:
    firm = rows.firm()
    client = rows.client(firm)
    rows.case(firm, client=client)
    with pytest.raises(errors.ForeignKeyViolation):
        rows.run("DELETE FROM clients WHERE id = %s", (client,))


def test_deleting_a_case_takes_its_rows_along(rows: Rows) -> None:
    firm = rows.firm()
    case, user = rows.case(firm), rows.user(firm)
    rows.document(firm, case)
    rows.insert("tasks", firm_id=firm, case_id=case, title="T", task_type="Research")
    rows.insert("case_team", firm_id=firm, case_id=case, user_id=user)
    rows.insert("case_actors", firm_id=firm, case_id=case, role="Witness", name="W")
    rows.insert("case_audit_logs", firm_id=firm, case_id=case, user_id=user, action="Opened")
    rows.run("DELETE FROM cases WHERE id = %s", (case,))
    for table in ("documents", "tasks", "case_team", "case_actors", "case_audit_logs"):
        assert rows.run(f"SELECT count(*) FROM {table}") == 0, table


def test_deleting_a_user_unassigns_and_keeps_the_firm(rows: Rows) -> None:
    firm = rows.firm()
    case, user = rows.case(firm), rows.user(firm)
    rows.document(firm, case, created_by_id=user)
    rows.insert("tasks", firm_id=firm, case_id=case, title="T", task_type="Research", assigned_to_id=user)
    rows.insert("case_audit_logs", firm_id=firm, case_id=case, user_id=user, action="Opened")
    rows.run("DELETE FROM users WHERE id = %s", (user,))
    assert rows.run("SELECT count(*) FROM documents WHERE created_by_id IS NULL AND firm_id = %s", (firm,)) == 1
    assert rows.run("SELECT count(*) FROM tasks WHERE assigned_to_id IS NULL AND firm_id = %s", (firm,)) == 1
    assert rows.run("SELECT count(*) FROM case_audit_logs WHERE user_id IS NULL AND firm_id = %s", (firm,)) == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE case_audit_logs SET action = 'x'", "DELETE FROM case_audit_logs", "TRUNCATE case_audit_logs"],
)
def test_an_audit_log_is_append_only(rows: Rows, statement: str) -> None:
    firm = rows.firm()
    rows.insert("case_audit_logs", firm_id=firm, case_id=rows.case(firm), action="Opened")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        rows.run(statement)
    assert rows.run("SELECT count(*) FROM case_audit_logs") == 1


def test_every_violation_leaves_the_connection_usable(rows: Rows) -> None:
    with pytest.raises(psycopg2.Error):
        rows.log(rows.skill(), tokens_used=-1)
    assert rows.run("SELECT count(*) FROM skill_usage_logs") == 0
