"""Many sessions at once: a user's, a firm's, everybody's; listed, ended, and cleaned up after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from legal_store.keyvalue import codec
from legal_store.keyvalue.globs import escape
from legal_store.sessions.names import Place, Tags
from legal_store.sessions.records import SessionInfo, describe
from legal_store.sessions.scripts import REVOKE
from legal_store.sessions.store import Store

BATCH = 512
PAGE = 100  # entries of one list at a time
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
        removed, now = 0, self._now()
        for batch in self._keys(f"{escape(prefix)}*"):
            removed += self._bury([self.names.owner_and_hash(key) for key in batch if self.names.is_record(key)])
            self._tidy([key for key in batch if self.names.is_index(key)], now)
        return removed

    def _bury(self, records: list[Record]) -> int:
        dead = [state.place for state in self._states(records) if state.revoked]
        self._each("zrem", [(self.names.user_index(place.tags.user), place.hashed) for place in dead])
        self._each("zrem", [(self.names.firm_index(place.tags.firm), place.member) for place in dead])
        self._each("unlink", [self.names.pointer(place.hashed) for place in dead])
        return sum(self._each("unlink", [place.record for place in dead]))

    def _tidy(self, indexes: list[bytes], now: int) -> None:
        """Take sessions out of lists that are over, or that ended without a call because their idle time was."""
        self._each("zremrangebyscore", [(index, "-inf", now) for index in indexes])
        settled = now + self.store.absolute - SETTLED_AFTER
        pages = [(index, 0) for index in indexes]
        while pages:
            found = self._each("zscan", [(index, cursor, None, PAGE) for index, cursor in pages])
            entries = [
                (index, member)
                for (index, _), (_, page) in zip(pages, found, strict=True)
                for member, score in page
                if score < settled
            ]
            there = self._each("exists", [self.names.record(*self.names.listed(*entry)) for entry in entries])
            self._each("zrem", [entry for entry, exists in zip(entries, there, strict=True) if not exists])
            pages = [(index, cursor) for (index, _), (cursor, _) in zip(pages, found, strict=True) if cursor]

    def _now(self) -> int:
        """Return the server's time in milliseconds since 1970."""
        seconds, microseconds = self.store.ask(lambda: self.store.connection.nodes()[0].time())
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _listed(self, index: str) -> list[Record]:
        """Return the records that a list holds; some may be over."""
        members = self.store.ask(lambda: self.store.connection.client.zrange(index, 0, -1))
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
