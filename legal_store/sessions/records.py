"""What callers get: a session with its data, and what can be said about one without its id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from legal_store.errors import WrongUseError

USER_NAMES = ("userId", "user_id")
FIRM_NAMES = ("firmId", "firm_id")
PRIVILEGES = (*USER_NAMES, *FIRM_NAMES, "role", "permissions")


class SessionInfo(NamedTuple):
    """About one session. `ref` names it in lists without being of use as an id; times are UTC."""

    ref: str
    user_id: str
    firm_id: str
    device: str
    created_at: datetime
    last_seen: datetime
    expires_at: datetime


class Kept(NamedTuple):
    """What a session takes along when it gets a new id."""

    epochs: bytes  # of user and firm
    end: int  # of its longest life, in milliseconds since 1970
    idle: int | None  # milliseconds, where they are not the default


class Session(dict[str, Any]):
    """The data of a session, as a dict, and with it what is known about the session.

    `id` is what the client keeps; `version` grows with every change; `info` is about user, device and times;
    `retired`: another id has taken this one's place, and it only answers for a moment longer.
    """

    def __init__(
        self, data: dict[str, Any], session_id: str, version: int, info: SessionInfo, kept: Kept, *, retired: bool
    ) -> None:
        super().__init__(data)
        self.id = session_id
        self.version = version
        self.info = info
        self.retired = retired
        self.kept = kept
        self._privileges = privileges(data)

    @property
    def has_other_privileges(self) -> bool:
        """Whether the caller has changed since it was read who the user is, or what he may do."""
        return privileges(self) != self._privileges

    def __repr__(self) -> str:  # never the id
        return f"<Session {self.info.ref} of user {self.info.user_id or '-'}, version {self.version}>"


class Owners(NamedTuple):
    """Whose session it is, as texts; "" for nobody's and for no firm's."""

    user: str
    firm: str


def owners_of(data: Mapping[str, Any], user_id: Any = None, firm_id: Any = None) -> Owners:
    """Return the owners that were given, or else those that `data` names.

    Raises WrongUseError when they differ, or when `data` are no mapping.
    """
    if not isinstance(data, Mapping):
        raise WrongUseError(
            f"The data of a session are a mapping, not {type(data).__name__}.",
            remedy="Give a dict, which may be empty.",
        )
    return Owners(_owner(data, USER_NAMES, user_id), _owner(data, FIRM_NAMES, firm_id))


def privileges(data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values whose change gives a session a new id."""
    return tuple(data.get(name) for name in PRIVILEGES)


def describe(hashed: str, about: Mapping[str, Any], seen: Any, end: Any) -> SessionInfo:
    """Return what a record says about itself; times are milliseconds since 1970."""
    times = (about["created"], seen, end)
    return SessionInfo(hashed[:16], about["user"], about["firm"], about["device"], *map(_moment, times))


def _owner(data: Mapping[str, Any], names: tuple[str, ...], given: Any) -> str:
    named = [str(data[name]) for name in names if data.get(name) is not None]
    if given is None:
        return named[0] if named else ""
    if any(name != str(given) for name in named):
        raise WrongUseError(f"The session's data name {named[0]!r} as {names[0]}, the call names {str(given)!r}.")
    return str(given)


def _moment(milliseconds: int | str | bytes) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
