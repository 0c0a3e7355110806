"""Snapshots merged: complete and partial, transfer, hold, repeats, several senders, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip.siprec import association, state
from onrecord.sip.siprec.document import MetadataError
from onrecord.sip.siprec.metadata import (
    DataMode,
    NameId,
    Participant,
    ParticipantSession,
    ParticipantStream,
    SessionRecording,
    Snapshot,
    Stream,
)
from onrecord.sip.siprec.state import RecordingState

IDS = st.sampled_from(["a", "b", "c"])
TIMES = st.sampled_from(["", "T1", "T2"])
REFERENCES = st.lists(IDS, max_size=3).map(tuple)
SNAPSHOTS = st.builds(
    Snapshot,
    st.sampled_from(["complete", "partial"]),
    participants=st.lists(
        st.builds(Participant, IDS, st.sampled_from([(), (NameId("x", "x"),)])), max_size=3
    ).map(tuple),
    streams=st.lists(st.builds(Stream, IDS, IDS, st.sampled_from(["", "1", "2"])), max_size=3).map(
        tuple
    ),
    session_recordings=st.lists(st.builds(SessionRecording, IDS, TIMES, TIMES), max_size=3).map(
        tuple
    ),
    participant_sessions=st.lists(
        st.builds(ParticipantSession, IDS, IDS, TIMES, TIMES), max_size=4
    ).map(tuple),
    participant_streams=st.lists(
        st.builds(ParticipantStream, IDS, REFERENCES, REFERENCES, TIMES, TIMES), max_size=4
    ).map(tuple),
)


def party(name: str) -> Participant:
    """A participant with an address of this name."""
    return Participant(name, (NameId(f"sip:{name}@x", f"sip:{name}@x", name),))


def call(*parties: str, mode: DataMode = "complete", sending: bool = True) -> Snapshot:
    """A session of these parties, each sending a stream with its place as the label."""
    return Snapshot(
        mode,
        participants=tuple(map(party, parties)),
        streams=tuple(Stream(f"of-{p}", "s", str(i)) for i, p in enumerate(parties)),
        participant_sessions=tuple(ParticipantSession(p, "s") for p in parties),
        participant_streams=tuple(
            ParticipantStream(p, (f"of-{p}",) if sending else ()) for p in parties
        ),
    )


def stays(known: RecordingState) -> list[tuple[str, float, float | None]]:
    """Who was in the session from when until when."""
    return [(a.subject, a.since, a.until) for a in known.history if a.kind == "session"]


def heard(known: RecordingState, *labels: str) -> list[tuple[list[str], str]]:
    """Who is heard in the lines of these labels, and how it is known."""
    return [([p.id for p in r.participants], r.confidence) for r in known.resolve(labels)]


def test_a_transfer_ends_one_stay_and_begins_another() -> None:
    """Oracle names A no more and C instead: A was there until then, and is not forgotten."""
    known = RecordingState().merge(call("a", "b"), 1.0).merge(call("c", "b"), 9.0)
    assert stays(known) == [("a", 1.0, 9.0), ("b", 1.0, None), ("c", 9.0, None)]
    assert [p.id for p in known.present] == ["b", "c"]
    assert "a" in known.participants
    assert heard(known, "0", "1") == [(["c"], "send"), (["b"], "send")]


def test_a_partial_snapshot_ends_only_what_it_says_has_ended() -> None:
    """RFC 7865 §6.6: a stay ends with a disassociate-time; what is not named goes on."""
    known = RecordingState().merge(call("a", "b"), 1.0)
    leaving = Snapshot(
        "partial", participant_sessions=(ParticipantSession("a", "s", disassociated="T"),)
    )
    known = known.merge(leaving, 5.0)
    assert stays(known) == [("a", 1.0, 5.0), ("b", 1.0, None)]
    assert known.history[0].disassociated == "T"


def test_a_partial_snapshot_fills_in_and_a_complete_one_replaces() -> None:
    """A stream first known by its session gets its label; a complete one may take it away."""
    known = RecordingState().merge(Snapshot(streams=(Stream("t", "s"),)), 1.0)
    known = known.merge(Snapshot("partial", streams=(Stream("t", label="1"),)), 2.0)
    assert known.streams["t"] == Stream("t", "s", "1")
    known = known.merge(Snapshot("complete", streams=(Stream("t", label="2"),)), 3.0)
    assert known.streams["t"] == Stream("t", "", "2")


def test_on_hold_the_last_sender_is_still_named() -> None:
    """RFC 8068: on hold the association is restated without `send`; who was heard stays known."""
    known = RecordingState().merge(call("a", "b"), 1.0)
    hold = Snapshot("partial", participant_streams=(ParticipantStream("a", recv=("of-b",)),))
    held = known.merge(hold, 2.0)
    assert heard(held, "0", "1") == [(["a"], "past"), (["b"], "send")]
    retrieved = held.merge(call("a", "b", mode="partial"), 3.0)
    assert heard(retrieved, "0", "1") == [(["a"], "send"), (["b"], "send")]
    sends = [
        (a.since, a.until) for a in held.merge(call("a", "b"), 3.0).history if a.kind == "send"
    ]
    assert sends == [(1.0, 2.0), (1.0, None), (3.0, None)]


def test_the_past_sender_is_the_last_one_and_still_there() -> None:
    """A stream that was handed over is not put down to who had it first, nor to who has left."""
    known = RecordingState().merge(call("a", "b"), 1.0)
    swapped = (ParticipantStream("a", ("of-b",)), ParticipantStream("b", ("of-a",)))
    known = known.merge(Snapshot("partial", participant_streams=swapped), 2.0)
    silent = (ParticipantStream("a"), ParticipantStream("b"))
    known = known.merge(Snapshot("partial", participant_streams=silent), 3.0)
    assert heard(known, "0", "1") == [(["b"], "past"), (["a"], "past")]
    leaving = (ParticipantSession("b", "s", disassociated="T"),)
    known = known.merge(Snapshot("partial", participant_sessions=leaving), 4.0)
    assert heard(known, "0", "1") == [([], "none"), (["a"], "past")]


def test_who_has_left_is_not_heard_any_more() -> None:
    """A transfer that ends the stay and not its `send`: the stream is the successor's alone."""
    known = RecordingState().merge(call("a", "b"), 1.0)
    transfer = Snapshot(
        "partial",
        participants=(party("c"),),
        participant_sessions=(
            ParticipantSession("b", "s", disassociated="T"),
            ParticipantSession("c", "s"),
        ),
        participant_streams=(ParticipantStream("c", ("of-b",)),),
    )
    assert heard(known.merge(transfer, 2.0), "0", "1") == [(["a"], "send"), (["c"], "send")]


