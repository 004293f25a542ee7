"""Manifests that somebody wrote by hand: each is one damaged backup, and the others are listed and pruned as ever."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from legal_store.backup import Policy, list_backups, prune
from legal_store.backup.manifest import Manifest
from legal_store.backup.stores.local import LocalStore
from tests.backup.samples import put, sample_manifest

OLD = datetime(2020, 1, 20, 14, 30, tzinfo=UTC)
NEW = datetime(2025, 1, 20, 14, 30, tzinfo=UTC)


def _text(document: object) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()


def _rewrite(store: LocalStore, manifest: Manifest, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest and give it the digest that it then has to have, as anybody can."""
    file = store.folder / manifest.file_name
    document = json.loads(file.read_text())
    del document["seal"]
    change(document)
    seal = document.pop("seal", None) or "sha256:" + hashlib.sha256(_text(document)).hexdigest()
    file.write_bytes(_text({**document, "seal": seal}))


def _nested() -> dict[str, Any]:
    return functools.reduce(lambda inner, _: {"x": inner}, range(300), {})


@pytest.mark.parametrize(
    "change",
    [
        {"data_file": "{folder}/victim.txt"},
        {"data_file": "../victim.txt"},
        {"data_file": "victim.txt"},
        {"data_file": "backup-test-db-20250120-143000.dump"},
        {"created_at": "2020-01-20T14:30:00"},
        {"created_at": "yesterday"},
        {"created_at": 7},
        {"seal": 12},
        {"seal": "é"},
        {"size": "4"},
        {"size": True},
        {"tools": ["pg_dump"]},
        {"tools": None},
        {"proof": {"level": "sure", "at": ""}},
        {"source": "here"},
        {"contents": {}},
        {"unknown": 1},
        {"tools": _nested()},
    ],
)
def test_what_we_never_write_is_damage_and_nothing_of_it_is_followed(
    store: LocalStore, tmp_path: Path, change: dict[str, Any]
) -> None:
    odd, good = put(store, sample_manifest(OLD)), put(store, sample_manifest(NEW))
    victims = [tmp_path / "victim.txt", store.folder / "victim.txt"]
    for victim in victims:
        victim.write_text("mine")
    placed = {name: value.format(folder=tmp_path) if name == "data_file" else value for name, value in change.items()}
    _rewrite(store, odd, lambda document: document.update(placed))
    assert [(one.name, one.good) for one in list_backups(store)] == [(good.name, True), (odd.name, False)]
    assert prune(store, Policy(days=0), delete=True).deleted == []
    assert all(victim.exists() for victim in victims)
    assert len(store.objects()) == 5


def test_json_too_deep_to_read_is_damage(store: LocalStore) -> None:
    odd = put(store, sample_manifest(OLD))
    (store.folder / odd.file_name).write_text("[" * 100_000)
    assert [one.good for one in list_backups(store)] == [False]


def test_a_manifest_of_a_newer_version_says_so(store: LocalStore) -> None:
    made = put(store, sample_manifest(OLD))
    _rewrite(store, made, lambda document: document.update(format=3, invented={}))
    assert "its format is 3, and this version reads 2" in str(list_backups(store)[0].problem)


def test_backups_of_the_same_time_are_listed_by_name(store: LocalStore) -> None:
    earlier, later = sample_manifest(OLD), sample_manifest(OLD + timedelta(seconds=1))
    for manifest in (later, earlier):
        put(store, manifest)
    _rewrite(store, later, lambda document: document.update(created_at=earlier.created_at))
    assert [one.name for one in list_backups(store)] == [later.name, earlier.name]
