"""Sessions as services see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from os import urandom
from typing import Any, NamedTuple

from legal_store.errors import ConfigurationError, SessionConflictError, SessionGoneError, WrongUseError
from legal_store.keyvalue import Connection, Health, Limits
from legal_store.sessions.lists import Lists
from legal_store.sessions.names import Names, Tags
from legal_store.sessions.records import Owners, Session, SessionInfo, owners_of
from legal_store.sessions.seal import Seal
from legal_store.sessions.store import Beginning, Lives, Store, conflict, gone, milliseconds

PREFIX = "session:"
# two attempts: a session call answers or raises within two seconds and a half
LIMITS = Limits(connect=0.4, answer=0.7, attempts=2)
GRACE_SECONDS = 10.0
ATTEMPTS = 50  # of an update that always finds another one ahead of it
_MARK = 12  # bytes of an epoch

Change = Mapping[str, Any] | Callable[[dict[str, Any]], Any]


class Ticket(NamedTuple):
    """The epochs of a user and a firm before a login was checked: a revocation in between makes it void."""

    epochs: bytes
    user_id: str
    firm_id: str


class SessionManager:
    """Sessions in Redis that end when they should and stay ended.

    Only a keyed hash of an id is in Redis. A session ends `idle` seconds after its last refresh (24 h by default) and,
    however often it is refreshed or given a new id, `absolute` seconds after it began (7 days). Deleting all sessions
    of a user or a firm is one removal, and no write that races with it survives. While Redis is away every call raises
    ServerUnavailableError within 2.5 s: nobody is let in on a guess.

    `url`, `secret`, `idle`, `absolute`, `encrypted`: by default those of the settings.
    """

    def __init__(
        self,
        url: str | Callable[[], str] | None = None,
        *,
        secret: str | None = None,
        idle: float | None = None,
        absolute: float | None = None,
        encrypted: bool | None = None,
        prefix: str = PREFIX,
        limits: Limits = LIMITS,
    ) -> None:
        self.connection = Connection(url, limits)
        self.prefix = prefix
        self._secret = secret
        self._idle = idle if idle is None else _positive("idle", idle)
        self._absolute = absolute if absolute is None else _positive("absolute", absolute)
        self._encrypted = encrypted

    # one session

    def create(
        self,
        data: Mapping[str, Any],
        *,
        user_id: Any = None,
        firm_id: Any = None,
        device: str = "",
        replaces: str | None = None,
        ticket: Ticket | None = None,
    ) -> Session:
        """Begin a session with a new id of 256 random bits (`.id`; give it to the client, log it nowhere).

        User and firm are taken from `data` (userId, user_id, firmId, firm_id) where they are not given. `replaces`:
        the id that the client had before signing in, which ends first (session fixation). `ticket`: see `ticket`;
        raises SessionGoneError when all sessions of user or firm were revoked since it was drawn.
        """
        owners = owners_of(data, user_id, firm_id)
        if ticket is not None and (ticket.user_id, ticket.firm_id) != owners:
            raise WrongUseError("This ticket was drawn for another user or firm.")
        if replaces is not None:
            self.delete(replaces)
        needs = (ticket.epochs[:_MARK], ticket.epochs[_MARK:]) if ticket else (b"", b"")
        return self._store.begin(self._new(owners, data)._replace(device=device, needs=needs))

    def ticket(self, *, user_id: Any, firm_id: Any = "") -> Ticket:
        """Note the state of user and firm before a password is checked; `create` then refuses when all their sessions
        were revoked in between."""
        user, firm = str(user_id), str(firm_id or "")
        tags = self._names.tags(user, firm)
        return Ticket(self._store.user_epoch(tags) + self._store.firm_epoch(tags), user, firm)

    def set(self, session_id: str, data: Mapping[str, Any], ttl: float | None = None, *, device: str = "") -> Session:
        """Store a session under an id that the service chose itself, and return it; one that is there is replaced.

        `ttl`: seconds of idle time instead of the default. An id that `create` made is never adopted: the data of its
        living session are replaced as by `update` (mind the new id), SessionGoneError is raised where there is none.
        Prefer `create`: ids that can be guessed are stolen.
        """
        idle = None if ttl is None else milliseconds(_positive("ttl", ttl))
        if self._names.tags_of(session_id) is not None:
            if idle is not None or device:
                raise WrongUseError("create() made this id: its idle time and its device stay as they are.")
            return self.update(session_id, lambda found: _replace(found, data))
        owners = owners_of(data)
        tags = self._names.tags(owners.user or f"id {session_id}", owners.firm)
        place = self._names.place(tags, self._names.hash(session_id))
        previous = self._store.locate(session_id)
        if previous is not None and previous.tags != tags:
            self._store.drop(previous)
        self._store.point(place)
        return self._store.begin(Beginning(session_id, place, dict(data), owners, device, idle=idle, replace=True))

    def get(self, session_id: str) -> Session | None:
        """Return the living session, None for an id that is unknown, over, deleted or revoked. One round trip (two
        for an id of the service's own making). Does not extend its life: see `refresh`."""
        return self._store.read(session_id)

    def exists(self, session_id: str) -> bool:
        """Whether `get` would return a session."""
        return self.get(session_id) is not None

    def update(self, session_id: str, change: Change, *, grace: float = GRACE_SECONDS) -> Session:
        """Change a living session and return it; parallel changes are all kept, one after the other.

        `change`: values to add or replace, or a function that changes the dict it is given; it may run again when
        another update came first. When it changes who the user is or what he may do, the session of an id of ours
        gets a new `.id`, see `save`. Raises SessionGoneError, and brings nothing back; SessionConflictError when the
        id was rotated.
        """
        return self._repeated(session_id, change, lambda session: self.save(session, grace=grace))

    def save(self, session: Session, *, grace: float = GRACE_SECONDS) -> Session:
        """Write a session that `get` returned and the caller changed, start its idle time anew, and return it.

        Where userId, firmId, role or permissions were changed, the one returned has a new `.id` for the client's
        cookie; the old one still shows what it held for `grace` seconds, see `rotate`. Raises SessionConflictError
        when somebody else changed the session meanwhile, SessionGoneError when it is over.
        """
        if session.has_other_privileges and self._names.tags_of(session.id):
            return self._rotated(session, grace)
        place = self._store.locate(session.id)
        if place is None:
            raise gone()
        if _owners_after(session) != (session.info.user_id, session.info.firm_id):
            raise WrongUseError("A session under a chosen id cannot go to another user.", remedy="Use set().")
        version = self._store.write(place, session)
        return Session(dict(session), session.id, version, session.info, session.kept, retired=False)

    def refresh(self, session_id: str) -> bool:
        """Start the idle time anew; return whether the session lives. Never beyond its absolute end."""
        place = self._store.locate(session_id)
        return place is not None and self._store.refresh(place)

    def rotate(self, session_id: str, change: Change | None = None, *, grace: float = GRACE_SECONDS) -> Session:
        """Give the session a new id, with `change` applied, and return it. Its longest life goes on as it was.

        For `grace` seconds the old id still shows what it held before, unchangeable, so that requests that are under
        way are not thrown out; 0 ends it at once. Raises SessionGoneError, and SessionConflictError when a parallel
        call rotated it first.
        """
        return self._repeated(session_id, change or {}, lambda session: self._rotated(session, grace))

    def delete(self, session_id: str) -> bool:
        """End one session (logout); return whether there was one. Nothing brings it back.

        A session that was given a new id a moment ago ends under both, whichever of them is named.
        """
        place = self._store.locate(session_id)
        return place is not None and self._store.end(place)

    # many sessions

    def list_user_sessions(self, user_id: Any) -> list[SessionInfo]:
        """Return the living sessions of a user, the one seen last first."""
        return self._lists.of_user(str(user_id))

    def list_firm_sessions(self, firm_id: Any) -> list[SessionInfo]:
        """Return the living sessions of a firm, the one seen last first."""
        return self._lists.of_firm(str(firm_id))

    def list_all_sessions(self) -> Iterator[SessionInfo]:
        """Yield every living session, walking through the keys in steps."""
        return self._lists.all(self.prefix)

    def delete_user_sessions(self, user_id: Any) -> int:
        """End all sessions of a user at once; return how many there were. No write that races with it survives.

        Those whose idle time was over count until the nightly `cleanup`. Raises WrongUseError where nobody is named.
        """
        return self._lists.end_of_user(_named("user", user_id))

    def delete_user_session(self, user_id: Any, ref: str) -> bool:
        """End the one session of a user that `list_user_sessions` shows as `ref`; return whether there was one."""
        place = self._lists.place_of(str(user_id), ref)
        return place is not None and self._store.end(place)

    def delete_firm_sessions(self, firm_id: Any) -> int:
        """End all sessions of a firm at once; return how many there were, counted as by `delete_user_sessions`. No
        write that races with it survives. Raises WrongUseError where no firm is named."""
        return self._lists.end_of_firm(_named("firm", firm_id))

    def delete_all_sessions(self) -> int:
        """End every session, walking through the keys in steps; return how many records went."""
        return self._lists.end_all(self.prefix)

    def cleanup(self) -> int:
        """Free the memory of sessions that were revoked and forget ended ones in the lists; return how many records
        went. Sessions end without it; run it nightly. Walks through the keys in steps."""
        return self._lists.clean_up(self.prefix)

    def health(self) -> Health:
        """Return whether Redis answers, how fast, and what is not as it should be. Never raises."""
        from legal_store.keyvalue.health import check

        return check(self.connection)

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self.connection.close()

    # parts

    @cached_property
    def _names(self) -> Names:
        return Names(self.prefix, self._key)

    @cached_property
    def _store(self) -> Store:
        settings = _settings()
        encrypted = settings.session_encrypted if self._encrypted is None else self._encrypted
        lives = Lives(self._idle or settings.session_ttl_s, self._absolute or settings.session_absolute_ttl_s)
        return Store(self.connection, self._names, Seal(self._key, encrypted=encrypted), lives)

    @cached_property
    def _lists(self) -> Lists:
        return Lists(self._store)

    @cached_property
    def _key(self) -> bytes:
        return (self._secret or _configured_secret()).encode()

    def _new(self, owners: Owners, data: Mapping[str, Any], tags: Tags | None = None) -> Beginning:
        """Return a session that is still to be written, with a new id."""
        tags = tags or self._names.tags(owners.user or f"anonymous {urandom(16).hex()}", owners.firm)
        session_id = self._names.new_id(tags)
        return Beginning(session_id, self._names.place(tags, self._names.hash(session_id)), dict(data), owners)

    def _repeated(self, session_id: str, change: Change, write: Callable[[Session], Session]) -> Session:
        """Read, change and write until nobody came in between."""
        for _ in range(ATTEMPTS):
            session = self.get(session_id)
            if session is None:
                raise gone()
            _apply(change, session)
            try:
                return write(session)
            except SessionConflictError:
                if session.retired:
                    raise
        raise SessionConflictError(
            f"{ATTEMPTS} attempts to update a session each found another change ahead of it.",
            remedy="Write less often, or keep what changes so often elsewhere.",
        )

    def _rotated(self, session: Session, grace: float) -> Session:
        """Begin the session anew under a new id, which nobody knows yet, and then let the old one end.

        What stays the same keeps its epoch: a revocation that comes in between ends the new one too.
        """
        place = self._store.locate(session.id)
        if place is None:
            raise gone()
        if session.retired:
            raise conflict()
        before, owners = session.info, _owners_after(session)
        same_user, same_firm = owners.user == before.user_id, owners.firm == before.firm_id
        tags = self._names.tags(owners.user, owners.firm)
        if same_user:  # also nobody, whose tag is random
            tags = Tags(place.tags.user, tags.firm)
        kept = session.kept
        new = self._new(owners, session, tags)._replace(
            device=before.device,
            created=round(before.created_at.timestamp() * 1000),
            needs=(kept.epochs[:_MARK] if same_user else b"", kept.epochs[_MARK:] if same_firm else b""),
            idle=kept.idle,
            end=kept.end,
            before=place.path,
        )
        heir = self._store.begin(new)
        try:
            self._store.retire(place, session.version, new.place, grace)
        except (SessionGoneError, SessionConflictError):
            self._store.drop(new.place)
            raise
        return heir


def _settings() -> Any:
    from legal_store.config import settings

    return settings()


def _configured_secret() -> str:
    found = _settings()
    if found.session_secret is not None:
        return str(found.session_secret)
    if found.production:
        raise ConfigurationError(
            "LEGAL_STORE_SESSION_SECRET is not set.",
            remedy="Set it to the same text in all services, for instance of `openssl rand -base64 48`.",
        )
    return "the secret of development machines, known to everybody"


def _apply(change: Change, data: dict[str, Any]) -> None:
    if callable(change):
        change(data)
    else:
        data.update(change)


def _replace(found: dict[str, Any], data: Mapping[str, Any]) -> None:
    found.clear()
    found.update(data)


def _owners_after(session: Session) -> Owners:
    """Return whose the session is now: data that name nobody leave it to whom it belonged."""
    named = owners_of(session)
    return Owners(named.user or session.info.user_id, named.firm or session.info.firm_id)


def _positive(name: str, seconds: float) -> float:
    if not 0 < seconds <= 10 * 365 * 86_400:
        raise WrongUseError(f"{name} is more than 0 seconds and at most ten years, not {seconds}.")
    return seconds


def _named(what: str, given: Any) -> str:
    if given is None or given == "":
        raise WrongUseError(f"No {what} was named: no session was ended.", remedy=f"Give the {what}'s id.")
    return str(given)
