"""The mover's core, without sockets: packets, commands and the time in; sends and records out.

A call through us has up to two legs. What one sends goes to the other once the call is bridged,
under the other leg's own numbers; nothing is transcoded. What a leg sends is captured from the end
of the notice that it was given, or when the writer says so. A played prompt takes a leg's ear for
its length and is captured always: it is a leg of its own, holding machine audio only. What is
captured waits here (`holding`) and goes to the ring when the writer has a permit.

A recording session has any number of legs, which are received only: captured from their first
packet, never bridged, never sent anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from onrecord.media_recorder.domain.gate import SERVICE
from onrecord.media_recorder.domain.record import SLOTS, Kind, Record
from onrecord.media_recorder.mover.call import Bridge, Call, LegMedia, MoverRefused, Prompt
from onrecord.media_recorder.mover.flow import Flow
from onrecord.media_recorder.mover.holding import Holding, Limits
from onrecord.media_recorder.mover.playback import Playback, PlayReport
from onrecord.media_recorder.mover.source import Address
from onrecord.media_recorder.mover.tee import RecordSink, Tee
from onrecord.rtp import dtmf
from onrecord.rtp.errors import MalformedEvent, MalformedPacket
from onrecord.rtp.packet import Packet, parse
from onrecord.rtp.stream import OutboundStream

MAX_CALLS: Final = 5000
MAX_EVENTS: Final = 10_000
# How often what waits for a permit is looked through; a busy leg does so itself.
EXPIRY_SECONDS: Final = 0.1
# Plays remembered per call, so that a repeated request finds its report.
MAX_PLAYS: Final = 64


class Send(NamedTuple):
    """A datagram to be sent from a flow's own port."""

    flow: int
    datagram: bytes
    address: Address


class Happening(NamedTuple):
    """Something that the writer should know: `report` for a played prompt, else a digit or none."""

    call: str
    leg: str
    what: str
    report: PlayReport | None = None
    digit: str = ""
    duration_ms: int = 0


