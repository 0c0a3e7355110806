"""Missing packets are named once, with their cause; silence and restarts are not missing."""

from hypothesis import given
from hypothesis import strategies as st
from onrecord.ledger.permit import Position
from onrecord.media_recorder.domain.coverage import MAX_GAPS, Coverage, Loss

SSRC = 7


def covered(numbers: list[int]) -> Coverage:
    """Coverage of packets with these numbers, 160 timestamp units apart."""
    coverage = Coverage()
    for number in numbers:
        coverage.add(SSRC, number, number * 160 % 2**32)
    return coverage


@given(st.sets(st.integers(0, 150), min_size=1), st.randoms(use_true_random=False))
def test_present_and_missing_are_everything(present: set[int], random: object) -> None:
    """In any order of arrival, the gaps are exactly the numbers between that did not come."""
    order = sorted(present)
    random.shuffle(order)  # type: ignore[attr-defined]
    coverage = covered(order)
    missing = set(range(min(present), max(present))) - present
    found = {
        n
        for gap in coverage.gaps(None, None, [])
        for n in range(gap.first.sequence, gap.last.sequence + 1)
    }
    packets = sum(gap.packets for gap in coverage.gaps(None, None, []))
    if len(coverage.runs[SSRC]) <= MAX_GAPS:
        assert found == missing
    assert packets == len(missing)
    assert Coverage.load(coverage.dump()) == coverage


@given(st.sets(st.integers(0, 60), min_size=1), st.sets(st.integers(0, 60), min_size=1))
def test_parts_merge_to_the_whole(one: set[int], other: set[int]) -> None:
    """Two units of a leg cover what all their packets cover."""
    whole = covered(sorted(one))
    whole.merge(covered(sorted(other)))
    assert whole.runs[SSRC] == covered(sorted(one | other)).runs[SSRC]


def test_causes_divide_a_gap() -> None:
    """What the ring had no room for is told apart from what the network lost."""
    gaps = covered([1, 10]).gaps(None, None, [Loss(SSRC, 4, 6, "ring_full")])
    assert [(g.first.sequence, g.last.sequence, g.packets, g.cause) for g in gaps] == [
        (2, 3, 2, "network"),
        (4, 6, 3, "ring_full"),
        (7, 9, 3, "network"),
    ]
    assert gaps[1].first.timestamp == 4 * 160


def test_missing_from_the_permits_position_on_counts() -> None:
    """If the first packets that might be kept never came, that is a gap."""
    (gap,) = covered([13, 14]).gaps(Position(SSRC, 10, 1600), None, [])
    assert (gap.first.sequence, gap.last.sequence, gap.packets) == (10, 12, 3)


def test_silence_and_restart_are_no_gaps() -> None:
    """A jump of timestamps alone, or of numbers alone, loses nothing; a long outage does."""
    coverage = Coverage()
    coverage.add(SSRC, 1, 160)
    coverage.add(SSRC, 2, 80_000)
    assert coverage.gaps(None, None, []) == []
    coverage.add(SSRC, 40_000, 80_160)
    assert coverage.gaps(None, None, []) == []
    assert covered([1, 40_000]).gaps(None, None, [])[0].packets == 39_998
