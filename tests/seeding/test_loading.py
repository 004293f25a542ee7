"""Seeding a real database: complete, repeatable, and careful with what it finds."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from legal_store import models
from legal_store.config import Settings, Url
from legal_store.database import db
from legal_store.errors import SeedError
from legal_store.seeding import SeedReport, seed
from legal_store.seeding.tables import TABLES
from tests.seeding.expected import BY_COLUMN, DUE, SEEDS, counted, due_counts

SKILL_AGGREGATE = """
SELECT s.skill_id, s.usage_count, s.effectiveness_score, s.token_savings_avg,
       count(*), round(100.0 * count(*) FILTER (WHERE l.success) / count(*), 2),
       round(avg(l.tokens_saved) FILTER (WHERE l.success), 4)
FROM skills s JOIN skill_usage_logs l ON l.skill_id = s.id GROUP BY s.id
"""
TEMPLATE_AGGREGATE = """
SELECT t.template_slug, t.usage_count, t.effectiveness_score,
       count(*), round(100.0 * avg(l.user_satisfaction_score) / 5, 2)
FROM romanian_templates t JOIN template_usage_logs l ON l.template_id = t.id GROUP BY t.id
"""


def rows_of(database: Any, table: str) -> list[dict[str, Any]]:
    cursor = database.execute_sql(f'SELECT * FROM "{table}"')
    columns = [column.name for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def snapshot(database: Any, *, without: tuple[str, ...] = (), physical: bool = False) -> dict[str, list[str]]:
    """All rows as text; `physical` adds the transaction that wrote each, so that a rewrite shows as well."""
    writer = ", xmin" if physical else ""
    return {
        table.name: sorted(
            str(row)
            for row in database.execute_sql(
                f"SELECT to_jsonb(t) - %s::text[]{writer} FROM {table.name} t", (list(without),)
            )
        )
        for table in TABLES
    }


def moments() -> tuple[str, ...]:
    """The columns of type timestamptz: a row that is put back later has other ones."""
    return tuple(
        {
            field.column_name
            for table in TABLES
            for field in table.model._meta.sorted_fields
            if field.field_type == "TIMESTAMPTZ"
        }
    )


def assert_demo_counts(database: Any, today: date) -> None:
    for table, columns in BY_COLUMN.items():
        rows = rows_of(database, table)
        for column, expected in columns.items():
            assert counted(rows, column) == expected, (table, column)
    tasks = rows_of(database, "tasks")
    assert due_counts(tasks, today) == DUE
    assert sum(task["assigned_to_id"] is None for task in tasks) == 5


def assert_statistics_are_exact(database: Any) -> None:
    for _, uses, score, saved, *aggregate in database.execute_sql(SKILL_AGGREGATE):
        assert [uses, score, saved] == aggregate
    for _, uses, score, *aggregate in database.execute_sql(TEMPLATE_AGGREGATE):
        assert [uses, score] == aggregate


def total(report: SeedReport) -> dict[str, int]:
    return {table.table: table.created + table.found + table.put_back for table in report.tables}


def test_the_first_seed_creates_everything(database: Any) -> None:
    report = seed(database, SEEDS)
    assert (report.found, report.put_back, report.changed) == (0, 0, True)
    assert [table.table for table in report.tables] == [table.name for table in TABLES]
    assert {table.table: table.created for table in report.tables} == {
        table.name: len(rows_of(database, table.name)) for table in TABLES
    }
    assert_demo_counts(database, date.today())


def test_references_are_the_ones_of_the_files(database: Any) -> None:
    seed(database, SEEDS)
    task = models.Task.get(models.Task.title == "Pregătirea interogatoriului pârâtei")
    assert (task.case.case_number, task.assigned_to.email) == ("CASE-2024-001", "stefan.ionescu@demo.lawfirm.ro")
    lease = models.DocumentType.get(models.DocumentType.discovered_type_normalized == "contract_inchiriere")
    assert lease.mapped_template.template_slug == "contract-de-inchiriere"
    assert lease.mapped_template.document_type == lease
    (sample,) = lease.sample_document_ids
    assert models.Document.get(models.Document.id == sample).case.case_number == "CASE-2024-007"


def test_statistics_come_from_the_logs(database: Any) -> None:
    seed(database, SEEDS)
    assert_statistics_are_exact(database)
    assert {skill.usage_count for skill in models.Skill.select()} == {4, 5}


def test_the_views_have_something_to_show(database: Any) -> None:
    seed(database, SEEDS)
    assert len(rows_of(database, "template_candidates")) == 4
    assert len(rows_of(database, "template_effectiveness_report")) == 3


def test_a_second_seed_writes_nothing(database: Any) -> None:
    first = seed(database, SEEDS)
    before = snapshot(database, physical=True)
    second = seed(database, SEEDS)
    assert (second.created, second.put_back, second.changed) == (0, 0, False)
    assert second.found == first.created
    assert snapshot(database, physical=True) == before


def test_a_seed_on_a_later_day_moves_no_date(database: Any) -> None:
    seed(database, SEEDS, today=date(2025, 1, 10))
    before = snapshot(database, physical=True)
    assert not seed(database, SEEDS, today=date(2025, 3, 1)).changed
    assert snapshot(database, physical=True) == before
    assert_demo_counts(database, date(2025, 1, 10))


def delete_half(database: Any, salt: int) -> None:
    """Delete half of the rows of every table, as a superuser may; cascades and cleared references follow."""
    for table in ("user_audit_logs", "case_audit_logs"):
        database.execute_sql(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only")
    for table in reversed(TABLES):
        unused = "NOT EXISTS (SELECT FROM cases c WHERE c.client_id = t.id)" if table.name == "clients" else "true"
        database.execute_sql(
            f"DELETE FROM {table.name} WHERE id IN (SELECT id FROM {table.name} t WHERE {unused} "
            f"ORDER BY md5(id::text || '{salt}') LIMIT (SELECT count(*) / 2 FROM {table.name}))"
        )
    for table in ("user_audit_logs", "case_audit_logs"):
        database.execute_sql(f"ALTER TABLE {table} ENABLE TRIGGER {table}_append_only")


@pytest.mark.parametrize("salt", range(4))
def test_after_deleting_half_of_every_table_everything_comes_back(database: Any, salt: int) -> None:
    first = seed(database, SEEDS)
    # who did something stays cleared in the audit logs, which nobody may change
    ignored = (*moments(), "user_id", "admin_user_id")
    before = snapshot(database, without=ignored)
    delete_half(database, salt)
    remaining = {table.name: len(rows_of(database, table.name)) for table in TABLES}
    report = seed(database, SEEDS)
    assert report.created == 0
    assert {table.table: table.found for table in report.tables} == remaining
    assert total(report) == total(first)
    assert_demo_counts(database, date.today())
    assert_statistics_are_exact(database)
    assert snapshot(database, without=ignored) == before
    assert not seed(database, SEEDS).changed


def test_a_user_put_back_gets_the_tasks_back_that_nobody_has_taken(database: Any) -> None:
    seed(database, SEEDS)
    stefan = models.User.get(models.User.email == "stefan.ionescu@demo.lawfirm.ro")
    ana = models.User.get(models.User.email == "ana.popescu@demo.lawfirm.ro")
    taken, *freed = list(stefan.assigned_tasks)
    stefan.delete_instance()
    models.Task.update(assigned_to=ana).where(models.Task.id == taken.id).execute()
    report = {table.table: table for table in seed(database, SEEDS).tables}
    assert report["users"].put_back == 1
    assert report["tasks"].relinked >= len(freed) == 5
    assert {task.id for task in stefan.assigned_tasks} == {task.id for task in freed}


def test_edits_of_users_are_kept_and_renamed_rows_are_found(database: Any) -> None:
    seed(database, SEEDS)
    changes = {
        models.Case: {"case_number": "CASE-2024-777", "title": "Alt titlu"},
        models.User: {"email": "demo1@example.com"},
        models.Client: {"name": "Demo Client 1"},
        models.Document: {"title": "Lorem ipsum"},
        models.Task: {"title": "Altă sarcină", "assigned_to": None, "due_date": date(2030, 1, 1)},
        models.Firm: {"vat_id": "RO99"},
    }
    for model, values in changes.items():
        first = model.select().order_by(model.id).get()
        model.update(**values).where(model.id == first.id).execute()
    before = snapshot(database, physical=True)
    assert not seed(database, SEEDS).changed
    assert snapshot(database, physical=True) == before


def test_a_firm_and_a_user_that_were_there_before_are_used(database: Any) -> None:
    firm = models.Firm(name="Made by hand", vat_id="RO12345678")
    firm.save()
    ana = models.User(firm=firm, email="Ana.Popescu@demo.lawfirm.ro", first_name="A", last_name="P", role="Partner")
    ana.save()
    report = seed(database, SEEDS)
    assert (report.found, report.put_back) == (2, 0)
    assert models.Firm.get().name == "Made by hand"
    assert {case.firm_id for case in models.Case.select()} == {firm.id}
    assert ana.assigned_tasks.count() == 4
    assert models.SkillUsageLog.select().where(models.SkillUsageLog.user_id == ana.id).count() == 2
    assert not seed(database, SEEDS).changed


def test_rows_that_somebody_else_made_are_referred_to_and_never_changed(database: Any) -> None:
    template = models.RomanianTemplate(
        template_slug="contract-de-inchiriere", template_name_ro="X", template_structure={}
    )
    template.save()
    type_ = models.DocumentType(
        discovered_type_original="Y", discovered_type_normalized="notificare_punere_in_intarziere"
    )
    type_.save()
    report = seed(database, SEEDS)
    assert (report.found, sum(table.relinked for table in report.tables)) == (2, 0)
    pattern = models.DocumentPattern.get(models.DocumentPattern.pattern_text_ro.startswith("Locatorul"))
    assert pattern.used_in_templates == [template.id]
    assert models.DocumentType.get(models.DocumentType.id == type_.id).mapped_template is None


def test_two_seeds_at_once_do_the_work_once(database: Any) -> None:
    reports: list[SeedReport] = []

    def load() -> None:
        with database.connection_context():
            reports.append(seed(database, SEEDS))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter((report.created > 0, report.found > 0) for report in reports) == {(True, False): 1, (False, True): 3}
    assert_demo_counts(database, date.today())


def mine(folder: Path, text: str) -> Path:
    (folder / "mine").mkdir()
    (folder / "mine" / "all.toml").write_text(text, "utf-8")
    return folder


def test_what_postgresql_refuses_is_told_and_nothing_is_kept(database: Any, tmp_path: Path) -> None:
    folder = mine(
        tmp_path,
        '[[firms]]\nname = "A"\nvat_id = "RO1"\n[[clients]]\nname = "C"\n[[cases]]\ncase_number = "K-1"\ntitle = "T"\n'
        'client = "C"\ntype = "Civil"\nstatus = "Closed"\nopened_date = "today"\n',
    )
    with pytest.raises(SeedError) as caught:
        seed(database, folder, name="mine")
    assert "all.toml, [[cases]] number 1" in caught.value.message
    assert "cases_closed_has_date_check" in caught.value.message
    assert "K-1" in caught.value.message
    assert "Nothing was written." in caught.value.message
    assert models.Firm.select().count() == models.Client.select().count() == 0


def test_defaults_fill_what_a_file_leaves_out(database: Any, tmp_path: Path) -> None:
    folder = mine(
        tmp_path,
        '[[firms]]\nname = "A"\nvat_id = "RO1"\n[[clients]]\nname = "C"\n[[clients]]\nname = "D"\n'
        'contact_info = { phone = "07" }\n',
    )
    seed(database, folder, name="mine")
    assert {client.name: client.contact_info for client in models.Client.select()} == {"C": {}, "D": {"phone": "07"}}


def test_a_database_without_tables_is_told_from_wrong_data(template: str, empty_database: Url) -> None:
    db.configure(Settings.from_environ({"DATABASE_URL": empty_database}))
    with db.connection_context(), pytest.raises(SeedError, match="invoke migrate") as caught:
        seed(db, SEEDS)
    db.close_all()
    assert "firms" in caught.value.message


def test_due_dates_count_from_the_given_day(database: Any) -> None:
    today = date(2024, 2, 29)
    seed(database, SEEDS, today=today)
    overdue = models.Task.get(models.Task.title == "Pregătirea listei de martori")
    assert overdue.due_date == today - timedelta(days=9)
