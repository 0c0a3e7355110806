"""Extended sequence numbers follow wraps, reordering and jumps (RFC 3550 A.1)."""

from hypothesis import given
from hypothesis import strategies as st
from onrecord.rtp.sequence import MAX_MISORDER, SequenceTracker


@given(
    st.integers(0, 65535),
    st.lists(st.tuples(st.integers(1, 60000), st.integers(0, MAX_MISORDER)), max_size=40),
)
def test_numbers_are_the_sent_ones(first: int, steps: list[tuple[int, int]]) -> None:
    """Over any wraps and jumps, packets in order and late get the number they were sent with."""
    tracker, sent = SequenceTracker(first), first
    for ahead, late in steps:
        sent += ahead
        assert tracker.extend(sent % 65536) == sent
        expected = sent - late if sent >= late else None
        assert tracker.extend((sent - late) % 65536) == expected


def test_restarted_sender_goes_on_upwards() -> None:
    """A sender that starts anew far back under the same SSRC is taken as one cycle higher."""
    tracker = SequenceTracker(40000)
    assert [tracker.extend(number) for number in (40001, 5, 6)] == [40001, 65541, 65542]


def test_packet_before_the_first_across_the_wrap_has_no_number() -> None:
    """What was sent before the first packet, before the wrap, would be negative."""
    assert SequenceTracker(2).extend(65535) is None
