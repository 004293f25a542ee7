"""The package as pip installs it, in the folder of a service: the schema comes along, and its own models join in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from legal_store import embedded
from legal_store.config import Url
from tests.conftest import CHECKOUT

Run = Callable[..., subprocess.CompletedProcess[str]]
SHIPPED = ("anonymize.toml", "migrations", "seeds")
INVOICES = """
from peewee import TextField
from legal_store import Case
from legal_store.models.firms import FirmRecord
from legal_store.schema.fields import FirmReferenceField

class Invoice(FirmRecord):
    case = FirmReferenceField(Case, backref="invoices", on_delete="CASCADE")
    number = TextField()

    class Meta:
        table_name = "invoices"

MODELS = (Invoice,)
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip fills it."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def service(tmp_path: Path, site: Path, empty_database: Url, servers: embedded.Servers) -> Run:
    """Runs the package's program in the folder of a service, which has nothing of a checkout."""

    def run(*arguments: str, beside: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, filter(None, (site, beside))))
        urls = {"DATABASE_URL": empty_database, "REDIS_URL": servers.redis.url}
        environment = os.environ | urls | {"PYTHONPATH": path, **variables}
        program = "import sys; sys.argv[0] = 'legal-store'; from legal_store.cli.program import main; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    return run


def test_what_stands_at_the_top_of_a_checkout_comes_along(site: Path) -> None:
    def files(top: Path) -> set[str]:
        found = [
            path for name in SHIPPED for path in ([top / name] if (top / name).is_file() else (top / name).rglob("*"))
        ]
        return {str(path.relative_to(top)) for path in found if path.is_file() and "__pycache__" not in path.parts}

    assert files(site / "legal_store" / "shipped") == files(CHECKOUT)


def test_a_service_has_the_schema_and_the_demo_without_a_checkout(service: Run) -> None:
    pending = service("migrate.status")
    assert "`legal-store migrate.deploy`" in pending.stderr  # not `invoke`, which wants a tasks.py
    for task in ("migrate.deploy", "seed", "anonymize.rules"):
        finished = service(task)
        assert finished.returncode == 0, finished.stderr


def test_models_of_a_service_become_migrations_of_its_own(service: Run, tmp_path: Path) -> None:
    beside = tmp_path / "site"
    (beside / "invoices-1.dist-info").mkdir(parents=True)
    (beside / "invoices-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: invoices\nVersion: 1\n")
    (beside / "invoices-1.dist-info" / "entry_points.txt").write_text(
        "[legal_store.models]\ninvoices=invoices:MODELS\n"
    )
    (beside / "invoices.py").write_text(INVOICES)
    refused = service("migrate", "--yes", beside=beside)
    assert refused.returncode == 2 and "cp -r" in refused.stderr, refused.stderr
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations")
    made = service("migrate", "--name", "add_invoices", "--yes", beside=beside)
    assert made.returncode == 0, made.stderr
    [path] = (tmp_path / "migrations").glob("*_add_invoices.py")
    assert "CREATE POLICY" in path.read_text()
    finished = service("isolation.check", beside=beside)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_vector_index_is_chosen_by_a_variable_and_made_by_a_migration(
    service: Run, tmp_path: Path, empty_database: Url
) -> None:
    shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations")
    for chosen, definition in (("halfvec", "halfvec_cosine_ops)"), ("dense", "(m='24', ef_construction='128')")):
        made = service("migrate", "--name", f"to_{chosen}", "--yes", LEGAL_STORE_VECTOR_INDEX=chosen)
        assert made.returncode == 0, made.stderr
        with closing(psycopg2.connect(empty_database)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_get_indexdef('documents_content_embedding_idx'::regclass)")
            assert cursor.fetchone()[0].endswith(definition)
    again = service("migrate", "--yes", LEGAL_STORE_VECTOR_INDEX="dense")
    assert again.returncode == 0, again.stderr
    assert len([*(tmp_path / "migrations").glob("*_to_*.py")]) == 2, "the last one left nothing to do"
    assert "must be one of vector, halfvec, dense" in service("status", LEGAL_STORE_VECTOR_INDEX="ivfflat").stderr
