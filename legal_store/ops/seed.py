"""The demo firm, other seed sets, and generated data in any amount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Context

from legal_store.cli.render import print_json, print_table
from legal_store.cli.task import task

if TYPE_CHECKING:
    from pathlib import Path

    from legal_store.generating import GenerateReport
    from legal_store.seeding import SeedReport

_HELP = {
    "set_": "which set of the seeds folder, or of an installed plugin (demo; with --scale or --rows: synthetic)",
    "name": "the same as --set",
    "scale": "generate this many firms",
    "rows": "generate this many rows in all tables together, such as 250000 or 1e6",
    "seed": "another number makes another market of the same kind (1)",
    "workers": "how many processes generate (2)",
    "json": "print JSON",
}


@task("seed", help=_HELP)
def seed(
    context: Context,
    set_: str = "",
    name: str = "",
    scale: int = 0,
    rows: str = "",
    seed: int = 1,
    workers: int = 2,
    json: bool = False,
) -> None:
    """Load the demo firm or another seed set; with --scale or --rows generate a whole market of firms."""
    from legal_store.cli.development import start_servers_if_needed
    from legal_store.generating.recipe import is_recipe
    from legal_store.generating.sets import find_set

    wanted_rows = _number_of_rows(rows)
    generated = bool(scale or wanted_rows)
    chosen = set_ or name or ("synthetic" if generated else "demo")
    found = find_set(_seeds_folder(), chosen)
    if generated or (not callable(found) and is_recipe(found)):
        report = _generate(found, chosen, scale, wanted_rows, seed, workers)
        print_json(report) if json else show_generated(report)
        return
    start_servers_if_needed()
    loaded = _call(found) if callable(found) else load(chosen)
    if json:
        print_json(loaded)
    else:
        show(loaded)