def test_who_comes_back_has_two_stays() -> None:
    """One document may name the leaving and the return; the return is what holds."""
    known = RecordingState().merge(call("a"), 1.0)
    both = (ParticipantSession("a", "s"), ParticipantSession("a", "s", disassociated="T"))
    known = known.merge(Snapshot("partial", participant_sessions=both), 4.0)
    assert stays(known) == [("a", 1.0, 4.0), ("a", 4.0, None)]


def test_two_senders_may_use_the_same_ids() -> None:
    """RFC 7866 §9.2: no error; a complete snapshot of one ends nothing that the other said."""
    known = RecordingState().merge(call("a", "b"), 1.0, source="one")
    known = known.merge(call("a"), 2.0, source="two")
    assert stays(known) == [("a", 1.0, None), ("b", 1.0, None), ("a", 2.0, None)]
    assert heard(known, "0") == [(["a"], "send")]


def test_without_associations_the_places_decide_and_say_so() -> None:
    """Older OpenSIPS: who has a stream is known to nobody, the order is a guess."""
    known = RecordingState().merge(call("a", "b", sending=False), 1.0)
    assert heard(known, "0", "1", "2") == [(["a"], "order"), (["b"], "order"), ([], "none")]


def test_a_guess_never_takes_who_is_heard_elsewhere() -> None:
    """One association known and crossed leaves the other party for the other line."""
    crossed = Snapshot(
        participants=(party("a"), party("b")),
        streams=(Stream("t1", label="1"), Stream("t2", label="2")),
        participant_streams=(ParticipantStream("a", ("t2",)),),
    )
    known = RecordingState().merge(crossed, 1.0)
    assert heard(known, "1", "2") == [(["b"], "order"), (["a"], "send")]


def test_a_mixed_stream_has_all_its_senders() -> None:
    """RFC 6341 REQ-009: both parties in one line."""
    mixed = Snapshot(
        participants=(party("a"), party("b")),
        streams=(Stream("t", label="1", mode="mixed"),),
        participant_streams=(ParticipantStream("a", ("t",)), ParticipantStream("b", ("t",))),
    )
    assert heard(RecordingState().merge(mixed, 1.0), "1") == [(["a", "b"], "send")]


@given(st.lists(SNAPSHOTS, max_size=4), SNAPSHOTS)
def test_the_same_snapshot_again_changes_nothing(before: list[Snapshot], last: Snapshot) -> None:
    """Session timers repeat the whole document for hours; the times of the first stand."""
    known = RecordingState()
    for now, snapshot in enumerate(before):
        known = known.merge(snapshot, float(now), "src")
    once = known.merge(last, 10.0, "src")
    assert once.merge(last, 20.0, "src") == once


@given(st.lists(SNAPSHOTS, max_size=6))
def test_nothing_that_was_said_is_forgotten(snapshots: list[Snapshot]) -> None:
    """Every association once said stays in the history, and of one kind at most one holds."""
    known = RecordingState()
    for now, snapshot in enumerate(snapshots):
        before = known
        known = known.merge(snapshot, float(now))
        assert {a.key for a in before.history} <= {a.key for a in known.history}
        assert before.participants.keys() <= known.participants.keys()
    holding = [a.key for a in known.history if a.until is None]
    assert len(holding) == len(set(holding))
    assert all(a.until is None or a.since <= a.until for a in known.history)
    assert len(known.resolve(["1", "2", "9"])) == 3


def test_a_client_cannot_make_the_state_grow_for_ever() -> None:
    """Over a limit the snapshot is refused as broken metadata, and the state before it stands."""
    many = tuple(Participant(str(i)) for i in range(state.MAX_OBJECTS + 1))
    with pytest.raises(MetadataError, match="too_much"):
        RecordingState().merge(Snapshot(participants=many), 1.0)
    stays_ = tuple(ParticipantSession(str(i), "s") for i in range(association.MAX_HISTORY + 1))
    with pytest.raises(MetadataError, match="too_much"):
        RecordingState().merge(Snapshot(participant_sessions=stays_), 1.0)
