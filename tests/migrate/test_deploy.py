"""Applying migrations: from nothing to the models' schema, whole or not at all."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from legal_store.config import Url
from legal_store.embedded import client_program
from legal_store.errors import ConfigurationError, MigrationError
from legal_store.migrate import deploy, status
from legal_store.migrate.files import read_migrations, split_sql
from legal_store.models.declared import SCHEMA
from legal_store.schema.catalog import differences, read_catalog
from legal_store.schema.ddl import create_statements
from tests.conftest import MIGRATIONS


def parameters(url: Url) -> dict[str, Any]:
    return dict(parse_dsn(url))


def catalog(url: Url) -> dict[tuple[str, str], str]:
    with closing(psycopg2.connect(url)) as connection:
        return read_catalog(connection)


def test_migrations_from_nothing_are_the_schema_of_the_models(empty_database: Url, database_url: Url) -> None:
    with closing(psycopg2.connect(empty_database)) as connection, connection, connection.cursor() as cursor:
        for statement in create_statements(SCHEMA):
            cursor.execute(statement)
    expected, found = catalog(empty_database), catalog(database_url)
    assert len(expected) > 450
    assert [str(difference) for difference in differences(expected, found)] == []


def test_the_comparison_would_find_a_difference(empty_database: Url, database_url: Url) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        before = read_catalog(connection)
        cursor.execute("ALTER TABLE documents ALTER content_embedding TYPE vector(768)")
        cursor.execute("DROP TRIGGER update_cases_updated_at ON cases")
        after = read_catalog(connection)
    found = {(difference.kind, difference.name) for difference in differences(before, after)}
    assert found == {("column", "documents.content_embedding"), ("trigger", "cases.update_cases_updated_at")}


def test_a_second_deploy_does_nothing(database_url: Url) -> None:
    before = catalog(database_url)
    report = deploy(parameters(database_url), MIGRATIONS)
    assert report.applied == []
    assert report.already_applied == len(read_migrations(MIGRATIONS))
    assert catalog(database_url) == before
    assert status(parameters(database_url), MIGRATIONS).pending == []


def test_a_failing_migration_leaves_nothing_and_keeps_those_before_it(empty_database: Url, tmp_path: Path) -> None:
    (tmp_path / "001_good.sql").write_text("CREATE TABLE good (id int);")
    (tmp_path / "002_bad.sql").write_text("CREATE TABLE half (id int); SELECT 1 / 0;")
    with pytest.raises(
        MigrationError, match=r"002_bad \(statement 2, line 1\) failed: division by zero .*Nothing of it was kept"
    ):
        deploy(parameters(empty_database), tmp_path)
    assert {name for kind, name in catalog(empty_database) if kind == "table"} == {"good"}
    assert status(parameters(empty_database), tmp_path).pending == ["002_bad"]


def test_a_python_migration_may_use_percent_signs_and_operations(empty_database: Url, tmp_path: Path) -> None:
    (tmp_path / "20250101000000_first.py").write_text(
        "import peewee as pw\n"
        "def migrate(migrator, database, *, fake=False):\n"
        "    class Note(pw.Model):\n"
        "        text = pw.TextField()\n"
        "        class Meta:\n"
        "            table_name = 'notes'\n"
        "    migrator.create_model(Note)\n"
        "    migrator.sql(\"INSERT INTO notes (text) SELECT 'x' WHERE 'abc' LIKE 'a%'\")\n"
    )
    assert deploy(parameters(empty_database), tmp_path).applied == ["20250101000000_first"]
    with closing(psycopg2.connect(empty_database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM notes")
        assert cursor.fetchone() == (1,)


def test_files_without_an_order_are_refused_before_anything_runs(empty_database: Url, tmp_path: Path) -> None:
    (tmp_path / "001_good.sql").write_text("CREATE TABLE good (id int);")
    (tmp_path / "later.sql").write_text("SELECT 1;")
    (tmp_path / "001_good.py").write_text("")
    with pytest.raises(MigrationError, match=r"001_good.sql: the same name.*|later.sql: not \{number\}"):
        deploy(parameters(empty_database), tmp_path)
    assert catalog(empty_database) == {}


def test_every_name_that_cannot_be_ordered_is_listed(tmp_path: Path) -> None:
    long = f"20250101000000_{'x' * 49}.sql"
    for name in ("1_short.sql", "001-dash.sql", "001_Capital.sql", "2025_year.py", long):
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError) as caught:
        read_migrations(tmp_path)
    for name in ("1_short.sql", "001-dash.sql", "001_Capital.sql", "2025_year.py"):
        assert f"{name}: not {{number}}_{{name}} or {{timestamp}}_{{name}}, in small letters" in str(caught.value)
    assert f"{long}: longer than 63 bytes" in str(caught.value)


def test_a_file_that_cannot_be_read_as_what_it_claims_to_be_is_named(empty_database: Url, tmp_path: Path) -> None:
    (tmp_path / "001_latin.sql").write_bytes("SELECT 'ș';".encode("utf-16"))
    with pytest.raises(MigrationError, match=r"001_latin.sql is not UTF-8: .*Save it as UTF-8"):
        deploy(parameters(empty_database), tmp_path)
    (tmp_path / "001_latin.sql").unlink()
    (tmp_path / "20250101000000_empty.py").write_text("x = 1\n")
    with pytest.raises(MigrationError, match=r"20250101000000_empty.py has no function migrate\(\)"):
        deploy(parameters(empty_database), tmp_path)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import nothing_of_this_name\n", ", line 1, raised ModuleNotFoundError"),
        ("def migrate(:\n", " raised SyntaxError"),
        ("def migrate(m, database, *, fake):\n    raise ValueError('mine')\n", ", line 2, raised ValueError: mine"),
        ("def migrate(m, database, *, fake):\n    raise SystemExit(0)\n", ", line 2, raised SystemExit: 0"),
    ],
)
def test_code_that_raises_or_exits_fails_the_deploy(empty_database: Url, tmp_path: Path, code: str, told: str) -> None:
    (tmp_path / "20250101000000_code.py").write_text(code)
    with pytest.raises(MigrationError, match=f"^20250101000000_code.py{told}.*Correct the file"):
        deploy(parameters(empty_database), tmp_path)
    assert catalog(empty_database) == {}


def test_a_missing_folder_is_named(empty_database: Url, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no folder of migrations at .*nowhere"):
        deploy(parameters(empty_database), tmp_path / "nowhere")


def test_a_server_without_an_extension_is_told_which_and_how_to_get_it(empty_database: Url, tmp_path: Path) -> None:
    text = (MIGRATIONS / "000_enable_extensions.sql").read_text().replace("'vector'", "'vectors'")
    (tmp_path / "000_enable_extensions.sql").write_text(text)
    with pytest.raises(MigrationError, match=r"lacks an extension that legal_store needs: vectors \(in the package"):
        deploy(parameters(empty_database), tmp_path)


def test_the_hand_written_files_can_be_run_by_psql_more_than_once(empty_database: Url) -> None:
    psql = [str(client_program("psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", str(empty_database)]
    extensions = MIGRATIONS / "000_enable_extensions.sql"
    for file in (extensions, extensions, MIGRATIONS / "001_add_skills_tables.sql"):
        finished = subprocess.run([*psql, "-f", str(file)], capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
    assert ("table", "skill_usage_logs") in catalog(empty_database)


def test_every_hand_written_file_has_a_way_back(database_url: Url, tmp_path: Path) -> None:
    names = sorted(path for path in MIGRATIONS.glob("*.sql"))
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        before = read_catalog(connection)
        for path in names:
            cursor.execute(split_sql(path.read_text()).up.text)
        for path in reversed(names):
            cursor.execute(split_sql(path.read_text()).down.text)
        assert read_catalog(connection) == before


def test_a_checkout_with_windows_line_ends_has_the_same_checksums(tmp_path: Path) -> None:
    for path in MIGRATIONS.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
            (tmp_path / path.name).write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert [m.checksum for m in read_migrations(tmp_path)] == [m.checksum for m in read_migrations(MIGRATIONS)]
