"""Where each frame of a leg belongs in time, counted in samples.

A source's frames follow its own RTP clock (RFC 3550 §5.1) from the moment at which its first frame
arrived, so that uneven arrival moves nothing. A timestamp that neither the sequence numbers nor the
passing of time explain is a jump (a sender that began anew): that frame is placed by its arrival,
and what follows it by the RTP clock again. So is a frame that its clock would put far from where it
arrived, whatever its numbers say: they are the sender's, and could stretch a call to days.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from onrecord.rtp.g711 import CLOCK_RATE
from onrecord.rtp.storage.unit import Frame

JUMP: Final = CLOCK_RATE // 2
"""How far, in samples, a timestamp may be from what was expected."""

MAX_DRIFT: Final = 30 * CLOCK_RATE
"""How far, in samples, a frame may stand from its arrival: a network stalls, a clock runs fast."""

MAX_SOURCES: Final = 8
"""SSRCs remembered for one leg; one that comes back after more than that many is placed anew."""

_NANOSECONDS = 1_000_000_000
_TIMESTAMPS = 1 << 32


class _Last(NamedTuple):
    """The latest frame of a source and where it was placed."""

    sequence: int
    timestamp: int
    arrival: int
    position: int
    samples: int


class Placement:
    """Places the frames of one leg, given in the order in which they were kept.

    Positions are samples since the Unix epoch. Copies go on independently.
    """

    def __init__(self) -> None:
        self._sources: dict[int, _Last] = {}

    def copy(self) -> Placement:
        """The same state, to place the same next frames a second time."""
        twin = Placement()
        twin._sources = dict(self._sources)
        return twin

    def place(self, frame: Frame) -> int:
        """The position of the frame's first sample."""
        arrival = frame.arrival_ns * CLOCK_RATE // _NANOSECONDS
        last = self._sources.pop(frame.ssrc, None)
        position = arrival if last is None else _follow(last, frame, arrival)
        # Popped and put back: the first key is the source not heard for longest.
        self._sources[frame.ssrc] = _Last(
            frame.sequence, frame.timestamp, arrival, position, len(frame.payload)
        )
        if len(self._sources) > MAX_SOURCES:
            del self._sources[next(iter(self._sources))]
        return position


def _follow(last: _Last, frame: Frame, arrival: int) -> int:
    step = (frame.timestamp - last.timestamp) % _TIMESTAMPS
    if step >= _TIMESTAMPS // 2:
        step -= _TIMESTAMPS
    by_sequence = (frame.sequence - last.sequence) * last.samples
    by_arrival = arrival - last.arrival
    position = last.position + step
    explained = abs(step - by_sequence) <= JUMP or abs(step - by_arrival) <= JUMP
    return position if explained and abs(position - arrival) <= MAX_DRIFT else arrival
