"""Whether firms are kept apart in the database."""

from __future__ import annotations

from invoke import Context

from legal_store.cli.render import print_json, print_table
from legal_store.cli.task import task


@task("isolation.check", help={"json": "print JSON"})
def check(context: Context, json: bool = False) -> None:
    """Look for ways in which one firm could reach another's rows; exit code 1 when there is one. Changes nothing."""
    from contextlib import closing

    from legal_store.config import settings
    from legal_store.database import Database
    from legal_store.database.plain import connect
    from legal_store.database.target import connection_parameters
    from legal_store.errors import CheckFailedError
    from legal_store.isolation import check_isolation, check_service

    with closing(connect(connection_parameters(settings()))) as owner:
        found = check_isolation(owner)
    if all(finding.rule != "no-role" for finding in found):
        service = Database()
        service.configure(settings())
        with service.connection_context():
            found += check_service(service.connection())
        service.close_all()
    if json:
        print_json(found)
    elif found:
        rows = [(finding.object, finding.problem, finding.remedy, finding.rule) for finding in found]
        print_table("Ways between firms", ("object", "problem", "what to do", "rule"), rows)
    else:
        print("No way from one firm to another was found.")
    if found:
        raise CheckFailedError(f"{len(found)} mistakes in the isolation of firms.", remedy="See docs/isolation.md.")
