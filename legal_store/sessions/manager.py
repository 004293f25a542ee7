"""Sessions as services see them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from legal_store.errors import ConfigurationError, SessionConflictError, SessionGoneError, WrongUseError
from legal_store.keyvalue import Connection, Limits, Script, codec
from legal_store.keyvalue.globs import escape
from legal_store.sessions.names import Names, Tags
from legal_store.sessions.records import FIRM_NAMES, USER_NAMES, Session, SessionInfo, moment, named
from legal_store.sessions.scripts import CREATE, JOIN, REFRESH, RETIRE, REVOKE, SWEEP, UPDATE
from legal_store.sessions.seal import Seal

PREFIX = "session:"
# two attempts: a session call answers or raises within two seconds and a half
LIMITS = Limits(connect=0.4, answer=0.7, attempts=2)
GRACE_SECONDS = 10.0
PRIVILEGES = ("userId", "user_id", "firmId", "firm_id", "role", "permissions")
ATTEMPTS = 50  # of an update that always finds another one ahead of it
BATCH = 512
_FIELDS = ("e", "m", "d", "v", "n", "x", "r")
_MARK = 12  # bytes of an epoch

T = TypeVar("T")
Change = Mapping[str, Any] | Callable[[dict[str, Any]], Any]


class Ticket(NamedTuple):
    """The epochs of a user and a firm before a login was checked: a revocation in between makes it void."""

    epochs: bytes
    user_id: str
    firm_id: str


class _Place(NamedTuple):
    """Where the record of an id lies."""

    tags: Tags
    hashed: str
    record: str
    user_epoch: str
    firm_epoch: str


class _State(NamedTuple):
    """A record as it is: its fields, what it says about itself, and whether its epochs are the present ones."""

    place: _Place
    fields: list[Any]
    about: dict[str, Any]
    lives: bool


class SessionManager:
    """Sessions in Redis that end when they should and stay ended.

    Only a keyed hash of an id is in Redis. A session ends `idle` seconds after its last refresh (24 h by default) and,
    however often it is refreshed, `absolute` seconds after it began (7 days). Deleting all sessions of a user or a
    firm is one removal, and no write that races with it survives. While Redis is away every call raises
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
        self._given = (secret, idle, absolute, encrypted)

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
        if replaces is not None:
            self.delete(replaces)
        user, firm = self._owners(data, user_id, firm_id)
        tags = self._names.tags(user or f"anonymous {os.urandom(16).hex()}", firm)
        session_id = self._names.new_id(tags)
        if ticket is not None and (ticket.user_id, ticket.firm_id) != (user, firm):
            raise WrongUseError("This ticket was drawn for another user or firm.")
        return self._begin(session_id, tags, dict(data), user, firm, device, ticket.epochs if ticket else None)

    def ticket(self, *, user_id: Any, firm_id: Any = "") -> Ticket:
        """Note the state of user and firm before a password is checked; `create` then refuses when all their sessions
        were revoked in between."""
        user, firm = str(user_id), str(firm_id or "")
        tags = self._names.tags(user, firm)
        return Ticket(self._join(tags, ""), user, firm)

    def set(self, session_id: str, data: Mapping[str, Any], ttl: float | None = None, *, device: str = "") -> None:
        """Store a session under an id that the service chose itself; one that is there is replaced.

        `ttl`: seconds of idle time instead of the default. For an id that `create` made, only a living session is
        changed: raises SessionGoneError otherwise. Prefer `create`: ids that can be guessed are stolen.
        """
        if self._names.tags_of(session_id) is not None:
            self.update(session_id, lambda found: _replace(found, data))
            return
        hashed = self._names.hash(session_id)
        user, firm = self._owners(data, None, None)
        tags = self._names.tags(user or f"id {session_id}", firm)
        previous = self._ask(lambda: self._located(session_id))
        if previous is not None and previous.tags != tags:
            self._ask(lambda: self._removed(previous.tags, hashed))
        self._ask(
            lambda: self.connection.client.set(
                self._names.pointer(hashed), f"{tags.user}.{tags.firm}", px=_ms(self._absolute)
            )
        )
        self._begin(session_id, tags, dict(data), user, firm, device, None, idle=ttl, replace=True)

    def get(self, session_id: str) -> Session | None:
        """Return the living session, None for an id that is unknown, over, deleted or revoked. One round trip (two
        for an id of the service's own making). Does not extend its life: see `refresh`."""
        return self._ask(lambda: self._read(session_id))

    def exists(self, session_id: str) -> bool:
        """Whether `get` would return a session."""
        return self.get(session_id) is not None

    def update(self, session_id: str, change: Change, *, grace: float = GRACE_SECONDS) -> Session:
        """Change a living session and return it; parallel changes are all kept, one after the other.

        `change`: values to add or replace, or a function that changes the dict it is given; it may run again when
        another update came first. When it changes who the user is or what he may do (userId, firmId, role,
        permissions), the session of an id of ours gets a new `.id`, see `rotate`. Raises SessionGoneError, and
        brings nothing back.
        """
        for _ in range(ATTEMPTS):
            session = self._living(session_id)
            before = dict(session)
            _apply(change, session)
            if self._names.tags_of(session_id) and _privileges(before) != _privileges(session):
                return self._rotated(session, dict(session), grace)
            try:
                return self.save(session)
            except SessionConflictError:
                if self._living(session_id).retired:
                    raise
                continue
        raise SessionConflictError(
            f"{ATTEMPTS} attempts to update a session each found another change ahead of it.",
            remedy="Write less often, or keep what changes so often elsewhere.",
        )

    def save(self, session: Session) -> Session:
        """Write a session that `get` returned and the caller changed, and start its idle time anew.

        Raises SessionConflictError when somebody else changed it meanwhile, SessionGoneError when it is over.
        """
        place = self._ask(lambda: self._located(session.id))
        if place is None:
            raise _gone()
        sealed = self._seal.close(dict(session), f"{place.hashed} d")
        keys, mark = (place.record, place.user_epoch), os.urandom(_MARK)
        answer = self._run(UPDATE, keys, (session.version, sealed, mark, _ms(self._idle)))
        if answer == b"gone":
            raise _gone()
        if answer == b"conflict":
            raise SessionConflictError(
                "The session was changed by somebody else, or its id was rotated, since it was read.",
                remedy="Read it again, or use update(), which repeats by itself.",
            )
        return Session(dict(session), session.id, int(answer), session.info, False)

    def refresh(self, session_id: str) -> bool:
        """Start the idle time anew; return whether the session lives. Never beyond its absolute end."""

        def send() -> bool:
            place = self._located(session_id)
            if place is None:
                return False
            epochs = self.connection.run(REFRESH, (place.record, place.user_epoch), (_ms(self._idle),))
            return bool(epochs != b"gone" and self.connection.client.get(place.firm_epoch) == epochs[_MARK:])

        return self._ask(send)

    def rotate(self, session_id: str, change: Change | None = None, *, grace: float = GRACE_SECONDS) -> Session:
        """Give the session a new id, with `change` applied, and return it.

        For `grace` seconds the old id still shows what it held before, unchangeable, so that requests that are under
        way are not thrown out; 0 ends it at once. Raises SessionGoneError, and SessionConflictError when a parallel
        call rotated it first.
        """
        session = self._living(session_id)
        data = dict(session)
        if change is not None:
            _apply(change, data)
        return self._rotated(session, data, grace)

    def delete(self, session_id: str) -> bool:
        """End one session (logout); return whether there was one. Nothing brings it back."""

        def send() -> bool:
            place = self._located(session_id)
            if place is None:
                return False
            client = self.connection.client
            existed = client.unlink(place.record)
            self._forget(place)
            return bool(existed)

        return self._ask(send)

    # many sessions

    def list_user_sessions(self, user_id: Any) -> list[SessionInfo]:
        """Return the living sessions of a user, the one seen last first."""
        tag = self._names.tags(str(user_id), "").user
        hashes = [hashed.decode() for hashed in self._ask(lambda: self._listed(self._names.user_index(tag)))]
        return self._infos([(tag, hashed) for hashed in hashes])

    def list_firm_sessions(self, firm_id: Any) -> list[SessionInfo]:
        """Return the living sessions of a firm, the one seen last first."""
        tag = self._names.tags("", str(firm_id)).firm
        members = self._ask(lambda: self._listed(self._names.firm_index(tag)))
        found = self._infos([_parted(member) for member in members])
        return [info for info in found if info.firm_id == str(firm_id)]

    def list_all_sessions(self) -> Iterator[SessionInfo]:
        """Yield every living session, walking through the keys in steps."""
        for batch in self._batches(f"{escape(self.prefix)}*}}:*"):
            yield from self._infos([_record_parts(key) for key in batch])

    def delete_user_sessions(self, user_id: Any) -> int:
        """End all sessions of a user at once; return how many there were. No write that races with it survives."""
        tag = self._names.tags(str(user_id), "").user
        return int(self._run(REVOKE, (self._names.user_epoch(tag), self._names.user_index(tag))))

    def delete_user_session(self, user_id: Any, ref: str) -> bool:
        """End the one session of a user that `list_user_sessions` shows as `ref`; return whether there was one."""
        tag = self._names.tags(str(user_id), "").user
        hashes = [hashed.decode() for hashed in self._ask(lambda: self._listed(self._names.user_index(tag)))]
        matching = [hashed for hashed in hashes if hashed.startswith(ref)] if len(ref) >= 8 else []
        if len(matching) != 1:
            return False
        place = self._ask(lambda: self._states([(tag, matching[0])]))[0].place
        return bool(self._ask(lambda: self._removed(place.tags, place.hashed)))

    def delete_firm_sessions(self, firm_id: Any) -> int:
        """End all sessions of a firm at once; return how many there were. No write that races with it survives."""
        tag = self._names.tags("", str(firm_id)).firm
        return int(self._run(REVOKE, (self._names.firm_epoch(tag), self._names.firm_index(tag))))

    def delete_all_sessions(self) -> int:
        """End every session, walking through the keys in steps; return how many records went."""
        removed = 0
        for batch in self._batches(f"{escape(self.prefix)}*"):
            counts = self._unlinked(batch)
            removed += sum(count for count, key in zip(counts, batch, strict=True) if b"}:" in key)
        return removed

    def cleanup(self) -> int:
        """Free the memory of sessions that were revoked and forget ended ones in the lists; return how many records
        went. Sessions end without it; run it nightly. Walks through the keys in steps."""
        removed = 0
        for batch in self._batches(f"{escape(self.prefix)}*"):
            indexes = [key for key in batch if key.endswith(b"}@index")]
            for index in indexes:
                self._run(SWEEP, (index.decode(),))
            removed += self._bury([_record_parts(key) for key in batch if b"}:" in key])
        return removed

    def health(self) -> Any:
        """Return whether Redis answers, how fast, and what is not as it should be. Never raises."""
        from legal_store.keyvalue.health import check

        return check(self.connection)

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self.connection.close()

    # parts

    @cached_property
    def _secret(self) -> bytes:
        return (self._given[0] or _configured_secret()).encode()

    @cached_property
    def _names(self) -> Names:
        return Names(self.prefix, self._secret)

    @cached_property
    def _seal(self) -> Seal:
        encrypted = self._given[3]
        return Seal(self._secret, encrypted=_settings().session_encrypted if encrypted is None else encrypted)

    @cached_property
    def _idle(self) -> float:
        return self._given[1] or _settings().session_ttl_s

    @cached_property
    def _absolute(self) -> float:
        return max(self._given[2] or _settings().session_absolute_ttl_s, self._idle)

    def _owners(self, data: Mapping[str, Any], user_id: Any, firm_id: Any) -> tuple[str, str]:
        user = named(dict(data), USER_NAMES) if user_id is None else str(user_id)
        firm = named(dict(data), FIRM_NAMES) if firm_id is None else str(firm_id)
        return user, firm

    def _begin(
        self,
        session_id: str,
        tags: Tags,
        data: dict[str, Any],
        user: str,
        firm: str,
        device: str,
        epochs: bytes | None,
        *,
        idle: float | None = None,
        replace: bool = False,
    ) -> Session:
        hashed = self._names.hash(session_id)
        joined = self._join(tags, hashed)
        now = int(time.time() * 1000)
        about = {"user": user, "firm": firm, "device": device, "created": now}
        keys = (self._names.record(tags, hashed), self._names.user_epoch(tags.user), self._names.user_index(tags.user))
        arguments = (
            joined if epochs is None else epochs,
            self._seal.close(about, f"{hashed} m"),
            self._seal.close(data, f"{hashed} d"),
            os.urandom(_MARK),
            _ms(idle or self._idle),
            _ms(self._absolute),
            hashed,
            int(replace),
        )
        answer = self._run(CREATE, keys, arguments)
        if answer == b"revoked" or (epochs is not None and epochs != joined):
            self._ask(lambda: self._removed(tags, hashed))
            raise SessionGoneError("All sessions of this user or firm were revoked meanwhile.", remedy="Sign in again.")
        if answer == b"taken":
            raise SessionConflictError("This session id is in use.")
        info = _info(hashed, about, now, now + _ms(self._absolute))
        return Session(data, session_id, 1, info, False)

    def _join(self, tags: Tags, hashed: str) -> bytes:
        """Return the epochs of user and firm, made if missing, and note the session in the firm's list."""
        life = _ms(self._absolute)
        member = f"{tags.user}.{hashed}" if hashed else ""
        firm = self._run(
            JOIN,
            (self._names.firm_epoch(tags.firm), self._names.firm_index(tags.firm)),
            (os.urandom(_MARK), life, member),
        )
        user = self._run(
            JOIN, (self._names.user_epoch(tags.user), self._names.user_index(tags.user)), (os.urandom(_MARK), life, "")
        )
        epochs: bytes = user + firm
        return epochs

    def _located(self, session_id: str) -> _Place | None:
        hashed = self._names.hash(session_id)
        tags = self._names.tags_of(session_id)
        if tags is None:
            pointer = self.connection.client.get(self._names.pointer(hashed))
            if pointer is None:
                return None
            tags = Tags(*pointer.decode().split("."))
        return self._place(tags, hashed)

    def _place(self, tags: Tags, hashed: str) -> _Place:
        names = self._names
        return _Place(
            tags, hashed, names.record(tags, hashed), names.user_epoch(tags.user), names.firm_epoch(tags.firm)
        )

    def _read(self, session_id: str) -> Session | None:
        place = self._located(session_id)
        if place is None:
            return None
        pipeline = self.connection.client.pipeline(transaction=False)
        pipeline.hmget(place.record, _FIELDS)
        pipeline.get(place.user_epoch)
        pipeline.get(place.firm_epoch)
        (epochs, about, data, version, seen, end, retired), user_epoch, firm_epoch = pipeline.execute()
        if epochs is None or user_epoch is None or firm_epoch is None or epochs != user_epoch + firm_epoch:
            return None
        try:
            known = self._seal.open(about, f"{place.hashed} m")
            values = self._seal.open(data, f"{place.hashed} d")
        except codec.UnreadableError:  # another secret, or tampered with: not a session
            return None
        return Session(values, session_id, int(version), _info(place.hashed, known, seen, end), retired is not None)

    def _living(self, session_id: str) -> Session:
        session = self.get(session_id)
        if session is None:
            raise _gone()
        return session

    def _rotated(self, session: Session, data: dict[str, Any], grace: float) -> Session:
        place = self._ask(lambda: self._located(session.id))
        if place is None:
            raise _gone()
        epochs = self._ask(lambda: self.connection.client.hget(place.record, "e"))
        answer = self._run(
            RETIRE, (place.record, place.user_epoch), (_ms(grace) if grace > 0 else 0, os.urandom(_MARK))
        )
        if answer == b"gone" or epochs is None:
            raise _gone()
        if answer == b"conflict":
            raise SessionConflictError("The session's id was rotated by a parallel call.", remedy="Use its new id.")
        user, firm = self._owners_after(session, data)
        same = (user, firm) == (session.info.user_id, session.info.firm_id)
        tags = place.tags if same else self._names.tags(user, firm)
        return self._begin(
            self._names.new_id(tags), tags, data, user, firm, session.info.device, epochs if same else None
        )

    def _owners_after(self, session: Session, data: dict[str, Any]) -> tuple[str, str]:
        user = named(data, USER_NAMES) or session.info.user_id
        firm = named(data, FIRM_NAMES) or session.info.firm_id
        return user, firm

    def _forget(self, place: _Place) -> None:
        client, names = self.connection.client, self._names
        pipeline = client.pipeline(transaction=False)
        pipeline.zrem(names.user_index(place.tags.user), place.hashed)
        pipeline.zrem(names.firm_index(place.tags.firm), f"{place.tags.user}.{place.hashed}")
        pipeline.unlink(names.pointer(place.hashed))
        self._ask(pipeline.execute)

    def _removed(self, tags: Tags, hashed: str) -> int:
        place = self._place(tags, hashed)
        count: int = self.connection.client.unlink(place.record)
        self._forget(place)
        return count

    def _listed(self, index: str) -> list[bytes]:
        now = int(time.time() * 1000)
        members: list[bytes] = self.connection.client.zrangebyscore(index, now, "+inf")
        return members

    def _infos(self, records: list[tuple[str, str]]) -> list[SessionInfo]:
        """Return what is known about the records (user tag, hash) that live."""
        found: list[SessionInfo] = []
        for start in range(0, len(records), BATCH):
            found += self._infos_of(records[start : start + BATCH])
        return sorted(found, key=lambda info: info.last_seen, reverse=True)

    def _infos_of(self, records: list[tuple[str, str]]) -> list[SessionInfo]:
        found = []
        states = self._ask(lambda: self._states(records))
        for state in states:
            if state.lives and state.fields[6] is None:
                found.append(_info(state.place.hashed, state.about, state.fields[4], state.fields[5]))
        return found

    def _states(self, records: list[tuple[str, str]]) -> list[_State]:
        """Look at records, given by user tag and hash."""
        pipeline = self.connection.client.pipeline(transaction=False)
        for user_tag, hashed in records:
            pipeline.hmget(self._names.record(Tags(user_tag, ""), hashed), _FIELDS)
            pipeline.get(self._names.user_epoch(user_tag))
        answers = pipeline.execute()
        abouts = [self._about(hashed, values[1]) for (_, hashed), values in zip(records, answers[::2], strict=True)]
        firms = sorted({self._names.tags("", about["firm"]).firm for about in abouts if about})
        firm_epochs = self._epochs(firms)
        states = []
        for (user_tag, hashed), values, user_epoch, about in zip(
            records, answers[::2], answers[1::2], abouts, strict=True
        ):
            place = self._place(Tags(user_tag, self._names.tags("", about.get("firm", "")).firm), hashed)
            firm_epoch = firm_epochs.get(place.tags.firm)
            lives = bool(about and user_epoch and firm_epoch and values[0] == user_epoch + firm_epoch)
            states.append(_State(place, values, about, lives))
        return states

    def _about(self, hashed: str, sealed: bytes | None) -> dict[str, Any]:
        try:
            return dict(self._seal.open(sealed, f"{hashed} m")) if sealed else {}
        except codec.UnreadableError:
            return {}

    def _epochs(self, firm_tags: list[str]) -> dict[str, bytes | None]:
        pipeline = self.connection.client.pipeline(transaction=False)
        for tag in firm_tags:
            pipeline.get(self._names.firm_epoch(tag))
        return dict(zip(firm_tags, pipeline.execute() if firm_tags else [], strict=True))

    def _bury(self, records: list[tuple[str, str]]) -> int:
        """Remove those of the records that were revoked, and their entries in lists; return how many."""
        states = self._ask(lambda: self._states(records)) if records else []
        dead = [state.place for state in states if not state.lives and state.fields[0] is not None]
        for place in dead:
            self._forget(place)
        return sum(self._unlinked([place.record for place in dead])) if dead else 0

    def _unlinked(self, keys: list[Any]) -> list[int]:
        pipeline = self.connection.client.pipeline(transaction=False)
        for key in keys:
            pipeline.unlink(key)
        counts: list[int] = self._ask(pipeline.execute)
        return counts

    def _batches(self, pattern: str) -> Iterator[list[bytes]]:
        steps = self.connection.scan(pattern)
        while True:
            batch = self._ask(lambda: next(steps, None))
            if batch is None:
                return
            for start in range(0, len(batch), BATCH):
                yield batch[start : start + BATCH]

    def _run(self, script: Script, keys: tuple[str, ...], arguments: tuple[Any, ...] = ()) -> Any:
        return self._ask(lambda: self.connection.run(script, keys, arguments))

    def _ask(self, call: Callable[[], T]) -> T:
        from redis.exceptions import RedisError

        try:
            return call()
        except (RedisError, OSError) as error:
            raise self.connection.failure(error, "A session call") from None


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


def _privileges(data: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(data.get(name) for name in PRIVILEGES)


def _info(hashed: str, about: dict[str, Any], seen: Any, end: Any) -> SessionInfo:
    return SessionInfo(
        hashed[:16], about["user"], about["firm"], about["device"], moment(about["created"]), moment(seen), moment(end)
    )


def _parted(member: bytes) -> tuple[str, str]:
    user_tag, _, hashed = member.decode().partition(".")
    return user_tag, hashed


def _record_parts(key: bytes) -> tuple[str, str]:
    """Return user tag and hash of the name of a record."""
    tag, _, hashed = key.decode().rpartition("}:")
    return tag.rpartition("{")[2], hashed


def _gone() -> SessionGoneError:
    return SessionGoneError("The session is over, was revoked, or never was.", remedy="Sign in again.")


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
