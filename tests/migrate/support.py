"""What the tests of the engine share: folders of migrations, schemas as text, deploys in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import parse_dsn

from legal_store.schema.catalog import Catalog, read_catalog


def parameters(url: str) -> dict[str, Any]:
    return dict(parse_dsn(url))


def write(folder: Path, **files: str) -> Path:
    """Write migration files: `write(folder, a001_first="SQL")`; a leading letter stands for nothing, `_py` for .py."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        stem, ending = (name[1:-3], ".py") if name.endswith("_py") else (name[1:], ".sql")
        (folder / f"{stem}{ending}").write_text(text)
    return folder


def catalog(url: str) -> Catalog:
    with closing(psycopg2.connect(url)) as connection:
        return read_catalog(connection)


def run(url: str, statement: str) -> list[Any]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


_DEPLOY = """
import json, os, sys
from pathlib import Path
from psycopg2.extensions import parse_dsn
from legal_store.errors import LegalStoreError
from legal_store.migrate import deploy
given = json.loads(sys.argv[1])
seen = 0
def observe(event):
    global seen
    seen += 1
    print(event.moment, event.migration, event.number, flush=True)
    if given.get("pause") and event.moment == "step":
        sys.stdin.readline()
    if seen == given.get("exit_at"):
        os._exit(9)
try:
    report = deploy(parse_dsn(given["url"]), Path(given["folder"]), observe=observe,
                    say=lambda line: print(line, file=sys.stderr, flush=True), lock_wait_seconds=given.get("wait", 60))
except LegalStoreError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
print("applied", *report.applied)
"""


def start_deploy(url: str, folder: Path, **given: Any) -> subprocess.Popen[str]:
    """Start a deploy as a process. With `exit_at` it exits like a killed one at that event."""
    argument = json.dumps({"url": url, "folder": str(folder), **given})
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", _DEPLOY, argument], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
