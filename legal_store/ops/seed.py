"""The demo firm and other seed sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context

from legal_store.cli.render import print_json, print_table
from legal_store.cli.task import task

if TYPE_CHECKING:
    from legal_store.seeding import SeedReport


@task("seed", help={"name": "which set of the seeds folder", "json": "print JSON"})
def seed(context: Context, name: str = "demo", json: bool = False) -> None:
    """Load a seed set, the demo firm by default; rows that are there stay as they are, missing ones come back."""
    from legal_store.cli.development import start_servers_if_needed

    start_servers_if_needed()
    report = load(name)
    if json:
        print_json(report)
    else:
        show(report)


def load(name: str) -> SeedReport:
    """Load the seed set into the configured database and return the report."""
    from legal_store.config import settings
    from legal_store.database import db
    from legal_store.seeding import seed as load_set

    with db.connection_context():
        return load_set(db, settings().seeds_dir, name=name)


def show(report: SeedReport) -> None:
    """Print what was created, found and put back, by table."""
    rows = [(t.table, t.created, t.found, t.put_back) for t in report.tables]
    together = ("together", report.created, report.found, report.put_back)
    print_table(f"Seed set {report.name}", ("table", "created", "found", "put back"), [*rows, together])
