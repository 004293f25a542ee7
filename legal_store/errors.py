"""Every error that legal_store raises on purpose.

    LegalStoreError                 catch this one to catch them all
    ├── WrongUseError               the caller asked for something that cannot be (exit code 2)
    │   ├── ConfigurationError      a setting is missing or wrong
    │   ├── RefusedError            a safety rule forbids it here
    │   ├── RulesError              the rules of anonymizing do not fit the database
    │   ├── FirmScopeError          a firm's data was touched outside its scope
    │   ├── NotConnectedError       the database was used outside `with db:`
    │   └── SearchInputError        a search got text, a vector or a filter that it cannot use
    ├── OperationFailedError        it was allowed and it failed (exit code 3)
    │   ├── ServerUnavailableError  PostgreSQL or Redis cannot be reached, or will not let us in
    │   ├── PoolExhaustedError      no connection of the pool became free in time
    │   ├── PoolClosedError         the pool was closed for good
    │   ├── EmbeddedServerError     the development servers could not be started or stopped
    │   ├── MigrationError          a migration could not be applied
    │   ├── LeakError               real values survived the masking, which was rolled back
    │   ├── SeedError               seed data could not be read or loaded
    │   ├── BackupError             a backup could not be made, read, listed or removed
    │   ├── RestoreError            a restore or its undo failed; the message says which database is live
    │   ├── SessionGoneError        a session that was to be changed is over, revoked or was never there
    │   ├── SessionConflictError    somebody else changed the session first
    │   └── SearchError             a search took longer than its limit, or an embedding could not be made
    └── CheckFailedError            the question was answered, and the answer is "no" (exit code 1)
        └── DamagedBackupError      a backup is not what it was when it was made, or not ours

A message says what failed, with which values; `remedy` says what to do next. Neither ever holds a password.
"""

from __future__ import annotations


class LegalStoreError(Exception):
    """Root of the tree. `exit_code` is what a task ends with when it meets this error."""

    exit_code = 3

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        gap = "" if self.message.endswith("\n") else " "  # after a list
        return f"{self.message}{gap}{self.remedy}".rstrip()


class WrongUseError(LegalStoreError):
    """The request itself is wrong; nothing was changed."""

    exit_code = 2


class ConfigurationError(WrongUseError):
    """One or more settings are missing or wrong."""


class NotConnectedError(WrongUseError):
    """The database was used by a thread, or an asyncio task, that has borrowed no connection."""


class RefusedError(WrongUseError):
    """A safety rule forbids this here, for instance a destructive task on a production database."""


class RulesError(WrongUseError):
    """The rules of anonymizing do not fit the database, or cannot be read; nothing was changed."""


class FirmScopeError(WrongUseError):
    """A firm's data was asked for outside any scope, or across firms; nothing was read or written."""


class SearchInputError(WrongUseError):
    """A search was given text, a vector, a limit or a filter that it cannot use; nothing was asked of the server."""


class OperationFailedError(LegalStoreError):
    """The operation was allowed, was tried and failed; the message says what state that leaves."""


class ServerUnavailableError(OperationFailedError):
    """PostgreSQL or Redis cannot be reached, or does not accept us. `reason` says why without naming the server."""

    reason = "the server cannot be reached"


class PoolExhaustedError(OperationFailedError):
    """All connections of the pool are in use, and none came back in time."""


class PoolClosedError(OperationFailedError):
    """The pool was drained and lends no more."""


class EmbeddedServerError(OperationFailedError):
    """A development server could not be prepared, started or stopped."""


class MigrationError(OperationFailedError):
    """A migration file could not be read or applied."""


class LeakError(OperationFailedError):
    """Real values survived the masking, or could not be looked for; everything was rolled back.

    `report` is the report of the run that was rolled back; it names places, never a value.
    """

    def __init__(self, message: str, *, remedy: str = "", report: object = None) -> None:
        super().__init__(message, remedy=remedy)
        self.report = report


class SeedError(OperationFailedError):
    """Seed data could not be read or loaded; nothing of it was kept."""


class BackupError(OperationFailedError):
    """A backup could not be made, read, listed or removed; nothing incomplete is ever listed as a backup."""


class RestoreError(OperationFailedError):
    """A restore, or its undo, failed; the message says which database is live."""


class SessionGoneError(OperationFailedError):
    """The session has ended, was deleted or revoked, or never was; it was not brought back."""


class SessionConflictError(OperationFailedError):
    """The session was changed by somebody else since it was read; nothing was written."""


class SearchError(OperationFailedError):
    """A search took longer than its own limit, or an embedding could not be made."""


class CheckFailedError(LegalStoreError):
    """The check ran and its answer is "no": pending migrations, an unhealthy server, invalid data."""

    exit_code = 1


class DamagedBackupError(CheckFailedError):
    """A backup is not what it was when it was made: changed, cut short, mixed with another, or of another key."""
