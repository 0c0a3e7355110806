"""The gate keeps what its permit names and nothing else (I1), and all of that (I2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.ledger.permit import Permit, Position, SignedPermit
from onrecord.media_recorder.domain.gate import Captured, Gate, OpenPermit, State, permitted
from onrecord.media_recorder.domain.record import Kind, Record, lost_record
from onrecord.platform.errors import Refused

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LEGS = ("caller", "agent", "service-caller", "service-agent")


def opening(number: int = 0, **legs: Position | None) -> OpenPermit:
    """A permit for these legs; `service_caller` stands for service-caller."""
    named = {leg.replace("_", "-"): position for leg, position in legs.items()}
    later, who = NOW + timedelta(seconds=30), ("caller",)
    permit = Permit(f"c:p{number}", "c", named, who, "uk/1", ("e",), "*", NOW, later, "k")
    return OpenPermit(permit, SignedPermit(b"{}", b""), {})


def captured(position: int, leg: str = "caller", sequence: int = 1, ssrc: int = 7) -> Captured:
    """One frame as the ring gave it."""
    return Captured(leg, position, Record(0, Kind.FRAME, 0, ssrc, sequence, 0, 0, b"x"))


def opened(gate: Gate, permit: OpenPermit) -> list[Captured]:
    """Open by a permit whose mover answers at once."""
    gate.ask(permit)
    return gate.open(permit)


positions = st.none() | st.builds(Position, st.integers(7, 9), st.integers(0, 30), st.just(0))
allowed_legs = st.dictionaries(st.sampled_from(LEGS), positions, min_size=1)
offers = st.tuples(st.sampled_from(LEGS), st.integers(0, 40), st.integers(7, 9))
shuts = st.sampled_from([State.PAUSED, State.ENDED])
answers = st.sampled_from(["open", "withdraw", "cut"])
steps = st.lists(st.one_of(offers, allowed_legs, shuts, answers))


@given(steps)
def test_i1_nothing_outside_a_permit_leaves_the_gate(
    sequence_of: list[tuple[str, int, int] | dict[str, Position | None] | State | str],
) -> None:
    """In any order of frames, permits, stops and answers: what is kept is covered by a permit."""
    gate, asked, shut_at = Gate(), 0, None
    for place, step in enumerate(sequence_of):
        kept: list[Captured] = []
        if isinstance(step, dict):
            legs = {leg.replace("-", "_"): position for leg, position in step.items()}
            asked += 1
            try:
                gate.ask(opening(asked, **legs))
            except Refused:
                continue
        elif isinstance(step, State):
            shut_at = place if gate.shut(step, "test") else shut_at
        elif step == "open" and gate.asked is not None:
            kept, shut_at = gate.open(gate.asked), None
        elif step == "withdraw" and gate.asked is not None:
            gate.withdraw(gate.asked)
        elif step == "cut" and shut_at is not None:
            gate.cut_at(shut_at)
        elif isinstance(step, tuple):
            one = gate.offer(captured(place, *step))
            kept = [one] if one else []
        for one in kept:
            assert gate.permit is not None
            assert permitted(gate.permit.permit, one)
            assert gate.cut is None or one.position < gate.cut
        assert gate.state is not State.ENDED or gate.asked is None


@given(st.lists(offers, max_size=40), st.integers(0, 40), allowed_legs)
def test_i2_every_permitted_frame_is_kept_once(
    arrivals: list[tuple[str, int, int]], answered_at: int, legs: dict[str, Position | None]
) -> None:
    """Those that the mover put into the ring before its answer was heard, and those after it."""
    gate = Gate()
    frames = [captured(n, *arrival) for n, arrival in enumerate(arrivals)]
    permit = opening(**{leg.replace("-", "_"): position for leg, position in legs.items()})
    gate.ask(permit)
    assert not [frame for frame in frames[:answered_at] if gate.offer(frame)]
    kept = gate.open(permit)
    kept += [one for frame in frames[answered_at:] if (one := gate.offer(frame))]
    assert kept == [frame for frame in frames if permitted(permit.permit, frame)]


def test_frames_before_the_stop_are_kept_those_after_are_not() -> None:
    """A stop cuts at a place in the ring, however late that is named and the records are read."""
    gate = Gate()
    opened(gate, opening(caller=None))
    assert gate.shut(State.ENDED, "objection")
    assert gate.offer(captured(8)) is not None
    assert not gate.is_read_out(20)
    gate.cut_at(10)
    assert gate.offer(captured(9)) is not None
    assert gate.offer(captured(10)) is None
    assert (gate.is_read_out(9), gate.is_read_out(10)) == (False, True)


def test_a_stop_after_a_pause_ends_it_for_good() -> None:
    """The earlier cut counts, and no permit opens it any more."""
    gate = Gate()
    opened(gate, opening(0, caller=None))
    assert gate.shut(State.PAUSED, "card_data")
    gate.cut_at(5)
    assert not gate.shut(State.ENDED, "objection")
    gate.cut_at(9)
    assert gate.offer(captured(5)) is None
    with pytest.raises(Refused, match="recording_ended"):
        gate.ask(opening(1, caller=None))


@pytest.mark.parametrize("state", [State.PAUSED, State.ENDED])
def test_a_stop_beats_the_permit_that_is_under_way(state: State) -> None:
    """What the mover put into the ring for it is not kept, and the permit is used up."""
    gate, permit = Gate(), opening(caller=None)
    gate.ask(permit)
    gate.offer(captured(1))
    assert gate.told is State.OPEN
    assert not gate.shut(state, "objection")
    assert (gate.told, gate.asked, gate.early) == (state, None, [])
    with pytest.raises(Refused):
        gate.ask(permit)


def test_a_permit_opens_once_and_one_at_a_time() -> None:
    """Another one meanwhile, and the same one after a pause, are refused by name."""
    gate, first = Gate(), opening(0, caller=None)
    gate.ask(first)
    gate.ask(opening(0, caller=None))
    assert gate.asked is first
    with pytest.raises(Refused, match="gate_open"):
        gate.ask(opening(1, caller=None))
    gate.open(first)
    gate.shut(State.PAUSED, "card_data")
    with pytest.raises(Refused, match="permit_used"):
        gate.ask(opening(0, caller=None))


def test_a_cut_that_comes_when_the_gate_is_open_again_is_of_the_past() -> None:
    """A mover that took its time over the pause does not end what came after it."""
    gate = Gate()
    gate.shut(State.PAUSED, "card_data")
    opened(gate, opening(caller=None))
    gate.cut_at(3)
    assert gate.offer(captured(4)) is not None


def test_word_of_lost_packets_is_kept_where_the_permit_may_cover_some() -> None:
    """A run that begins before the permit's position is told all the same; other legs' is not."""
    gate = Gate()
    opened(gate, opening(caller=Position(7, 10, 0)))
    lost = lost_record(captured(1, sequence=8).record, Kind.EXPIRED, 12, 5)
    assert gate.offer(Captured("caller", 1, lost)) is not None
    assert gate.offer(Captured("agent", 2, lost)) is None
