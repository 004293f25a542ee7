"""The session manager: the calls of the original, ids, clocks, rotation, revocation."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from legal_store.errors import ConfigurationError, SessionConflictError, SessionGoneError, WrongUseError
from legal_store.sessions import SessionManager
from tests.conftest import set_variables

SECRET = "a secret of at least thirty-two characters"
PARTNER = {"userId": "123", "role": "Partner", "firmId": "firm-456"}


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def sessions(redis_url: str, request: pytest.FixtureRequest) -> Iterator[SessionManager]:
    manager = SessionManager(redis_url, secret=SECRET, encrypted=request.param)
    yield manager
    manager.close()


def test_the_calls_of_the_original(sessions: SessionManager) -> None:
    sessions.set("session-abc123", {**PARTNER, "lastActivity": "2025-11-20T10:00:00Z"})
    found = sessions.get("session-abc123")
    assert found is not None
    assert (found["userId"], found["role"]) == ("123", "Partner")
    assert sessions.refresh("session-abc123")
    assert sessions.exists("session-abc123")
    assert sessions.delete("session-abc123")
    assert sessions.get("session-abc123") is None
    assert not sessions.delete("session-abc123")
    assert not sessions.refresh("session-abc123")
    sessions.set("session-1", PARTNER)
    sessions.set("session-2", PARTNER)
    assert sessions.delete_user_sessions("123") == 2
    assert not sessions.exists("session-1")
    assert sessions.cleanup() == 2


def test_an_id_is_new_long_and_carries_nothing_readable(sessions: SessionManager) -> None:
    ids = {sessions.create(PARTNER).id for _ in range(50)}
    assert len({session_id.rpartition(".")[2] for session_id in ids}) == 50
    assert all(len(session_id.rpartition(".")[2]) == 43 for session_id in ids)  # 256 bits in base64
    assert all(part != "123" and "456" not in part[:3] for session_id in ids for part in session_id.split(".")[:3])


def test_a_dump_of_redis_holds_no_id_and_opens_no_session(sessions: SessionManager, raw: redis.Redis) -> None:
    created = sessions.create(PARTNER)
    rotated = sessions.rotate(created.id)
    sessions.set("chosen-by-the-service", PARTNER)
    dump = b"\n".join(_everything(raw))
    assert created.id.rpartition(".")[2].encode() not in dump
    assert rotated.id.rpartition(".")[2].encode() not in dump
    assert b"chosen-by-the-service" not in dump
    for candidate in re.findall(rb"[A-Za-z0-9_.\-]{8,}", dump):
        text = candidate.decode()
        prefix = created.id.rpartition(".")[0]
        assert sessions.get(text) is None
        assert sessions.get(f"{prefix}.{text}") is sessions.get(f"v1.{text}") is None


def _everything(raw: redis.Redis) -> Iterator[bytes]:
    for key in raw.keys("*"):
        yield key
        kind = raw.type(key)
        if kind == b"hash":
            yield from (part for pair in raw.hgetall(key).items() for part in pair)
        elif kind == b"zset":
            yield from raw.zrange(key, 0, -1)
        else:
            yield raw.get(key) or b""


def test_encryption_hides_the_data_and_binds_it_to_its_record(redis_url: str, raw: redis.Redis) -> None:
    sessions = SessionManager(redis_url, secret=SECRET, encrypted=True)
    mine, theirs = sessions.create({**PARTNER, "note": "Ionescu"}), sessions.create({"userId": "9", "note": "Popa"})
    assert not any(b"Ionescu" in part or b"Partner" in part for part in _everything(raw))
    names = sorted(raw.scan_iter("*}:*"), key=lambda name: raw.hget(name, "e") or b"")
    raw.hset(names[0], "d", raw.hget(names[1], "d"))
    assert [sessions.get(mine.id), sessions.get(theirs.id)].count(None) == 1
    assert SessionManager(redis_url, secret=SECRET[::-1], encrypted=True).get(mine.id) is None
    sessions.close()


def test_plain_values_are_not_taken_where_encryption_is_demanded(redis_url: str) -> None:
    plain = SessionManager(redis_url, secret=SECRET, encrypted=False)
    created = plain.create(PARTNER)
    assert SessionManager(redis_url, secret=SECRET, encrypted=True).get(created.id) is None
    plain.close()


@pytest.mark.parametrize("session_id", ["unknown", "v1.aaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbb." + "x" * 43, "v1...", "ă"])
def test_an_unknown_id_is_never_adopted(sessions: SessionManager, session_id: str, raw: redis.Redis) -> None:
    assert sessions.get(session_id) is None
    for change in (lambda: sessions.update(session_id, {"a": 1}), lambda: sessions.rotate(session_id)):
        with pytest.raises(SessionGoneError):
            change()
    assert not sessions.refresh(session_id)
    assert raw.dbsize() == 0


def test_set_never_adopts_an_id_of_our_making_that_is_gone(sessions: SessionManager) -> None:
    created = sessions.create(PARTNER)
    sessions.set(created.id, {**PARTNER, "note": 1})
    assert (sessions.get(created.id) or {})["note"] == 1
    sessions.delete(created.id)
    with pytest.raises(SessionGoneError):
        sessions.set(created.id, PARTNER)
    assert sessions.get(created.id) is None


def test_ids_must_be_texts_of_a_sensible_length(sessions: SessionManager) -> None:
    for wrong in ("", "x" * 513, 7):
        with pytest.raises(WrongUseError):
            sessions.get(wrong)  # type: ignore[arg-type]


def record_of(raw: redis.Redis) -> bytes:
    """The name of the only record there is."""
    (found,) = raw.scan_iter("*}:*")
    return bytes(found)


def test_redis_ends_a_session_after_its_idle_time(redis_url: str) -> None:
    sessions = SessionManager(redis_url, secret=SECRET, idle=0.2, absolute=60)
    created = sessions.create(PARTNER)
    deadline = time.monotonic() + 20
    while sessions.exists(created.id) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not sessions.exists(created.id)
    assert not sessions.refresh(created.id)
    sessions.close()


def test_refreshing_and_writing_start_the_idle_time_anew_but_reading_does_not(
    sessions: SessionManager, raw: redis.Redis
) -> None:
    created = sessions.create(PARTNER)
    name, day = record_of(raw), 86_400
    for call, idle in (
        (lambda: sessions.get(created.id), 1000),
        (lambda: sessions.refresh(created.id), day),
        (lambda: sessions.update(created.id, {"a": 1}), day),
    ):
        raw.expire(name, 1000)
        call()
        assert idle - 100 < raw.ttl(name) <= idle


def test_no_refresh_and_no_write_and_no_new_id_carries_a_session_beyond_its_absolute_end(
    sessions: SessionManager, raw: redis.Redis
) -> None:
    created = sessions.create(PARTNER)
    end = raw.time()[0] + 500
    raw.hset(record_of(raw), "x", end * 1000)
    sessions.refresh(created.id)
    assert raw.ttl(record_of(raw)) <= 500
    sessions.update(created.id, {"a": 1})
    assert raw.ttl(record_of(raw)) <= 500
    promoted = sessions.update(created.id, {"role": "Administrator"})
    assert all(raw.ttl(name) <= 500 for name in raw.scan_iter("*}:*"))
    assert promoted.info.expires_at.timestamp() == end
    assert promoted.info.created_at == created.info.created_at


def test_a_life_of_its_own_stays_a_sessions_own(sessions: SessionManager, raw: redis.Redis) -> None:
    sessions.set("kiosk", PARTNER, ttl=60)
    name = record_of(raw)
    for write in (sessions.refresh, lambda found: sessions.update(found, {"a": 1})):
        write("kiosk")
        assert 0 < raw.ttl(name) <= 60
    rotated = sessions.rotate("kiosk")
    assert sessions.refresh(rotated.id)
    assert all(0 < raw.ttl(name) <= 60 for name in raw.scan_iter("*}:*"))


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_a_session_lives_some_time_and_not_for_ever(sessions: SessionManager, redis_url: str, ttl: float) -> None:
    with pytest.raises(WrongUseError, match="more than 0 seconds"):
        sessions.set("kiosk", PARTNER, ttl=ttl)
    with pytest.raises(WrongUseError, match="more than 0 seconds"):
        SessionManager(redis_url, idle=ttl)


def test_the_default_life_is_a_day(sessions: SessionManager, raw: redis.Redis) -> None:
    sessions.create(PARTNER)
    lives = [raw.ttl(name) for name in raw.scan_iter("*}:*")]
    assert [86_390 < life <= 86_400 for life in lives] == [True]


def test_parallel_updates_are_all_kept(sessions: SessionManager) -> None:
    created = sessions.create(PARTNER)

    def add() -> None:
        for _ in range(10):
            sessions.update(created.id, lambda data: data.update(count=data.get("count", 0) + 1))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sessions.get(created.id) or {})["count"] == 40


def test_save_refuses_to_overwrite_what_came_in_between(sessions: SessionManager) -> None:
    created = sessions.create(PARTNER)
    mine, theirs = sessions.get(created.id), sessions.get(created.id)
    assert mine is not None
    assert theirs is not None
    theirs["theirs"] = 1
    sessions.save(theirs)
    mine["mine"] = 1
    with pytest.raises(SessionConflictError):
        sessions.save(mine)
    assert sessions.get(created.id) == {**PARTNER, "theirs": 1}


def test_saving_a_session_that_was_deleted_or_revoked_brings_nothing_back(sessions: SessionManager) -> None:
    for end in (
        sessions.delete,
        lambda _: sessions.delete_user_sessions("123"),
        lambda _: sessions.delete_firm_sessions("firm-456"),
    ):
        created = sessions.create(PARTNER)
        read = sessions.get(created.id)
        assert read is not None
        end(created.id)
        with contextlib.suppress(SessionGoneError):
            sessions.save(read)
        assert sessions.get(created.id) is None
        with pytest.raises(SessionGoneError):
            sessions.update(created.id, {"a": 1})


def test_a_change_of_privileges_gives_a_new_id_and_a_short_grace(sessions: SessionManager, raw: redis.Redis) -> None:
    created = sessions.create(PARTNER, device="Firefox on Linux")
    old_record = record_of(raw)
    promoted = sessions.update(created.id, {"role": "Administrator"}, grace=60)
    assert promoted.id != created.id
    assert promoted["role"] == "Administrator"
    assert promoted.info.device == "Firefox on Linux"
    old = sessions.get(created.id)
    assert old is not None
    assert old["role"] == "Partner"
    assert old.retired
    with pytest.raises(SessionConflictError):
        sessions.update(created.id, {"a": 1})
    with pytest.raises(SessionConflictError):
        sessions.rotate(created.id)
    sessions.refresh(created.id)
    assert 0 < raw.ttl(old_record) <= 60
    raw.unlink(old_record)  # what Redis does then
    assert sessions.get(created.id) is None
    assert sessions.get(promoted.id) is not None
    assert [info.ref for info in sessions.list_user_sessions("123")] == [promoted.info.ref]


def test_a_logout_ends_a_session_under_its_old_and_its_new_id(sessions: SessionManager) -> None:
    for grace in (60, 0):
        for named in range(3):
            created = sessions.create(PARTNER)
            ids = [created.id]
            for _ in range(2):
                ids.append(sessions.rotate(ids[-1], grace=grace).id)
            sessions.delete(ids[named])
            assert not any(map(sessions.exists, ids)), (grace, named)
    assert sessions.list_user_sessions("123") == sessions.list_firm_sessions("firm-456") == []


def test_a_chosen_id_that_is_used_again_does_not_end_with_the_session_that_it_led_to(
    sessions: SessionManager,
) -> None:
    sessions.set("chosen", PARTNER)
    rotated = sessions.rotate("chosen")
    sessions.set("chosen", PARTNER)
    assert sessions.delete(rotated.id)
    assert sessions.exists("chosen")


def test_a_new_id_loses_no_update_that_came_in_between(
    sessions: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = sessions.create(PARTNER)
    retire = sessions._store.retire

    def after_an_update(*arguments: Any) -> None:
        monkeypatch.undo()
        sessions.update(created.id, {"theirs": 1})
        retire(*arguments)

    monkeypatch.setattr(sessions._store, "retire", after_an_update)
    promoted = sessions.update(created.id, {"role": "Administrator"})
    assert promoted == {**PARTNER, "role": "Administrator", "theirs": 1}
    assert [info.ref for info in sessions.list_user_sessions("123")] == [promoted.info.ref]


@pytest.mark.parametrize("change", [{"role": "Administrator"}, {"userId": "777"}], ids=["other rights", "other user"])
@pytest.mark.parametrize("step", ["begin", "retire"])
def test_a_revocation_that_comes_while_an_id_is_changed_ends_the_new_one(
    sessions: SessionManager, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], step: str
) -> None:
    created = sessions.create(PARTNER)
    real = getattr(sessions._store, step)
    made: list[str] = []
    monkeypatch.setattr(sessions._names, "new_id", lambda tags: made.append(new_id(tags)) or made[-1])
    new_id = type(sessions._names).new_id.__get__(sessions._names)

    def after_a_revocation(*arguments: Any) -> Any:
        sessions.delete_firm_sessions("firm-456")
        return real(*arguments)

    monkeypatch.setattr(sessions._store, step, after_a_revocation)
    with contextlib.suppress(SessionGoneError):
        sessions.update(created.id, change)
    assert made
    assert not any(map(sessions.exists, [created.id, *made]))


def test_saving_other_privileges_gives_a_new_id_too(sessions: SessionManager) -> None:
    created = sessions.create(PARTNER)
    created["permissions"] = ["cases"]
    saved = sessions.save(created)
    assert saved.id != created.id
    assert sessions.get(saved.id) == {**PARTNER, "permissions": ["cases"]}
    replaced = sessions.set(saved.id, {**PARTNER, "role": "Paralegal"})
    assert replaced.id != saved.id
    assert sessions.get(replaced.id) == {**PARTNER, "role": "Paralegal"}


def test_a_session_under_a_chosen_id_goes_to_another_user_by_set_only(sessions: SessionManager) -> None:
    sessions.set("chosen", PARTNER)
    assert sessions.update("chosen", {"role": "Administrator"}).id == "chosen"
    with pytest.raises(WrongUseError, match=r"Use set\(\)"):
        sessions.update("chosen", {"userId": "777"})
    sessions.set("chosen", {**PARTNER, "userId": "777"})
    assert sessions.delete_user_sessions("123") == 0
    assert sessions.delete_user_sessions("777") == 1
    assert not sessions.exists("chosen")


@pytest.mark.parametrize("data", [None, "userId", [("userId", 1)]])
def test_the_data_of_a_session_are_a_mapping(sessions: SessionManager, data: Any) -> None:
    for begin in (sessions.create, lambda data: sessions.set("chosen", data)):
        with pytest.raises(WrongUseError, match=f"a mapping, not {type(data).__name__}"):
            begin(data)


def test_a_user_named_twice_must_be_the_same(sessions: SessionManager) -> None:
    assert sessions.create(PARTNER, user_id=123)
    with pytest.raises(WrongUseError, match="'123' as userId, the call names '9'"):
        sessions.create(PARTNER, user_id=9)


def test_a_login_ends_the_anonymous_session_at_once(sessions: SessionManager) -> None:
    visitor = sessions.create({"basket": 1})
    member = sessions.create(PARTNER, replaces=visitor.id)
    assert sessions.get(visitor.id) is None
    assert sessions.get(member.id) == PARTNER


def test_a_session_that_changes_its_user_belongs_to_the_new_one(sessions: SessionManager) -> None:
    created = sessions.create(PARTNER)
    other = sessions.update(created.id, {"userId": "777"}, grace=0)
    assert sessions.get(created.id) is None
    assert sessions.delete_user_sessions("123") <= 1
    assert sessions.exists(other.id)
    assert sessions.delete_user_sessions("777") == 1
    assert not sessions.exists(other.id)


def test_revoking_a_user_spares_others_and_reaches_rotated_ids(sessions: SessionManager) -> None:
    mine = sessions.create(PARTNER)
    rotated = sessions.rotate(mine.id)
    other = sessions.create({**PARTNER, "userId": "9"})
    sessions.delete_user_sessions("123")
    assert [sessions.exists(found.id) for found in (mine, rotated, other)] == [False, False, True]
    assert sessions.exists(sessions.create(PARTNER).id)
    assert not sessions.exists(rotated.id)


def test_revoking_a_firm_reaches_all_its_users(sessions: SessionManager) -> None:
    ours = [sessions.create({**PARTNER, "userId": n}) for n in range(5)]
    other = sessions.create({"userId": 1, "firmId": "another"})
    assert len(sessions.list_firm_sessions("firm-456")) == 5
    assert sessions.delete_firm_sessions("firm-456") == 5
    assert not any(sessions.exists(found.id) for found in ours)
    assert sessions.exists(other.id)
    assert sessions.list_firm_sessions("firm-456") == []


def test_a_login_checked_before_a_revocation_is_refused_after_it(sessions: SessionManager) -> None:
    for revoke in (lambda: sessions.delete_user_sessions("123"), lambda: sessions.delete_firm_sessions("firm-456")):
        ticket = sessions.ticket(user_id="123", firm_id="firm-456")
        assert sessions.create(PARTNER, ticket=ticket)
        revoke()
        with pytest.raises(SessionGoneError, match="revoked"):
            sessions.create(PARTNER, ticket=ticket)
        assert sessions.list_user_sessions("123") == []


def test_lists_show_devices_and_living_sessions_only_and_one_can_be_ended(sessions: SessionManager) -> None:
    phone, laptop = sessions.create(PARTNER, device="phone"), sessions.create(PARTNER, device="laptop")
    gone = sessions.create(PARTNER, device="gone")
    sessions.delete(gone.id)
    time.sleep(0.01)
    sessions.refresh(phone.id)
    found = sessions.list_user_sessions("123")
    assert [info.device for info in found] == ["phone", "laptop"]
    assert found[0].last_seen > found[0].created_at
    assert found[0].expires_at > found[0].created_at
    assert all(found_id not in repr(found) for found_id in (phone.id, laptop.id))
    assert not sessions.delete_user_session("9", found[0].ref)
    assert sessions.delete_user_session("123", found[0].ref)
    assert not sessions.exists(phone.id)
    assert sessions.exists(laptop.id)


def test_everything_can_be_ended_at_once(sessions: SessionManager, raw: redis.Redis) -> None:
    raw.set("cache:{a}:b", 1)
    ids = [sessions.create({**PARTNER, "userId": n}).id for n in range(20)]
    sessions.set("chosen", PARTNER)
    assert len(list(sessions.list_all_sessions())) == 21
    assert sessions.delete_all_sessions() == 21
    assert not any(sessions.exists(session_id) for session_id in [*ids, "chosen"])
    assert raw.keys() == [b"cache:{a}:b"]


def test_cleanup_frees_the_revoked_and_spares_the_living(sessions: SessionManager, raw: redis.Redis) -> None:
    for _ in range(10):
        sessions.create(PARTNER)
    sessions.delete_user_sessions("123")
    living = sessions.create(PARTNER)
    assert sessions.cleanup() == 10
    assert sessions.cleanup() == 0
    assert sessions.exists(living.id)
    assert len(list(raw.scan_iter("*}:*"))) == 1


def test_cleanup_forgets_sessions_that_ended_by_themselves(
    sessions: SessionManager, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, living = sessions.create(PARTNER), sessions.create(PARTNER)
    for name in raw.scan_iter("*}:*"):
        if name.decode().rpartition("}:")[2].startswith(ended.info.ref):
            raw.unlink(name)
    sessions.cleanup()
    assert sessions.delete_firm_sessions("firm-456") == 2  # one that has only just begun might still be written
    living = sessions.create(PARTNER)
    monkeypatch.setattr("legal_store.sessions.lists.SETTLED_AFTER", -1000)
    sessions.cleanup()
    assert sessions.exists(living.id)
    assert sessions.delete_user_sessions("123") == 1
    assert sessions.delete_firm_sessions("firm-456") == 1


def test_cleanup_with_a_wrong_secret_ends_nobodys_session(sessions: SessionManager, redis_url: str) -> None:
    created = sessions.create(PARTNER)
    stranger = SessionManager(redis_url, secret=SECRET[::-1], encrypted=True)
    assert stranger.cleanup() == 0
    assert stranger.get(created.id) is None
    assert sessions.exists(created.id)
    stranger.close()


def test_a_session_shows_no_id_when_printed(sessions: SessionManager) -> None:
    created = sessions.create(PARTNER)
    assert created.id.rpartition(".")[2] not in repr(created)


def test_production_needs_a_secret(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, LEGAL_STORE_ENV="production", DATABASE_URL="postgresql://u@h/d")
    with pytest.raises(ConfigurationError, match="LEGAL_STORE_SESSION_SECRET is not set"):
        SessionManager(redis_url).create(PARTNER)


def test_types_of_values_are_kept(sessions: SessionManager) -> None:
    import datetime as dt
    import uuid

    data: dict[str, Any] = {"userId": uuid.uuid4(), "since": dt.datetime.now(dt.UTC), "tags": {"a"}}
    assert sessions.get(sessions.create(data).id) == data


@pytest.mark.parametrize("nobody", [None, ""])
def test_ending_the_sessions_of_nobody_is_an_error(sessions: SessionManager, nobody: Any) -> None:
    for end in (sessions.delete_user_sessions, sessions.delete_firm_sessions):
        with pytest.raises(WrongUseError, match="no session was ended"):
            end(nobody)
