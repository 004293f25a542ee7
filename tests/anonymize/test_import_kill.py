"""kill -9 at every step of an import: wholly old or wholly masked, and no quarantine after the next command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from legal_store.importing import drop_what_was_left
from legal_store.restore import drop_abandoned, undo
from legal_store.restore.databases import server
from legal_store.restore.marks import BEFORE, QUARANTINE, name_for
from tests.anonymize.conftest import Exported, firms, kinds, look
from tests.conftest import CHECKOUT, Cluster

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
SOME = ["data", "migrate", "mask users", "commit", "swap", "swapped"]


def killed_at(target: dict[str, Any], exported: Exported, notes: Path, step: str) -> tuple[bool, list[str]]:
    """Run an import that is killed when the step first begins; return whether it was, and the steps that it told."""
    given = [json.dumps(target), str(exported.data), str(exported.key_file), str(notes), step]
    command = [sys.executable, "-m", "tests.anonymize.killed_import", *given]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0, done.stdout.splitlines()


def every_step(target: dict[str, Any], exported: Exported, notes: Path) -> list[str]:
    """Return the names of the steps of an import, which is taken back."""
    killed, told = killed_at(target, exported, notes, "none")
    assert not killed and firms(target) == ["Demo Firm 1"]
    take_back(target)
    return list(dict.fromkeys(told))


def take_back(target: dict[str, Any]) -> None:
    undo(target, typed=target["dbname"])
    with server(target) as opened:
        for found in opened.marked():
            if found.of == target["dbname"]:
                opened.drop(found.name)


@pytest.mark.timeout(1200 if FULL else 120)
def test_an_import_killed_at_any_step_leaves_one_whole_database_and_the_next_command_no_quarantine(
    target: dict[str, Any], exported: Exported, tmp_path: Path
) -> None:
    steps = every_step(target, exported, tmp_path) if FULL else SOME
    assert set(SOME) <= set(steps)
    for step in steps:
        killed, told = killed_at(target, exported, tmp_path, step)
        assert killed and told[-1] == step
        swapped = step in ("swapped", "connect")
        assert firms(target) == (["Demo Firm 1"] if swapped else ["Old"]), step
        assert not exported.personal & {value for (value,) in look(target, "SELECT name FROM clients")}
        left = kinds(target)
        assert left == ([BEFORE] if swapped else [] if step in ("gates", "check backup", "create") else [QUARANTINE])
        dropped = drop_what_was_left(tmp_path, target)
        assert len(dropped) == left.count(QUARANTINE) and list(tmp_path.iterdir()) == []
        assert QUARANTINE not in kinds(target)
        if swapped:
            take_back(target)


def test_the_next_import_drops_the_quarantine_too(target: dict[str, Any], exported: Exported, tmp_path: Path) -> None:
    assert killed_at(target, exported, tmp_path / "elsewhere", "validate")[0]
    assert kinds(target) == [QUARANTINE]
    assert not killed_at(target, exported, tmp_path, "none")[0]
    assert kinds(target) == [BEFORE] and firms(target) == ["Demo Firm 1"]


def test_a_quarantine_killed_before_it_was_marked_is_dropped_by_its_name_and_another_database_is_not(
    target: dict[str, Any], cluster: Cluster
) -> None:
    unmarked, open_one = (name_for(target["dbname"], QUARANTINE) for _ in range(2))
    open_one = open_one.replace("quarantine", "staged")
    with closing(psycopg2.connect(**{**target, "dbname": "postgres"})) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {unmarked} ALLOW_CONNECTIONS false")
            cursor.execute(f"CREATE DATABASE {open_one}")
    try:
        assert drop_abandoned(target) == [unmarked]
        assert look(target, f"SELECT datname FROM pg_database WHERE datname LIKE '{target['dbname']}\\_%'") == [
            (open_one,)
        ]
    finally:
        cluster.drop(open_one)


def test_one_at_work_is_left_alone(target: dict[str, Any], exported: Exported, rules: Any, tmp_path: Path) -> None:
    from legal_store.backup import Progress
    from legal_store.errors import RefusedError
    from legal_store.importing import import_anonymized, noted

    seen = []

    class Others(Progress):
        def step(self, name: str) -> None:
            if name == "migrate":
                seen.append(drop_what_was_left(tmp_path, target))
                with pytest.raises(RefusedError, match="Another import"), noted(tmp_path, target):
                    raise AssertionError

    with noted(tmp_path, target):
        import_anonymized(exported.plan(target, rules), progress=Others())
    assert seen == [[]] and list(tmp_path.iterdir()) == []


def test_a_polite_kill_ends_it_in_order(
    target: dict[str, Any], exported: Exported, cluster: Cluster, tmp_path: Path
) -> None:
    """The task, ended by SIGTERM while masked: nothing is left to any next command."""
    home = tmp_path / "home"
    command = [sys.executable, "-m", "invoke", "import-anonymized", str(exported.data), "--yes"]
    with subprocess.Popen(
        [*command, "--key-file", str(exported.key_file)],
        cwd=CHECKOUT,
        env={**os.environ, "DATABASE_URL": cluster.url(target["dbname"]), "LEGAL_STORE_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any("... tables" in line for line in process.stderr)
        process.terminate()
        process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert kinds(target) == [] and firms(target) == ["Old"]
    assert list((home / "imports").iterdir()) == []


def test_any_task_drops_what_was_left(
    target: dict[str, Any], exported: Exported, cluster: Cluster, tmp_path: Path
) -> None:
    assert killed_at(target, exported, tmp_path / "home" / "imports", "collect traces")[0]
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "url"],
        cwd=CHECKOUT,
        env={**os.environ, "DATABASE_URL": cluster.url(target["dbname"]), "LEGAL_STORE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "which a killed import had left" in done.stderr and done.stdout.startswith("postgresql://")
    assert kinds(target) == []
