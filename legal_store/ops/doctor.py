"""Is everything set up as it should be?"""

from __future__ import annotations

from invoke import Context

from legal_store.cli.render import print_json
from legal_store.cli.task import task

_SIGNS = {"good": "ok  ", "look": "LOOK", "bad": "BAD "}


@task("doctor", help={"json": "print JSON"})
def doctor(context: Context, json: bool = False) -> None:
    """Check the whole set-up, one line for each check with its remedy; exit code 1 when one is bad."""
    from legal_store.config import settings
    from legal_store.errors import CheckFailedError
    from legal_store.monitor.checkup import checkup

    checks = checkup(settings())
    if json:
        print_json(checks)
    else:
        for check in checks:
            remedy = f" -> {check.remedy}" if check.remedy else ""
            print(f"{_SIGNS[check.state]} {check.what}: {check.found}{remedy}")
    if bad := [check.what for check in checks if check.state == "bad"]:
        raise CheckFailedError(f"{len(bad)} of {len(checks)} checks are bad.", remedy="Each line says what to do.")
