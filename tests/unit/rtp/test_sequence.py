"""Extended sequence numbers follow wraps, reordering and jumps (RFC 3550 A.1)."""

from hypothesis import given
from hypothesis import strategies as st
from onrecord.rtp.sequence import MAX_MISORDER, DuplicateWindow, SequenceTracker


@given(
    st.integers(0, 65535),
    st.lists(st.tuples(st.integers(1, 60000), st.integers(0, MAX_MISORDER)), max_size=40),
)
def test_numbers_are_the_sent_ones(first: int, steps: list[tuple[int, int]]) -> None:
    """Over any wraps and jumps, packets in order and late get the number they were sent with."""
    tracker, sent = SequenceTracker(first, first * 160), first
    for ahead, late in steps:
        sent += ahead
        assert tracker.extend(sent % 65536, sent * 160 % 2**32) == sent
        expected = sent - late if sent >= late else None
        assert tracker.extend((sent - late) % 65536, (sent - late) * 160 % 2**32) == expected


def test_restarted_sender_goes_on_upwards() -> None:
    """A sender that starts anew far back under the same SSRC is taken as one cycle higher."""
    tracker = SequenceTracker(40000, 0)
    assert [tracker.extend(number, 0) for number in (40001, 5, 6)] == [40001, 65541, 65542]


def test_a_small_step_back_whose_timestamp_goes_on_is_a_sender_that_started_anew() -> None:
    """A packet that is only late was sampled before the latest one; one of a key has its time."""
    tracker = SequenceTracker(500, 2**32 - 160)
    assert tracker.extend(499, 2**32 - 320) == 499
    assert tracker.extend(498, 2**32 - 160) == 498
    assert [tracker.extend(n, n * 160) for n in (5, 6, 4)] == [65541, 65542, 65540]


def test_packet_before_the_first_across_the_wrap_has_no_number() -> None:
    """What was sent before the first packet, before the wrap, would be negative."""
    assert SequenceTracker(2, 480).extend(65535, 0) is None


@given(st.lists(st.integers(0, 70_000), max_size=60), st.integers(0, MAX_MISORDER))
def test_a_packet_is_new_once(jumps: list[int], late: int) -> None:
    """Over wraps, jumps and reordering, each packet is new when it comes first and never again."""
    window, sent = DuplicateWindow(), 65_000
    for jump in jumps:
        sent += max(jump, late + 1)
        for number in (sent, sent - late) if late else (sent,):
            assert window.is_new(number, number * 160 % 2**32)
        assert not window.is_new(sent, sent * 160 % 2**32)
        assert not window.is_new(sent - late, (sent - late) * 160 % 2**32)


def test_a_sender_that_starts_anew_is_no_duplicate_of_itself() -> None:
    """The same numbers with other timestamps are other audio."""
    window = DuplicateWindow()
    assert [window.is_new(n, 160 * n) for n in (5, 6, 6)] == [True, True, False]
    assert [window.is_new(n, 160 * n + 77) for n in (5, 6, 6)] == [True, True, False]
