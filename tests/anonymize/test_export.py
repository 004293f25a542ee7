"""An export: encrypted, marked, private, of use to import-anonymized alone, and gone when it has expired."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from legal_store.backup import Policy, export, latest, list_backups, load, make_backup, pin, prune
from legal_store.backup.stores.local import LocalStore
from legal_store.embedded import Servers
from legal_store.errors import BackupError, RefusedError, WrongUseError
from legal_store.restore import RestorePlan, drill, find_source, restore
from tests.anonymize.conftest import Exported, kinds
from tests.anonymize.test_task import legal_store


def test_it_is_encrypted_marked_and_private(exported: Exported) -> None:
    made = load(exported.store, exported.name, exported.key)
    assert exported.name.startswith("export-production-") and made.encryption is not None
    assert made.export is not None and made.export.personal_data
    lives = datetime.fromisoformat(made.export.expires_at) - made.created
    assert timedelta(days=7, minutes=-1) < lives <= timedelta(days=7)
    files = [file for file in exported.store.folder.iterdir() if file.name != ".lock"]
    assert len(files) == 2 and all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    content = b"".join(file.read_bytes() for file in files)
    telling = [name for name in exported.personal if len(name.encode()) > 3]  # ciphertext holds any three by chance
    assert len(telling) > 10 and not any(name.encode() in content for name in telling)


@pytest.mark.parametrize("days", [0, -1, 91])
def test_it_expires_within_a_season(target: dict[str, Any], exported: Exported, tmp_path: Path, days: int) -> None:
    with pytest.raises(WrongUseError, match="1 to 90 days"):
        export(target, [LocalStore(tmp_path)], environment="production", master=exported.key, days=days)
    assert list(tmp_path.iterdir()) == []


def test_a_restore_and_a_drill_of_it_are_refused(target: dict[str, Any], exported: Exported) -> None:
    source = find_source(str(exported.data), exported.store, exported.key)
    plan = RestorePlan(
        source=source, parameters=target, environment="production", typed=target["dbname"], other_environment=True
    )
    with pytest.raises(RefusedError) as raised:
        restore(plan)
    assert "import-anonymized" in raised.value.remedy and kinds(target) == []
    with pytest.raises(RefusedError, match="an export"):
        drill(exported.store, exported.name, target, master=exported.key)


def test_it_counts_as_no_backup_and_goes_when_it_has_expired(
    target: dict[str, Any], exported: Exported, tmp_path: Path
) -> None:
    store, key = LocalStore(tmp_path), exported.key
    for days in (1, 5):
        export(target, [store], environment="production", master=key, days=days)
    with pytest.raises(BackupError, match="There is no backup"):
        latest(store)
    backup = make_backup(target, [store], environment="production", master=key).manifest.name
    assert latest(store).name == backup
    now = datetime.now(UTC)
    assert prune(store, Policy(days=0), master=key, now=now, delete=True).deleted == []
    report = prune(store, Policy(days=0), master=key, now=now + timedelta(days=2), delete=True)
    assert len(report.deleted) == 1 and any("expired" in reason for d in report.decisions for reason in d.reasons)
    report = prune(store, Policy(days=0), master=key, now=now + timedelta(days=6), delete=True)
    assert len(report.deleted) == 1
    assert [listed.name for listed in list_backups(store, key)] == [backup]
    assert len(store.objects()) == 2


def test_it_cannot_be_pinned(exported: Exported) -> None:
    with pytest.raises(RefusedError, match="goes when it expires"):
        pin(exported.store, exported.name, "for good", exported.key)


def test_the_tasks_carry_data_from_one_database_to_another(
    demo_url: str, cluster: Any, servers: Servers, target: dict[str, Any], exported: Exported, tmp_path: Path
) -> None:
    folder, secret = str(tmp_path / "exports"), {"LEGAL_STORE_BACKUP_KEY_FILE": str(exported.key_file)}
    assert legal_store(demo_url, "export", "--to", folder).returncode == 2
    assert not Path(folder).exists()
    done = legal_store(demo_url, "export", "--to", folder, "--expires", "3", LEGAL_STORE_ENV="production", **secret)
    assert done.returncode == 0 and "holds personal data" in done.stdout, done.stderr
    listed = legal_store(demo_url, "backup.list", "--store", folder, COLUMNS="300", **secret)
    assert "export with personal data, expires" in listed.stdout
    (data,) = Path(folder).glob("export-production-*.enc")

    into = cluster.url(target["dbname"])
    home = {"LEGAL_STORE_HOME": str(tmp_path / "home"), **secret}
    command = ("import-anonymized", str(data))
    production = legal_store(into, *command, "--yes", LEGAL_STORE_ENV="production", **home)
    assert production.returncode == 2 and "this is production" in production.stderr
    unconfirmed = legal_store(into, *command, **home)
    assert unconfirmed.returncode == 2 and f'--confirm "{target["dbname"]}"' in unconfirmed.stderr
    mask_key, page = tmp_path / "mask.key", tmp_path / "report.html"
    done = legal_store(
        into, *command, "--yes", "--json", "--report", str(page),
        "--mask-key-file", str(mask_key), "--forget-key", REDIS_URL=servers.redis.url, **home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["anonymized"]["verdict"] == "proven" and report["restored"]["database"] == target["dbname"]
    assert "cached values removed" in done.stderr and report["anonymized"]["untidied"] == []
    assert "ok   proof" in done.stderr and not mask_key.exists()
    assert "proven" in page.read_text() and not any(name in page.read_text() for name in exported.personal)
