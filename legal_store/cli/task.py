"""Declares tasks: their full names, the reading of `.env`, and how their errors end."""

from __future__ import annotations

import errno
import functools
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import invoke
from invoke.exceptions import Exit

from legal_store.cli.render import addressed, say
from legal_store.cli.signals import ended_in_order, interrupted
from legal_store.cli.streams import told
from legal_store.errors import ConfigurationError, LegalStoreError, WrongUseError


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
            try:
                with ended_in_order(), told():
                    read_env_file(Path.cwd() / ".env")
                    _drop_what_a_killed_import_left()
                    return body(context, *args, **flags)
            except KeyboardInterrupt as error:
                raise interrupted(error) from None
            except Exception as error:  # noqa: BLE001  (unknown ones are raised again)
                raise _exit_for(error) from None

        declared = cast(invoke.Task[Any], invoke.task(guarded, name=name, klass=_Task, **options))
        return declared

    return declare


class _CheckedArgument(invoke.Argument):
    """A flag that says what is wrong with its value. Invoke shows a traceback for what is no number."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        try:
            super().set_value(value, cast)
        except ValueError:
            raise Exit(f"{self} {value} is no whole number.", code=WrongUseError.exit_code) from None

    def __repr__(self) -> str:
        """Stand in Invoke's own messages about this flag."""
        return f"--{str(self.name).replace('_', '-')}"


class _Task(invoke.Task[Any]):
    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[invoke.Argument]:
        arguments = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            argument.__class__ = _CheckedArgument
        return arguments


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
    """Add the variables of a `.env` file to the environment; those already set stay. No file is no error.

    Raises ConfigurationError when it is not UTF-8.
    """
    if path.is_file():
        from dotenv import load_dotenv

        try:
            load_dotenv(path, override=False)
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"{path} is not UTF-8 ({error.reason} at byte {error.start}).", remedy="Save it as UTF-8."
            ) from None


def _exit_for(error: Exception) -> Exception:
    known = error if isinstance(error, LegalStoreError) else _translated(error)
    if known is None:
        return error
    if logging.getLogger("invoke").isEnabledFor(logging.DEBUG):
        traceback.print_exception(error, file=sys.stderr)
    return Exit(addressed(str(known)), code=known.exit_code)


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
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _NO_ROOM):
        file = error.filename or "A file cannot be written"
        return LegalStoreError(f"{file}: {error.strerror}.", remedy="Check the path, rights and free space.")
    return None


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # write() does not name its file, as open() does
