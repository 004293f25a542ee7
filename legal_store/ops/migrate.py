"""The schema: bring it up to date and say how it stands."""

from __future__ import annotations

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task


@task("migrate", help={"json": "print JSON"})
def migrate(context: Context, json: bool = False) -> None:
    """Apply all pending migrations to the development database; starts the embedded servers if there is no other."""
    from legal_store.cli.development import start_servers_if_needed

    start_servers_if_needed()
    _deploy(json)


@task("migrate.deploy", help={"json": "print JSON"})
def deploy(context: Context, json: bool = False) -> None:
    """Apply all pending migrations, without questions; for CI and production."""
    _deploy(json)


@task("migrate.status", help={"json": "print JSON"})
def status(context: Context, json: bool = False) -> None:
    """Show applied and pending migrations; exit code 1 when something is pending."""
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.errors import CheckFailedError
    from legal_store.migrate import status as read_status

    found = read_status(connection_parameters(settings()), settings().migrations_dir)
    if json:
        print_json(found)
    else:
        rows = [(name, "applied") for name in found.applied] + [(name, "pending") for name in found.pending]
        print_table("Migrations", ("migration", "state"), rows)
    if found.pending:
        raise CheckFailedError(f"{len(found.pending)} migrations are pending.", remedy="Run `invoke migrate.deploy`.")


def _deploy(json: bool) -> None:
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.migrate import deploy as apply

    report = apply(
        connection_parameters(settings()),
        settings().migrations_dir,
        progress=lambda name: say(f"applying {name}"),
    )
    if json:
        print_json(report)
    elif report.applied:
        print(f"Applied {len(report.applied)} migrations; {report.already_applied} were there.")
    else:
        print(f"Nothing to do: all {report.already_applied} migrations are applied.")
