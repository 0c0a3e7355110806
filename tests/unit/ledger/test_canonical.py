"""Canonical bytes: one spelling, refused if it could not be read back exactly."""

import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.ledger.canonical import CanonicalEntry, canonical_json, decode_entry, encode_entry
from onrecord.ledger.errors import CanonicalError
from onrecord.ledger.instant import format_time, parse_time

ENTRY = CanonicalEntry(
    index=3,
    event_id="c1:call.ended",
    type="call.ended",
    stream="call/c1",
    seq=2,
    call="c1",
    time=datetime(2026, 3, 1, tzinfo=UTC),
    recorded_at=datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC),
    fields={"cause": "caller_hung_up"},
    sealed={"who": bytes(32)},
)


def test_an_entry_reads_back() -> None:
    """Decoding gives the entry that was encoded."""
    assert decode_entry(encode_entry(ENTRY)) == ENTRY


@given(st.binary(max_size=200))
def test_garbage_gives_a_clear_error(data: bytes) -> None:
    """Any octets that are no entry raise CanonicalError."""
    with pytest.raises(CanonicalError):
        decode_entry(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"index":3', b'"index":-3'),
        (b'"index":3', b'"index":true'),
        (b'"index":3', b'"index":3.5'),
        (b'"call":"c1"', b'"call":null'),
        (b'"seq":2', b'"seq":"2"'),
        (b'"fields":{"cause":"caller_hung_up"}', b'"fields":[]'),
        (b"00:00:01.000000Z", b"00:00:01Z"),
        (b"2026-03-01T00:00:01", b"2026-02-30T00:00:01"),
        (b"AAAA=", b"AAAB="),
        (b'"who":"', b'"who":"A'),
        (b'"call":"c1",', b'"call":"c1","call":"c1",'),
        (b'"call":"c1",', b""),
        (b'"call":', b'"call": '),
    ],
)
def test_what_would_not_have_been_written_is_not_read(old: bytes, new: bytes) -> None:
    """Wrong types, other spellings, missing and repeated members are refused."""
    data = encode_entry(ENTRY)
    assert old in data
    with pytest.raises(CanonicalError):
        decode_entry(data.replace(old, new, 1))


@pytest.mark.parametrize("value", [2**53, float("nan"), float("inf"), "\ud800", {1: 2}, b"octets"])
def test_what_json_cannot_carry_exactly_is_refused(value: object) -> None:
    """Integers too large, NaN, lone surrogates and foreign types have no canonical bytes."""
    with pytest.raises(CanonicalError):
        canonical_json(value)
    with pytest.raises(CanonicalError):
        encode_entry(dataclasses.replace(ENTRY, fields={"x": value}))


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2999, 1, 1)))  # noqa: DTZ001
def test_times_have_one_spelling(naive: datetime) -> None:
    """A time reads back as written, and a zone does not change its spelling."""
    moment = naive.replace(tzinfo=UTC)
    text = format_time(moment)
    assert len(text) == 27
    assert parse_time(text) == moment
    assert format_time(moment.astimezone(timezone(timedelta(hours=5, minutes=30)))) == text
    with pytest.raises(CanonicalError):
        format_time(naive)
