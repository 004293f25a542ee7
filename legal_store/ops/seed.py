"""The demo firm, other seed sets, and generated data in any amount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.signals import interrupted
from legal_store.cli.task import task

if TYPE_CHECKING:
    from pathlib import Path

    from legal_store.cli.sizes import Size
    from legal_store.generating import GenerateReport
    from legal_store.seeding import SeedReport

_HELP = {
    "set_": "a set in the seeds folder or of a plugin (demo; with --scale or --rows: synthetic)",
    "name": "the same as --set",
    "scale": "generate so many firms",
    "rows": "generate so many rows in all tables together, such as 250000 or 1e6",
    "seed": "each number makes another market of the same kind (1)",
    "workers": "how many processes generate (0: one for each core, from 2 to 4)",
    "add-to-production": "the set may be added to a production database that holds other rows",
    "json": "print JSON",
}


@task("seed", help=_HELP)
def seed(
    context: Context,
    set_: str | None = None,
    name: str | None = None,
    scale: str | None = None,
    rows: str | None = None,
    seed: str | None = None,
    workers: str | None = None,
    add_to_production: bool = False,
    json: bool = False,
) -> None:
    """Load the demo firm or another seed set; with --scale or --rows, generate firms. Safe to run again."""
    from legal_store.cli.development import start_servers_if_needed
    from legal_store.cli.sizes import Size
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.generating import refuse_unfinished_load
    from legal_store.generating.recipe import is_recipe
    from legal_store.seeding.sets import find_set

    size = Size(scale, rows, seed, workers)
    chosen = _chosen(set_, name) or ("synthetic" if size.given else "demo")
    folder = find_set(settings().seeds_dir, chosen)
    if is_recipe(folder):
        size.refuse_for_recipe(chosen, add_to_production)
        start_servers_if_needed()
        generated = _generate(folder, chosen, size)
        print_json(generated) if json else show_generated(generated)
    else:
        size.refuse_for_set(chosen)
        start_servers_if_needed()
        refuse_unfinished_load(connection_parameters(settings()), f'The seed set "{chosen}"')
        loaded = load(chosen, add_to_production=add_to_production)
        print_json(loaded) if json else show(loaded)


def load(name: str, *, add_to_production: bool = False) -> SeedReport:
    """Load the seed set into the configured database, in which no load is unfinished, and return the report.

    Raises RefusedError for a production database with rows of others, unless that is meant.
    """
    from legal_store.config import settings
    from legal_store.database import db
    from legal_store.errors import RefusedError
    from legal_store.seeding import seed as load_set

    try:
        with db.connection_context():
            guard = None if add_to_production else settings()
            return load_set(db, settings().seeds_dir, name=name, guarded_by=guard)
    except RefusedError as refused:
        meant = f"If it is meant, as with reference data: `invoke seed --set {name} --add-to-production`."
        raise RefusedError(refused.message, remedy=f"{refused.remedy} {meant}") from None


def show(report: SeedReport) -> None:
    """Print what was created, found and put back, by table."""
    rows = [(t.table, t.created, t.found, t.put_back) for t in report.tables]
    together = ("together", report.created, report.found, report.put_back)
    print_table(f"Seed set {report.name}", ("table", "created", "found", "put back"), [*rows, together])


def show_generated(report: GenerateReport) -> None:
    """Print how many rows of each table were generated."""
    if report.already_there:
        made = f"{report.rows:,} rows of recipe {report.recipe}, seed {report.seed}"
        added = f" {report.added:,} more were added to their firms since." if report.added else ""
        print(f"Nothing to do: these {made}, are there.{added}")
        return
    rows = [(table.table, table.rows) for table in report.tables]
    print_table(f"Recipe {report.recipe}, seed {report.seed}", ("table", "rows"), [*rows, ("together", report.rows)])
    resumed = f", {report.resumed_at:,} of them by an earlier run" if report.resumed_at else ""
    rate = (report.rows - report.resumed_at) / report.seconds
    firms = "1 firm" if report.firms == 1 else f"{report.firms:,} firms"
    print(f"{firms}, {report.rows:,} rows{resumed}, in {report.seconds:.1f} s ({rate:,.0f} rows/s).")
    print(f"Content {report.content_hash}")


def _chosen(set_: str | None, name: str | None) -> str | None:
    from legal_store.errors import WrongUseError

    if set_ is not None and name is not None:
        raise WrongUseError("--set and --name are two words for the same.", remedy="Give one of them.")
    chosen = set_ if name is None else name
    if chosen == "":
        raise WrongUseError("The name of the seed set is empty.", remedy="Leave --set out for the demo firm.")
    return chosen


def _generate(folder: Path, name: str, size: Size) -> GenerateReport:
    from legal_store.cli.progress import stage_bars
    from legal_store.config import settings
    from legal_store.generating import generate

    sizes: dict[str, Any] = {"firms": size.firms, "rows": size.rows, "workers": size.workers or None}
    seed = 1 if size.seed is None else size.seed
    try:
        with stage_bars() as progress:
            return generate(settings(), folder, name=name, seed=seed, **sizes, progress=progress, say=say)
    except KeyboardInterrupt as error:
        raise interrupted(
            error,
            "What was committed stays; indexes and constraints can be missing until you run the same command again, "
            "which goes on from there.",
        ) from None
