"""One leg as the mover sees it: what it receives, from whom, and what may be kept of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from onrecord.ledger.permit import Position
from onrecord.media_recorder.domain.record import Kind, Record
from onrecord.media_recorder.mover.playback import Playback
from onrecord.media_recorder.mover.source import Address, SourceCheck
from onrecord.rtp.dtmf import DigitCollector
from onrecord.rtp.packet import Packet
from onrecord.rtp.sequence import DuplicateWindow, SequenceTracker
from onrecord.rtp.stream import OutboundStream, Sent

# RFC 3389: comfort noise belongs to the audio and may come with any codec at 8 kHz.
COMFORT_NOISE: Final = 13
# A source of more SSRCs than this is not a telephone; the oldest are forgotten.
MAX_SOURCES: Final = 16


@dataclass(slots=True)
class Counters:
    """What became of every datagram that reached a leg's port, and what the leg was sent."""

    received: int = 0
    forwarded: int = 0
    played: int = 0
    teed: int = 0
    masked: int = 0
    malformed: int = 0
    foreign: int = 0
    unexpected_type: int = 0
    before_bridge: int = 0
    while_playing: int = 0
    late: int = 0
    duplicate: int = 0
    ring_full: int = 0


@dataclass(slots=True)
class Flow:
    """One leg of a call. `number` is its flow in the ring, `number + 1` that of what it is played.

    `capturing` means that what is received is recorded. Whether the records wait or go to the ring,
    and whether packets are forwarded, is the call's matter. `floors` says, per SSRC, up to which
    number packets were sent before capturing began.
    """

    number: int
    call: str
    leg: str
    outbound: OutboundStream
    source: SourceCheck = field(default_factory=SourceCheck)
    audio: int | None = None
    telephone_event: int | None = None
    port: int = 0
    capturing: bool = False
    closed: bool = False
    playback: Playback | None = None
    received: Position | None = None
    last_arrival: float | None = None
    counters: Counters = field(default_factory=Counters)
    digits: DigitCollector = field(default_factory=DigitCollector)
    trackers: dict[int, SequenceTracker] = field(default_factory=dict)
    windows: dict[int, DuplicateWindow] = field(default_factory=dict)
    floors: dict[int, int] = field(default_factory=dict)
    before_notice: frozenset[int] = frozenset()

    @property
    def service(self) -> int:
        """The flow number of what is played to this leg."""
        return self.number + 1

    @property
    def remote(self) -> Address | None:
        """Where this leg is sent its RTP: only ever what was signalled."""
        return self.source.signalled

    def expects(self, packet: Packet) -> bool:
        """Say whether the payload type was agreed; before an agreement any may be."""
        if self.audio is None:
            return True
        return packet.payload_type in (self.audio, self.telephone_event, COMFORT_NOISE)

    def note(self, packet: Packet, now: float) -> int | None:
        """Count an accepted packet; give its extended number.

        None if it can have none, or came before: a duplicate is relayed, but not kept twice.
        """
        self.counters.received += 1
        self.last_arrival = now
        tracker = self.trackers.get(packet.ssrc)
        if tracker is None:
            if len(self.trackers) == MAX_SOURCES:
                oldest = next(iter(self.trackers))
                del self.trackers[oldest], self.windows[oldest]
            tracker = SequenceTracker(packet.sequence, packet.timestamp)
            self.trackers[packet.ssrc] = tracker
            self.windows[packet.ssrc] = DuplicateWindow()
        extended = tracker.extend(packet.sequence, packet.timestamp)
        if extended is None:
            return None
        if not self.windows[packet.ssrc].is_new(extended, packet.timestamp):
            self.counters.duplicate += 1
            return None
        if extended == tracker.highest:
            self.received = Position(packet.ssrc, extended, packet.timestamp)
        return extended

    def capture(self) -> None:
        """Begin to capture: what is sent from now on, not what is late from before."""
        if not self.capturing:
            self.capture_anew()

    def capture_anew(self) -> None:
        """Capture what is sent from now on, whatever was captured before."""
        self.capturing = True
        self.floors = {ssrc: tracker.highest for ssrc, tracker in self.trackers.items()}

    def notice_ended(self) -> None:
        """Begin to capture at a notice's end: an SSRC that spoke before it is only the current one.

        A permit can name one position per leg; any other source counts only if it is new.
        """
        current = self.received.ssrc if self.received else None
        self.before_notice = frozenset(self.trackers) - {current}
        self.capture_anew()

    def record(self, packet: Packet, extended: int | None, arrival_ns: int) -> Record | None:
        """Give what the ring is to hold of an accepted packet; None if nothing may be captured."""
        if not self.capturing or extended is None or packet.ssrc in self.before_notice:
            return None
        if extended <= self.floors.get(packet.ssrc, -1):
            return None
        masked = packet.payload_type == self.telephone_event
        return Record(
            self.number,
            Kind.MASKED if masked else Kind.FRAME,
            packet.payload_type,
            packet.ssrc,
            extended,
            packet.timestamp,
            arrival_ns,
            b"" if masked else packet.payload,
        )

    def played_record(self, playback: Playback, sent: Sent, payload: bytes, utc_ns: int) -> Record:
        """Give what the ring is to hold of a frame that was played to this leg."""
        return Record(
            self.service,
            Kind.FRAME,
            playback.payload_type,
            sent.ssrc,
            sent.sequence,
            sent.timestamp,
            utc_ns,
            payload,
        )
