"""The outbound RTP state of one leg: one SSRC whose numbers go on whatever is sent.

A leg hears a prompt, then the other party, perhaps a prompt again. RFC 3550 §5.1 wants one
source's sequence numbers to rise by one and its timestamps to follow its clock, so the numbers of
relayed packets are shifted to continue what was sent before, and the marker bit is set where the
audio begins anew (RFC 3551 §4.1). Within one relayed source the shift stays the same: gaps and
reordering pass through as they came.
"""

from dataclasses import dataclass
from typing import NamedTuple

from onrecord.rtp.packet import Packet, build, renumber
from onrecord.rtp.sequence import SequenceTracker

_TIMESTAMPS = 1 << 32
_SEQUENCES = 1 << 16


class Sent(NamedTuple):
    """A packet as it goes out; `sequence` is extended, `timestamp` is 32 bits."""

    datagram: bytes
    ssrc: int
    sequence: int
    timestamp: int


@dataclass(slots=True)
class _Relayed:
    """The source being relayed: its own numbers and how far they are shifted."""

    ssrc: int
    tracker: SequenceTracker
    sequence_shift: int
    timestamp_shift: int
    floor: int


class OutboundStream:
    """Numbers everything that one leg is sent. Times are seconds of any one monotonic clock."""

    def __init__(self, ssrc: int, sequence: int, timestamp: int, clock_rate: int) -> None:
        """Begin with random numbers (RFC 3550 §5.1): `sequence` is the first one sent."""
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self._next = sequence
        self._timestamp = timestamp
        self._sent_at: float | None = None
        # How long the frame lasts that was played last; 0 when something else was sent since.
        self._samples = 0
        self._relayed: _Relayed | None = None

    def play(self, payload_type: int, payload: bytes, samples: int, now: float) -> Sent:
        """Send a frame of our own that lasts `samples` timestamp units.

        Frames played one after another follow each other exactly in timestamps, however unevenly
        they are sent.
        """
        starts = self._samples == 0
        timestamp = (
            self._continued(now) if starts else (self._timestamp + self._samples) % _TIMESTAMPS
        )
        self._relayed, self._samples = None, samples
        sequence = self._note(self._next, timestamp, now)
        packet = Packet(
            payload_type, sequence % _SEQUENCES, timestamp, self.ssrc, payload, marker=starts
        )
        return Sent(build(packet), self.ssrc, sequence, timestamp)

    def relay(self, packet: Packet, datagram: bytes, payload_type: int, now: float) -> Sent | None:
        """Send a received packet on, under this leg's numbers and payload type.

        None for a late packet that belongs before the point where its source took over: its number
        went to something else.
        """
        source = self._relayed
        starts = source is None or source.ssrc != packet.ssrc
        if source is None or starts:
            source = self._relayed = _Relayed(
                packet.ssrc,
                SequenceTracker(packet.sequence, packet.timestamp),
                self._next - packet.sequence,
                (self._continued(now) - packet.timestamp) % _TIMESTAMPS,
                self._next,
            )
            self._samples = 0
        extended = source.tracker.extend(packet.sequence, packet.timestamp)
        if extended is None or extended + source.sequence_shift < source.floor:
            return None
        timestamp = (packet.timestamp + source.timestamp_shift) % _TIMESTAMPS
        sequence = self._note(extended + source.sequence_shift, timestamp, now)
        again = renumber(
            datagram,
            payload_type=payload_type,
            sequence=sequence % _SEQUENCES,
            timestamp=timestamp,
            ssrc=self.ssrc,
            marker=starts,
        )
        return Sent(again, self.ssrc, sequence, timestamp)

    def pause(self) -> None:
        """Forget the source being relayed: what comes next continues by the clock."""
        self._relayed, self._samples = None, 0

    def _note(self, sequence: int, timestamp: int, now: float) -> int:
        if sequence >= self._next:
            self._next, self._timestamp, self._sent_at = sequence + 1, timestamp, now
        return sequence

    def _continued(self, now: float) -> int:
        if self._sent_at is None:
            return self._timestamp
        elapsed = round((now - self._sent_at) * self.clock_rate)
        return (self._timestamp + max(elapsed, self._samples, 1)) % _TIMESTAMPS
