"""Backups: make, list, verify, drill, prune; and their keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from legal_store.backup import Manifest, MasterKey, Store

_STORE = "folder or URL of the backups, such as s3://bucket/prefix (default: LEGAL_STORE_BACKUP_DIR)"
_KEY = "file of the key (default: LEGAL_STORE_BACKUP_KEY_FILE, _KEY_COMMAND or _KEY)"


@task(
    "backup",
    help={
        "compress": "with zstd, on all cores; without it pg_dump compresses",
        "gzip": "with gzip, for others' tools",
        "encrypt": "with AES-256-GCM, under a fresh key that the master key wraps",
        "upload": "also write it to this URL, such as s3://bucket/prefix",
        "remote-only": "do not keep it in the local folder as well",
        "verify": "read it back to its end before it counts",
        "pin": "why `backup.prune` must keep it",
        "key-file": _KEY,
        "json": "print JSON",
    },
)
def backup(
    context: Context,
    compress: bool = False,
    gzip: bool = False,
    encrypt: bool = False,
    upload: str = "",
    remote_only: bool = False,
    verify: bool = False,
    pin: str = "",
    key_file: str = "",
    json: bool = False,
) -> None:
    """Back up the database into LEGAL_STORE_BACKUP_DIR, an object store, or both."""
    from legal_store.backup import make_backup, open_store, writing_key
    from legal_store.backup import verify as read_back
    from legal_store.cli.progress import progress_bar
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.errors import WrongUseError
    from legal_store.production import environment_of

    if compress and gzip:
        raise WrongUseError("--compress and --gzip exclude each other.")
    if remote_only and not upload:
        raise WrongUseError("--remote-only needs --upload URL.")
    parameters = connection_parameters(settings())
    _warn_of_unfinished_load(parameters)
    local = [] if remote_only else [_store("")]
    stores = [*local, *([open_store(upload)] if upload else [])]
    key = writing_key(stores, file=_path(key_file)) if encrypt else None
    with progress_bar() as progress:
        report = make_backup(
            parameters,
            stores,
            environment=environment_of(settings(), parameters),
            codec="zstd" if compress else "gzip" if gzip else "pg_dump",
            master=key,
            pinned=pin or None,
            progress=progress,
        )
        made = report.manifest
        for store in stores if verify else []:
            made = read_back(store, made.name, key, progress=progress)
    say_cleaned_up(report.cleaned_up)
    if json:
        print_json(report._replace(manifest=made))
        return
    rows = sum(table.rows for table in made.contents.tables)
    print(
        f"{made.name}: {len(made.contents.tables)} tables, {rows:,} rows, {_size(made.size)} in {made.seconds['all']} s"
    )
    for url in report.stores:
        print(f"  in {url} as {made.data_file}")


def _warn_of_unfinished_load(parameters: dict[str, Any]) -> None:
    from legal_store.generating import unfinished_load

    if (found := unfinished_load(parameters)) is not None:
        say(f"warning: {found}; so will what is restored from this backup (`invoke restore --unfinished-load`).")
        say(f"         {found.remedy}")


@task("backup.list", help={"store": _STORE, "key-file": _KEY, "json": "print JSON"})
def list_(context: Context, store: str = "", key_file: str = "", json: bool = False) -> None:
    """Show the backups, newest first, and what is known about each; exit code 1 when one is damaged."""
    from datetime import UTC, datetime

    from legal_store.backup import list_backups
    from legal_store.errors import CheckFailedError

    opened = _store(store)
    found = list_backups(opened, _key(key_file))
    if json:
        print_json(found)
    else:
        now = datetime.now(UTC)
        rows = [_row(listed, now) for listed in found]
        columns = ("backup", "made", "size", "environment", "migration", "key", "proof", "")
        print_table(f"Backups in {opened.url}", columns, rows)
    damaged = [listed.name for listed in found if not listed.good]
    if damaged:
        raise CheckFailedError(f"Damaged: {', '.join(damaged)}.", remedy="Make a new backup now.")


@task(
    "backup.verify",
    help={"name": "a backup; without it the newest", "store": _STORE, "key-file": _KEY, "json": "print JSON"},
)
def verify(context: Context, name: str = "", store: str = "", key_file: str = "", json: bool = False) -> None:
    """Read a backup to its end (digest, decryption, decompression, table of contents); exit code 1 if it is damaged."""
    from legal_store.backup import latest
    from legal_store.backup import verify as read_back
    from legal_store.cli.progress import progress_bar

    opened = _store(store)
    with progress_bar() as progress:
        verified = read_back(opened, name or latest(opened).name, _key(key_file), progress=progress)
    if json:
        print_json(verified)
    else:
        print(f"{verified.name} is whole: {_size(verified.size)} read, proof level {verified.proof.level}.")


@task(
    "backup.drill",
    help={
        "name": "a backup; without it the newest",
        "store": _STORE,
        "jobs": "parallel jobs",
        "key-file": _KEY,
        "json": "print JSON",
    },
)
def drill(
    context: Context,
    name: str = "",
    store: str = "",
    jobs: int = 0,
    key_file: str = "",
    json: bool = False,
) -> None:
    """Restore a backup into a scratch database, compare every table, drop it; exit code 1 if it differs.

    On the configured server, or on that of the URL in LEGAL_STORE_DRILL_URL.
    """
    import os
    from dataclasses import replace

    from legal_store.backup import latest
    from legal_store.cli.progress import progress_bar
    from legal_store.config import Url, settings
    from legal_store.database.target import connection_parameters
    from legal_store.restore import drill as restore_and_compare

    opened = _store(store)
    elsewhere = os.environ.get("LEGAL_STORE_DRILL_URL")
    configured = replace(settings(), database_url=Url(elsewhere)) if elsewhere else settings()
    parameters = connection_parameters(configured)
    with progress_bar() as progress:
        report = restore_and_compare(
            opened,
            name or latest(opened).name,
            parameters,
            master=_key(key_file),
            jobs=jobs or os.cpu_count() or 1,
            progress=progress,
        )
    if json:
        print_json(report)
        return
    print(f"{report.manifest.name} is proven: restored in {report.restore_seconds} s.")
    for finding in report.findings:
        print(f"  {finding.name}: {finding.result}")


@task(
    "backup.prune",
    help={
        "days": "keep all of so many days",
        "keep-daily": "and the newest of so many days",
        "keep-weekly": "and of so many weeks",
        "keep-monthly": "and of so many months",
        "safety-days": "keep the safety backups of restores for so many days",
        "previous-days": "drop what restores put aside of this database so many days ago",
        "store": _STORE,
        "key-file": _KEY,
        "yes": "delete; without it nothing is deleted",
        "json": "print JSON",
    },
)
def prune(
    context: Context,
    days: int = 30,
    keep_daily: int = 0,
    keep_weekly: int = 0,
    keep_monthly: int = 0,
    safety_days: int = 30,
    previous_days: int = 7,
    store: str = "",
    key_file: str = "",
    yes: bool = False,
    json: bool = False,
) -> None:
    """Delete backups that have had their time, and databases that a restore put aside; a dry run until --yes."""
    from legal_store.backup import Policy
    from legal_store.backup import prune as thin_out
    from legal_store.backup.retention import age_limit

    policy = Policy(days=days, safety_days=safety_days, daily=keep_daily, weekly=keep_weekly, monthly=keep_monthly)
    previous_age = age_limit(previous_days)
    report = thin_out(_store(store), policy, master=_key(key_file), delete=yes)
    previous = [] if store else _drop_previous(previous_age, yes)
    say_cleaned_up(report.cleaned_up)
    if json:
        print_json({**report._asdict(), "previous_databases": previous})
        return
    verdict = "deleted" if yes else "would be deleted"
    rows = [(one.name, "kept" if one.keep else verdict, "; ".join(one.reasons)) for one in report.decisions]
    rows += [(name, verdict, f"put aside by a restore more than {previous_days} days ago") for name in previous]
    print_table("Retention", ("backup or database", "decision", "why"), rows)
    if not yes and any(row[1] == verdict for row in rows):
        print("Nothing was deleted: this was a dry run. Add --yes to delete.")


@task(
    "backup.pin",
    help={"name": "the backup", "reason": "why; empty lets it go again", "store": _STORE, "key-file": _KEY},
)
def pin(context: Context, name: str, reason: str = "", store: str = "", key_file: str = "") -> None:
    """Keep a backup for good, whatever `backup.prune` is told; without --reason let it go again."""
    from legal_store.backup import pin as set_pin

    pinned = set_pin(_store(store), name, reason or None, _key(key_file))
    print(f"{pinned.name} is {'pinned: ' + reason if reason else 'no longer pinned'}.")


@task("backup.keygen", help={"file": "where to write it; not where the backups are", "tink": "as a Tink keyset"})
def keygen(context: Context, file: str, tink: bool = False) -> None:
    """Make a key for encrypted backups. Whoever loses it loses them: keep a copy somewhere safe."""
    from legal_store.backup import generate_key, refuse_key_beside_backups
    from legal_store.config import settings

    path = Path(file).expanduser()
    refuse_key_beside_backups(settings().backup_dir, file=path)
    key = generate_key(path, keyset=tink)
    print(f"The key {key.key_id} is in {path}. Set LEGAL_STORE_BACKUP_KEY_FILE={path.absolute()}, and keep a copy.")


@task(
    "backup.rekey",
    help={
        "name": "a backup; without it all of the present key",
        "new-key-file": "the new key",
        "store": _STORE,
        "key-file": _KEY,
    },
)
def rekey(context: Context, new_key_file: str, name: str = "", store: str = "", key_file: str = "") -> None:
    """Give encrypted backups another master key; their data is not read or written again."""
    from legal_store.backup import list_backups, required_master_key, writing_key
    from legal_store.backup import rekey as wrap_again

    opened = _store(store)
    new = writing_key([opened], file=_path(new_key_file))
    old = required_master_key(file=_path(key_file))
    names = [name] if name else [
        one.name
        for one in list_backups(opened)
        if one.manifest and one.manifest.encryption and one.manifest.encryption.key_id == old.key_id
    ]  # fmt: skip
    for each in names:
        wrap_again(opened, each, old, new)
        print(f"{each}: key {old.key_id} -> {new.key_id}")
    print(f"{len(names)} backups have the key {new.key_id} now.")


def _store(url: str) -> Store:
    """Return the store to look into. A folder that somebody named and that is not there is a slip."""
    from legal_store.backup import open_store
    from legal_store.config import settings
    from legal_store.errors import BackupError

    opened = open_store(url or str(settings().backup_dir))
    if url and "://" not in opened.url and not Path(opened.url).is_dir():
        raise BackupError(f"There is no folder {opened.url}.", remedy="Name the folder or URL of the backups.")
    return opened


def say_cleaned_up(names: list[str]) -> None:
    """Tell what was removed."""
    for name in names:
        say(f"removed what an interrupted run had left: {name}")


def _key(key_file: str) -> MasterKey | None:
    from legal_store.backup import master_key

    return master_key(file=_path(key_file))


def _path(text: str) -> Path | None:
    return Path(text).expanduser() if text else None


def _drop_previous(age: timedelta, delete: bool) -> list[str]:
    from datetime import UTC, datetime

    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.errors import ConfigurationError, ServerUnavailableError
    from legal_store.restore import drop_previous, expired, previous_databases

    try:
        parameters = connection_parameters(settings())
        previous = [found for found in previous_databases(parameters) if found.of == parameters["dbname"]]
        old = expired(previous, datetime.now(UTC), age)
    except (ConfigurationError, ServerUnavailableError) as error:
        say(f"databases put aside by restores were not looked for: {error.message}")
        return []
    for found in old if delete else []:
        drop_previous(parameters, found.name)
    return [found.name for found in old]


def _row(listed: Any, now: Any) -> tuple[str, ...]:
    manifest = listed.manifest
    if manifest is None:
        return (listed.name, "", "", "", "", "", "", listed.problem)
    proof = f"{manifest.proof.level} {manifest.proof.at[:10]}"
    notes = listed.problem or _notes(manifest, now)
    key = manifest.encryption.key_id if manifest.encryption else "-"
    age = _age((now - manifest.created).total_seconds())
    made, head = f"{manifest.created:%Y-%m-%d %H:%M} ({age})", manifest.contents.migration_head or "-"
    return (manifest.name, made, _size(manifest.size), manifest.source.environment, head, key, proof, notes)


def _notes(manifest: Manifest, now: datetime) -> str:
    if manifest.export:
        ended = "expired" if manifest.export.expired(now) else "expires"
        return f"export with personal data, {ended} {manifest.export.expires_at[:16]}"
    return f"pinned: {manifest.pinned}" if manifest.pinned else ""


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def _size(size: int) -> str:
    from legal_store.restore.gates import megabytes

    return megabytes(size)
