"""Every change of a backup is noticed, before any SQL runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from legal_store.backup import MasterKey, generate_key, list_backups, load, make_backup, verify
from legal_store.backup.manifest import Manifest
from legal_store.backup.progress import Progress
from legal_store.backup.reading import check_archive
from legal_store.backup.stores.local import LocalStore
from legal_store.errors import ConfigurationError, DamagedBackupError
from legal_store.restore import RestorePlan, find_source, restore
from tests.conftest import Cluster

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
SEGMENT = 1 << 20


@pytest.fixture(scope="module")
def small(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """A database so small that each byte of its backup can be tried."""
    with cluster.database() as name:
        with cluster.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE cases AS SELECT n AS id, 'Dosar ' || n AS title FROM generate_series(1, 20) n")
        connection.close()
        yield {**cluster.parameters, "dbname": name}


def _make(
    parameters: dict[str, Any], folder: Path, codec: str, master: MasterKey | None
) -> tuple[LocalStore, Manifest]:
    store = LocalStore(folder)
    return store, make_backup(parameters, [store], environment="test", codec=codec, master=master).manifest


def _is_noticed(store: LocalStore, name: str, master: MasterKey | None) -> bool:
    try:
        check_archive(store, load(store, name, master), master)
    except DamagedBackupError:
        return True
    return False


def _missed_flips(
    store: LocalStore, manifest: Manifest, file_name: str, master: MasterKey | None, step: int
) -> list[int]:
    file = store.folder / file_name
    original = file.read_bytes()
    missed = []
    for place in [*range(0, len(original), step), len(original) - 1]:
        changed = bytearray(original)
        changed[place] ^= 1 << (place % 8)
        file.write_bytes(changed)
        if not _is_noticed(store, manifest.name, master):
            missed.append(place)
    file.write_bytes(original)
    return missed


@pytest.mark.sweep
@pytest.mark.parametrize(("codec", "encrypted"), [("zstd", True), ("zstd", False), ("pg_dump", False), ("gzip", True)])
def test_every_flipped_byte_is_noticed(
    small: dict[str, Any], tmp_path: Path, key: MasterKey, codec: str, encrypted: bool
) -> None:
    master = key if encrypted else None
    store, manifest = _make(small, tmp_path, codec, master)
    assert not _is_noticed(store, manifest.name, master)
    assert _missed_flips(store, manifest, manifest.file_name, master, 1 if FULL else 7) == []
    assert _missed_flips(store, manifest, manifest.data_file, master, 1 if FULL else 31) == []
    assert not _is_noticed(store, manifest.name, master)


@pytest.mark.sweep
@pytest.mark.parametrize("encrypted", [True, False])
def test_every_truncation_is_noticed(small: dict[str, Any], tmp_path: Path, key: MasterKey, encrypted: bool) -> None:
    master = key if encrypted else None
    store, manifest = _make(small, tmp_path, "zstd", master)
    for name in (manifest.data_file, manifest.file_name):
        file = store.folder / name
        original = file.read_bytes()
        for length in range(0, len(original), 1 if FULL else 13):
            file.write_bytes(original[:length])
            assert _is_noticed(store, manifest.name, master), (name, length)
        for more in (b"\0", original):
            file.write_bytes(original + more)
            assert _is_noticed(store, manifest.name, master)
        file.write_bytes(original)


@pytest.fixture
def large(cluster: Cluster, tmp_path: Path, key: MasterKey) -> Iterator[tuple[LocalStore, Manifest]]:
    """An encrypted backup of several segments."""
    with cluster.database() as name:
        with cluster.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE noise AS SELECT gen_random_uuid() a, gen_random_uuid() b FROM generate_series(1, 90000)"
            )
        connection.close()
        yield _make({**cluster.parameters, "dbname": name}, tmp_path, "zstd", key)


@pytest.mark.parametrize(
    "order", [[1, 0, 2], [0, 2, 1], [0, 1, 1, 2], [0, 2], [0, 1], [1, 2], [0, 0, 1, 2], [0, 1, 2, 2]]
)
def test_moved_repeated_and_missing_segments_are_noticed_by_the_cipher(
    large: tuple[LocalStore, Manifest], key: MasterKey, order: list[int]
) -> None:
    """Even to a reader that knows no digest: the stream alone is read here."""
    store, manifest = large
    original = (store.folder / manifest.data_file).read_bytes()
    pieces = [original[start : start + SEGMENT] for start in range(0, len(original), SEGMENT)]
    assert len(pieces) >= 3
    pieces = [*pieces[:2], b"".join(pieces[2:])]
    mixed = b"".join(pieces[number] for number in order)
    (store.folder / manifest.data_file).write_bytes(mixed)
    assert _is_noticed(store, manifest.name, key)
    assert _cipher_notices(mixed, manifest, key)
    assert not _cipher_notices(original, manifest, key)


def _cipher_notices(content: bytes, manifest: Manifest, key: MasterKey) -> bool:
    import io

    from tink import TinkError

    try:
        stream = manifest.data_key(key).decrypting(io.BytesIO(content), manifest.bound_to())
        while stream.read(SEGMENT):
            pass
    except TinkError:
        return True
    return False


def test_parts_of_two_backups_do_not_mix(small: dict[str, Any], tmp_path: Path, key: MasterKey) -> None:
    store, one = _make(small, tmp_path, "zstd", key)
    other = make_backup(small, [store], environment="test", codec="zstd", master=key).manifest
    data, manifest = store.read(one.data_file), store.read(one.file_name)
    (store.folder / one.data_file).write_bytes(store.read(other.data_file))
    assert _is_noticed(store, one.name, key)
    (store.folder / one.data_file).write_bytes(data)
    (store.folder / one.file_name).write_bytes(store.read(other.file_name))
    assert _is_noticed(store, one.name, key)
    renamed = manifest.replace(one.name.encode(), other.name.encode())
    (store.folder / other.file_name).write_bytes(renamed)
    (store.folder / other.data_file).write_bytes(data)
    assert _is_noticed(store, other.name, key)


def test_a_wrong_key_is_said_to_be_one(small: dict[str, Any], tmp_path: Path, key: MasterKey) -> None:
    store, manifest = _make(small, tmp_path / "store", "zstd", key)
    wrong = generate_key(tmp_path / "wrong")
    with pytest.raises(ConfigurationError, match=rf"by the key {key.key_id}; {wrong.key_id} does not open it"):
        verify(store, manifest.name, wrong)


class _Steps(Progress):
    def __init__(self) -> None:
        self.names: list[str] = []

    def step(self, name: str) -> None:
        self.names.append(name)


@pytest.mark.parametrize("part", ["data", "manifest"])
def test_a_damaged_backup_is_refused_before_any_sql_runs(
    small: dict[str, Any], tmp_path: Path, key: MasterKey, part: str
) -> None:
    store, manifest = _make(small, tmp_path, "zstd", key)
    file = store.folder / (manifest.data_file if part == "data" else manifest.file_name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    steps = _Steps()
    with pytest.raises(DamagedBackupError):
        source = find_source(manifest.name, store, key)
        restore(RestorePlan(source=source, parameters=small, environment="test", typed=small["dbname"]), progress=steps)
    assert "create" not in steps.names
    assert not {"replace", "swap"} & set(steps.names)


def test_a_list_says_which_backup_is_damaged(small: dict[str, Any], tmp_path: Path, key: MasterKey) -> None:
    store, manifest = _make(small, tmp_path, "zstd", key)
    other = make_backup(small, [store], environment="test").manifest
    (store.folder / manifest.data_file).unlink()
    (store.folder / other.file_name).write_text("{")
    problems = {listed.name: listed.problem for listed in list_backups(store, key)}
    assert "is missing" in (problems[manifest.name] or "")
    assert "cannot be read" in (problems[other.name] or "")
