"""Keys, passwords and plaintext stay where they belong."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from legal_store import embedded
from legal_store.backup import (
    MasterKey,
    generate_key,
    load,
    make_backup,
    master_key,
    refuse_key_beside_backups,
    rekey,
    verify,
)
from legal_store.backup.stores.local import LocalStore
from legal_store.embedded.server import free_port
from legal_store.errors import BackupError, ConfigurationError, RefusedError
from legal_store.restore import RestorePlan, drill, find_source, restore
from tests.conftest import CHECKOUT

RAW = bytes(range(100, 132))
MARKER = "Marcaj-de-text-clar-7f3a"


@pytest.mark.parametrize(
    "content", [RAW, RAW.hex().encode(), RAW.hex().upper().encode() + b"\n", base64.b64encode(RAW)]
)
def test_a_key_is_32_bytes_in_any_of_three_forms(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    key = master_key({"LEGAL_STORE_BACKUP_KEY_FILE": str(file)})
    assert key is not None
    assert key.unwrap(key.wrap(b"data", b"bound"), b"bound") == b"data"
    assert key.key_id == master_key({"LEGAL_STORE_BACKUP_KEY": RAW.hex()}).key_id  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "content", [b"", RAW[:-1], RAW + b"x", RAW.hex().encode()[:-2], b"a passphrase", b'{"not": 1}']
)
def test_anything_else_is_no_key_and_is_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError) as raised:
        master_key(file=file)
    assert not content or content.decode(errors="replace") not in str(raised.value)


def test_a_key_can_come_from_a_command_whose_output_is_never_shown() -> None:
    key = master_key({"LEGAL_STORE_BACKUP_KEY_COMMAND": f"echo {RAW.hex()}"})
    assert key is not None
    assert RAW.hex() not in repr(key)
    with pytest.raises(ConfigurationError) as raised:
        master_key({"LEGAL_STORE_BACKUP_KEY_COMMAND": "echo secret; echo secret >&2; exit 3"})
    assert "secret" not in str(raised.value).replace("secret store", "")
    assert "exit code 3" in str(raised.value)


def test_two_sources_of_a_key_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="both set"):
        master_key({"LEGAL_STORE_BACKUP_KEY": RAW.hex(), "LEGAL_STORE_BACKUP_KEY_COMMAND": "true"})


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(RAW)
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="read by others"):
        master_key(file=file)


def test_a_key_beside_the_backups_is_refused(tmp_path: Path) -> None:
    (tmp_path / "backups" / "deep").mkdir(parents=True)
    with pytest.raises(RefusedError, match="gets both"):
        refuse_key_beside_backups(tmp_path / "backups", file=tmp_path / "backups" / "deep" / ".." / "key")
    refuse_key_beside_backups(tmp_path / "backups", file=tmp_path / "key")


def test_a_new_key_never_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    generate_key(tmp_path / "key")
    with pytest.raises(RefusedError):
        generate_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_tink_keyset_is_a_key_too(live: dict[str, Any], store: LocalStore, tmp_path: Path) -> None:
    key = generate_key(tmp_path / "keyset", keyset=True)
    made = make_backup(live, [store], environment="test", codec="zstd", master=key).manifest
    again = master_key(file=tmp_path / "keyset")
    assert verify(store, made.name, again).encryption.key_id == key.key_id  # type: ignore[union-attr]


def test_each_backup_has_a_data_key_of_its_own(live: dict[str, Any], store: LocalStore, key: MasterKey) -> None:
    made = [make_backup(live, [store], environment="test", codec="zstd", master=key).manifest for _ in range(2)]
    assert made[0].data_key(key).secret != made[1].data_key(key).secret


def test_after_rekey_only_the_new_key_opens_a_backup(
    live: dict[str, Any], store: LocalStore, key: MasterKey, tmp_path: Path
) -> None:
    made = make_backup(live, [store], environment="test", codec="zstd", master=key).manifest
    new = generate_key(tmp_path / "new")
    data = store.read(made.data_file)
    rekey(store, made.name, key, new)
    assert store.read(made.data_file) == data
    assert verify(store, made.name, new).encryption.key_id == new.key_id  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match=f"{key.key_id} does not open it"):
        load(store, made.name, key)


def test_an_encrypted_backup_without_a_key_is_not_changed(
    live: dict[str, Any], store: LocalStore, key: MasterKey
) -> None:
    from legal_store.backup import pin

    made = make_backup(live, [store], environment="test", master=key).manifest
    with pytest.raises(BackupError):
        pin(store, made.name, "audit")
    with pytest.raises(ConfigurationError, match="encrypted"):
        verify(store, made.name)


def test_files_are_for_their_owner_only(live: dict[str, Any], store: LocalStore) -> None:
    make_backup(live, [store], environment="test")
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in store.folder.iterdir()} == {0o600}


# Runs in a process of its own and writes down what that process opened for writing.
_WATCHED = """
import json, os, sys
from pathlib import Path
opened = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path, mode, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR):
            opened.append(os.fsdecode(path))
