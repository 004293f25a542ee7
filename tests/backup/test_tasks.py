"""The tasks as people run them, and the recipes of the documents."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from legal_store.backup import MasterKey, generate_key, make_backup
from legal_store.backup.clients import child_environment, clients
from legal_store.backup.comparing import differences
from legal_store.backup.stores.local import LocalStore
from legal_store.config import Url
from legal_store.ops.restore import asked
from legal_store.restore.databases import server
from legal_store.restore.marks import mark
from tests.backup.conftest import contents, execute
from tests.backup.samples import put, sample_manifest
from tests.cli.conftest import Invoke, invoke  # noqa: F401  (a fixture)
from tests.conftest import CHECKOUT, Cluster


@pytest.fixture
def person(cluster: Cluster, live: dict[str, Any], invoke: Invoke, tmp_path: Path) -> Invoke:  # noqa: F811
    """`invoke` with the database and a folder of backups in its environment."""
    url: Url = cluster.url(live["dbname"])

    def run(*arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "backups"
        return invoke(*arguments, **{"DATABASE_URL": url, "LEGAL_STORE_BACKUP_DIR": folder, **variables})

    return run


def _done(finished: subprocess.CompletedProcess[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stderr
    return finished


def test_a_day_with_backups(person: Invoke, live: dict[str, Any], tmp_path: Path) -> None:
    before = contents(live)
    key = str(tmp_path / "key")
    _done(person("backup.keygen", "--file", key))
    secret = {"LEGAL_STORE_BACKUP_KEY_FILE": key}
    made = json.loads(_done(person("backup", "--compress", "--encrypt", "--verify", "--json", **secret)).stdout)
    name = made["manifest"]["name"]
    assert re.fullmatch(rf"backup-development-{live['dbname']}-\d{{8}}-\d{{6}}", name)
    assert made["manifest"]["proof"]["level"] == "verified"
    assert "proven" in _done(person("backup.drill", **secret)).stdout
    listed = json.loads(_done(person("backup.list", "--json", **secret)).stdout)
    assert [(one["name"], one["problem"]) for one in listed] == [(name, None)]
    assert listed[0]["manifest"]["proof"]["level"] == "proven"

    execute(live, "TRUNCATE events")
    finished = _done(person("restore", "--latest", "--confirm", live["dbname"], **secret))
    assert "ok   safety backup" in finished.stderr
    assert differences(before, contents(live)) == []
    again = json.loads(_done(person("restore", "--latest", "--json", "--confirm", live["dbname"], **secret)).stdout)
    assert again["source"] == name, "not the safety backup of what the first restore replaced"
    assert again["safety_backup"].endswith("-before-restore")
    with server(live) as opened:
        opened.drop(again["previous"])
    undone = _done(person("restore.undo", "--confirm", live["dbname"])).stdout
    assert f"is now what {live['dbname']}_before_" in undone
    assert execute(live, "SELECT count(*) FROM events") == [(0,)]

    assert "dry run" in _done(person("backup.prune", "--days", "0", "--previous-days", "0", **secret)).stdout
    assert len(json.loads(person("backup.list", "--json").stdout)) == 3
    _done(person("backup.pin", "--name", name, "--reason", "audit", **secret))
    _done(person("backup.prune", "--days", "0", "--previous-days", "0", "--yes", **secret))
    table = _done(person("backup.list", **secret)).stdout
    assert "pinned: audit" in table
    assert name in table


def test_a_restore_without_its_name_typed_is_refused(person: Invoke, live: dict[str, Any]) -> None:
    _done(person("backup"))
    finished = _done(person("restore", "--latest"), 2)
    assert "STOP right database" in finished.stderr
    assert f'--confirm "{live["dbname"]}"' in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["restore", "--latest", "--jobs=-1"], "-1 jobs cannot restore anything"),
        (["backup.drill", "--jobs=-1"], "-1 jobs cannot restore anything"),
        (["restore", "--source", "folder/of/nothing.dump"], "There is no file folder/of/nothing.dump"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_done(
    person: Invoke, live: dict[str, Any], store: LocalStore, arguments: list[str], message: str
) -> None:
    made = make_backup(live, [store], environment="development")
    finished = person(*arguments, *(["--confirm", live["dbname"]] if arguments[0] == "restore" else []))
    assert finished.returncode in (2, 3)
    assert message in finished.stderr
    assert "..." not in finished.stderr
    assert list(store.objects()) == [made.manifest.data_file, made.manifest.file_name]


@pytest.mark.parametrize("sign", ["environment", "marker"])
def test_production_is_recognized_by_any_sign(person: Invoke, live: dict[str, Any], sign: str) -> None:
    variables = {"LEGAL_STORE_ENV": "production"} if sign == "environment" else {}
    if sign == "marker":
        execute(live, f"ALTER DATABASE {live['dbname']} SET legal_store.environment = 'production'")
    _done(person("backup", **variables))
    finished = _done(person("restore", "--latest", "--confirm", live["dbname"], **variables), 2)
    assert f"restore production {live['dbname']}" in finished.stderr
    _done(person("restore.undo", "--confirm", live["dbname"], **variables), 2)


def test_damage_is_exit_code_1(person: Invoke, tmp_path: Path) -> None:
    _done(person("backup", "--compress"))
    (data,) = (tmp_path / "backups").glob("*.zst")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    assert "was changed or damaged" in _done(person("backup.verify"), 1).stderr
    data.unlink()
    assert "Damaged: backup-" in _done(person("backup.list"), 1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backup", "--compress", "--gzip"), "exclude each other"),
        (("backup", "--remote-only"), "--upload"),
        (("backup", "--encrypt"), "There is no key"),
        (("restore",), "Say what to restore"),
        (("backup", "--upload", "gopher://x"), "gopher"),
        (("backup.prune", "--days", "-1"), "negative"),
        (("backup.prune", "--days", "99999999999"), "cannot be meant"),
        (("backup.prune", "--previous-days", "-1"), "cannot be meant"),
        (("render.list",), "RENDER_API_KEY"),
    ],
)
def test_wrong_use_is_exit_code_2_and_one_paragraph(person: Invoke, arguments: tuple[str, ...], message: str) -> None:
    finished = _done(person(*arguments), 2)
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) <= 3


@pytest.mark.parametrize("name", ["nothing", "backup-development-x-20250101-000000"])
def test_a_backup_that_is_not_there_is_exit_code_3(person: Invoke, name: str) -> None:
    assert "There is no backup" in _done(person("backup.verify", "--name", name), 3).stderr


@pytest.mark.parametrize("task", ["backup.list", "backup.prune"])
def test_a_folder_that_was_named_and_is_not_there_is_exit_code_3(person: Invoke, tmp_path: Path, task: str) -> None:
    assert "There is no folder" in _done(person(task, "--store", str(tmp_path / "bakcups")), 3).stderr


def test_a_key_goes_into_a_new_folder_and_only_encrypted_backups_get_another(person: Invoke, tmp_path: Path) -> None:
    key, new = (tmp_path / "config" / "legal_store" / name for name in ("backup.key", "new.key"))
    for file in (key, new):
        _done(person("backup.keygen", "--file", str(file)))
    assert key.parent.stat().st_mode & 0o777 == 0o700
    put(LocalStore(tmp_path / "backups"), made := sample_manifest(datetime(2025, 1, 20, tzinfo=UTC)))
    arguments = ("--name", made.name, "--key-file", str(key), "--new-key-file", str(new))
    finished = _done(person("backup.rekey", *arguments), 2)
    assert "is not encrypted" in finished.stderr
    assert "have the key" not in finished.stdout


def test_prune_drops_what_was_put_aside_of_this_database_only(
    person: Invoke, live: dict[str, Any], cluster: Cluster
) -> None:
    names = [f"{of}_before_20250101_000000_000" for of in (live["dbname"], "another")]
    for name, of in zip(names, (live["dbname"], "another"), strict=True):
        execute(live, f"CREATE DATABASE {name}")
        execute(live, f"COMMENT ON DATABASE {name} IS '{mark('before', of, 'backup-x')}'")
    _done(person("backup.prune", "--previous-days", "0", "--yes"))
    with server(live) as opened:
        left = [name for name in names if opened.exists(name)]
    cluster.drop(names[1])
    assert left == names[1:]


def test_a_key_in_the_folder_of_the_backups_is_refused(person: Invoke, live: dict[str, Any], tmp_path: Path) -> None:
    finished = _done(person("backup.keygen", "--file", str(tmp_path / "backups" / "key")), 2)
    assert "gets both" in finished.stderr
    (tmp_path / "backups").mkdir()
    generate_key(tmp_path / "backups" / "key")
    finished = _done(person("backup", "--encrypt", "--key-file", str(tmp_path / "backups" / "key")), 2)
    assert "gets both" in finished.stderr

    (tmp_path / "backups" / "key").rename(tmp_path / "key")
    _done(person("backup", "--encrypt", "--key-file", "~/key", HOME=tmp_path))
    (tmp_path / "key").rename(tmp_path / "backups" / "key")
    restore = ("restore", "--latest", "--confirm", live["dbname"], "--key-file")
    assert "gets both" in _done(person(*restore, str(tmp_path / "backups" / "key")), 2).stderr
    (tmp_path / "backups" / "key").rename(tmp_path / "key")
    _done(person(*restore, "~/key", HOME=tmp_path))


def test_a_drill_elsewhere_demands_tls_as_everything_does(person: Invoke, cluster: Cluster) -> None:
    url = cluster.tcp_url("postgres")
    _done(person("backup"))
    bare = url.replace("?sslmode=disable", "")
    finished = _done(person("backup.drill", LEGAL_STORE_DRILL_URL=bare), 3)
    assert "SSL" in finished.stderr
    assert str(cluster.tcp_parameters["password"]) not in finished.stderr
    assert "proven" in _done(person("backup.drill", LEGAL_STORE_DRILL_URL=url)).stdout


def test_nothing_typed_at_the_prompt_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D: the terminal gives an end of file."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert asked("name", "backup") is None


def test_the_recipe_of_the_documents_opens_an_encrypted_backup_without_us(live: dict[str, Any], tmp_path: Path) -> None:
    key: MasterKey = generate_key(tmp_path / "key")
    store = LocalStore(tmp_path / "backups")
    made = make_backup(live, [store], environment="test", codec="zstd", master=key).manifest
    text = (CHECKOUT / "docs" / "backup.md").read_text(encoding="utf-8")
    recipe = re.search(r"```python\n(.+?)```", text, re.DOTALL)
    assert recipe is not None
    assert "legal_store" not in re.sub(
        r'"legal_store backup[^"]*"', "", recipe[1].replace('b"legal_store', '"legal_store')
    )
    secret = bytes.fromhex((tmp_path / "key").read_text().strip())
    program = f"NAME, SECRET = {made.name!r}, {secret!r}\n{recipe[1]}"
    subprocess.run([sys.executable, "-c", program], cwd=store.folder, check=True)
    listed = subprocess.run(
        [clients("pg_restore")[0].path, "--list", store.folder / "plain.dump"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "TABLE DATA public events_new" in listed.stdout


def test_an_unencrypted_backup_opens_with_zstd_and_pg_restore_alone(live: dict[str, Any], store: LocalStore) -> None:
    import zstandard

    made = make_backup(live, [store], environment="test", codec="zstd").manifest
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(store.read(made.data_file))
    listed = subprocess.run(
        [clients("pg_restore")[0].path, "--list"],
        input=plain, check=True, capture_output=True, env=child_environment({}) | dict(os.environ),
    )  # fmt: skip
    assert b"TABLE DATA public events_new" in listed.stdout
