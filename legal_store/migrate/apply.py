"""Applies one migration: whole in one transaction, or, where its file says so, statement by statement."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg2

from legal_store.errors import LegalStoreError, MigrationError, OperationFailedError
from legal_store.migrate import ledger
from legal_store.migrate.budget import BlockerWatch, LockBudget, pause
from legal_store.migrate.checkpoint import Checkpoint
from legal_store.migrate.drift import record_catalog
from legal_store.migrate.files import Migration
from legal_store.migrate.ledger import Attempt, StepRecord
from legal_store.migrate.probe import already_done, refuse_unfinished_index
from legal_store.migrate.sessions import WORKER_SETTINGS
from legal_store.migrate.steps import Script, Step, up_script

_LOCK_NOT_AVAILABLE = "55P03"
_NOT_IN_A_TRANSACTION = "25001"
# what passes by itself: connection, conflict with others, resources, lock timeout, cancelled or shut down
_PASSING = ("08", "40", "53", "55P03", "57")


class Event(NamedTuple):
    """A moment in a deploy: "step" before statement `number` of `total`, "stepped" after it, "recorded" before the
    commit, "committed" after it."""

    moment: str
    migration: str
    number: int
    total: int
    text: str


class Session:
    """The worker's connection, and how it should behave."""

    def __init__(
        self,
        connection: Any,
        watch: BlockerWatch | None = None,
        budget: LockBudget | None = None,
        observe: Callable[[Event], None] = lambda event: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.connection = connection
        self.watch = watch
        self.budget = budget or LockBudget()
        self.observe = observe
        self.say = say
        self.keep_catalog = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('search_path')")
            self.search_path = cursor.fetchone()[0]

    def execute(self, statement: str, parameters: Any = None) -> None:
        with self.connection.cursor() as cursor:
            # without parameters psycopg2 leaves a plain % alone
            cursor.execute(statement, parameters)

    def set_lock_timeout(self, seconds: float, *, local: bool) -> None:
        self.execute("SELECT set_config('lock_timeout', %s, %s)", (f"{round(seconds * 1000)}ms", local))

    def back_to_own_settings(self) -> None:
        """Undo, inside the transaction, what a migration set and the ledger cannot work with."""
        self.execute(
            "SELECT set_config('search_path', %s, true), set_config('role', 'none', true)", (self.search_path,)
        )

    def forget_settings(self) -> None:
        """Undo, after a migration, every SET of it that outlived its transaction."""
        self.execute(f"RESET ALL; {WORKER_SETTINGS}; RESET ROLE")

    def roll_back(self) -> None:
        if not self.connection.closed:
            self.execute("ROLLBACK")


def apply(session: Session, migration: Migration, attempt: Attempt | None = None) -> None:
    """Apply `migration`; `attempt` is the ledger's row of an earlier try that died in the middle.

    Raises MigrationError with the statement, its line and PostgreSQL's words, and with the state that it leaves.
    """
    if migration.transactional:
        _patiently(session, migration.name, lambda: _apply_whole(session, migration))
    else:
        _apply_stepwise(session, migration, attempt)
    session.forget_settings()


def _apply_whole(session: Session, migration: Migration) -> None:
    began = time.monotonic()
    del session.connection.notices[:]
    session.execute("BEGIN")
    try:
        session.set_lock_timeout(session.budget.lock_timeout, local=True)
        script = up_script(migration, session.connection)
        for number, step in enumerate(script.steps, 1):
            _run(session, script, number, step)
        session.back_to_own_settings()
        with session.connection.cursor() as cursor:
            ledger.record_applied(cursor, migration, len(script.steps), _since(began), _notices(session))
        if session.keep_catalog:
            record_catalog(session.connection)
        session.observe(Event("recorded", migration.name, len(script.steps), len(script.steps), ""))
        session.execute("COMMIT")
    except BaseException as error:
        _take_back(session, migration, error, began)
        raise
    session.observe(Event("committed", migration.name, len(script.steps), len(script.steps), ""))


def _take_back(session: Session, migration: Migration, error: BaseException, began: float) -> None:
    """Roll back and write down why, unless it will be tried again or the connection is gone."""
    session.roll_back()
    if session.connection.closed or not isinstance(error, Exception) or _sqlstate(error) == _LOCK_NOT_AVAILABLE:
        return
    with session.connection.cursor() as cursor:
        ledger.record_rolled_back(cursor, migration, str(error)[:4000], _since(began))


def _apply_stepwise(session: Session, migration: Migration, attempt: Attempt | None) -> None:
    began = time.monotonic()
    del session.connection.notices[:]
    script = up_script(migration, session.connection)
    with session.connection.cursor() as cursor:
        attempt_id = attempt.id if attempt else ledger.record_start(cursor, migration)
        known = ledger.read_steps(cursor, attempt_id)
    _refuse_changed_steps(script, known)
    if known:
        session.say(f"continuing {migration.name} after {sum(s.finished for s in known.values())} finished statements")
    for number in range(1, len(script.steps) + 1):
        record = known.get(number)
        if record is None or not record.finished:
            _one_step(session, script, attempt_id, number, begun=record is not None)
    session.execute("BEGIN")
    session.back_to_own_settings()
    with session.connection.cursor() as cursor:
        ledger.record_finish(cursor, attempt_id, migration, _since(began), _notices(session))
    if session.keep_catalog:
        record_catalog(session.connection)
    session.observe(Event("recorded", migration.name, len(script.steps), len(script.steps), ""))
    session.execute("COMMIT")
    session.observe(Event("committed", migration.name, len(script.steps), len(script.steps), ""))


def _one_step(session: Session, script: Script, attempt_id: str, number: int, *, begun: bool) -> None:
    def run() -> None:
        try:
            _step_in_transaction(session, script, attempt_id, number)
        except psycopg2.Error as error:
            if error.pgcode != _NOT_IN_A_TRANSACTION:
                raise
            _step_outside(session, script, attempt_id, number, begun=begun)

    try:
        _patiently(session, script.migration.name, run)
    except LegalStoreError:
        raise
    except psycopg2.Error as error:
        passing = error.pgcode is None or error.pgcode.startswith(_PASSING)
        if not session.connection.closed:
            with session.connection.cursor() as cursor:
                ledger.record_failure(cursor, attempt_id, None if passing else _words(error))
        raise _step_failure(script, number, error, passing=passing) from error


def _step_in_transaction(session: Session, script: Script, attempt_id: str, number: int) -> None:
    step = script.steps[number - 1]
    if step.own_transactions:
        _run(
            session,
            script,
            number,
            step,
            Checkpoint(session.connection, attempt_id, number, step.checksum, session.say),
        )
        with session.connection.cursor() as cursor:
            ledger.record_step(cursor, attempt_id, number, step.checksum)
        return
    session.execute("BEGIN")
    try:
        session.set_lock_timeout(session.budget.timeout_for([step.text] if step.is_sql else []), local=True)
        _run(session, script, number, step, wrap_errors=False)
        session.back_to_own_settings()
        with session.connection.cursor() as cursor:
            ledger.record_step(cursor, attempt_id, number, step.checksum)
        session.observe(Event("recorded", script.migration.name, number, len(script.steps), step.text))
        session.execute("COMMIT")
    except BaseException:
        session.roll_back()
        raise
    session.observe(Event("committed", script.migration.name, number, len(script.steps), step.text))


def _step_outside(session: Session, script: Script, attempt_id: str, number: int, *, begun: bool) -> None:
    step = script.steps[number - 1]
    with session.connection.cursor() as cursor:
        done = already_done(session.connection, step.text, begun=begun)
        ledger.record_intent(cursor, attempt_id, number, step.checksum)
        if not done:
            session.set_lock_timeout(session.budget.patient_timeout, local=False)
            _run(session, script, number, step, wrap_errors=False)
            refuse_unfinished_index(session.connection, step.text)
        session.observe(Event("recorded", script.migration.name, number, len(script.steps), step.text))
        ledger.record_step(cursor, attempt_id, number, step.checksum)
    session.observe(Event("committed", script.migration.name, number, len(script.steps), step.text))


def _run(
    session: Session,
    script: Script,
    number: int,
    step: Step,
    checkpoint: Checkpoint | None = None,
    *,
    wrap_errors: bool = True,
) -> None:
    event = Event("step", script.migration.name, number, len(script.steps), step.text)
    session.observe(event)
    try:
        if step.call is not None:
            step.call(checkpoint or Checkpoint(session.connection, None, number, "", session.say))
        else:
            session.execute(step.text)
    except psycopg2.Error as error:
        if not wrap_errors or error.pgcode == _LOCK_NOT_AVAILABLE:
            raise
        raise failure(script, number, error) from error
    session.observe(event._replace(moment="stepped"))


def _patiently(session: Session, name: str, run: Callable[[], None]) -> None:
    """Run again after a lock timeout, until the budget of the migration is spent."""
    deadline = time.monotonic() + session.budget.total
    attempt = 0
    while True:
        attempt += 1
        blockers = ""
        try:
            if session.watch is None:
                run()
                return
            with session.watch.watching() as watch:
                try:
                    run()
                    return
                finally:
                    blockers = watch.report()
        except psycopg2.Error as error:
            if error.pgcode != _LOCK_NOT_AVAILABLE:
                raise
            wait = pause(attempt)
            if time.monotonic() + wait > deadline:
                raise OperationFailedError(
                    f"Migration {name} did not get its lock in {attempt} tries over {session.budget.total:g} s, "
                    f"each of at most {session.budget.lock_timeout:g} s.{blockers}\n",
                    remedy="Nothing of it was kept. Wait for the sessions above or end them (`invoke db.end PID`), "
                    "then run it again.",
                ) from error
            session.say(f"{name}: no lock yet, trying again in {wait:.1f} s{blockers}")
            time.sleep(wait)


def _refuse_changed_steps(script: Script, known: dict[int, StepRecord]) -> None:
    for number, record in known.items():
        step = script.steps[number - 1] if number <= len(script.steps) else None
        if record.finished and (step is None or step.checksum != record.checksum):
            raise MigrationError(
                f"Statement {number} of {script.migration.name} ran before the migration died, and was changed since.",
                remedy="Put it back as it was, or say what is true with `invoke migrate.resolve`.",
            )


def failure(script: Script, number: int, error: psycopg2.Error) -> MigrationError:
    """Return what to raise where one statement of a transaction failed."""
    return MigrationError(
        f"Migration {_place(script, number)} failed: {_words(error)}",
        remedy="Nothing of it was kept; correct the cause and run the command again.",
    )


def _step_failure(script: Script, number: int, error: Any, *, passing: bool) -> MigrationError:
    name = script.migration.name
    kept = f"Statements before number {number} are kept. "
    remedy = (
        "Run the command again: it continues there."
        if passing
        else f"Correct the cause, then `invoke migrate.resolve {name} --retry` continues there with the next deploy."
    )
    return MigrationError(f"Migration {_place(script, number)} failed: {_words(error)}", remedy=kept + remedy)


def _place(script: Script, number: int) -> str:
    line = script.steps[number - 1].line
    return script.migration.name if not line else f"{script.migration.name} (statement {number}, line {line})"


def _words(error: Any) -> str:
    hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
    detail = f" {error.diag.message_detail.rstrip('.')}." if error.diag.message_detail else ""
    message = str(error.diag.message_primary or error).strip().partition("\n")[0].rstrip(".")
    return f"{message} (SQLSTATE {error.pgcode}).{detail}{hint}"


def _sqlstate(error: BaseException) -> str | None:
    return getattr(error, "pgcode", None) or getattr(error.__cause__, "pgcode", None)


def _notices(session: Session) -> str | None:
    return "".join(session.connection.notices)[-4000:] or None


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
