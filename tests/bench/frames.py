"""What became of the frames that a phone sent: whether and when they were heard, and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onrecord.softphone.audio import FRAME_SECONDS
from onrecord.softphone.media import MediaFrame
from onrecord.standalone.checks.audio import TAIL_NS
from onrecord.standalone.checks.frames import SEQUENCES, number_of
from onrecord.standalone.checks.observed import PARTIES, Observed, PhoneTape


@dataclass(frozen=True)
class Counted:
    """How many frames had to arrive, how many of these did not, and how late the others were."""

    due: int
    lost: int
    delays_ms: tuple[float, ...] = ()


NOTHING = Counted(0, 0)
"""Of a call of which there is nothing to count."""


def heard(speaker: PhoneTape, listener: PhoneTape, since_ns: int) -> Counted:
    """Count one phone's speech at the other, which may be under other numbers by then.

    Due is every frame from the first one that was heard on, and from `since_ns` (UTC) on at the
    latest, up to `TAIL_NS` before the end.
    """
    arrived = {frame.payload: frame.time_ns for frame in reversed(listener.received)}
    said = [frame for frame in speaker.sent if frame.speech]
    first_ns = next((f.time_ns for f in said if f.payload in arrived), since_ns)
    due = [f for f in said if min(first_ns, since_ns) <= f.time_ns < _end(speaker, listener)]
    delays = [(arrived[f.payload] - f.time_ns) / 1e6 for f in due if f.payload in arrived]
    return Counted(len(due), len(due) - len(delays), tuple(delays))


def stored(seen: Observed) -> Counted:
    """Count both parties' frames from the permit's positions on; a named gap is a loss as well."""
    due = lost = 0
    (permit,) = seen.of_type("permit.issued")
    positions = {leg["leg"]: leg.get("first_kept") for leg in permit.fields["legs"]}
    for party in PARTIES:
        kept = {number_of(frame) for frame in seen.frames(party)}
        end_ns = _end(*seen.phones.values())
        sent = seen.phones[party].sent
        first = _first(sent, positions.get(party), kept)
        expected = [frame for frame in sent[first:] if frame.time_ns < end_ns]
        due += len(expected)
        lost += sum(number_of(frame) not in kept for frame in expected)
    return Counted(due, lost)


def lateness_ms(tape: PhoneTape) -> list[float]:
    """How late each frame was sent, against the best case of the same stream."""
    step_ns = round(FRAME_SECONDS * 1e9)
    offsets = [frame.time_ns - number * step_ns for number, frame in enumerate(tape.sent)]
    return [(offset - min(offsets)) / 1e6 for offset in offsets]


def _first(
    sent: Sequence[MediaFrame], position: dict[str, int] | None, kept: set[tuple[int, int, int]]
) -> int:
    """Where the permit begins: at its position or, if nothing had come by then, at what is kept."""
    for at, frame in enumerate(sent):
        if position is None:
            if number_of(frame) in kept:
                return at
        elif (frame.ssrc, frame.sequence) == (
            position["ssrc"],
            position["sequence"] % SEQUENCES,
        ):
            return at
    return 0


def _end(*tapes: PhoneTape) -> int:
    return min(tape.ended_ns for tape in tapes) - TAIL_NS
