"""The demo firm, other seed sets, and generated data in any amount."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.signals import interrupted
from legal_store.cli.task import task

if TYPE_CHECKING:
    from pathlib import Path

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
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.generating import refuse_unfinished_load
    from legal_store.generating.recipe import is_recipe
    from legal_store.seeding.sets import find_set

    size = _Size(scale, rows, seed, workers)
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


class _Size:
    """How much is to be generated, as it was typed. None is what was not."""

    def __init__(self, scale: str | None, rows: str | None, seed: str | None, workers: str | None) -> None:
        from legal_store.generating.plan import MOST_FIRMS, MOST_ROWS

        self.firms = _whole("scale", scale, 1, MOST_FIRMS)
        self.rows = _whole("rows", rows, 1, MOST_ROWS)
        self.seed = _whole("seed", seed, 0, 10**18)
        self.workers = _whole("workers", workers, 0, 64)

    @property
    def given(self) -> bool:
        return self.firms is not None or self.rows is not None

    def refuse_for_recipe(self, name: str, add_to_production: bool) -> None:
        from legal_store.errors import WrongUseError

        if not self.given:
            raise WrongUseError(f"{name} is a recipe.", remedy="Say how much: --scale FIRMS or --rows ROWS.")
        if add_to_production:
            raise WrongUseError(
                f"{name} is a recipe: invented data is never added to a production database that holds rows.",
                remedy="Leave --add-to-production out.",
            )

    def refuse_for_set(self, name: str) -> None:
        from legal_store.errors import WrongUseError

        flags = {"--scale": self.firms, "--rows": self.rows, "--seed": self.seed, "--workers": self.workers}
        given = [flag for flag, value in flags.items() if value is not None]
        if given:
            verb = "does not apply" if len(given) == 1 else "do not apply"
            raise WrongUseError(
                f"{name} is a seed set with fixed rows: {' and '.join(given)} {verb}.",
                remedy="Use a recipe, such as --set synthetic, with --scale or --rows.",
            )


def _whole(flag: str, text: str | None, lowest: int, highest: int) -> int | None:
    from decimal import Decimal, InvalidOperation

    from legal_store.errors import WrongUseError

    if text is None:
        return None
    try:
        value = Decimal(text.replace("_", "").replace(",", ""))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not lowest <= value <= highest or value != int(value):
        raise WrongUseError(
            f"--{flag} {text!r} is not a whole number from {lowest:,} to {highest:,}.",
            remedy="Write it as 250000, 250_000 or 2.5e5.",
        )
    return int(value)


def _generate(folder: Path, name: str, size: _Size) -> GenerateReport:
    from legal_store.config import settings
    from legal_store.generating import generate

    sizes: dict[str, Any] = {"firms": size.firms, "rows": size.rows, "workers": size.workers or None}
    seed = 1 if size.seed is None else size.seed
    try:
        with _progress_bar() as progress:
            return generate(settings(), folder, name=name, seed=seed, **sizes, progress=progress, say=say)
    except KeyboardInterrupt as error:
        raise interrupted(
            error,
            "What was committed stays; indexes and constraints can be missing until you run the same command again, "
            "which goes on from there.",
        ) from None


@contextmanager
def _progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on stderr for each stage: how much is done, at which rate, and how long the rest takes."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    bars = Progress(*columns, console=Console(stderr=True))
    shown: dict[str, tuple[TaskID, float, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if not total:  # such as indexes, when none were taken away
            return
        bars.start()  # not before: an empty display leaves an empty line above an error
        if stage not in shown:
            shown[stage] = (bars.add_task(stage, total=total, rate=""), bars.get_time(), done)
        bar, began, at_start = shown[stage]
        seconds = max(bars.get_time() - began, 0.001)
        bars.update(bar, completed=done, rate=f"{(done - at_start) / seconds:,.0f}/s" if done > at_start else "")

    try:
        yield progress
    finally:
        if shown:
            bars.stop()
