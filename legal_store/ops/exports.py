"""Production data for development: exported encrypted, imported masked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from legal_store.cli.masking import report_file, show_report
from legal_store.cli.render import print_json
from legal_store.cli.task import task
from legal_store.config import own_or_shipped
from legal_store.ops.anonymize import empty_cache
from legal_store.ops.backup import say_cleaned_up
from legal_store.ops.restore import asked, show_gate

if TYPE_CHECKING:
    from legal_store.importing import ImportReport

_KEY = "file of the key (default: LEGAL_STORE_BACKUP_KEY_FILE, _KEY_COMMAND or _KEY)"


@task(
    "export",
    help={
        "expires": "days until it can no longer be imported (1 to 90)",
        "to": "folder or URL, such as s3://bucket/prefix (default: LEGAL_STORE_BACKUP_DIR)",
        "key-file": f"{_KEY}; best one of its own, as whoever imports needs it",
        "json": "print JSON",
    },
)
def export(context: Context, expires: int = 7, to: str = "", key_file: str = "", json: bool = False) -> None:
    """Write the database into an encrypted file that import-anonymized alone takes, until it expires."""
    from legal_store.backup import export as write
    from legal_store.backup import open_store, writing_key
    from legal_store.cli.progress import progress_bar
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.production import environment_of

    store = open_store(to or str(settings().backup_dir))
    key = writing_key([store], file=Path(key_file).expanduser() if key_file else None)
    parameters = connection_parameters(settings())
    with progress_bar() as progress:
        report = write(
            parameters,
            [store],
            environment=environment_of(settings(), parameters),
            master=key,
            days=expires,
            progress=progress,
        )
    say_cleaned_up(report.cleaned_up)
    if json:
        print_json(report)
        return
    made = report.manifest
    assert made.export is not None  # noqa: S101
    print(f"{made.name} in {store.url}: two files, encrypted under the key {key.key_id}.")
    print(f"It holds personal data. It expires at {made.export.expires_at}; `backup.prune` deletes it then.")
    print(f"Next, where development is: invoke import-anonymized {made.data_file}")


@task(
    "import-anonymized",
    help={
        "file": "what `invoke export` wrote (its manifest beside it), or the name of an encrypted backup",
        "rules": "the rules file (anonymize.toml)",
        "yes": "do not ask; the name of the database is then taken as typed",
        "confirm": "the database's name, instead of typing it",
        "store": "folder or URL where FILE is, if it is a name (default: LEGAL_STORE_BACKUP_DIR)",
        "key-file": _KEY,
        "mask-key-file": "keep the key of the pseudonyms there, so that other runs give the same (none by default)",
        "forget-key": "destroy the key in --mask-key-file afterwards: nobody can repeat or undo the masking",
        "report": "write the report of the masking there as a page to read (.html) or as JSON",
        "jobs": "parallel jobs",
        "json": "print JSON",
    },
)
def import_anonymized(
    context: Context,
    file: str,
    rules: str = "anonymize.toml",
    yes: bool = False,
    confirm: str = "",
    store: str = "",
    key_file: str = "",
    mask_key_file: str = "",
    forget_key: bool = False,
    report: str = "",
    jobs: int = 0,
    json: bool = False,
) -> None:
    """Replace the development database by an export: masked in quarantine, proven, checked; the old one kept."""
    import os

    from legal_store import anonymize
    from legal_store.backup import master_key, open_store
    from legal_store.cli.progress import progress_bar
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.errors import WrongUseError
    from legal_store.importing import ImportPlan, noted
    from legal_store.importing import import_anonymized as run
    from legal_store.production import environment_of, refuse_production
    from legal_store.restore import find_source

    if forget_key and not mask_key_file:
        raise WrongUseError("--forget-key needs --mask-key-file.", remedy="Without a file the key is never stored.")
    refuse_production("Importing", settings())
    chosen = anonymize.read_rules(own_or_shipped(rules))
    key = master_key(file=Path(key_file).expanduser() if key_file else None)
    # a file of SQL is found as well, and then refused for what it is
    source = find_source(file, open_store(store or str(settings().backup_dir)), key, trust_sql=True)
    parameters = connection_parameters(settings())
    database = str(parameters["dbname"])
    plan = ImportPlan(
        source=source,
        parameters=parameters,
        environment=environment_of(settings(), parameters),
        rules=chosen,
        key=anonymize.kept_key(Path(mask_key_file)) if mask_key_file else anonymize.new_key(),
        migrations=settings().migrations_dir,
        typed=database if yes else confirm or asked(database, source.name),
        jobs=jobs or os.cpu_count() or 1,
    )
    with (
        report_file(report) as write_report,
        noted(settings().import_notes, parameters),
    ):
        with progress_bar() as progress:
            done = run(plan, progress=progress, show=show_gate)
        if forget_key:
            anonymize.forget_key(Path(mask_key_file))
        masked = done.anonymized
        done = done._replace(anonymized=masked._replace(untidied=(*masked.untidied, *empty_cache())))
        print_json(done) if json else _show(done)
        write_report(done.anonymized)


def _show(done: ImportReport) -> None:
    show_report(done.anonymized)
    restored = done.restored
    print(f"{len(done.migrations)} migrations applied; {done.validated.get('PASS', 0)} checks passed.")
    print(f"{restored.database} is now {restored.source}, masked; it took {restored.seconds} s.")
    if restored.previous:
        print(f"What it was before is kept as {restored.previous}: `invoke restore.undo` brings it back.")