class Engine:
    """All calls of one mover. `random_bits(n)` gives n random bits; clocks come as arguments."""

    def __init__(
        self, sink: RecordSink, random_bits: Callable[[int], int], limits: Limits | None = None
    ) -> None:
        """Begin with no call; `limits` bound what waits for a permit."""
        self.calls: dict[str, Call] = {}
        self.happenings: deque[Happening] = deque(maxlen=MAX_EVENTS)
        self._flows: dict[int, Flow] = {}
        self._playing: dict[int, Flow] = {}
        self._tee = Tee(sink)
        self._holding, self._limits = Holding(self._tee), limits or Limits()
        self._next_expiry = 0.0
        self._random_bits = random_bits
        self._next_flow = 0
        self._open_flows = 0

    @property
    def idle(self) -> bool:
        """True while no leg is open: nothing can arrive and nothing is due."""
        return self._open_flows == 0

    def open(
        self, call: str, tag: str, legs: Sequence[LegMedia], bridge: Bridge, notices: set[str]
    ) -> Call:
        """Make a call, or add the legs that it lacks. Raises `MoverRefused`."""
        made = self.calls.get(call)
        if made is None:
            if len(self.calls) >= MAX_CALLS:
                raise MoverRefused("mover_full")
            made = Call(call, tag, bridge, {}, set(notices), bridged=bridge is Bridge.NOW)
            self.calls[call] = made
        added = [leg for leg in legs if leg.leg not in made.flows]
        if added and made.closed:
            raise MoverRefused("leg_closed")
        for leg in added:
            flow = self._new_flow(call, leg.leg)
            made.flows[leg.leg] = self._flows[flow.number] = flow
            if made.bridge is Bridge.NEVER:
                flow.capture()
        self.update(call, added, None)
        return made

    def update(self, call: str, legs: Sequence[LegMedia], bridge: Bridge | None) -> None:
        """Take what became known of legs, and a new rule for joining them if one is given.

        By the new rule they may be apart again: early media ends where the notices begin.
        """
        found = self.call(call)
        for leg in legs:
            flow = self.flow(call, leg.leg)
            if leg.remote is not None:
                flow.source.signal(leg.remote)
            if leg.audio is not None:
                flow.audio, flow.telephone_event = leg.audio, leg.telephone_event
        if bridge is not None:
            found.bridge, found.bridged = bridge, False
            self._join(found)

    def play(self, call: str, prompt: Prompt, now: float, utc_ns: int) -> PlayReport | None:
        """Begin a prompt, unless it was played (its report is given) or is being played.

        Ends at once, with a report that says why, where it cannot be played.
        """
        found, flow = self.call(call), self.flow(call, prompt.leg)
        if known := found.reports.get((prompt.notice, prompt.leg)):
            return known
        running = flow.playback
        if running is not None:
            if running.notice == prompt.notice:
                return None
            raise MoverRefused("leg_busy")
        playback = Playback(
            prompt.notice,
            prompt.leg,
            prompt.payload_type,
            prompt.frames,
            prompt.samples,
            prompt.samples / flow.outbound.clock_rate,
            now,
            prompt.is_notice,
        )
        if reason := self._unplayable(flow, prompt):
            return self._finish(found, flow, playback, utc_ns, reason)
        flow.playback, self._playing[flow.number] = playback, flow
        return None

    def permit(self, call: str, legs: Sequence[str], now: float) -> None:
        """Put what waits and what these legs send from now on into the ring."""
        found, named = self.call(call), [self.flow(call, leg) for leg in legs]
        found.permitted = True
        for flow in named:
            flow.capture()
        for flow in found.flows.values():
            for number in (flow.number, flow.service):
                flow.counters.ring_full += self._holding.release(number, now)

    def cut(self, call: str) -> None:
        """Capture nothing more of any leg, at once, and drop what waits."""
        found = self.call(call)
        found.permitted = False
        for flow in found.flows.values():
            flow.capturing = False
        self._drop_waiting(found)

    def told(self, call: str) -> None:
        """Begin anew, for the parties were told only now: drop what waits.

        What was sent before and is still on its way is not captured, unless it is permitted.
        """
        found = self.call(call)
        self._drop_waiting(found)
        for flow in found.flows.values():
            if flow.capturing and not found.permitted:
                flow.capture_anew()

    def _drop_waiting(self, call: Call) -> None:
        """Drop what waits of a call: no permit will ever cover it."""
        for flow in call.flows.values():
            for number in (flow.number, flow.service):
                self._holding.drop(number)

    def close(self, call: str, utc_ns: int) -> None:
        """End everything on a call; its flows stay known until it is forgotten."""
        found = self.call(call)
        found.closed = True
        self.cut(call)
        for flow in found.flows.values():
            if flow.playback is not None:
                self._finish(found, flow, flow.playback, utc_ns, "leg_closed")
            if not flow.closed:
                self._open_flows -= 1
            flow.closed = True

    def untold(self, flow: Flow) -> dict[str, list[Record]]:
        """Give word, by leg, of what was lost of and to a leg and is not told in the ring yet."""
        return {
            flow.leg: self._tee.untold(flow.number),
            SERVICE + flow.leg: self._tee.untold(flow.service),
        }

    def forget(self, call: str) -> None:
        """Drop a call, when the writer has read all that it captured."""
        if call in self.calls:
            self.close(call, 0)
        found = self.calls.pop(call, None)
        for flow in found.flows.values() if found else ():
            for number in (flow.number, flow.service):
                self._tee.forget(number)
            del self._flows[flow.number]

    def call(self, call: str) -> Call:
        """Give a call; raises `MoverRefused`."""
        try:
            return self.calls[call]
        except KeyError:
            raise MoverRefused("unknown_call") from None

    def flow(self, call: str, leg: str) -> Flow:
        """Give a leg of a call; raises `MoverRefused`."""
        try:
            return self.call(call).flows[leg]
        except KeyError:
            raise MoverRefused("unknown_leg") from None

    def receive(
        self, number: int, datagram: bytes, source: Address, now: float, utc_ns: int
    ) -> Send | None:
        """Take a datagram that arrived at a flow's port; give what it becomes on the other leg."""
        flow = self._flows.get(number)
        if flow is None or flow.closed:
            return None
        try:
            packet = parse(datagram)
        except MalformedPacket:
            flow.counters.malformed += 1
            return None
        if not flow.expects(packet):
            flow.counters.unexpected_type += 1
            return None
        if not flow.source.accepts(source, packet, now):
            flow.counters.foreign += 1
            return None
        extended = flow.note(packet, now)
        if flow.counters.received == 1:
            self.happenings.append(Happening(flow.call, flow.leg, "first_packet"))
        if packet.payload_type == flow.telephone_event:
            self._collect_digit(flow, packet)
        self._capture(flow, flow.record(packet, extended, utc_ns), now, self._limits.person)
        return self._forward(flow, packet, datagram, now)

    def tick(self, now: float, utc_ns: int) -> Iterator[Send]:
        """Give the frames of prompts that are due, each to be sent before the next is asked for.

        One that could not be sent is told by `unsent` at once: the prompt then ends as failed, for
        a party to whom a part of it never left was not told.
        """
        self._tee.flush()
        if now >= self._next_expiry:
            self._next_expiry = now + EXPIRY_SECONDS
            self._holding.expire(now)
        for flow in list(self._playing.values()):
            playback, remote = flow.playback, flow.remote
            if playback is None or remote is None:
                continue
            while (payload := playback.next_frame(now)) is not None:
                datagram = self._play_frame(flow, playback, payload, now, utc_ns)
                yield Send(flow.number, datagram, remote)
            if playback.finished:
                reason = "send_failed" if playback.unsent else ""
                self._finish(self.calls[flow.call], flow, playback, utc_ns, reason)

    def unsent(self, number: int) -> None:
        """Take down that the network refused the frame of a prompt on this flow."""
        flow = self._flows.get(number)
        if flow is not None and flow.playback is not None:
            flow.playback.unsent += 1

    def _new_flow(self, call: str, leg: str) -> Flow:
        while (number := self._next_flow % (1 << 32)) % SLOTS in {
            taken % SLOTS for taken in self._flows
        }:
            self._next_flow += 2
        self._next_flow += 2
        self._open_flows += 1
        ssrc, sequence, timestamp = (self._random_bits(bits) for bits in (32, 15, 32))
        return Flow(number, call, leg, OutboundStream(ssrc, sequence, timestamp, 8000))

    def _unplayable(self, flow: Flow, prompt: Prompt) -> str:
        if flow.closed:
            return "leg_closed"
        if flow.remote is None:
            return "no_remote_address"
        return "" if prompt.frames and flow.audio == prompt.payload_type else "no_codec"

    def _play_frame(
        self, flow: Flow, playback: Playback, payload: bytes, now: float, utc_ns: int
    ) -> bytes:
        sent = flow.outbound.play(playback.payload_type, payload, playback.samples, now)
        flow.counters.played += 1
        playback.note(sent, payload, utc_ns)
        record = flow.played_record(playback, sent, payload, utc_ns)
        self._capture(flow, record, now, self._limits.played)
        return sent.datagram

    def _finish(
        self, call: Call, flow: Flow, playback: Playback, utc_ns: int, reason: str
    ) -> PlayReport:
        report = playback.report(flow.received, utc_ns, reason)
        flow.playback = None
        flow.outbound.pause()
        self._playing.pop(flow.number, None)
        if len(call.reports) == MAX_PLAYS:
            del call.reports[next(iter(call.reports))]
        if report.packets or report.complete:
            call.reports[playback.notice, playback.leg] = report
        self.happenings.append(Happening(flow.call, flow.leg, "played", report))
        if playback.is_notice and report.complete:
            # In this very step, so that no packet falls between the report and the capture.
            flow.notice_ended()
            self._holding.drop_sources(flow.number, flow.before_notice)
            call.notices_due.discard(flow.leg)
            self._join(call)
        return report

    def _join(self, call: Call) -> None:
        if call.bridge is Bridge.NOW or (
            call.bridge is Bridge.AFTER_NOTICES and not call.notices_due
        ):
            call.bridged = True

    def _capture(self, flow: Flow, record: Record | None, now: float, seconds: float) -> None:
        if record is None:
            return
        if not self.calls[flow.call].permitted:
            self._holding.put(record, now, seconds)
        elif not self._tee.put(record):
            flow.counters.ring_full += 1
            return
        if record.kind is Kind.MASKED:
            flow.counters.masked += 1
        else:
            flow.counters.teed += 1

    def _forward(self, flow: Flow, packet: Packet, datagram: bytes, now: float) -> Send | None:
        call = self.calls[flow.call]
        other = next((one for one in call.flows.values() if one is not flow), None)
        if not call.bridged or other is None or other.remote is None:
            flow.counters.before_bridge += 1
            return None
        if other.playback is not None:
            flow.counters.while_playing += 1
            return None
        payload_type = packet.payload_type
        if payload_type == flow.telephone_event:
            if other.telephone_event is None:
                flow.counters.unexpected_type += 1
                return None
            payload_type = other.telephone_event
        sent = other.outbound.relay(packet, datagram, payload_type, now)
        if sent is None:
            flow.counters.late += 1
            return None
        other.counters.forwarded += 1
        return Send(other.number, sent.datagram, other.remote)

    def _collect_digit(self, flow: Flow, packet: Packet) -> None:
        try:
            pressed = flow.digits.feed(packet.timestamp, dtmf.parse(packet.payload))
        except MalformedEvent:
            flow.counters.malformed += 1
            return
        for digit, duration in pressed:
            milliseconds = duration * 1000 // flow.outbound.clock_rate
            happening = Happening(flow.call, flow.leg, "dtmf", None, digit, milliseconds)
            self.happenings.append(happening)
