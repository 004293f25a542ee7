"""Sessions: who is signed in, sign them out, and the nightly cleaning."""

from __future__ import annotations

from typing import Any

from invoke import Context

from legal_store.cli.confirm import confirm
from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task


@task(
    "session.list",
    help={
        "user": "only this user's",
        "firm": "only this firm's",
        "limit": "show at most so many",
        "json": "print JSON",
    },
)
def list_sessions(context: Context, user: str = "", firm: str = "", limit: int = 100, json: bool = False) -> None:
    """List living sessions, the one seen last first; without --user or --firm it walks through all keys."""
    from itertools import islice

    from legal_store.sessions import session_manager

    _only_one_of(user=user, firm=firm)
    if limit < 1:
        _wrong("--limit must be 1 or more.")
    if user:
        found: Any = session_manager.list_user_sessions(user)
    elif firm:
        found = session_manager.list_firm_sessions(firm)
    else:
        found = session_manager.list_all_sessions()
    sessions = list(islice(found, limit))
    if json:
        print_json(sessions)
        return
    columns = ("ref", "user and firm", "device", "began, last seen, ends at the latest")
    print_table("Sessions (times are UTC)", columns, map(_row, sessions))
    if len(sessions) == limit:
        say(f"shown: the first {limit}; --limit shows more")


@task(
    "session.revoke",
    help={
        "user": "end all sessions of this user",
        "firm": "end all sessions of this firm",
        "all": "end every session",
        "ref": "with --user: only the session with this ref of session.list (its first 8 characters suffice)",
        "yes": "do not ask",
        "json": "print JSON",
    },
)
def revoke(
    context: Context,
    user: str = "",
    firm: str = "",
    all: bool = False,  # noqa: A002  (the flag's name)
    ref: str = "",
    yes: bool = False,
    json: bool = False,
) -> None:
    """End all sessions of a user or a firm at once, or, after a question, everybody's."""
    from legal_store.sessions import session_manager

    _only_one_of(user=user, firm=firm, all=all)
    if not (user or firm or all):
        _wrong("Whose sessions? Give --user, --firm or --all.")
    if ref and not user:
        _wrong("--ref needs --user.")
    if ref:
        ended = _end_one(session_manager, user, ref)
    elif user:
        ended = session_manager.delete_user_sessions(user)
    elif firm:
        ended = session_manager.delete_firm_sessions(firm)
    else:
        confirm("End the sessions of all users of all firms?", yes=yes)
        ended = session_manager.delete_all_sessions()
    print_json({"ended": ended}) if json else print(f"Ended {ended} session{'s' * (ended != 1)}.")


@task("session.cleanup", help={"json": "print JSON"})
def cleanup(context: Context, json: bool = False) -> None:
    """Free the memory of revoked sessions and tidy the lists; for a nightly job."""
    from legal_store.sessions import session_manager

    removed = session_manager.cleanup()
    print_json({"removed": removed}) if json else print(f"Cleaned up {removed} ended session{'s' * (removed != 1)}.")


def _row(info: Any) -> tuple[str, ...]:
    """Return a row of three lines, so that two ids and three times fit into a narrow terminal."""
    times = (info.created_at, info.last_seen, info.expires_at)
    return info.ref, f"{info.user_id}\n{info.firm_id}", info.device, "\n".join(f"{t:%Y-%m-%d %H:%M}" for t in times)


def _end_one(session_manager: Any, user: str, ref: str) -> int:
    from legal_store.errors import CheckFailedError

    if not session_manager.delete_user_session(user, ref):
        raise CheckFailedError(
            f"User {user} has no session {ref}.", remedy=f"`session.list --user {user}` shows those that live."
        )
    return 1


def _only_one_of(**given: Any) -> None:
    chosen = [f"--{name}" for name, value in given.items() if value]
    if len(chosen) > 1:
        _wrong(f"{' and '.join(chosen)} exclude each other.")


def _wrong(message: str) -> None:
    from legal_store.errors import WrongUseError

    raise WrongUseError(message)
