"""Deploying when there is nothing to do, 300 migrations applied: Alembic and Django, which verify nothing, and we.

Each is the command that people type, in a process of its own. Ours verifies 300 checksums and the whole schema.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from bench.measure import Result, alternate
from bench.servers import server

GOAL = 0.7
COLUMNS = "id int PRIMARY KEY, name text NOT NULL, made timestamptz DEFAULT now()"


def run(*, quick: bool) -> list[Result]:
    count, rounds = (12, 1) if quick else (300, 15)
    with server() as own, tempfile.TemporaryDirectory() as folder:
        home, url = Path(folder), own.postgres.url
        contestants = {
            "alembic": _alembic(home / "alembic", url, count),
            "django": _django(home / "django", url, count),
            "legal_store": _ours(home / "ours", url, count),
        }
        medians = alternate(contestants, rounds, warm_up=1)
    peers = min(medians["alembic"], medians["django"])
    return [
        Result(f"deploy of nothing, {count} applied", medians, "ms", medians["legal_store"] / peers, f"at most {GOAL}")
    ]


def _command(arguments: list[str], folder: Path, **environment: str):
    # with compiled files, as installed packages have them
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def call() -> None:
        subprocess.run(arguments, cwd=folder, check=True, capture_output=True, env={**inherited, **environment})

    call()  # applies everything
    return call


def _database(url: str, name: str) -> str:
    import psycopg2

    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    connection.close()
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _ours(folder: Path, url: str, count: int):
    (folder / "migrations").mkdir(parents=True)
    for number in range(count):
        stamp = 20250101000000 + number
        text = f"-- migrate:up\nCREATE TABLE t{number} ({COLUMNS});\n-- migrate:down\nDROP TABLE t{number};\n"
        (folder / "migrations" / f"{stamp}_t{number}.sql").write_text(text)
    program = Path(sys.executable).parent / "legal-store"
    return _command([str(program), "migrate.deploy"], folder, DATABASE_URL=_database(url, "ours"))


def _alembic(folder: Path, url: str, count: int):
    (folder / "env" / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = env\n")
    (folder / "env" / "env.py").write_text(
        "import os\nfrom alembic import context\nfrom sqlalchemy import create_engine, pool\n"
        "engine = create_engine(os.environ['BENCH_URL'], poolclass=pool.NullPool)\n"
        "with engine.connect() as connection:\n    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n"
    )
    for number in range(count):
        before = f"'r{number - 1:03d}'" if number else "None"
        (folder / "env" / "versions" / f"r{number:03d}_t.py").write_text(
            f"from alembic import op\nrevision = 'r{number:03d}'\ndown_revision = {before}\n\n\n"
            f"def upgrade():\n    op.execute('CREATE TABLE t{number} ({COLUMNS})')\n\n\n"
            f"def downgrade():\n    op.execute('DROP TABLE t{number}')\n"
        )
    program = Path(sys.executable).parent / "alembic"
    target = _database(url, "alembic").replace("postgresql://", "postgresql+psycopg2://")
    return _command([str(program), "upgrade", "head"], folder, BENCH_URL=target)


def _django(folder: Path, url: str, count: int):
    import psycopg2

    (folder / "app" / "migrations").mkdir(parents=True)
    for package in (folder / "app", folder / "app" / "migrations"):
        (package / "__init__.py").write_text("")
    parameters = psycopg2.extensions.parse_dsn(_database(url, "django"))
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parameters["dbname"],
        "USER": parameters["user"],
        "HOST": parameters["host"],
        "PORT": parameters.get("port", ""),
    }
    (folder / "settings.py").write_text(
        f"INSTALLED_APPS = ['app']\nDATABASES = {{'default': {database!r}}}\nUSE_TZ = True\n"
    )
    for number in range(count):
        before = f"('app', '{number - 1:04d}_t')" if number else ""
        (folder / "app" / "migrations" / f"{number:04d}_t.py").write_text(
            "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
            f"    dependencies = [{before}]\n"
            f"    operations = [migrations.RunSQL('CREATE TABLE t{number} ({COLUMNS})', 'DROP TABLE t{number}')]\n"
        )
    arguments = [sys.executable, "-m", "django", "migrate"]
    return _command(arguments, folder, DJANGO_SETTINGS_MODULE="settings", PYTHONPATH=str(folder))
