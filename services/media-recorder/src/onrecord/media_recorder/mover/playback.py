"""A prompt being played to one leg: paced by the monotonic clock, and what was really sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from onrecord.ledger.permit import Position
from onrecord.rtp.stream import Sent

# A mover that was held up longer than this goes on from where it was, instead of a burst.
MAX_LATENESS: Final = 0.1


@dataclass(frozen=True, slots=True)
class PlayReport:
    """What was sent of one prompt: extended sequence numbers, payload octets, their SHA-256.

    `received` is how far the leg's own audio had come when the last packet left; times are UTC
    nanoseconds. `reason` is empty when `complete`.
    """

    notice: str
    leg: str
    complete: bool
    reason: str
    ssrc: int
    first_sequence: int
    last_sequence: int
    packets: int
    octets: int
    payload_sha256: str
    received: Position | None
    started_ns: int
    ended_ns: int


@dataclass(slots=True)
class Playback:
    """One prompt on its way: its frames, and which is due when."""

    notice: str
    leg: str
    payload_type: int
    frames: tuple[bytes, ...]
    samples: int
    interval: float
    due: float
    is_notice: bool
    sent: int = 0
    unsent: int = 0
    first: Sent | None = None
    last: Sent | None = None
    started_ns: int = 0
    octets: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def next_frame(self, now: float) -> bytes | None:
        """Give the frame that is due, or None; a long delay moves all that follow."""
        if self.finished or now < self.due:
            return None
        if now - self.due > MAX_LATENESS:
            self.due = now
        self.due += self.interval
        return self.frames[self.sent]

    def note(self, sent: Sent, payload: bytes, utc_ns: int) -> None:
        """Take down that a frame was sent."""
        if self.first is None:
            self.first, self.started_ns = sent, utc_ns
        self.last = sent
        self.sent += 1
        self.octets += len(payload)
        self.digest.update(payload)

    @property
    def finished(self) -> bool:
        """True when every frame was sent."""
        return self.sent == len(self.frames)

    def report(self, received: Position | None, utc_ns: int, reason: str = "") -> PlayReport:
        """Say what was sent; `reason` is why it was not all."""
        first, last = self.first, self.last
        return PlayReport(
            notice=self.notice,
            leg=self.leg,
            complete=not reason,
            reason=reason,
            ssrc=first.ssrc if first else 0,
            first_sequence=first.sequence if first else 0,
            last_sequence=last.sequence if last else 0,
            packets=self.sent,
            octets=self.octets,
            payload_sha256=self.digest.hexdigest(),
            received=received,
            started_ns=self.started_ns or utc_ns,
            ended_ns=utc_ns,
        )
