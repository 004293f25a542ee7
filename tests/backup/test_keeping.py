"""What is known about backups, and what is left of others: nothing is lost by two at work, nothing else is touched."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from legal_store.backup import (
    MasterKey,
    Policy,
    generate_key,
    latest,
    list_backups,
    load,
    make_backup,
    pin,
    prune,
    rekey,
    verify,
)
from legal_store.backup.catalog import change, leftover_of
from legal_store.backup.progress import Progress
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import BackupError, CheckFailedError, ConfigurationError, DamagedBackupError, WrongUseError
from legal_store.restore import drill, find_source
from tests.backup.samples import put, sample_manifest
from tests.conftest import Cluster

NOW = datetime(2025, 1, 20, 14, 30, tzinfo=UTC)


@pytest.fixture
def small(cluster: Cluster, empty_database: str) -> dict[str, Any]:
    return {**cluster.parameters, "dbname": empty_database.partition("@/")[2].partition("?")[0]}


class Meanwhile(Progress):
    """Does something when a step begins, as somebody else would at that moment."""

    def __init__(self, step: str, action: Callable[[], object]) -> None:
        self.wanted, self.action, self.notes = step, action, list[str]()

    def step(self, name: str) -> None:
        if name == self.wanted:
            self.action()

    def note(self, text: str) -> None:
        self.notes.append(text)


def _flip(store: LocalStore, file_name: str) -> None:
    content = bytearray((store.folder / file_name).read_bytes())
    content[len(content) // 2] ^= 1
    (store.folder / file_name).write_bytes(content)


def test_only_what_we_made_is_ever_cleaned_up(small: dict[str, Any], store: LocalStore) -> None:
    put(store, sample_manifest(NOW))
    foreign = ["backup-mine.dump", "backup-old.dump.gz", "export-list.dump", ".hand.partial", ".hand.claim"]
    copied = "backup-test-db-20240120-143000.dump"  # being copied back: its manifest comes later
    for name in (*foreign, copied):
        (store.folder / name).write_text("mine")
    assert make_backup(small, [store], environment="test").cleaned_up == []
    assert prune(store, Policy(), delete=True).cleaned_up == []
    impatient = LocalStore(store.folder, left_after=timedelta(0))
    assert impatient.clean_up(leftover_of) == [copied]
    assert all((store.folder / name).exists() for name in foreign)


def test_a_run_at_work_is_left_alone_however_long_it_takes(store: LocalStore) -> None:
    made = sample_manifest(NOW)
    impatient = LocalStore(store.folder, left_after=timedelta(0))
    with store.claim(made.name) as ours:
        assert ours
        begun = store.writer(made.data_file)
        (store.folder / made.data_file).write_bytes(b"data")
        assert impatient.clean_up(leftover_of) == []
        with impatient.claim(made.name) as theirs:
            assert not theirs
    begun.abort()
    assert impatient.clean_up(leftover_of) == [made.data_file]


def test_backups_of_one_second_get_names_of_their_own(small: dict[str, Any], store: LocalStore) -> None:
    names: list[str] = []
    runs = [
        threading.Thread(target=lambda: names.append(make_backup(small, [store], environment="test").manifest.name))
        for _ in range(4)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    listed = list_backups(store)
    assert [one.name for one in listed] == sorted(names, reverse=True)
    assert len(set(names)) == 4
    assert latest(store).name == max(names)
    for one in listed:
        assert one.good
        assert one.manifest is not None
        assert one.name.endswith(f"{one.manifest.created:%Y%m%d-%H%M%S}")


def test_one_place_twice_is_refused(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "backups")
    with pytest.raises(WrongUseError, match="once"):
        make_backup(small, [LocalStore(tmp_path / "backups"), LocalStore(f"{tmp_path}/./link")], environment="test")


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("found_by", ["verify", "restore"])
def test_damage_that_was_read_is_known_from_then_on(
    small: dict[str, Any], store: LocalStore, key: MasterKey, encrypted: bool, found_by: str
) -> None:
    master = key if encrypted else None
    older, newer = (make_backup(small, [store], environment="test", master=master).manifest for _ in range(2))
    _flip(store, newer.data_file)
    with pytest.raises(DamagedBackupError):
        verify(store, newer.name, master) if found_by == "verify" else find_source(newer.name, store, master).check()
    assert "found damaged" in str(list_backups(store)[0].problem)
    assert latest(store).name == older.name
    far = NOW + timedelta(days=9999)
    assert prune(store, Policy(days=0), master=master, delete=True, now=far).deleted == [newer.name]
    assert [one.name for one in list_backups(store)] == [older.name]


def test_a_later_look_that_finds_nothing_takes_the_damage_back(small: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(small, [store], environment="test").manifest
    _flip(store, made.data_file)
    with pytest.raises(DamagedBackupError):
        verify(store, made.name)
    _flip(store, made.data_file)
    assert verify(store, made.name).failure is None
    assert list_backups(store)[0].good
    failed_drill = made.with_failure("proven", "other content")
    assert failed_drill.with_proof("verified").failure is not None, "reading does not undo what comparing has shown"
    assert failed_drill.with_failure("verified", "x").failure == failed_drill.failure
    assert failed_drill.with_proof("proven").failure is None


def test_a_drill_that_finds_other_content_is_known_from_then_on(small: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(small, [store], environment="test").manifest
    other = dataclasses.replace(made.contents, foreign_keys=7)
    change(store, made.name, None, lambda known: dataclasses.replace(known, contents=other))
    with pytest.raises(CheckFailedError, match="not to what it was made of"):
        drill(store, made.name, small)
    assert "0 foreign keys hold instead of 7" in str(list_backups(store)[0].problem)
    with pytest.raises(BackupError, match="no backup"):
        latest(store)
    change(store, made.name, None, lambda known: dataclasses.replace(known, contents=made.contents))
    drill(store, made.name, small)
    assert list_backups(store)[0].good


def test_a_wrong_key_is_no_damage(small: dict[str, Any], store: LocalStore, key: MasterKey, tmp_path: Path) -> None:
    made = make_backup(small, [store], environment="test", master=key).manifest
    with pytest.raises(ConfigurationError):
        verify(store, made.name, generate_key(tmp_path / "wrong"))
    assert list_backups(store, key)[0].good


def test_a_backup_that_somebody_deletes_while_it_is_listed_is_none(tmp_path: Path) -> None:
    class Racing(LocalStore):
        """Somebody else prunes between our looking at the names and our reading."""

        def reader(self, name: str) -> Any:
            super().delete(name)
            return super().reader(name)

    racing = Racing(tmp_path)
    put(racing, sample_manifest(datetime(2025, 1, 20, tzinfo=UTC)))
    assert list_backups(racing) == []


def test_a_pin_set_during_a_verify_stays(small: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(small, [store], environment="test").manifest
    verified = verify(store, made.name, progress=Meanwhile("proof", lambda: pin(store, made.name, "audit")))
    assert (verified.pinned, verified.proof.level) == ("audit", "verified")
    assert load(store, made.name) == verified


def test_a_change_made_while_another_is_written_stays(small: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(small, [store], environment="test").manifest

    class Slow(LocalStore):
        """Somebody else is quicker, once, between its reading and its writing."""

        def exchange(self, name: str, old: bytes, new: bytes) -> bool:
            if load(store, made.name).pinned is None:
                pin(store, made.name, "audit")
            return super().exchange(name, old, new)

    verify(Slow(store.folder), made.name)
    assert load(store, made.name).pinned == "audit"
    assert load(store, made.name).proof.level == "verified"


def test_a_key_changed_during_a_verify_stays(
    small: dict[str, Any], store: LocalStore, key: MasterKey, tmp_path: Path
) -> None:
    made = make_backup(small, [store], environment="test", master=key).manifest
    new = generate_key(tmp_path / "new")
    progress = Meanwhile("proof", lambda: rekey(store, made.name, key, new))
    assert verify(store, made.name, key, progress=progress).proof.level == "verified", "it was whole"
    assert "could not be noted" in progress.notes[0]
    assert load(store, made.name, new).encryption != made.encryption


def test_a_backup_deleted_during_a_verify_stays_deleted(small: dict[str, Any], store: LocalStore) -> None:
    made = make_backup(small, [store], environment="test").manifest
    progress = Meanwhile("proof", lambda: store.delete(made.file_name))
    verify(store, made.name, progress=progress)
    assert made.file_name not in store.objects()
    assert "There is no" in progress.notes[0]


def test_a_file_is_no_folder_of_backups(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError, match="is no folder"):
        list_backups(LocalStore(tmp_path / "file"))
