"""The documents cannot lie: every task and every variable stands in the README, as the code has it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from legal_store import Document, embedded
from legal_store.cli.discovery import build_collection
from legal_store.config import Settings, Url
from legal_store.seeding import seed
from tests.conftest import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def typed_names() -> set[str]:
    """Return the names as people type them: "migrate" and not "migrate.migrate"."""
    names = build_collection().task_names
    return {next(iter(aliases), name) if "." in name else name for name, aliases in names.items()}


def test_every_task_is_in_the_readme() -> None:
    documented = set(re.findall(r"`([a-z][a-z.-]*)`", README))
    assert typed_names() - documented == set()


def test_every_task_has_a_one_line_help() -> None:
    collection = build_collection()
    for name in collection.task_names:
        help_text = (collection[name].__doc__ or "").splitlines()
        assert help_text, name
        assert help_text[0].endswith("."), name


def test_every_variable_is_in_the_readme_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", README, re.MULTILINE))
    for setting in fields(Settings):
        shown = rows[setting.metadata["variable"]].strip().strip("`")
        default = getattr(Settings(), setting.name)
        if default is None:
            assert shown in {"the embedded server", "needed in production"}
        else:
            assert shown == str(int(default) if isinstance(default, bool) else default)


def test_the_service_in_the_readme_runs(database: Any, database_url: Url, servers: embedded.Servers) -> None:
    seed(database, CHECKOUT / "seeds")
    service, cached, *_ = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    again = cached[cached.index("with legal_store.firm") :].replace("load_case", "None")  # a hit calls nothing
    environment = {
        **os.environ, "DATABASE_URL": database_url, "REDIS_URL": servers.redis.url, "PYTHONIOENCODING": "utf-8"
    }  # fmt: skip
    shown = "print(session_manager.get(session.id)['userId'] == user.id, case.title)"
    finished = subprocess.run(
        [sys.executable, "-c", "\n".join((service, cached, again, shown))],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("CASE-") == 4 and "True " in finished.stdout
    assert Document.select().where(Document.title == "Cerere de chemare în judecată").count() >= 1


def test_no_document_names_a_folder_that_is_not_there() -> None:
    for name in re.findall(r"`((?:legal_store|migrations|seeds|tests|bench|docs)/[\w/.]*)`", README):
        assert (CHECKOUT / name).exists(), name


def test_every_link_between_documents_leads_somewhere() -> None:
    for document in [CHECKOUT / "README.md", *CHECKOUT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (Path(document).parent / target).exists(), f"{document.name}: {target}"
