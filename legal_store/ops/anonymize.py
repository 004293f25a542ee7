"""Production data made safe for development, with proof."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from invoke import Context

from legal_store.cli.masking import report_file, show_report
from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task
from legal_store.config import own_or_shipped

if TYPE_CHECKING:
    from legal_store.anonymize import Preview


@task(
    "anonymize",
    help={
        "rules": "the rules file (anonymize.toml)",
        "dry-run": "show ten rows per table before and after, and the statements; changes nothing",
        "yes": "do not ask; the name of the database is then taken as typed",
        "key-file": "keep the key there, so that other runs give the same pseudonyms (none by default)",
        "forget-key": "destroy the key in --key-file afterwards: nobody can repeat or undo the masking",
        "no-proof": "do not search for real values afterwards (not for data that leaves production)",
        "report": "write the report there as a page to read (.html) or as JSON",
        "json": "print JSON",
    },
)
def anonymize(
    context: Context,
    rules: str = "anonymize.toml",
    dry_run: bool = False,
    yes: bool = False,
    key_file: str = "",
    forget_key: bool = False,
    no_proof: bool = False,
    report: str = "",
    json: bool = False,
) -> None:
    """Replace all personal data in the development database, in one transaction, and prove that none survived."""
    from contextlib import closing
    from pathlib import Path

    from legal_store import anonymize as masking
    from legal_store.errors import WrongUseError

    if forget_key and not key_file:
        raise WrongUseError("--forget-key needs --key-file.", remedy="Without a key file the key is never stored.")
    if dry_run and report:
        raise WrongUseError("--report is of a run, and --dry-run is none.", remedy="Leave one of them out; see --json.")
    _refuse_production()
    chosen = masking.read_rules(own_or_shipped(rules))
    with closing(_connect()) as connection:
        masking.plan(connection, chosen)
        connection.rollback()
        if dry_run:
            keep = key_file and Path(key_file).exists()
            key = masking.kept_key(Path(key_file)) if keep else masking.new_key()
            _show_preview(masking.preview(connection, chosen, key), json)
            return
        _confirm(connection.info.dbname, yes)
        with report_file(report) as write_report:
            key = masking.kept_key(Path(key_file)) if key_file else masking.new_key()
            done = masking.anonymize(
                connection, chosen, key, proof=not no_proof, progress=lambda step: say(f"... {step}")
            )
            if forget_key:
                masking.forget_key(Path(key_file))
            done = done._replace(untidied=(*done.untidied, *empty_cache()))
            print_json(done) if json else show_report(done)
            write_report(done)


def empty_cache() -> tuple[str, ...]:
    """Remove all cached values, which may be real ones; return what is left to do, if it cannot be done."""
    from legal_store.errors import LegalStoreError
    from legal_store.ops.cache import patient_cache

    say("... empty the cache")
    try:
        removed = patient_cache().clear().removed
    except LegalStoreError as error:
        why = error.message.rstrip(".")
        return (f"cached values, which may be real ({why}); run `invoke cache.clear` with the Redis of the services",)
    say(f"{removed} cached values removed; sessions stay (`session.revoke --all` ends them)")
    return ()


@task(
    "anonymize.rules",
    help={
        "rules": "the rules file",
        "suggest": "write lines for columns that are not listed yet",
        "json": "print JSON",
    },
)
def rules(context: Context, rules: str = "anonymize.toml", suggest: bool = False, json: bool = False) -> None:
    """List the strategies, or with --suggest propose lines for unlisted columns; exit code 1 where there are some."""

    from legal_store.anonymize import strategies
    from legal_store.errors import CheckFailedError

    if not suggest:
        rows = [(s.name, s.purpose, ", ".join(s.kinds), "yes" if s.injective else "") for s in strategies().values()]
        if json:
            print_json([dict(zip(("name", "purpose", "types", "injective"), row, strict=True)) for row in rows])
        else:
            print_table("Strategies", ("name", "what it makes", "types", "for unique columns"), rows)
        return
    found = _suggestions(own_or_shipped(rules))
    if json:
        print_json(found)
    else:
        for table, lines in found.items():
            print("\n".join([f'[tables."{table}"]' if "." in table else f"[tables.{table}]", *lines, ""]))
    if found:
        raise CheckFailedError(
            f"{sum(map(len, found.values()))} columns are not listed in {rules}.",
            remedy="Read the lines, correct them and add them to the file.",
        )


def _suggestions(path: Any) -> dict[str, list[str]]:
    from contextlib import closing

    from legal_store.anonymize.rules import Proof, Rules, read_rules
    from legal_store.anonymize.suggesting import suggestions

    known = read_rules(path) if path.exists() else Rules(str(path), {}, frozenset(), Proof())
    with closing(_connect()) as connection, connection.cursor() as cursor:
        return suggestions(cursor, known)


def _connect() -> Any:
    from legal_store.config import settings
    from legal_store.database.plain import connect
    from legal_store.database.target import connection_parameters

    return connect(connection_parameters(settings()))


def _refuse_production() -> None:
    from legal_store.config import settings
    from legal_store.production import refuse_production

    refuse_production("Anonymizing", settings())


def _confirm(database: str, yes: bool) -> None:
    from legal_store.errors import RefusedError

    if yes:
        return
    question = f'All personal data in "{database}" will be replaced for good (`invoke backup` first keeps a way back).'
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} Nobody is here to confirm.", remedy="Pass --yes if it is meant.")
    print(f"{question}\nType the name of the database: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != database:
        raise RefusedError("Not confirmed.", remedy="Nothing was changed.")


def _show_preview(preview: Preview, json: bool) -> None:
    if json:
        print_json(preview)
        return
    for sample in preview.samples:
        rows = [
            tuple(f"{_short(old)} -> {_short(new)}" for old, new in zip(before, after, strict=True))
            for before, after in zip(sample.before, sample.after, strict=True)
        ]
        print_table(sample.table, sample.columns, rows)
    for statement in preview.statements:
        print(f"{statement};")


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
