"""Homes in folders of every kind: spaces, signs that mean something elsewhere, paths too deep for a socket."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from legal_store import embedded
from legal_store.errors import EmbeddedServerError, WrongUseError
from tests.embedded.support import moved, query, redis_client


@pytest.fixture
def temporary_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder of the machine, for this test alone."""
    folder = Path(tempfile.mkdtemp(prefix="ls-"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def deep_home(home: Path, tmp_path: Path, temporary_folder: Path) -> Iterator[Path]:
    with moved(home, tmp_path / ("d" * 80) / ("e" * 80) / "home") as place:
        yield place


@pytest.mark.parametrize(
    "name",
    ["my home", "a:b", 'quo"te', "it's", "comma,dollar$HOME", "per%20cent", "știre", "back\\slash", "-dash", "a?b#c&d"],
)
def test_servers_run_and_stop_below_any_name(home: Path, tmp_path: Path, temporary_folder: Path, name: str) -> None:
    with moved(home, tmp_path / name / "home") as place:
        servers = embedded.up(place)
        query(servers.postgres.url, 'CREATE EXTENSION "uuid-ossp"; DROP EXTENSION "uuid-ossp"')
        with closing(redis_client(servers.redis.url)) as client:
            assert client.ping()
        assert embedded.up(place).postgres.pid == servers.postgres.pid
        stopped = embedded.down(place)
    assert (stopped.postgres, stopped.redis) == (servers.postgres.pid, servers.redis.pid)
    assert list(temporary_folder.iterdir()) == []


def test_new_home_with_a_space_can_be_made(tmp_path: Path) -> None:
    try:
        assert query(embedded.up(tmp_path / "my home").postgres.url, "SELECT 1") == 1
    finally:
        embedded.down(tmp_path / "my home")


def test_deep_home_has_its_sockets_in_a_short_folder_until_down(deep_home: Path, temporary_folder: Path) -> None:
    servers = embedded.up(deep_home)
    (folder,) = temporary_folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert query(servers.postgres.url, "SELECT 1") == 1
    found = embedded.running(deep_home)
    assert found is not None
    assert found.redis.pid == servers.redis.pid
    embedded.down(deep_home)
    assert list(temporary_folder.iterdir()) == []


def test_deep_home_is_found_whatever_the_temporary_folder_is_now(
    deep_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = embedded.up(deep_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert embedded.up(deep_home).postgres.pid == servers.postgres.pid


def test_cleaned_temporary_folder_is_made_again(deep_home: Path, temporary_folder: Path) -> None:
    embedded.up(deep_home)
    for folder in temporary_folder.iterdir():
        shutil.rmtree(folder)
    assert query(embedded.up(deep_home).postgres.url, "SELECT 1") == 1


def test_copy_of_a_deep_home_does_not_take_the_sockets_of_the_original(deep_home: Path) -> None:
    original = embedded.up(deep_home)
    copy = deep_home.with_name("copy")
    ignore = shutil.ignore_patterns("postmaster.pid")
    shutil.copytree(deep_home, copy, symlinks=True, ignore=ignore)
    try:
        assert embedded.running(copy) is None
        assert embedded.up(copy).postgres.pid != original.postgres.pid
    finally:
        embedded.down(copy)
    found = embedded.running(deep_home)
    assert found is not None
    assert found.postgres.pid == original.postgres.pid


def _short_folder_of(home: Path, temporary_folder: Path) -> Path:
    embedded.up(home)
    (folder,) = temporary_folder.iterdir()
    embedded.down(home)
    return folder


def test_short_folder_open_to_others_is_refused(deep_home: Path, temporary_folder: Path) -> None:
    folder = _short_folder_of(deep_home, temporary_folder)
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="open to others"):
        embedded.up(deep_home)
    folder.chmod(0o700)


def test_link_in_the_place_of_the_short_folder_is_refused(
    deep_home: Path, temporary_folder: Path, tmp_path: Path
) -> None:
    folder = _short_folder_of(deep_home, temporary_folder)
    (tmp_path / "trap").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "trap")
    with pytest.raises(EmbeddedServerError, match="made by somebody else"):
        embedded.up(deep_home)
    folder.unlink()


def test_temporary_folder_that_is_too_deep_as_well_is_an_error(
    deep_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("f" * 100)))
    with pytest.raises(WrongUseError, match="path is too long"):
        embedded.up(deep_home)
