"""Session records in Redis, one at a time: begin, read, write, let one take the place of another, end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from legal_store.errors import SessionConflictError, SessionGoneError
from legal_store.keyvalue import Connection, Script, codec
from legal_store.sessions.names import Names, Place, Tags
from legal_store.sessions.records import Kept, Owners, Session, describe
from legal_store.sessions.scripts import CREATE, END, JOIN, REFRESH, RETIRE, UPDATE
from legal_store.sessions.seal import Seal

FORGOTTEN_AFTER = 10.0  # seconds that a rotated id leads a logout to the new one, when it is not shown itself
_MARK = 12  # bytes of an epoch
_FIELDS = ("e", "m", "d", "v", "n", "x", "i", "r")

T = TypeVar("T")


class Lives(NamedTuple):
    """How long sessions live: without a sign of life, and at the longest. Seconds."""

    idle: float
    absolute: float


class Beginning(NamedTuple):
    """A session to be written. `needs`: epochs of user and firm without which it must not begin, b"" for any;
    `idle`: milliseconds of its own; `end`: of its longest life, where that began earlier; `before`: its old place."""

    session_id: str
    place: Place
    data: dict[str, Any]
    owners: Owners
    device: str = ""
    created: int | None = None
    needs: tuple[bytes, bytes] = (b"", b"")
    idle: int | None = None
    end: int | None = None
    before: str = ""
    replace: bool = False


class Store:
    """What the session manager keeps in Redis. Every call raises ServerUnavailableError while Redis is away."""

    def __init__(self, connection: Connection, names: Names, seal: Seal, lives: Lives) -> None:
        self.connection = connection
        self.names = names
        self.seal = seal
        self.idle = milliseconds(lives.idle)
        self.absolute = milliseconds(max(lives.absolute, lives.idle))

    def ask(self, call: Callable[[], T]) -> T:
        from redis.exceptions import RedisError

        try:
            return call()
        except (RedisError, OSError) as error:
            raise self.connection.failure(error, "A session call") from None

    def run(self, script: Script, keys: tuple[str, ...], arguments: tuple[Any, ...] = ()) -> Any:
        return self.ask(lambda: self.connection.run(script, keys, arguments))

    def locate(self, session_id: str) -> Place | None:
        """Return where the record of an id lies. Costs a round trip for an id that we did not make."""
        hashed = self.names.hash(session_id)
        tags = self.names.tags_of(session_id)
        if tags is None:
            pointer = self.ask(lambda: self.connection.client.get(self.names.pointer(hashed)))
            if pointer is None:
                return None
            tags = Tags(*pointer.decode().split("."))
        return self.names.place(tags, hashed)

    def point(self, place: Place) -> None:
        """Let an id that we did not make lead to its record."""
        pointer = self.names.pointer(place.hashed)
        tags = f"{place.tags.user}.{place.tags.firm}"
        self.ask(lambda: self.connection.client.set(pointer, tags, px=self.absolute))

    def read(self, session_id: str) -> Session | None:
        place = self.locate(session_id)
        if place is None:
            return None
        (epochs, about, data, version, seen, end, idle, heir), *present = self.ask(lambda: self._fields(place))
        if epochs is None or None in present or epochs != b"".join(present):
            return None
        try:
            known = self.seal.open(about, f"{place.hashed} m")
            values = self.seal.open(data, f"{place.hashed} d")
        except codec.UnreadableError:  # another secret, or tampered with: not a session
            return None
        kept = Kept(epochs, int(end), None if idle is None else int(idle))
        info = describe(place.hashed, known, seen, end)
        return Session(values, session_id, int(version), info, kept, retired=heir is not None)

    def _fields(self, place: Place) -> list[Any]:
        pipeline = self.connection.client.pipeline(transaction=False)
        pipeline.hmget(place.record, _FIELDS)
        pipeline.get(place.user_epoch)
        pipeline.get(place.firm_epoch)
        answers: list[Any] = pipeline.execute()
        return answers

    def user_epoch(self, tags: Tags) -> bytes:
        """Return the epoch of a user, made if missing."""
        return self._join(self.names.user_epoch(tags.user), self.names.user_index(tags.user), "")

    def firm_epoch(self, tags: Tags, member: str = "") -> bytes:
        """Return the epoch of a firm, made if missing, and note a session in the firm's list."""
        return self._join(self.names.firm_epoch(tags.firm), self.names.firm_index(tags.firm), member)

    def _join(self, epoch: str, index: str, member: str) -> bytes:
        found: bytes = self.run(JOIN, (epoch, index), (os.urandom(_MARK), self.absolute, member))
        return found

    def begin(self, new: Beginning) -> Session:
        """Write a new session. Raises SessionGoneError when an epoch that it needs is past."""
        place, (needed_user, needed_firm) = new.place, new.needs
        firm_epoch = self.firm_epoch(place.tags, place.member)
        if needed_firm and firm_epoch != needed_firm:
            self._unlist(place)
            raise _revoked()
        about = new.owners._asdict() | {
            "device": new.device,
            "created": new.created or int(time.time() * 1000),
            "firm_tag": place.tags.firm,
        }
        arguments = (
            needed_user,
            os.urandom(_MARK),
            firm_epoch,
            self.seal.close(about, f"{place.hashed} m"),
            self.seal.close(new.data, f"{place.hashed} d"),
            os.urandom(_MARK),
            new.idle or self.idle,
            int(new.idle is not None),
            self.absolute,
            new.end or "",
            new.before,
            place.hashed,
            int(new.replace),
        )
        answer = self.run(CREATE, (place.record, place.user_epoch, self._user_index(place)), arguments)
        if answer == b"taken":
            raise SessionConflictError("This session id is in use.")
        if answer == b"revoked":
            self._unlist(place)
            raise _revoked()
        user_epoch, now, end = answer
        kept = Kept(user_epoch + firm_epoch, int(end), new.idle)
        return Session(new.data, new.session_id, 1, describe(place.hashed, about, now, end), kept, retired=False)

    def write(self, place: Place, session: Session) -> int:
        """Write the data of a session if nobody did since it was read; return its new version."""
        sealed = self.seal.close(dict(session), f"{place.hashed} d")
        arguments = (session.version, sealed, os.urandom(_MARK), self.idle)
        return int(self._decided(self.run(UPDATE, (place.record, place.user_epoch), arguments)))

    def refresh(self, place: Place) -> bool:
        epochs = self.run(REFRESH, (place.record, place.user_epoch), (self.idle,))
        if epochs == b"gone":
            return False
        return bool(self.ask(lambda: self.connection.client.get(place.firm_epoch)) == epochs[_MARK:])

    def retire(self, place: Place, version: int, heir: Place, grace: float) -> None:
        """Let the id of `heir` take the place of another, whose session was read at `version`."""
        life = milliseconds(grace if grace > 0 else FORGOTTEN_AFTER)
        keys = (place.record, place.user_epoch, self._user_index(place))
        self._decided(self.run(RETIRE, keys, (version, heir.path, place.hashed, life, int(grace > 0))))
        self._unlist(place, pointer=False)

    def end(self, place: Place) -> bool:
        """End a session under all the ids that it has or had; return whether there was one under this."""
        ended, new, old = self._end(place)
        at = place
        while new:
            at = self.names.place_of(new)
            _, new, _ = self._end(at)
        at = place
        while old:
            heir, at = at, self.names.place_of(old)
            _, _, old = self._end(at, only_before=heir.path)
        return ended

    def drop(self, place: Place) -> None:
        """End a session under this id alone."""
        self._end(place)

    def _end(self, place: Place, only_before: str = "") -> tuple[bool, str, str]:
        ended, new, old = self.run(END, (place.record,), (only_before,))
        if ended:
            self._unlist(place)
        return bool(ended), new.decode(), old.decode()

    def _unlist(self, place: Place, *, pointer: bool = True) -> None:
        """Take a session out of the lists."""
        names = self.names
        pipeline = self.connection.client.pipeline(transaction=False)
        pipeline.zrem(names.user_index(place.tags.user), place.hashed)
        pipeline.zrem(names.firm_index(place.tags.firm), place.member)
        if pointer:
            pipeline.unlink(names.pointer(place.hashed))
        self.ask(pipeline.execute)

    def _user_index(self, place: Place) -> str:
        return self.names.user_index(place.tags.user)

    def _decided(self, answer: Any) -> Any:
        if answer == b"gone":
            raise gone()
        if answer == b"conflict":
            raise conflict()
        return answer


def milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def gone() -> SessionGoneError:
    return SessionGoneError("The session is over, was revoked, or never was.", remedy="Sign in again.")


def conflict() -> SessionConflictError:
    return SessionConflictError(
        "The session was changed by somebody else, or its id was rotated, since it was read.",
        remedy="Read it again, under its new id; update() repeats by itself.",
    )


def _revoked() -> SessionGoneError:
    return SessionGoneError("All sessions of this user or firm were revoked meanwhile.", remedy="Sign in again.")
