"""One call while it runs: its legs, its place at the recorder, what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from onrecord.platform.telemetry import call_context
from onrecord.signalling.domain.call import Call
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.kept import KeptCall
from onrecord.signalling.domain.phase import Phase
from onrecord.signalling.domain.recording_session import RecordingSession
from onrecord.sip.dialog import Dialog
from onrecord.sip.events import LegId
from opentelemetry.trace import NonRecordingSpan, Span

_STATES = {
    Phase.OPENING: "ringing",
    Phase.DIALLING: "ringing",
    Phase.CONNECTING: "ringing",
    Phase.ANSWERING: "answered",
    Phase.INFORMING: "notice",
    Phase.PERMITTING: "notice",
    Phase.GATING: "notice",
    Phase.RECORDING: "recording",
    Phase.PAUSED: "paused",
    Phase.UNRECORDED: "unrecorded",
    Phase.OVER: "ending",
}

_SET_UP = frozenset({Phase.RECORDING, Phase.PAUSED, Phase.UNRECORDED, Phase.OVER})


Conductor = Call | RecordingSession
"""Whatever conducts a running call: a machine that takes inputs and gives effects."""


class RunningCall:
    """A call and its ties to the outside.

    Media commands take `media_turn` one after another, but for a stop. `shutting` is the last
    pause or stop, and `media_fault` what came of it.
    """

    def __init__(self, call: Conductor, started_at: str, span: Span) -> None:
        self.call = call
        self.legs: dict[Party, LegId] = {}
        self.started_at = started_at
        self.answered_at = ""
        self.contact = ""
        self.span = span
        self.context = call_context(span, call.plan.call_id)
        self.traceparent = ""
        self.media_address = ""
        self.media_turn = asyncio.Lock()
        self.media_fault = ""
        self.shutting: asyncio.Task[None] | None = None
        self.ring_timer: asyncio.TimerHandle | None = None
        self.watching: asyncio.Task[None] | None = None
        self.resuming: list[asyncio.Future[str]] = []

    @property
    def id(self) -> str:
        """The call id."""
        return self.call.plan.call_id

    @property
    def state(self) -> str:
        """The word of `CallControl.List` for the call's phase."""
        return _STATES[self.call.phase]

    def kept(self, dialogs: Mapping[Party, Dialog]) -> KeptCall:
        """What the next process must know of it; `dialogs` are the confirmed ones."""
        call, plan = self.call, self.call.plan
        return KeptCall(
            call_id=plan.call_id,
            kind=plan.kind,
            line=plan.line,
            on_no_permit=plan.on_no_permit,
            started_at=self.started_at,
            traceparent=self.traceparent,
            gate=call.gate_so_far,
            passes_through=call.passes_through,
            media_node=call.media_node,
            media_address=self.media_address,
            answered_at=self.answered_at,
            objections=call.objections,
            dialogs=dialogs,
        )

    def trace_set_up(self) -> None:
        """End the span once the call is set up: one of hours would be seen only at its end."""
        if self.call.phase in _SET_UP and self.span.is_recording():
            self.stop_ring_timer()
            self.span.set_attribute("onrecord.gate", self.call.gate_so_far)
            self.span.end()
            # What stays for the hours of the call is its name, not all that it noted.
            self.span = NonRecordingSpan(self.span.get_span_context())
            self.context = call_context(self.span, self.id)

    def stop_ring_timer(self) -> None:
        """Ring no longer."""
        if self.ring_timer is not None:
            self.ring_timer.cancel()
            self.ring_timer = None

    def resolve_resuming(self, reason: str) -> None:
        """Tell those who asked to resume."""
        waiting, self.resuming = self.resuming, []
        for future in waiting:
            if not future.done():
                future.set_result(reason)
