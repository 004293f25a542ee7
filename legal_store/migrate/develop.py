"""The day of a developer: what the models say becomes a migration, is looked at, and applied."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from legal_store.config import SHIPPED
from legal_store.errors import CheckFailedError, RefusedError, WrongUseError
from legal_store.migrate.declared_file import read_declared
from legal_store.migrate.files import Migration, read_migration, read_migrations
from legal_store.migrate.generate import Proposal, propose
from legal_store.migrate.lint import Finding, lint_migrations
from legal_store.migrate.losses import Loss, count_losses
from legal_store.migrate.plan import read_facts
from legal_store.migrate.rename_decision import Ask
from legal_store.migrate.sessions import connect
from legal_store.schema.catalog import Catalog, differences, read_catalog
from legal_store.schema.objects import Schema


def generate(
    parameters: dict[str, Any],
    folder: Path,
    schema: Schema,
    *,
    renames: Sequence[str] = (),
    drop: Sequence[str] = (),
    allow_data_loss: bool = False,
    ask: Ask | None = None,
) -> Proposal:
    """Return the proven migration from the files of `folder` to `schema`; nothing is written.

    Raises RefusedError when it would lose rows or values that the database of `parameters` holds, with how many, unless
    `allow_data_loss`; otherwise as `propose`.
    """
    proposal = propose(
        parameters,
        read_migrations(folder),
        schema,
        declared_before=read_declared(folder),
        renames=renames,
        drop=drop,
        ask=ask,
    )
    losses = losses_in(parameters, proposal)
    if losses and not allow_data_loss:
        raise RefusedError(
            "The change loses data here:" + "".join(f"\n  - {loss}" for loss in losses) + "\n",
            remedy="Nothing was written. Pass --allow-data-loss if it is meant; a default or a rename may save it.",
        )
    return proposal


def losses_in(parameters: dict[str, Any], proposal: Proposal) -> list[Loss]:
    """Return what the proposal would lose in the database of `parameters`. Read-only."""
    if not proposal.losing:
        return []
    with closing(connect(parameters)) as connection:
        return count_losses(connection, proposal.losing)


def keep(folder: Path, proposal: Proposal, name: str) -> Path:
    """Write the proposal into `folder` under `name` (small letters, digits, underscores); return the file's path.

    Raises WrongUseError for a name that cannot be used, RefusedError for the folder that came with the package.
    """
    from legal_store.migrate.write import write_migration

    refuse_bad_name(name)
    if folder.is_relative_to(SHIPPED):
        raise RefusedError(
            "The models differ from the migrations that came with the package, and nothing is written there.",
            remedy=f"Have a folder of your own: `cp -r {folder} migrations`; then run this again.",
        )
    return write_migration(folder, proposal, name)


def refuse_bad_name(name: str) -> None:
    """Raise WrongUseError for a name that no migration can have."""
    if not re.fullmatch(r"[a-z0-9_]{1,48}", name):
        raise WrongUseError(f"{name!r} is no name for a migration.", remedy="Use a-z, 0-9 and _, at most 48 of them.")


def lint_file(parameters: dict[str, Any], path: Path) -> list[Finding]:
    """Return what is unsafe in one file, for the tables as they are in the database of `parameters`. Read-only."""
    with closing(connect(parameters)) as connection:
        return lint_migrations([read_migration(path)], read_facts(connection))


def check(
    parameters: dict[str, Any],
    folder: Path,
    schema: Schema,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Return what is wrong between models, migrations and database: empty when all three agree and every DOWN works.

    Uses a shadow database; the database of `parameters` is only read.
    """
    from legal_store.migrate.deploy import status
    from legal_store.migrate.drift import find_drift

    migrations = read_migrations(folder)
    problems: list[str] = []
    say("models and migrations")
    problems += _models_and_migrations(parameters, migrations, folder, schema)
    say("ways back")
    problems += ways_back(parameters, migrations)
    say("lint")
    with closing(connect(parameters)) as connection:
        problems += [str(finding) for finding in lint_migrations(migrations, read_facts(connection))]
    say("database")
    standing = status(parameters, folder)
    for state in ("pending", "interrupted", "failed", "edited", "missing"):
        problems += [f"{name} is {state} in the database" for name in getattr(standing, state)]
    with closing(connect(parameters)) as connection:
        problems += [f"drift: {difference}" for difference in find_drift(connection)]
    return problems


def _models_and_migrations(
    parameters: dict[str, Any], migrations: Sequence[Migration], folder: Path, schema: Schema
) -> list[str]:
    try:
        proposal = propose(parameters, migrations, schema, declared_before=read_declared(folder))
    except (CheckFailedError, WrongUseError) as error:
        return [f"models and migrations differ: {error.message}"]
    return [f"the migrations lack what the models say: {statement}" for statement in proposal.up]


def ways_back(parameters: dict[str, Any], migrations: Sequence[Migration]) -> list[str]:
    """Return what is wrong with the ways back: each is run in a shadow database, and must lead back.

    A file that says `irreversible = "reason"`, or an SQL file with the line `-- irreversible: reason`, is left out.
    """
    from legal_store.migrate.apply import Session, apply
    from legal_store.migrate.ledger import create_ledger
    from legal_store.migrate.shadow import shadow

    problems = []
    with shadow(parameters) as target, closing(connect(target)) as connection:
        with connection.cursor() as cursor:
            create_ledger(cursor)
        session = Session(connection)
        session.keep_catalog = False
        for migration in migrations:
            before = read_catalog(connection)
            apply(session, migration)
            if not says_irreversible(migration):
                after = read_catalog(connection)
                if wrong := _try_back(connection, migration, before):
                    problems += wrong
                    continue
                apply(session, migration)
                again = differences(after, read_catalog(connection))
                problems += [f"{migration.name}, applied again, makes: {difference}" for difference in again]
    return problems


def says_irreversible(migration: Migration) -> bool:
    """Return whether the file states that there is no way back."""
    return re.search(r"^(?:-- irreversible:|irreversible *=) *\S", migration.text, re.MULTILINE) is not None


def _try_back(connection: Any, migration: Migration, before: Catalog) -> list[str]:
    """Run the way back and keep it when it leads to `before`; else take it back and return what is wrong."""
    import psycopg2

    from legal_store.errors import LegalStoreError
    from legal_store.migrate.checkpoint import Checkpoint
    from legal_store.migrate.steps import down_script

    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            for step in down_script(migration, connection).steps:
                if step.call is not None:
                    step.call(Checkpoint(connection, None, 0, "", lambda line: None))
                else:
                    cursor.execute(step.text)
            found = differences(before, read_catalog(connection))
            wrong = [f"the way back of {migration.name} leaves: {difference}" for difference in found]
        except (LegalStoreError, psycopg2.Error) as error:
            wrong = [f"{migration.name}: {str(error).strip().partition(chr(10))[0]}"]
        cursor.execute("ROLLBACK" if wrong else "COMMIT")
    return wrong
