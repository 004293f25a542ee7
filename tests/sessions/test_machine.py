"""State machine: whatever is called in whatever order, Redis and a plain dict agree."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from legal_store.errors import SessionConflictError, SessionGoneError
from legal_store.sessions import SessionManager

FULL = os.environ.get("LEGAL_STORE_SWEEP") == "full"
SECRET = "a secret of at least thirty-two characters"
users, firms = st.sampled_from(["1", "2", "3"]), st.sampled_from(["a", "b"])
values = st.dictionaries(st.sampled_from(["x", "y"]), st.integers() | st.text(max_size=3), max_size=2)


class Sessions(RuleBasedStateMachine):
    url: ClassVar[str]
    encrypted: ClassVar[bool] = False
    ids = Bundle("ids")
    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.sessions = SessionManager(self.url, secret=SECRET, encrypted=self.encrypted)
        self.sessions.connection.client.flushdb()
        self.model: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, Any] = {}
        self.retired: set[str] = set()
        self.families: dict[str, set[str]] = {}  # the ids that one session has or had
        self.revocations: dict[tuple[str, str], int] = {}

    def teardown(self) -> None:
        self.sessions.close()

    def revocations_of(self, user: str, firm: str) -> tuple[int, int]:
        return self.revocations.get(("user", user), 0), self.revocations.get(("firm", firm), 0)

    @rule(target=ids, user=users, firm=firms, data=values)
    def create(self, user: str, firm: str, data: dict[str, Any]) -> str:
        session = self.sessions.create({**data, "userId": user, "firmId": firm})
        self.model[session.id] = {**data, "userId": user, "firmId": firm}
        return session.id

    @rule(target=ids, name=st.sampled_from(["chosen-1", "chosen-2"]), user=users, firm=firms, data=values)
    def set(self, name: str, user: str, firm: str, data: dict[str, Any]) -> str:
        self.sessions.set(name, {**data, "userId": user, "firmId": firm})
        self.model[name] = {**data, "userId": user, "firmId": firm}
        self.retired.discard(name)
        self.families.get(name, set()).discard(name)
        self.families[name] = {name}
        return name

    @rule(target=tickets, user=users, firm=firms)
    def ticket(self, user: str, firm: str) -> Any:
        return self.sessions.ticket(user_id=user, firm_id=firm), self.revocations_of(user, firm)

    @rule(target=ids, drawn=consumes(tickets))
    def login_with_ticket(self, drawn: Any) -> str:
        ticket, before = drawn
        data = {"userId": ticket.user_id, "firmId": ticket.firm_id}
        if self.revocations_of(ticket.user_id, ticket.firm_id) != before:
            with pytest.raises(SessionGoneError):
                self.sessions.create(data, ticket=ticket)
            return "refused"
        session = self.sessions.create(data, ticket=ticket)
        self.model[session.id] = data
        return session.id

    @rule(session_id=ids, data=values)
    def update(self, session_id: str, data: dict[str, Any]) -> None:
        if session_id not in self.model:
            with pytest.raises(SessionGoneError):
                self.sessions.update(session_id, data)
        elif session_id in self.retired:
            with pytest.raises(SessionConflictError):
                self.sessions.update(session_id, data)
        else:
            self.model[session_id] = {**self.model[session_id], **data}
            assert self.sessions.update(session_id, data) == self.model[session_id]

    @rule(target=ids, session_id=ids, grace=st.sampled_from([0, 60]))
    def rotate(self, session_id: str, grace: float) -> str:
        if session_id not in self.model:
            with pytest.raises(SessionGoneError):
                self.sessions.rotate(session_id, grace=grace)
            return session_id
        if session_id in self.retired:
            with pytest.raises(SessionConflictError):
                self.sessions.rotate(session_id, grace=grace)
            return session_id
        heir = self.sessions.rotate(session_id, {"x": "rotated"}, grace=grace)
        self.model[heir.id] = {**self.model[session_id], "x": "rotated"}
        family = self.families.setdefault(session_id, {session_id})
        family.add(heir.id)
        self.families[heir.id] = family
        if grace:
            self.retired.add(session_id)
        else:
            del self.model[session_id]
        return heir.id

    @rule(session_id=ids)
    def refresh(self, session_id: str) -> None:
        assert self.sessions.refresh(session_id) == (session_id in self.model)

    @rule(session_id=ids)
    def delete(self, session_id: str) -> None:
        existed = self.sessions.delete(session_id)
        assert existed or session_id not in self.model  # the record of a revoked session may still be there
        for related in self.families.get(session_id, {session_id}):
            self.model.pop(related, None)
            self.retired.discard(related)

    @rule(user=users)
    def delete_user_sessions(self, user: str) -> None:
        self.sessions.delete_user_sessions(user)
        self._revoked("user", user)

    @rule(firm=firms)
    def delete_firm_sessions(self, firm: str) -> None:
        self.sessions.delete_firm_sessions(firm)
        self._revoked("firm", firm)

    def _revoked(self, kind: str, owner: str) -> None:
        self.revocations[kind, owner] = self.revocations.get((kind, owner), 0) + 1
        column = f"{kind}Id"
        gone = {session_id for session_id, data in self.model.items() if data[column] == owner}
        self.retired -= gone
        self.model = {session_id: data for session_id, data in self.model.items() if session_id not in gone}

    @rule()
    def cleanup(self) -> None:
        self.sessions.cleanup()
        assert self.sessions.cleanup() == 0

    @rule(user=users)
    def list_user_sessions(self, user: str) -> None:
        living = [i for i, data in self.model.items() if data["userId"] == user and i not in self.retired]
        assert len(self.sessions.list_user_sessions(user)) == len(living)

    @rule(firm=firms)
    def list_firm_sessions(self, firm: str) -> None:
        living = [i for i, data in self.model.items() if data["firmId"] == firm and i not in self.retired]
        assert len(self.sessions.list_firm_sessions(firm)) == len(living)

    @rule(session_id=ids)
    def get(self, session_id: str) -> None:
        assert self.sessions.get(session_id) == self.model.get(session_id)

    @invariant()
    def every_living_session_is_there(self) -> None:
        for session_id, data in self.model.items():
            found = self.sessions.get(session_id)
            assert found == data
            assert found is not None
            assert found.retired == (session_id in self.retired)


@pytest.mark.sweep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_sessions_are_what_a_dict_would_be(redis_url: str, encrypted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legal_store.sessions.store.FORGOTTEN_AFTER", 3600)
    Sessions.url, Sessions.encrypted = redis_url, encrypted
    examples = 500 if FULL else 15
    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=examples, stateful_step_count=25, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
