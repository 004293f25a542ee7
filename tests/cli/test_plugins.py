"""Task modules are found in three places, and a clash or a broken one is an error that names the place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from legal_store.cli.discovery import build_collection
from legal_store.errors import ConfigurationError

TASK = (
    'from legal_store.cli.task import task\n\n@task("{name}")\ndef it(context):\n    """Do it."""\n    print("done")\n'
)


def local(folder: Path, name: str, text: str) -> None:
    (folder / "ops").mkdir(exist_ok=True)
    (folder / "ops" / f"{name}.py").write_text(text)


def test_a_file_in_the_folder_ops_adds_tasks_beside_ours(tmp_path: Path) -> None:
    local(tmp_path, "reports", TASK.format(name="report.open-cases"))
    names = build_collection(tmp_path).task_names
    assert "report.open-cases" in names
    assert {"up", "migrate.deploy", "seed"} <= set(names)


def test_a_default_task_stands_for_its_group() -> None:
    assert "migrate" in build_collection().task_names["migrate.migrate"]


def test_the_same_name_twice_names_both_places(tmp_path: Path) -> None:
    local(tmp_path, "mine", TASK.format(name="seed"))
    with pytest.raises(
        ConfigurationError, match=r"'seed' is declared twice: in legal_store\.ops\.seed and in .*mine\.py"
    ):
        build_collection(tmp_path)


def test_a_broken_plugin_is_named_with_its_error(tmp_path: Path) -> None:
    local(tmp_path, "broken", "import no_such_module")
    with pytest.raises(ConfigurationError, match=r"broken\.py cannot be imported: ModuleNotFoundError"):
        build_collection(tmp_path)


def test_an_installed_package_adds_tasks_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_tasks.py").write_text(TASK.format(name="their.task"))
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[legal_store.ops]\ntheirs = their_tasks\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "their.task" in build_collection().task_names


def test_finding_all_tasks_imports_nothing_heavy() -> None:
    heavy = "{'peewee', 'psycopg2', 'redis', 'rich', 'peewee_migrate', 'mimesis', 'dotenv'}"
    code = (
        "import sys; from legal_store.cli.discovery import build_collection; build_collection();"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_the_console_script_ends_wrong_use_with_2(tmp_path: Path) -> None:
    for arguments in (["no-such-task"], ["seed", "--no-such-flag"]):
        code = (
            f"import sys; sys.argv = ['legal-store', *{arguments!r}]; from legal_store.cli.program import main; main()"
        )
        finished = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
        assert finished.returncode == 2, finished.stderr
