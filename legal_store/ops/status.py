"""One screen that says how everything stands."""

from __future__ import annotations

from invoke import Context

from legal_store.cli.render import print_json, print_table
from legal_store.cli.task import task

_SIGNS = {"good": "ok", "look": "LOOK", "bad": "BAD"}


@task("status", help={"json": "print JSON"})
def status(context: Context, json: bool = False) -> None:
    """Show servers, migrations, connections, sizes, Redis and the last backup; exit code 1 when something is bad."""
    from legal_store.config import settings
    from legal_store.errors import CheckFailedError
    from legal_store.monitor.overview import overview

    lines = overview(settings())
    if json:
        print_json(lines)
    else:
        print_table("Status", ("", "what", "how it stands"), [(_SIGNS[x.state], x.topic, x.text) for x in lines])
    if bad := [line.topic for line in lines if line.state == "bad"]:
        raise CheckFailedError(f"Bad: {', '.join(bad)}.", remedy="`invoke doctor` says what to do.")
