"""The gate keeps what its permit names and nothing else (I1), and all of that (I2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from onrecord.ledger.permit import Permit, Position
from onrecord.media_recorder.domain.gate import Captured, Gate, State, permitted
from onrecord.media_recorder.domain.record import Kind, Record

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SECOND = 10**9
LEGS = ("caller", "agent", "service-caller", "service-agent")


def permit(**legs: Position | None) -> Permit:
    """A permit for these legs; `service_caller` stands for service-caller."""
    named = {leg.replace("_", "-"): position for leg, position in legs.items()}
    later = NOW + timedelta(seconds=30)
    return Permit("c:p0", "c", named, ("caller",), "uk/1", ("e",), "*", NOW, later, "k")


def captured(
    position: int, leg: str = "caller", sequence: int = 1, ssrc: int = 7, at: int = 0
) -> Captured:
    """One frame as the ring gave it."""
    return Captured(leg, position, Record(0, Kind.FRAME, 0, ssrc, sequence, 0, at, b"x"))


positions = st.none() | st.builds(Position, st.integers(7, 9), st.integers(0, 30), st.just(0))
permits = st.dictionaries(st.sampled_from(LEGS), positions, min_size=1).map(
    lambda legs: permit(**{leg.replace("-", "_"): position for leg, position in legs.items()})
)
offers = st.tuples(st.sampled_from(LEGS), st.integers(0, 40), st.integers(7, 9))
steps = st.lists(st.one_of(offers, permits, st.sampled_from([State.PAUSED, State.ENDED])))


@given(steps)
def test_i1_nothing_outside_a_permit_leaves_the_gate(
    sequence_of: list[tuple[str, int, int] | Permit | State],
) -> None:
    """Whatever happens in whatever order, a kept frame is covered by the permit then open."""
    gate = Gate(2 * SECOND, 30 * SECOND)
    for place, step in enumerate(sequence_of):
        if isinstance(step, Permit):
            if gate.state is State.ENDED:
                continue
            kept, current = gate.open(step), step
        elif isinstance(step, State):
            if gate.state is not State.ENDED:
                gate.shut(step, place)
                gate.settle(step, place)
            continue
        else:
            leg, sequence, ssrc = step
            one = gate.offer(captured(place, leg, sequence, ssrc, at=place))
            kept = [one] if one else []
            assert not kept or gate.state is State.OPEN
        for one in kept:
            assert one.leg in current.legs
            position = current.legs[one.leg]
            if position is not None and position.ssrc == one.record.ssrc:
                assert one.record.sequence >= position.sequence


@given(st.lists(offers, max_size=40), st.integers(0, 40), permits)
def test_i2_every_permitted_frame_within_the_limits_is_kept_once(
    arrivals: list[tuple[str, int, int]], opened_at: int, allowed: Permit
) -> None:
    """Frames that waited no longer than they may and those after the opening are all kept."""
    gate = Gate(2 * SECOND, 30 * SECOND)
    frames = [captured(n, *arrival, at=n) for n, arrival in enumerate(arrivals)]
    kept: list[Captured] = []
    for frame in frames[:opened_at]:
        assert gate.offer(frame) is None
    kept += gate.open(allowed)
    kept += [one for frame in frames[opened_at:] if (one := gate.offer(frame))]
    assert kept == [frame for frame in frames if permitted(allowed, frame)]


def test_person_waits_two_seconds_a_notice_thirty() -> None:
    """What waited too long is dropped and remembered as overflow, per leg."""
    gate = Gate(2 * SECOND, 30 * SECOND)
    for number in range(4):
        gate.offer(captured(2 * number, "caller", number, at=number * SECOND))
        gate.offer(captured(2 * number + 1, "service-caller", number, at=number * SECOND))
    kept = gate.open(permit(caller=None, service_caller=None))
    assert [one.record.sequence for one in kept if one.leg == "caller"] == [1, 2, 3]
    assert [one.record.sequence for one in kept if one.leg == "service-caller"] == [0, 1, 2, 3]
    (overflow,) = gate.overflows["caller"]
    assert (overflow.first, overflow.last, overflow.packets) == (0, 0, 1)


def test_silent_leg_expires_too() -> None:
    """A frame does not wait for ever because no other came after it."""
    gate = Gate(2 * SECOND, 30 * SECOND)
    gate.offer(captured(5, at=SECOND))
    assert gate.oldest_held == 5
    gate.expire(4 * SECOND)
    assert gate.oldest_held is None


def test_frames_before_the_stop_are_kept_those_after_are_not() -> None:
    """A stop cuts at a place in the ring, however late the records are read."""
    gate = Gate(2 * SECOND, 30 * SECOND)
    gate.open(permit(caller=None))
    gate.shut(State.ENDED, 10)
    assert gate.offer(captured(9)) is not None
    assert gate.offer(captured(10)) is None
    assert not gate.settle(State.ENDED, 9)
    assert gate.settle(State.ENDED, 10)
    assert gate.offer(captured(11)) is None


def test_paused_gate_keeps_nothing_of_a_person_for_later() -> None:
    """What was said while paused is not kept by the next permit; its notice is."""
    gate = Gate(2 * SECOND, 30 * SECOND)
    gate.open(permit(caller=None))
    gate.shut(State.PAUSED, 3)
    gate.settle(State.PAUSED, 3)
    gate.offer(captured(4, "caller"))
    gate.offer(captured(5, "service-caller"))
    kept = gate.open(permit(caller=None, service_caller=None))
    assert [one.leg for one in kept] == ["service-caller"]
