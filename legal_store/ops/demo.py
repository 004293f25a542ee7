"""Everything at once: servers, schema, demo firm, and a look at what is there."""

from __future__ import annotations

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task


@task("demo", help={"json": "print JSON"})
def demo(context: Context, json: bool = False) -> None:
    """Start the servers, migrate, load the demo firm and show what is in the database; safe to run again."""
    from legal_store.cli.development import start_servers_if_needed
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.migrate import deploy

    start_servers_if_needed()
    deploy(connection_parameters(settings()), settings().migrations_dir, progress=lambda name: say(f"applying {name}"))
    report = _seed()
    counts = _row_counts()
    if json:
        print_json({"seeded": report, "rows": counts})
        return
    print_table("What the demo database holds", ("table", "rows"), counts.items())
    print("Next: `invoke psql`, `invoke url`, `invoke --list`. `invoke down` stops the servers.")
