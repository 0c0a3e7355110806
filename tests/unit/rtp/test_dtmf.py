"""Telephone events (RFC 4733) become key presses, each once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.rtp.dtmf import Digit, DigitCollector, TelephoneEvent, build, parse
from onrecord.rtp.errors import MalformedEvent


@given(
    st.builds(
        TelephoneEvent,
        st.integers(0, 255),
        st.booleans(),
        st.integers(0, 63),
        st.integers(0, 65535),
    )
)
def test_round_trip(event: TelephoneEvent) -> None:
    """What was built parses to itself."""
    assert parse(build(event)) == event


@given(st.binary(max_size=3))
def test_short_payload_is_refused(payload: bytes) -> None:
    """Fewer than four bytes are no event."""
    with pytest.raises(MalformedEvent):
        parse(payload)


def test_each_press_counts_once() -> None:
    """Updates and the three end packets of one key are one press; the next key is another."""
    collector = DigitCollector()
    presses = []
    for timestamp, event, end, duration in [
        (100, 5, False, 160),
        (100, 5, False, 320),
        *[(100, 5, True, 480)] * 3,
        (900, 11, False, 160),
        *[(900, 11, True, 800)] * 3,
    ]:
        presses += collector.feed(timestamp, TelephoneEvent(event, end, 10, duration))
    assert presses == [Digit("5", 480), Digit("#", 800)]


def test_press_whose_end_was_lost_is_given_with_the_next() -> None:
    """The next event ends one whose end packets never came."""
    collector = DigitCollector()
    assert collector.feed(100, TelephoneEvent(1, False, 10, 160)) == []
    assert collector.feed(900, TelephoneEvent(2, True, 10, 160)) == [
        Digit("1", 160),
        Digit("2", 160),
    ]


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=4, max_size=4))))
def test_any_events_are_survived(events: list[tuple[int, bytes]]) -> None:
    """Whatever events arrive, presses do not multiply."""
    collector = DigitCollector()
    presses = [
        press
        for timestamp, payload in events
        for press in collector.feed(timestamp, parse(payload))
    ]
    assert len(presses) <= 2 * len(events)