sys.addaudithook(watch)
from legal_store.backup import make_backup, master_key, open_store, verify
from legal_store.restore import RestorePlan, drill, find_source, restore
live, folder, key_file = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
store, key = open_store(folder), master_key(file=key_file)
name = make_backup(live, [store], environment="test", codec="zstd", master=key).manifest.name
verify(store, name, key)
drill(store, name, live, master=key)
source = find_source(name, store, key)
restore(RestorePlan(source=source, parameters=live, environment="test", typed=live["dbname"]))
print(json.dumps(opened))
"""


def test_no_plaintext_of_an_encrypted_backup_touches_a_disk(live: dict[str, Any], tmp_path: Path) -> None:
    """Our process opens nothing for writing but the encrypted files; pg_dump and pg_restore only have pipes."""
    with closing(psycopg2.connect(**live)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE marked AS SELECT %s || n AS text FROM generate_series(1, 30000) n", (MARKER,))
    generate_key(tmp_path / "key")
    folder = tmp_path / "backups"
    arguments = [json.dumps(live), str(folder), str(tmp_path / "key")]
    with subprocess.Popen(
        [sys.executable, "-c", _WATCHED, *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        children = _files_of_children(process)
        answer, _ = process.communicate()
    assert process.returncode == 0
    ours = [path for path in json.loads(answer) if not path.startswith((str(folder), "/dev/null"))]
    assert ours == []
    assert children
    # a child just forked still has the encrypted file
    allowed = (str(folder), "/dev/null", "/memfd:")
    assert [path for path in children if path.startswith("/") and not path.startswith(allowed)] == []
    files = list(folder.iterdir())
    assert any(file.stat().st_size > 10_000 for file in files)
    assert not [file for file in files if MARKER.encode() in file.read_bytes()]


def _files_of_children(process: subprocess.Popen[str]) -> set[str]:
    """What the client programs under `process` have open for writing, seen many times during the run."""
    seen: set[str] = set()
    while process.poll() is None:
        for child in _descendants(process.pid):
            for descriptor in _descriptors(child):
                try:
                    flags = (Path(f"/proc/{child}/fdinfo") / descriptor.name).read_text()
                    if int(flags.split("flags:")[1].split()[0], 8) & (os.O_WRONLY | os.O_RDWR):
                        seen.add(str(descriptor.readlink()))
                except (OSError, IndexError):
                    continue
        time.sleep(0.005)
    return seen


def _descriptors(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has just ended
        return []


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _descendants(child)


@pytest.fixture
def over_tcp(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A server that asks for a password."""
    server = embedded.up(tmp_path / "home", port=free_port()).postgres
    yield parse_dsn(server.tcp_url())
    embedded.down(tmp_path / "home")


def test_no_password_and_no_key_is_in_the_arguments_of_any_process(
    over_tcp: dict[str, Any], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_text = os.urandom(32).hex()
    monkeypatch.setenv("LEGAL_STORE_BACKUP_KEY", key_text)
    key = master_key()
    with closing(psycopg2.connect(**over_tcp)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE rows AS SELECT n, md5(n::text) FROM generate_series(1, 100000) n")
    seen: set[bytes] = set()
    environments: set[bytes] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for process in _descendants(os.getpid()):
                for file, into in (("cmdline", seen), ("environ", environments)):
                    try:
                        into.add(Path(f"/proc/{process}/{file}").read_bytes())
                    except OSError:
                        continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        made = make_backup(over_tcp, [store], environment="test", codec="zstd", master=key).manifest
        drill(store, made.name, over_tcp, master=key)
        source = find_source(made.name, store, key)
        restore(RestorePlan(source=source, parameters=over_tcp, environment="test", typed=over_tcp["dbname"]))
    finally:
        stop.set()
        watcher.join()
    programs = b" ".join(seen)
    assert b"pg_dump" in programs
    assert b"pg_restore" in programs
    password = over_tcp["password"].encode()
    assert not [line for line in seen if password in line or key_text.encode() in line]
    assert not [block for block in environments if b"pg_restore" in block and key_text.encode() in block]
