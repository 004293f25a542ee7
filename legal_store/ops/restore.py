"""Restore, and its undo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context

from legal_store.cli.render import print_json, say
from legal_store.cli.task import task

if TYPE_CHECKING:
    from legal_store.backup import Manifest, MasterKey, Progress
    from legal_store.restore import Gate


@task(
    "restore",
    auto_shortflags=False,  # nothing of a restore is a slip of one letter
    help={
        "source": "name of a backup, or path of a file or of an archive directory of pg_dump",
        "latest": "the newest backup of this database and environment, not counting safety backups",
        "store": "folder or URL of the backups (default: LEGAL_STORE_BACKUP_DIR)",
        "confirm": "the database's name (the phrase for production), instead of typing it",
        "other-environment": "the backup may be of another environment",
        "no-safety-backup": "do not back up the live database first; it is kept under another name all the same",
        "create-roles": "make missing roles, without login",
        "no-owner": "everything belongs to this login afterwards",
        "in-place": "replace the objects in one transaction, for logins that may not create databases",
        "unfinished-load": "the backup may be of a database in which a load of generated data had not ended",
        "trust-sql": "restore an SQL file, which can run any command",
        "jobs": "parallel jobs",
        "key-file": "file of the key (default: LEGAL_STORE_BACKUP_KEY_FILE, _KEY_COMMAND or _KEY)",
        "json": "print JSON",
    },
)
def restore(
    context: Context,
    source: str = "",
    latest: bool = False,
    store: str = "",
    confirm: str = "",
    other_environment: bool = False,
    no_safety_backup: bool = False,
    create_roles: bool = False,
    no_owner: bool = False,
    in_place: bool = False,
    unfinished_load: bool = False,
    trust_sql: bool = False,
    jobs: int = 0,
    key_file: str = "",
    json: bool = False,
) -> None:
    """Replace the database by a backup: checked before and after, swapped in at the end, the old one kept for undo."""
    import os

    from legal_store.backup import latest as newest
    from legal_store.backup import master_key, open_store, refuse_key_beside_backups
    from legal_store.cli.progress import progress_bar
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.errors import WrongUseError
    from legal_store.production import environment_of
    from legal_store.restore import RestorePlan, find_source, phrase
    from legal_store.restore import restore as run

    if bool(source) == latest:
        raise WrongUseError(
            "Say what to restore: --source with a backup or file, or --latest.", remedy="See `invoke backup.list`."
        )
    parameters = connection_parameters(settings())
    opened = open_store(store or str(settings().backup_dir))
    key_path = Path(key_file).expanduser() if key_file else None
    if not no_safety_backup:  # it is encrypted by the same key
        refuse_key_beside_backups(settings().backup_dir, file=key_path)
    key = master_key(file=key_path)
    database, environment = str(parameters["dbname"]), environment_of(settings(), parameters)
    if latest:
        source = newest(opened, database=database, environment=environment).name
    found = find_source(source, opened, key, trust_sql=trust_sql)
    production = _is_production(parameters)
    typed = confirm or asked(phrase(database, production=production), found.name)
    with progress_bar() as progress:
        plan = RestorePlan(
            source=found,
            parameters=parameters,
            environment=environment,
            production=production,
            typed=typed,
            other_environment=other_environment,
            create_roles=create_roles,
            owners=not no_owner,
            in_place=in_place,
            unfinished_load=unfinished_load,
            jobs=jobs or os.cpu_count() or 1,
            safety_backup=None if no_safety_backup else lambda: _safety_backup(parameters, environment, key, progress),
        )
        report = run(plan, progress=progress, show=show_gate)
    if json:
        print_json(report)
        return
    print(
        f"{report.database} is now what {report.source} holds; it was not reachable for {report.unavailable_seconds} s."
    )
    if report.previous:
        print(f"What it was before is kept as {report.previous}: `invoke restore.undo` brings it back.")
    _say_migrations(parameters)
    print("Next: restart the services, watch their logs.")


@task("restore.undo", help={"confirm": "the database's name (the phrase for production)", "json": "print JSON"})
def undo(context: Context, confirm: str = "", json: bool = False) -> None:
    """Swap the database that the last restore put aside back into place; a second undo swaps them again."""
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.restore import phrase
    from legal_store.restore import undo as swap_back

    parameters = connection_parameters(settings())
    production = _is_production(parameters)
    typed = confirm or asked(
        phrase(str(parameters["dbname"]), production=production), "the database before the restore"
    )
    report = swap_back(parameters, typed=typed, production=production)
    if json:
        print_json(report)
        return
    print(f"{report.database} is now what {report.brought_back} was; what was live is kept as {report.put_aside}.")
    print("Next: restart the services. Another `invoke restore.undo` swaps them again.")


def _say_migrations(parameters: dict[str, Any]) -> None:
    """Say how the restored schema stands to the code's migrations, where they are at hand."""
    from legal_store.config import settings
    from legal_store.migrate import status

    if settings().migrations_dir.is_dir():
        found = status(parameters, settings().migrations_dir)
        print(f"Migrations: {found}. {found.remedy}".rstrip())


def _is_production(parameters: dict[str, Any]) -> bool:
    from legal_store.config import settings
    from legal_store.database.target import database_url
    from legal_store.production import environment_marker, production_signs

    marker = environment_marker(parameters)
    return bool(production_signs(database_url(settings()), settings().environment, marker))


def asked(wanted: str, source: str) -> str | None:
    """Ask for the phrase; without a person there, nothing was typed."""
    if not sys.stdin.isatty():
        return None
    say(f'"{source}" will take the place of the live database.')
    try:
        return input(f'Type "{wanted}" to go on: ').strip()
    except EOFError:  # Ctrl-D
        say("")
        return None


def _safety_backup(parameters: dict[str, Any], environment: str, key: MasterKey | None, progress: Progress) -> Manifest:
    """Back up the live database and read the backup back, encrypted where there is a key."""
    from legal_store.backup import make_backup, open_store, verify
    from legal_store.config import settings

    store = open_store(str(settings().backup_dir))
    made = make_backup(
        parameters,
        [store],
        environment=environment,
        codec="zstd",
        master=key,
        safety=True,
        progress=progress,
    ).manifest
    return verify(store, made.name, key, progress=progress)


def show_gate(gate: Gate) -> None:
    """Show one line of the checklist."""
    mark = {True: "ok  ", False: "STOP", None: "note"}[gate.ok]
    say(f"{mark} {gate.name}: {gate.result}")
    if gate.ok is False and gate.remedy:
        say(f"     {gate.remedy}")
