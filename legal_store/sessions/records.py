"""What callers get: a session with its data, and what can be said about one without its id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple


class SessionInfo(NamedTuple):
    """About one session. `ref` names it in lists without being of use as an id; times are UTC."""

    ref: str
    user_id: str
    firm_id: str
    device: str
    created_at: datetime
    last_seen: datetime
    expires_at: datetime


class Session(dict[str, Any]):
    """The data of a session, as a dict, and with it what is known about the session.

    `id` is what the client keeps; `version` grows with every change; `info` is about user, device and times;
    `retired`: another id has taken this one's place, and it only answers for a moment longer.
    """

    def __init__(self, data: dict[str, Any], session_id: str, version: int, info: SessionInfo, retired: bool) -> None:
        super().__init__(data)
        self.id = session_id
        self.version = version
        self.info = info
        self.retired = retired

    def __repr__(self) -> str:  # never the id
        return f"<Session {self.info.ref} of user {self.info.user_id or '-'}, version {self.version}>"


USER_NAMES = ("userId", "user_id")
FIRM_NAMES = ("firmId", "firm_id")


def named(data: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of `names` that `data` has, as text; "" for none."""
    return next((str(data[name]) for name in names if data.get(name) is not None), "")


def moment(milliseconds: int | str | bytes) -> datetime:
    """Return the UTC time so many milliseconds after 1970."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
