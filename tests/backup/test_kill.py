"""kill -9 at every step: one whole database under the live name, no half backup listed, and the next run cleans up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from legal_store.backup import MasterKey, Policy, generate_key, list_backups, make_backup, prune, verify
from legal_store.backup.comparing import differences
from legal_store.backup.manifest import Contents
from legal_store.backup.stores.local import LocalStore
from legal_store.restore import RestorePlan, find_source, restore, undo
from legal_store.restore.databases import server
from legal_store.restore.marks import BEFORE
from tests.backup.conftest import contents, execute
from tests.conftest import CHECKOUT

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
MOST_STEPS = 40
EVERY = 1 if FULL else 2  # step
DAMAGE = "DELETE FROM remarks; TRUNCATE events; SELECT setval('odd_numbers', 999)"


class Scene:
    """A live database that differs from its backup, and the operations on them."""

    def __init__(self, live: dict[str, Any], store: LocalStore, key_file: Path, key: MasterKey) -> None:
        self.live, self.store, self.key_file, self.key = live, store, key_file, key
        self.name = make_backup(live, [store], environment="test", codec="zstd", master=key).manifest.name
        self.old_state = contents(live)
        execute(live, DAMAGE)
        self.new_state = contents(live)

    def killed_at(self, operation: str, step: int) -> str | None:
        """Run the operation, kill it when its step begins, and return that step's name; None if it came to its end."""
        given = [operation, json.dumps(self.live), str(self.store.folder), str(self.key_file), str(step), self.name]
        done = subprocess.run(
            [sys.executable, "-m", "tests.backup.kill_at_step", *given], cwd=CHECKOUT, capture_output=True, text=True
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.stdout.strip() if done.returncode else None

    def state(self) -> str:
        """Which of the two states is live: whole, or this fails."""
        found = contents(self.live)
        matching = [name for name, state in self._states() if not differences(state, found)]
        assert matching, differences(self.old_state, found) + differences(self.new_state, found)
        return matching[0]

    def _states(self) -> list[tuple[str, Contents]]:
        return [("backup", self.old_state), ("damaged", self.new_state)]

    def check_backups(self) -> None:
        """Everything that is listed is whole, to its last byte."""
        for listed in list_backups(self.store, self.key):
            assert listed.good, listed
            verify(self.store, listed.name, self.key)

    def marked(self, kind: str | None = None) -> list[str]:
        with server(self.live) as opened:
            ours = [found for found in opened.marked() if found.of == self.live["dbname"]]
        return [found.name for found in ours if kind in (None, found.kind)]

    def restore(self) -> None:
        source = find_source(self.name, self.store, self.key)
        restore(RestorePlan(source=source, parameters=self.live, environment="test", typed=self.live["dbname"]))


@pytest.fixture
def scene(live: dict[str, Any], store: LocalStore, tmp_path: Path) -> Scene:
    key_file = tmp_path / "key"
    return Scene(live, store, key_file, generate_key(key_file))


def _steps(scene: Scene, operation: str) -> Any:
    for step in range(0, MOST_STEPS, EVERY):
        name = scene.killed_at(operation, step)
        if name is None:
            return
        yield name
    raise AssertionError(f"{operation} has more than {MOST_STEPS} steps")


@pytest.mark.timeout(300)
def test_a_restore_killed_at_any_step_leaves_one_whole_database(scene: Scene) -> None:
    seen = []
    for name in _steps(scene, "restore"):
        seen.append(name)
        swapped = name in ("swapped", "connect")
        assert scene.state() == ("backup" if swapped else "damaged"), name
        assert len(scene.marked(BEFORE)) == swapped
        if swapped:
            undo(scene.live, typed=scene.live["dbname"])
            with server(scene.live) as opened:
                for kept in scene.marked(BEFORE):
                    opened.drop(kept)
    if FULL:
        assert {"gates", "safety backup", "create", "data", "check", "settings", "swap", "swapped"} <= set(seen)
    assert scene.state() == "backup"
    assert len(scene.marked()) == 1, "the staged databases of the killed ones are gone"
    scene.check_backups()
    assert not list(scene.store.folder.glob(".*.partial"))


def test_a_backup_killed_at_any_step_is_not_listed_half(scene: Scene) -> None:
    seen = []
    for name in _steps(scene, "backup"):
        seen.append(name)
        scene.check_backups()
    if FULL:
        assert {"prepare", "dump", "store", "manifest", "listed"} <= set(seen)
    make_backup(scene.live, [scene.store], environment="test", codec="zstd", master=scene.key)
    scene.check_backups()
    files = {file.name for file in scene.store.folder.iterdir()} - {".lock"}
    assert len(files) == 2 * len(list_backups(scene.store)), "each has its data and its manifest, nothing else is there"


def test_an_undo_killed_at_any_step_leaves_one_whole_database(scene: Scene) -> None:
    scene.restore()
    for name in _steps(scene, "undo"):
        if name in ("look", "swap"):
            assert scene.state() == "backup"
        else:
            assert scene.state() == "damaged"
            undo(scene.live, typed=scene.live["dbname"])
        assert len(scene.marked(BEFORE)) == 1
    assert scene.state() == "damaged"
    undo(scene.live, typed=scene.live["dbname"])
    assert scene.state() == "backup"


def test_a_prune_killed_at_any_step_lists_only_whole_backups(scene: Scene) -> None:
    for _ in range(2):
        make_backup(scene.live, [scene.store], environment="test", codec="zstd", master=scene.key)
    for _ in _steps(scene, "prune"):
        scene.check_backups()
    prune(scene.store, Policy(days=0), master=scene.key, delete=True)
    assert len(list_backups(scene.store)) == 1
    assert len(scene.store.objects()) == 2


def test_sessions_are_ended_and_the_service_finds_the_new_database_at_its_next_try(scene: Scene) -> None:
    """Clients that connect all the time neither stop the swap nor see anything but the old or the new state."""
    import threading

    import psycopg2

    stop, seen, broken = threading.Event(), set(), []

    def keep_asking() -> None:
        while not stop.is_set():
            try:
                (count,) = execute(scene.live, "SELECT count(*) FROM events")[0]
                seen.add(count)
            except psycopg2.OperationalError as error:
                if "does not exist" not in str(error) and "terminat" not in str(error):
                    broken.append(str(error))

    clients = [threading.Thread(target=keep_asking) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        for _ in range(3):
            scene.restore()
            undo(scene.live, typed=scene.live["dbname"])
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert seen <= {0, 900}
    assert broken == []
