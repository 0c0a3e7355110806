"""Placement: the RTP clock decides, arrival only where the clock begins anew."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from onrecord.retrieval.domain.placement import MAX_DRIFT, MAX_SOURCES, Placement
from onrecord.rtp.storage.unit import Frame
from unit.retrieval.factories import FRAME_NS, NOON_NS, frames

NOON_SAMPLES = NOON_NS * 8 // 1_000_000
AUDIO = bytes(160)


def places(given_frames: list[Frame]) -> list[int]:
    """Where the frames go, in samples after noon."""
    placement = Placement()
    return [placement.place(frame) - NOON_SAMPLES for frame in given_frames]


def late(frame: Frame, milliseconds: int) -> Frame:
    """The frame, arriving later."""
    return replace(frame, arrival_ns=frame.arrival_ns + milliseconds * 1_000_000)


@given(delays=st.lists(st.integers(0, 5000), min_size=1, max_size=50))
def test_uneven_arrival_moves_nothing_after_the_first_frame(delays: list[int]) -> None:
    """Jitter, stalls and bursts: the sequence numbers explain the timestamps."""
    steady = frames([AUDIO] * len(delays))
    first = delays[0] * 8
    uneven = [late(frame, delay) for frame, delay in zip(steady, delays, strict=True)]
    assert places(uneven) == [first + 160 * n for n in range(len(delays))]


@given(order=st.permutations(range(8)))
def test_reordered_frames_stand_where_they_belong(order: list[int]) -> None:
    """The first to arrive fixes the place; the others stand before and after it."""
    steady = frames([AUDIO] * 8)
    shuffled = [
        replace(steady[n], arrival_ns=NOON_NS + slot * FRAME_NS) for slot, n in enumerate(order)
    ]
    assert places(shuffled) == [160 * (n - order[0]) for n in order]


def test_lost_frames_leave_their_time_empty() -> None:
    """Sequence and timestamp go on together."""
    steady = frames([AUDIO] * 6)
    assert places([steady[0], steady[4], steady[5]]) == [0, 640, 800]


def test_silence_that_was_not_sent_is_as_long_as_it_was() -> None:
    """Discontinuous transmission: the timestamp moves on, the sequence number by one."""
    first, second = frames([AUDIO] * 2)
    resumed = replace(
        second,
        timestamp=(first.timestamp + 80_000) % 2**32,
        arrival_ns=first.arrival_ns + 10_060_000_000,
    )
    assert places([first, resumed]) == [0, 80_000]


def test_a_timestamp_that_jumps_is_placed_by_arrival() -> None:
    """A sender that began anew under the same SSRC; what follows goes by its clock again."""
    steady = frames([AUDIO] * 4)
    jumped = [replace(frame, timestamp=(frame.timestamp + 10**9) % 2**32) for frame in steady[2:]]
    assert places([*steady[:2], late(jumped[0], 30), jumped[1]]) == [0, 160, 560, 720]


@given(jumps=st.lists(st.integers(-1000, 32767), min_size=1, max_size=200))
def test_jumps_of_number_and_timestamp_together_do_not_stretch_a_call(jumps: list[int]) -> None:
    """A hundred of them once put frames days apart: each stands near where it arrived."""
    steady = frames([AUDIO] * (len(jumps) + 1))
    number, forged = 100_000, []
    for frame, jump in zip(steady, [0, *jumps], strict=True):
        number += 1 + jump
        stamp = number * len(AUDIO) % 2**32
        forged.append(replace(frame, sequence=number, timestamp=stamp))
    for at, place in enumerate(places(forged)):
        assert abs(place - at * len(AUDIO)) <= MAX_DRIFT


def test_after_a_forged_jump_the_clock_is_followed_again() -> None:
    """One frame is placed by its arrival; those after it lose nothing."""
    steady = frames([AUDIO] * 4)
    jumped = [
        replace(f, sequence=f.sequence + 30_000, timestamp=(f.timestamp + 30_000 * 160) % 2**32)
        for f in steady[2:]
    ]
    assert places([*steady[:2], late(jumped[0], 30), late(jumped[1], 50)]) == [0, 160, 560, 720]


def test_a_new_source_is_placed_by_arrival() -> None:
    """Another SSRC has another clock; the old one is remembered."""
    old, new = frames([AUDIO] * 3), frames([AUDIO] * 2, at=500, ssrc=8, timestamp=77)
    assert places([old[0], *new, late(old[1], 900)]) == [0, 4000, 4160, 160]


def test_a_source_not_heard_for_longest_is_forgotten() -> None:
    """However many SSRCs a far end invents, little is remembered."""
    first = frames([AUDIO] * 2, ssrc=0)
    others = [frames([AUDIO], ssrc=n)[0] for n in range(1, MAX_SOURCES + 1)]
    assert places([first[0], *others, late(first[1], 1000)])[-1] == 160 + 8000


def test_a_copy_places_the_same_frames_again() -> None:
    """A unit is placed twice: once to measure, once to render."""
    placement = Placement()
    steady = frames([AUDIO] * 4)
    placement.place(steady[0])
    twin = placement.copy()
    assert [placement.place(f) for f in steady[1:]] == [twin.place(f) for f in steady[1:]]
