"""The schema's history: bring it up to date, see how it stands, correct it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task

if TYPE_CHECKING:
    from legal_store.migrate import DeployReport

_JSON = {"json": "print JSON"}
_YES = {"yes": "do not ask"}
_MEANT = "Nothing was changed. A line `-- lint-ignore: RULE` before a statement says that it is meant."
_ALLOW = {
    "allow-out-of-order": "apply a file that comes before applied ones",
    "allow-drift": "accept a schema that somebody changed by hand, as it is",
}


@task(
    "migrate",
    help={
        **_JSON,
        "yes": "do not ask before applying",
        "name": "name of the new migration",
        "create-only": "write the file, apply nothing of it",
        "rename": "OLD=NEW, a column (cases.title=cases.heading) or a table; may be repeated",
        "drop": "an object that goes although it may look renamed, or is not the models', e.g. 'column cases.title'",
        "allow-data-loss": "go on although rows or values are lost",
    },
    iterable=["rename", "drop"],
)
def migrate(
    context: Context,
    name: str = "",
    create_only: bool = False,
    rename: list[str] | None = None,
    drop: list[str] | None = None,
    allow_data_loss: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Apply pending migrations, then turn what changed in the models into a new one: proven, shown, applied."""
    from legal_store.cli.confirm import confirm
    from legal_store.cli.development import start_servers_if_needed
    from legal_store.migrate.declared_file import remember_declared
    from legal_store.migrate.develop import generate, keep, lint_file, refuse_bad_name
    from legal_store.migrate.write import suggested_name
    from legal_store.models.declared import SCHEMA

    if name:
        refuse_bad_name(name)
    start_servers_if_needed()
    report = _deploy(allow_out_of_order=True)
    parameters, folder = _target()
    proposal = generate(
        parameters,
        folder,
        SCHEMA,
        renames=rename or (),
        drop=drop or (),
        allow_data_loss=allow_data_loss,
        ask=_ask_about_rename(),
    )
    for unknown in proposal.unknown:
        say(f"not declared by any model, left alone: {unknown}")
    if proposal.empty:
        remember_declared(folder, proposal.declared)
        _show_deploy(report, json)
        return
    say("".join(f"{statement};\n" for statement in proposal.up))
    path = keep(folder, proposal, name or suggested_name(proposal.up))
    say(f"wrote {path}" + (f"; no way back: {proposal.irreversible}" if proposal.irreversible else ""))
    for finding in lint_file(parameters, path):
        say(str(finding))
    if not create_only:
        confirm(f"Apply {path.stem}?", yes=yes)
        report = _deploy(allow_out_of_order=True)
    if json:
        print_json({"migration": path.stem, "up": proposal.up, "down": proposal.down, "applied": report.applied})
    else:
        print(f"{'Applied' if not create_only else 'Written, not applied'}: {path.stem}.")


@task("migrate.check", help=_JSON)
def check(context: Context, json: bool = False) -> None:
    """For CI: models, migrations and database agree, lint is clean, every way back works; exit code 1 if not."""
    from legal_store.errors import CheckFailedError
    from legal_store.migrate.develop import check as find_problems
    from legal_store.models.declared import SCHEMA

    problems = find_problems(*_target(), SCHEMA, say=lambda what: say(f"checking {what}"))
    if json:
        print_json({"problems": problems})
    if problems:
        listed = "" if json else "".join(f"\n  - {problem}" for problem in problems) + "\n"
        raise CheckFailedError(f"{len(problems)} problems{':' * bool(listed) or '.'}{listed}", remedy=_MEANT)
    if not json:
        print("Models, migrations and database agree; every way back works.")


@task("migrate.plan", help=_JSON)
def plan(context: Context, json: bool = False) -> None:
    """Show what a deploy would run now: each statement with its lock, rows, bytes and expected time."""
    from legal_store.migrate.plan import plan as make_plan
    from legal_store.migrate.plan import summary

    found = make_plan(*_target())
    if json:
        print_json(found)
        return
    columns = ("migration", "statement", "lock", "others", "table", "rewrite", "rows", "bytes", "about s")
    rows = [
        (s.migration, " ".join(s.statement.split())[:60], s.lock, s.blocks, s.table, "yes" if s.rewrites else "",
         s.rows, s.bytes, s.seconds)
        for s in found.statements
    ]  # fmt: skip
    print_table(summary(found.statements), columns, rows)
    for finding in found.findings:
        say(finding)


