"""Everything at once: servers, schema, demo firm, and a look at what is there."""

from __future__ import annotations

from invoke import Context

from legal_store.cli.render import print_json, say
from legal_store.cli.task import task


@task("demo", help={"json": "print JSON"})
def demo(context: Context, json: bool = False) -> None:
    """Start the servers, migrate, load the demo firm and show what is in the database; safe to run again."""
    from legal_store.cli.development import start_servers_if_needed
    from legal_store.config import mask_password, settings
    from legal_store.database.target import connection_parameters, database_url
    from legal_store.generating import refuse_unfinished_load
    from legal_store.migrate import deploy
    from legal_store.migrate.files import read_migrations
    from legal_store.ops.seed import load, show

    read_migrations(settings().migrations_dir)  # outside a checkout: say so before anything is started
    start_servers_if_needed()
    parameters = connection_parameters(settings())
    refuse_unfinished_load(parameters, "The demo firm")  # before migrating, which would list what is missing
    deploy(parameters, settings().migrations_dir, progress=lambda name: say(f"applying {name}"))
    report = load("demo")
    if json:
        print_json(report)
        return
    show(report)
    print(f"The database: {mask_password(database_url(settings()))}")
    print("Next: `invoke psql`, `invoke --list`, or the service in README.md. `invoke down` stops the servers.")
