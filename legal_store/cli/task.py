"""Declares tasks: their full names, the reading of `.env`, and how their errors end."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import invoke
from invoke.exceptions import Exit

from legal_store.cli.render import say
from legal_store.errors import LegalStoreError, WrongUseError


def task(name: str, **options: Any) -> Callable[[Callable[..., Any]], invoke.Task[Any]]:
    """Declare a task by the name that is typed: "seed", or "migrate.deploy".

    Its docstring's first line is its help. Errors of our tree end it with one paragraph on stderr and their exit
    code; `invoke --debug` adds the traceback.
    """

    def declare(body: Callable[..., Any]) -> invoke.Task[Any]:
        @functools.wraps(body)
        def guarded(context: invoke.Context, *args: Any, **flags: Any) -> Any:
            if not _HELP_FLAGS.isdisjoint(value for value in (*args, *flags.values()) if isinstance(value, str)):
                return _print_help(declared)
            read_env_file(Path.cwd() / ".env")
            try:
                _drop_what_a_killed_import_left()
                return body(context, *args, **flags)
            except KeyboardInterrupt:
                raise Exit("Interrupted.", code=130) from None
            except Exception as error:  # noqa: BLE001  (unknown ones are raised again)
                raise _exit_for(error) from None

        guarded.__signature__ = _with_checked_numbers(inspect.signature(body))  # type: ignore[attr-defined]
        declared = cast(invoke.Task[Any], invoke.task(guarded, name=name, **options))
        return declared

    return declare


class WholeNumber(int):
    """The value of a flag whose default is an int. Invoke itself shows a traceback for what is no number."""

    def __new__(cls, value: str | int = 0) -> WholeNumber:
        try:
            return super().__new__(cls, value)
        except ValueError:
            raise Exit(f"{value!r} is no whole number.", code=WrongUseError.exit_code) from None


class Number(float):
    """The value of a flag whose default is a float."""

    def __new__(cls, value: str | float = 0) -> Number:
        try:
            return super().__new__(cls, value)
        except ValueError:
            raise Exit(f"{value!r} is no number.", code=WrongUseError.exit_code) from None


def _with_checked_numbers(signature: inspect.Signature) -> inspect.Signature:
    kinds: dict[type, type] = {int: WholeNumber, float: Number}
    return signature.replace(
        parameters=[
            one.replace(default=kinds[type(one.default)](one.default)) if type(one.default) in kinds else one
            for one in signature.parameters.values()
        ]
    )


_HELP_FLAGS = frozenset(("--help", "-h"))


def _print_help(task: invoke.Task[Any]) -> None:
    """Print a task's help. Invoke takes `TASK --help` for the first positional argument of a task that has one."""
    from legal_store.cli.discovery import collection_of

    program = invoke.Program(namespace=collection_of({task.name: task}), binary="invoke")
    program.run(["invoke", "--help", task.name], exit=False)


def _drop_what_a_killed_import_left() -> None:
    """Drop a quarantine with real data, whatever the task is. Costs a look into a folder where there was no kill."""
    from legal_store.config import settings
    from legal_store.database.target import connection_parameters
    from legal_store.errors import ConfigurationError

    try:
        notes = settings().import_notes
        parameters = connection_parameters(settings()) if any(notes.glob("*")) else None
    except ConfigurationError:  # whatever the task needs of it, it will say
        return
    if parameters is not None:
        from legal_store.importing import drop_what_was_left

        for name in drop_what_was_left(notes, parameters):
            say(f"dropped {name}, which a killed import had left")


@functools.lru_cache(maxsize=1)
def read_env_file(path: Path) -> None:
    """Add the variables of a `.env` file to the environment; those already set stay. No file is no error."""
    if path.is_file():
        from dotenv import load_dotenv

        load_dotenv(path, override=False)


def _exit_for(error: Exception) -> Exception:
    known = error if isinstance(error, LegalStoreError) else _translated(error)
    if known is None:
        return error
    if logging.getLogger("invoke").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error, file=sys.stderr)
    return Exit(str(known), code=known.exit_code)


def _translated(error: Exception) -> LegalStoreError | None:
    """Return our error for one of a driver or of the file system; None for what nobody expected."""
    drivers = [sys.modules.get("psycopg2"), sys.modules.get("peewee")]
    database_errors = tuple(
        getattr(driver, name)
        for driver, name in zip(drivers, ("Error", "PeeweeException"), strict=True)
        if driver is not None
    )
    if isinstance(error, database_errors):
        from legal_store.database.explain import statement_failure

        return statement_failure(error, "A statement")
    if isinstance(error, OSError) and error.filename is not None:
        failed = LegalStoreError(
            f"{error.filename}: {error.strerror}.", remedy="Check the path, rights and free space."
        )
        return failed
    return None
