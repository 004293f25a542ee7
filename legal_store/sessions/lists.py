"""Many sessions at once: a user's, a firm's, everybody's; listed, ended, and cleaned up after."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from legal_store.keyvalue import codec
from legal_store.keyvalue.globs import escape
from legal_store.sessions.names import Place, Tags
from legal_store.sessions.records import SessionInfo, describe
from legal_store.sessions.scripts import REVOKE, SWEEP
from legal_store.sessions.store import Store

BATCH = 512
SETTLED_AFTER = 60_000  # milliseconds: an entry is in a firm's list a moment before its session begins
_FIELDS = ("e", "m", "n", "x", "r")

Record = tuple[str, str]  # user tag and hash


class State(NamedTuple):
    """A record as it is. `revoked`: its epochs are past; `info`: of a living session, not of its old id."""

    place: Place
    revoked: bool
    info: SessionInfo | None


class Lists:
    """The sessions of users and firms. Every call raises ServerUnavailableError while Redis is away."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.names = store.names

    def of_user(self, user_id: str) -> list[SessionInfo]:
        return self._infos(self._listed(self.names.user_index(self._user_tag(user_id))))

    def of_firm(self, firm_id: str) -> list[SessionInfo]:
        return self._infos(self._listed(self.names.firm_index(self._firm_tag(firm_id))))

    def all(self, prefix: str) -> Iterator[SessionInfo]:
        for batch in self._keys(f"{escape(prefix)}*}}:*"):
            yield from self._infos([self.names.owner_and_hash(key) for key in batch])

    def place_of(self, user_id: str, ref: str) -> Place | None:
        """Return where the session lies that lists show as `ref`."""
        listed = self._listed(self.names.user_index(self._user_tag(user_id)))
        matching = [record for record in listed if record[1].startswith(ref)] if len(ref) >= 8 else []
        return self._states(matching)[0].place if len(matching) == 1 else None

    def end_of_user(self, user_id: str) -> int:
        tag = self._user_tag(user_id)
        return int(self.store.run(REVOKE, (self.names.user_epoch(tag), self.names.user_index(tag))))

    def end_of_firm(self, firm_id: str) -> int:
        tag = self._firm_tag(firm_id)
        return int(self.store.run(REVOKE, (self.names.firm_epoch(tag), self.names.firm_index(tag))))

    def end_all(self, prefix: str) -> int:
        removed = 0
        for batch in self._keys(f"{escape(prefix)}*"):
            counts = self._each("unlink", batch)
            removed += sum(count for count, key in zip(counts, batch, strict=True) if self.names.is_record(key))
        return removed

    def clean_up(self, prefix: str) -> int:
        """Remove the records of revoked sessions and the entries of ended ones; return how many records went."""
        removed = 0
        for batch in self._keys(f"{escape(prefix)}*"):
            removed += self._bury([self.names.owner_and_hash(key) for key in batch if self.names.is_record(key)])
            for index in filter(self.names.is_index, batch):
                self.store.run(SWEEP, (index.decode(),))
                self._forget_ended(index)
        return removed

    def _bury(self, records: list[Record]) -> int:
        dead = [state.place for state in self._states(records) if state.revoked]
        self._each("zrem", [(self.names.user_index(place.tags.user), place.hashed) for place in dead])
        self._each("zrem", [(self.names.firm_index(place.tags.firm), place.member) for place in dead])
        self._each("unlink", [self.names.pointer(place.hashed) for place in dead])
        return sum(self._each("unlink", [place.record for place in dead]))

    def _forget_ended(self, index: bytes) -> None:
        """Take the sessions out of a list that ended without a call: their idle time was over."""
        client = self.store.connection.client
        settled = int(time.time() * 1000) + self.store.absolute - SETTLED_AFTER
        cursor, first = 0, True
        while cursor or first:
            first = False
            cursor, entries = self.store.ask(lambda cursor=cursor: client.zscan(index, cursor, count=BATCH))  # type: ignore[misc]
            members = [member for member, score in entries if score < settled]
            there = self._each("exists", [self.names.record(*self.names.listed(index, member)) for member in members])
            ended = [member for member, exists in zip(members, there, strict=True) if not exists]
            self._each("zrem", [(index, member) for member in ended])

    def _listed(self, index: str) -> list[Record]:
        """Return the records that a list holds."""
        now = int(time.time() * 1000)
        members = self.store.ask(lambda: self.store.connection.client.zrangebyscore(index, now, "+inf"))
        return [self.names.listed(index.encode(), member) for member in members]

    def _infos(self, records: Sequence[Record]) -> list[SessionInfo]:
        """Return what is known about the records that live, the one seen last first."""
        states = [
            state for start in range(0, len(records), BATCH) for state in self._states(records[start : start + BATCH])
        ]
        return sorted((state.info for state in states if state.info), key=lambda info: info.last_seen, reverse=True)

    def _states(self, records: Sequence[Record]) -> list[State]:
        """Look at records: two round trips, one for what they say and one for the epochs of their firms."""
        pipeline = self._pipeline()
        for user_tag, hashed in records:
            pipeline.hmget(self.names.record(user_tag, hashed), _FIELDS)
            pipeline.get(self.names.user_epoch(user_tag))
        answers = self.store.ask(pipeline.execute)
        found = list(zip(records, answers[::2], answers[1::2], strict=True))
        abouts = [self._about(hashed, fields[1]) for (_, hashed), fields, _ in found]
        firms = sorted({about["firm_tag"] for about in abouts if about})
        epochs = dict(zip(firms, self._each("get", map(self.names.firm_epoch, firms)), strict=True))
        return [
            self._state(record, fields, about, user_epoch, epochs)
            for (record, fields, user_epoch), about in zip(found, abouts, strict=True)
        ]

    def _state(
        self, record: Record, fields: list[Any], about: dict[str, Any], user_epoch: bytes | None, epochs: dict[str, Any]
    ) -> State:
        user_tag, hashed = record
        carried, _, seen, end, heir = fields
        place = self.names.place(Tags(user_tag, about.get("firm_tag", "")), hashed)
        if carried is None:
            return State(place, False, None)
        if not about:  # another secret's: whose it is can be seen, of which firm cannot
            return State(place, user_epoch is None or not carried.startswith(user_epoch), None)
        firm_epoch = epochs[place.tags.firm]
        revoked = user_epoch is None or firm_epoch is None or carried != user_epoch + firm_epoch
        return State(place, revoked, None if revoked or heir else describe(hashed, about, seen, end))

    def _about(self, hashed: str, sealed: bytes | None) -> dict[str, Any]:
        try:
            return dict(self.store.seal.open(sealed, f"{hashed} m")) if sealed else {}
        except codec.UnreadableError:
            return {}

    def _keys(self, pattern: str) -> Iterator[list[bytes]]:
        """Yield the keys that match, walking through all keys in steps."""
        steps = self.store.connection.scan(pattern)
        while (batch := self.store.ask(lambda: next(steps, None))) is not None:
            for start in range(0, len(batch), BATCH):
                yield batch[start : start + BATCH]

    def _each(self, command: str, arguments: Iterable[Any]) -> list[Any]:
        """Send one command for each of the arguments, all in one round trip."""
        pipeline = self._pipeline()
        for argument in arguments:
            getattr(pipeline, command)(*(argument if isinstance(argument, tuple) else (argument,)))
        answers: list[Any] = self.store.ask(pipeline.execute)
        return answers

    def _pipeline(self) -> Any:
        return self.store.connection.client.pipeline(transaction=False)

    def _user_tag(self, user_id: str) -> str:
        return self.names.tags(user_id, "").user

    def _firm_tag(self, firm_id: str) -> str:
        return self.names.tags("", firm_id).firm