@task(
    "migrate.deploy",
    help={
        **_JSON,
        **_ALLOW,
        "lock-wait": "seconds to wait for another deploy",
        "lock-timeout": "seconds that one statement may keep others waiting for its lock",
        "lock-budget": "seconds for all tries of a migration to get its locks",
    },
)
def deploy(
    context: Context,
    json: bool = False,
    allow_out_of_order: bool = False,
    allow_drift: bool = False,
    lock_wait: int = 60,
    lock_timeout: int = 2,
    lock_budget: int = 120,
) -> None:
    """Apply all pending migrations, without questions; for CI and production. Safe to run from many places at once."""
    from legal_store.errors import WrongUseError
    from legal_store.migrate.budget import LockBudget

    if min(lock_timeout, lock_budget) < 1 or lock_wait < 0:
        raise WrongUseError("--lock-timeout and --lock-budget are at least 1 second, --lock-wait at least 0.")
    report = _deploy(
        allow_out_of_order=allow_out_of_order,
        allow_drift=allow_drift,
        lock_wait_seconds=float(lock_wait),
        budget=LockBudget(lock_timeout=lock_timeout, total=lock_budget),
    )
    _show_deploy(report, json)


@task("migrate.status", help=_JSON)
def status(context: Context, json: bool = False) -> None:
    """Show applied and pending migrations; exit code 1 when one is pending, failed, edited or missing."""
    from legal_store.errors import CheckFailedError
    from legal_store.migrate import status as read_status

    found = read_status(*_target())
    if json:
        print_json(found)
    else:
        states = {name: state.replace("_", " ") for state, names in found._asdict().items() for name in names}
        print_table("Migrations", ("migration", "state"), sorted(states.items()))
    if not found.clean:
        counts = ", ".join(f"{len(names)} {state}" for state, names in found.troubles.items())
        raise CheckFailedError(f"Not up to date: {counts}.", remedy=found.remedy)


@task("migrate.history", help=_JSON)
def history(context: Context, json: bool = False) -> None:
    """Show every attempt that the ledger knows: when, by whom, how long, with which content and outcome."""
    from legal_store.migrate import history as read_history

    attempts = read_history(_target()[0])
    if json:
        print_json([{**attempt._asdict(), "state": attempt.state} for attempt in attempts])
        return
    columns = ("migration", "state", "started", "finished", "ms", "steps", "by", "version", "checksum")
    print_table("History", columns, [_history_row(attempt) for attempt in attempts])


@task("migrate.undo", help={**_JSON, **_YES, "name": "the last applied migration, to be sure which one it is"})
def undo(context: Context, name: str = "", yes: bool = False, json: bool = False) -> None:
    """Run the way back of the last applied migration, after showing it; fails when it has none."""
    from legal_store.cli.confirm import confirm
    from legal_store.migrate.corrections import plan_undo
    from legal_store.migrate.corrections import undo as run

    parameters, folder = _target()
    plan = plan_undo(parameters, folder, name)
    say(f"{plan.name}, applied {plan.applied_at} by {plan.applied_by}. Its way back, in one transaction:\n")
    say("".join(f"{statement};\n" for statement in plan.statements))
    confirm(f"Undo {plan.name}?", yes=yes)
    run(parameters, folder, plan.name)
    if json:
        print_json(plan)
    else:
        print(f"Undone: {plan.name}. It is pending again.")


@task(
    "migrate.resolve",
    help={
        **_JSON,
        "name": "the migration",
        "applied": "all of its effects are there",
        "rolled-back": "none of its effects is there; the next deploy runs it from its beginning",
        "retry": "its finished statements are there; the next deploy goes on after them",
    },
)
def resolve(
    context: Context,
    name: str,
    applied: bool = False,
    rolled_back: bool = False,
    retry: bool = False,
    json: bool = False,
) -> None:
    """State what became of a failed migration; writes the ledger and nothing else."""
    from legal_store.errors import WrongUseError
    from legal_store.migrate.corrections import Decision
    from legal_store.migrate.corrections import resolve as decide

    chosen: list[Decision] = []
    flags: list[tuple[Decision, bool]] = [("applied", applied), ("rolled-back", rolled_back), ("retry", retry)]
    chosen = [decision for decision, given in flags if given]
    if len(chosen) != 1:
        raise WrongUseError("Say exactly one of --applied, --rolled-back and --retry.")
    found = decide(*_target(), name, chosen[0])
    if json:
        print_json({"migration": found, "resolved_as": chosen[0]})
    else:
        print(f"{found} is resolved as {chosen[0]}.")


