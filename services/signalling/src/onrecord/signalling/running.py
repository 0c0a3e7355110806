"""One call while it runs: its legs, its place at the recorder, what waits for it."""

from __future__ import annotations

import asyncio
from datetime import datetime

from onrecord.signalling.domain.call import Call, Phase
from onrecord.signalling.domain.inputs import Party
from onrecord.sip.events import LegId
from opentelemetry.trace import Span

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


class RunningCall:
    """A call and its ties to the outside; media commands take `media_turn` one after another."""

    def __init__(self, call: Call, caller_leg: LegId, started_at: datetime, span: Span) -> None:
        self.call = call
        self.legs: dict[Party, LegId] = {"caller": caller_leg}
        self.started_at = started_at
        self.span = span
        self.media_address = ""
        self.media_turn = asyncio.Lock()
        self.media_fault = ""
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
