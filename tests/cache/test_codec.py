"""Values come back as what they were, and bytes that are none of ours come to nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import os
import pickle
import string
import uuid
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from legal_store.errors import WrongUseError
from legal_store.keyvalue import codec
from legal_store.models import Case, CaseStatus, Client


class Colour(enum.Enum):
    RED = ("r", 1)
    BLUE = decimal.Decimal("2.50")


@dataclasses.dataclass(frozen=True)
class Money:
    amount: decimal.Decimal
    currency: str = "RON"


class Address(msgspec.Struct, frozen=True):
    street: str
    lines: tuple[str, ...] = ()


text = st.text(st.characters(exclude_categories=["Cs"]))
hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    text,
    st.binary(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    st.timedeltas(),
    st.sampled_from(Colour),
    st.sampled_from(CaseStatus),
    st.builds(Money, st.decimals(allow_nan=False), text),
    st.builds(Address, text, st.tuples(text)),
)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(text, inner),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(st.uuids()),
        st.frozensets(st.integers()),
    ),
    max_leaves=12,
)


def described(value: Any) -> Any:
    """A value with the types of all its parts, since 1 == True == 1.0."""
    if isinstance(value, list | tuple):
        return type(value), [described(item) for item in value]
    if isinstance(value, dict):
        return dict, [(described(name), described(item)) for name, item in value.items()]
    return type(value), value


@given(values)
def test_what_goes_in_comes_out_with_all_types(value: Any) -> None:
    assert described(codec.decode(codec.encode(value))) == described(value)


def test_rows_of_models_come_back_with_the_rows_they_had_loaded() -> None:
    client = Client(name="Popescu S.R.L.", firm=uuid.uuid4())
    case = Case(
        firm=client.firm_id,
        client=client,
        status=CaseStatus.CLOSED,
        value=decimal.Decimal("10.50"),
        metadata={"a": [1]},
    )
    case.opened_date = dt.date(2025, 1, 2)
    found = codec.decode(codec.encode({"rows": [case]}))["rows"][0]
    assert type(found) is Case
    assert found.__data__ == case.__data__
    assert found.client.name == "Popescu S.R.L."
    assert found.status is CaseStatus.CLOSED
    assert not found.dirty_fields
    assert found._stored


def test_a_value_of_a_class_that_changed_since_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode(Money(decimal.Decimal(1)))
    monkeypatch.setattr(f"{__name__}.Money", dataclasses.make_dataclass("Money", [("amount", int)]))
    with pytest.raises(codec.UnreadableError, match="other fields"):
        codec.decode(data)


@pytest.mark.parametrize("value", [object(), lambda: 1, {"a": {"b": open}}, 1j])
def test_what_cannot_be_kept_is_refused_by_name(value: Any) -> None:
    with pytest.raises(WrongUseError, match=r"cannot be kept in Redis"):
        codec.encode(value)


def test_a_class_inside_a_function_is_refused() -> None:
    @dataclasses.dataclass
    class Local:
        a: int

    with pytest.raises(WrongUseError, match="inside a function"):
        codec.encode(Local(1))


def test_large_values_shrink_and_random_ones_are_left_alone() -> None:
    assert len(codec.encode([{"title": "Cerere de chemare în judecată"}] * 500)) < 1500
    noise = os.urandom(5000)
    assert len(codec.encode(noise)) < 5010


def test_a_bomb_is_not_opened() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(codec.LARGEST + 1))
    assert len(bomb) < 20_000
    with pytest.raises(codec.UnreadableError):
        codec.decode(codec.ZSTD + bomb)


def test_no_code_runs_whatever_the_bytes_name(tmp_path: Any) -> None:
    for name in (
        "os:system",
        "subprocess:Popen",
        "builtins:eval",
        "pathlib:Path",
        "nowhere.at.all:X",
        "legal_store:db",
    ):
        for code in (20, 21, 22, 23):
            packed = msgspec.msgpack.encode([name, 0, {"args": 1}, {}] if code != 20 else [name, "touch x"])
            with pytest.raises(codec.UnreadableError):
                codec.decode(codec.RAW + msgspec.msgpack.encode(msgspec.msgpack.Ext(code, packed)))
    with pytest.raises(codec.UnreadableError):
        codec.decode(pickle.dumps({"a": 1}))


@given(st.binary())
def test_any_bytes_are_a_value_or_unreadable(data: bytes) -> None:
    with contextlib.suppress(codec.UnreadableError):
        codec.decode(data)


@given(values, st.data())
def test_a_flipped_byte_is_a_value_or_unreadable(value: Any, data: st.DataObject) -> None:
    coded = bytearray(codec.encode(value))
    place = data.draw(st.integers(0, len(coded) - 1))
    coded[place] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(codec.UnreadableError):
        codec.decode(bytes(coded))


def test_the_alphabet_of_keys_is_not_the_codecs_business() -> None:
    assert codec.decode(codec.encode(string.printable)) == string.printable