@task(
    "migrate.baseline",
    help={**_JSON, "through": "the last migration that the database already has", "allow-drift": _ALLOW["allow-drift"]},
)
def baseline(context: Context, through: str, allow_drift: bool = False, json: bool = False) -> None:
    """Adopt a database that existed before its ledger; takes over Prisma's history if there is one."""
    from legal_store.migrate.corrections import baseline as adopt
    from legal_store.migrate.files import find, position, read_migrations
    from legal_store.migrate.replay import catalog_of

    parameters, folder = _target()
    migrations = read_migrations(folder)
    last = position(find(through, [migration.name for migration in migrations]))
    expected = None
    if not allow_drift:
        expected = catalog_of(parameters, [m for m in migrations if position(m.name) <= last])
    report = adopt(parameters, folder, through, expected=expected, allow_drift=allow_drift)
    if json:
        print_json(report)
    else:
        print(f"Taken as applied: {len(report.marked)} migrations; copied from Prisma's ledger: {len(report.adopted)}.")


@task("migrate.reset", help={**_JSON, **_YES})
def reset(context: Context, yes: bool = False, json: bool = False) -> None:
    """Drop everything in the database and apply all migrations again; refused in production."""
    from legal_store.cli.confirm import confirm
    from legal_store.config import settings
    from legal_store.database.target import describe_target
    from legal_store.migrate.corrections import reset as start_over
    from legal_store.production import refuse_production

    refuse_production("Resetting the database", settings())
    parameters, folder = _target()
    confirm(f"Drop every table and row of {describe_target(parameters)}?", yes=yes)
    report = start_over(parameters, folder, settings(), progress=lambda name: say(f"applying {name}"))
    _show_deploy(report, json)


def _ask_about_rename() -> Any:
    """A question for each possible rename; None where nobody can answer."""
    import sys

    from legal_store.errors import RefusedError

    if not sys.stdin.isatty():
        return None

    def ask(rename: Any) -> bool:
        was, _, now = str(rename).partition("=")
        print(
            f"Is {now} the new name of {was}? Otherwise {was} is dropped. [y/n] ", end="", file=sys.stderr, flush=True
        )
        while (answer := sys.stdin.readline().strip().lower()) not in ("y", "yes", "n", "no"):
            if not answer:
                raise RefusedError("Not answered.", remedy="Nothing was written.")
            print("y or n? ", end="", file=sys.stderr, flush=True)
        return answer.startswith("y")

    return ask


def _target() -> tuple[dict[str, Any], Any]:
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters

    return connection_parameters(settings()), settings().migrations_dir


def _deploy(**options: Any) -> DeployReport:
    from legal_store.config import settings
    from legal_store.migrate import deploy as apply

    return apply(
        *_target(),
        progress=lambda name: say(f"applying {name}"),
        say=say,
        production=settings().production,
        **options,
    )


def _show_deploy(report: DeployReport, json: bool) -> None:
    for warning in report.warnings:
        say(f"warning: {warning}")
    if json:
        print_json(report)
    elif report.applied:
        print(f"Applied {len(report.applied)} migrations; {report.already_applied} were there.")
    else:
        print(f"Nothing to do: all {report.already_applied} migrations are applied.")


def _history_row(attempt: Any) -> tuple[Any, ...]:
    finished = attempt.finished_at or attempt.rolled_back_at
    return (
        attempt.name,
        attempt.state,
        f"{attempt.started_at:%Y-%m-%d %H:%M:%S}",
        f"{finished:%Y-%m-%d %H:%M:%S}" if finished else "",
        "" if attempt.duration_ms is None else attempt.duration_ms,
        attempt.applied_steps_count,
        attempt.applied_by,
        attempt.tool_version,
        attempt.checksum[:12],
    )
