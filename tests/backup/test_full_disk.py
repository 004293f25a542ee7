"""The disk becomes full in the middle of a backup. A limit on the size of files fails writes in the same way."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from legal_store.backup import make_backup
from legal_store.backup.stores.local import LocalStore
from tests.backup.conftest import execute
from tests.conftest import CHECKOUT, Cluster

ROOM = 10_000  # bytes; less than one buffer of a file, and less than the data of the schema


@pytest.mark.parametrize("arguments", [("backup",), ("backup", "--compress", "--json"), ("restore", "--latest")])
def test_a_full_disk_is_one_paragraph_and_leaves_nothing(
    arguments: tuple[str, ...], cluster: Cluster, live: dict[str, Any], store: LocalStore
) -> None:
    before: dict[str, int] = {}
    if arguments[0] == "restore":  # its safety backup is what does not fit
        make_backup(live, [store], environment="development")
        before = store.objects()
        arguments = (*arguments, "--confirm", live["dbname"])
    finished = subprocess.run(
        [sys.executable, "-m", "invoke", *arguments],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"DATABASE_URL": cluster.url(live["dbname"]), "LEGAL_STORE_BACKUP_DIR": store.url},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM)),
    )  # fmt: skip
    assert finished.returncode == 3, finished.stderr
    last = finished.stderr.splitlines()[-1]
    assert "cannot be written: File too large" in last and "Make room" in last and "Traceback" not in finished.stderr
    assert {file.name for file in Path(store.url).iterdir()} - {".lock"} == set(before)
    assert execute(live, "SELECT 1") == [(1,)]
