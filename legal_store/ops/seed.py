"""The demo firm, other seed sets, and generated data in any amount."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from invoke import Context

from legal_store.cli.render import print_json, print_table
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
    workers: int = 0,
    json: bool = False,
) -> None:
    """Load the demo firm or another seed set; with --scale or --rows, generate firms. Safe to run again."""
    from legal_store.cli.development import start_servers_if_needed
    from legal_store.config import settings
    from legal_store.generating.recipe import is_recipe
    from legal_store.seeding.sets import find_set

    size = _Size(scale, rows, seed, workers)
    chosen = set_ or name or ("synthetic" if size.given else "demo")
    folder = find_set(settings().seeds_dir, chosen)
    size.refuse_for(chosen, is_recipe(folder))
    start_servers_if_needed()
    if is_recipe(folder):
        generated = _generate(folder, size)
        print_json(generated) if json else show_generated(generated)
    else:
        loaded = _load(folder)
        print_json(loaded) if json else show(loaded)


def load(name: str) -> SeedReport:
    """Load the seed set into the configured database and return the report."""
    from legal_store.config import settings

    return _load(settings().seeds_dir / name)


def show(report: SeedReport) -> None:
    """Print what was created, found and put back, by table."""
    rows = [(t.table, t.created, t.found, t.put_back) for t in report.tables]
    together = ("together", report.created, report.found, report.put_back)
    print_table(f"Seed set {report.name}", ("table", "created", "found", "put back"), [*rows, together])


def show_generated(report: GenerateReport) -> None:
    """Print how many rows of each table were generated."""
    if report.already_there:
        print(f"Nothing to do: these {report.rows:,} rows of recipe {report.recipe}, seed {report.seed}, are there.")
        return
    rows = [(table.table, table.rows) for table in report.tables]
    print_table(f"Recipe {report.recipe}, seed {report.seed}", ("table", "rows"), [*rows, ("together", report.rows)])
    resumed = f", {report.resumed_at:,} of them by an earlier run" if report.resumed_at else ""
    rate = (report.rows - report.resumed_at) / report.seconds
    firms = "1 firm" if report.firms == 1 else f"{report.firms:,} firms"
    print(f"{firms}, {report.rows:,} rows{resumed}, in {report.seconds:.1f} s ({rate:,.0f} rows/s).")
    print(f"Content {report.content_hash}")


class _Size:
    """How much is to be generated, as it was typed."""

    def __init__(self, scale: int, rows: str, seed: int, workers: int) -> None:
        from legal_store.errors import WrongUseError

        self.firms, self.rows, self.seed, self.workers = scale or None, _whole(rows), seed, workers or None
        self.given = bool(scale or rows)
        for flag, value, lowest in (("scale", scale, 0), ("seed", seed, 0), ("workers", workers, 0)):
            if value < lowest:
                raise WrongUseError(f"--{flag} {value} is too small.", remedy=f"Use {lowest} or more.")

    def refuse_for(self, name: str, is_recipe: bool) -> None:
        from legal_store.errors import WrongUseError

        if is_recipe and not self.given:
            raise WrongUseError(f"{name} is a recipe.", remedy="Say how much: --scale FIRMS or --rows ROWS.")
        if self.given and not is_recipe:
            raise WrongUseError(
                f"{name} is a seed set with fixed rows: --scale and --rows do not apply.",
                remedy="Use a recipe, such as --set synthetic.",
            )


def _whole(text: str) -> int | None:
    from decimal import Decimal, InvalidOperation

    from legal_store.errors import WrongUseError

    if not text:
        return None
    try:
        value = Decimal(text.replace("_", "").replace(",", ""))
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0 or value > 10**12 or value != int(value):
        raise WrongUseError(f"--rows {text} is not a number of rows.", remedy="Write it as 250000, 250_000 or 2.5e5.")
    return int(value)


def _load(folder: Path) -> SeedReport:
    from legal_store.database import db
    from legal_store.seeding import seed as load_set

    with db.connection_context():
        return load_set(db, folder.parent, name=folder.name)


def _generate(folder: Path, size: _Size) -> GenerateReport:
    from legal_store.config import settings
    from legal_store.generating import generate

    sizes: dict[str, Any] = {"seed": size.seed, "firms": size.firms, "rows": size.rows, "workers": size.workers}
    try:
        with _progress_bar() as progress:
            return generate(settings(), folder, **sizes, progress=progress)
    except KeyboardInterrupt as error:
        raise interrupted(
            error,
            "What was committed stays; indexes can be missing until you run the same command again, "
            "which goes on from there.",
        ) from None


@contextmanager
def _progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on stderr for each stage: how much is done, at which rate, and how long the rest takes."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        shown: dict[str, tuple[TaskID, float, int]] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if not total:  # such as indexes, when none were taken away
                return
            if stage not in shown:
                shown[stage] = (bars.add_task(stage, total=total, rate=""), bars.get_time(), done)
            bar, began, at_start = shown[stage]
            seconds = max(bars.get_time() - began, 0.001)
            bars.update(bar, completed=done, rate=f"{(done - at_start) / seconds:,.0f}/s" if done > at_start else "")

        yield progress
