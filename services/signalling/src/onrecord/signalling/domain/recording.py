"""The keeping of one answered call: notices, permit, gate, and every reason to keep nothing.

    INFORMING ► PERMITTING ► GATING ► RECORDING      a pause or a hold: ► PAUSED, from any of the
        │           │           │      │             last three; a new permit leads back
        └───────────┴───────────┴──────┴► UNRECORDED

Audio is kept in RECORDING only. To stop takes nobody's word, to go on takes a new permit.
"""

from __future__ import annotations

from collections.abc import Callable

from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.phase import BEFORE_GATE, Phase
from onrecord.signalling.domain.plan import Plan

_HOLD = "hold"


class Recording:
    """Begins with the answer; `phase` is INFORMING to UNRECORDED."""

    def __init__(self, plan: Plan, enact: Callable[[do.Effect], None]) -> None:
        """`enact` takes the effects, in order."""
        self.phase = Phase.UNRECORDED
        self.gate: str = "not_asked"
        self.objections = 0
        self.must_end = ""
        """The cause to end the call for, where the route wants no call without a recording."""
        self._plan = plan
        self._do = enact
        self._relied_on: tuple[str, ...] = ()
        self._permits_asked = 0
        self._is_held = False
        self._is_paused = False
        self._goes_on_by_itself = False

    def begin(self, outage: on.Outage | None = None) -> None:
        """The parties are connected: have both told, unless one objected or a door is gone."""
        self.phase = Phase.INFORMING
        if self.objections:
            self._shut("permit_refused")
        elif outage is not None:
            self._shut(outage)
        else:
            self._do(do.Announce())

    def handle(self, happening: on.Input) -> None:
        """Take an input that is about the recording; in another phase it changes nothing."""
        match happening, self.phase:
            case on.NoticesGiven(event_ids), Phase.INFORMING:
                call = self._plan.call_id
                own = ("call.started", "policy.decided", "call.answered")
                self._relied_on = (*(f"{call}:{name}" for name in own), *event_ids)
                self._ask_permit()
            case on.PermitGranted(grant), Phase.PERMITTING:
                self.phase = Phase.GATING
                self._do(do.OpenGate(grant))
            case on.GateOpened(), Phase.GATING:
                self._end_resuming("")
                self.phase = Phase.RECORDING
                self.gate = "opened"
            case on.Failed(outage), Phase.INFORMING | Phase.PERMITTING | Phase.GATING:
                self._shut(outage)
            case on.RecordingFailed(), Phase.RECORDING | Phase.PAUSED:
                self._leave_unrecorded("recording_failed")
            case on.PauseAsked(cause, role, actor), Phase.RECORDING | Phase.PAUSED:
                self._is_paused = True
                self._pause(cause, role, actor)
            case on.ResumeAsked(), Phase.PAUSED:
                self._is_paused = self._goes_on_by_itself = False
                self._go_on()
            case on.RetryDue(), Phase.PAUSED if self._goes_on_by_itself:
                self._go_on_by_itself()
            case on.ResumeAsked(), _:
                self._do(do.ResumeOutcome("not_paused"))

    def object(self) -> None:
        """Somebody does not want it: keep nothing from now on; before the answer it is noted."""
        self.objections += 1
        if self.phase not in (*BEFORE_GATE, Phase.RECORDING, Phase.PAUSED):
            return
        self._do(do.StopMedia("objection"))
        if self.gate == "opened":
            self._end_resuming("objection")
            self.phase = Phase.UNRECORDED
        else:
            self._shut("permit_refused")

    def hold(self, role: str) -> None:
        """A party waits: what it says to nobody is not kept."""
        self._is_held = True
        self._pause(_HOLD, role, "")

    def retrieve(self) -> None:
        """The parties talk again; a pause that somebody asked for stays."""
        self._is_held = False
        self._go_on_by_itself()

    def end(self) -> None:
        """The call is over."""
        self._end_resuming("call_ended")

    @property
    def _is_resuming(self) -> bool:
        return self.gate == "opened" and self.phase in (Phase.PERMITTING, Phase.GATING)

    def _pause(self, cause: str, role: str, actor: str) -> None:
        """Also while a permit is asked for: a late one then opens nothing."""
        if self.phase in (Phase.RECORDING, Phase.PERMITTING, Phase.GATING):
            self._end_resuming("on_hold")
            self.phase = Phase.PAUSED
            self._do(do.PauseMedia(cause, role, actor))

    def _go_on(self) -> None:
        if self._is_held:
            self._do(do.ResumeOutcome("on_hold"))
        else:
            self._ask_permit()

    def _go_on_by_itself(self) -> None:
        """After a hold, as long as nobody asked for a pause."""
        if self.phase is Phase.PAUSED and not self._is_paused and not self._is_held:
            self._goes_on_by_itself = True
            self._ask_permit()

    def _ask_permit(self) -> None:
        self.phase = Phase.PERMITTING
        self._do(do.RequestPermit(self._permits_asked, self._relied_on))
        self._permits_asked += 1

    def _shut(self, outage: on.Outage) -> None:
        """No permit: a pause goes on, or the parties are joined unrecorded, or the call ends."""
        if self._is_resuming:
            self._end_resuming(outage)
            self.phase = Phase.PAUSED
            if self._goes_on_by_itself and outage != "permit_refused":
                self._do(do.RetryLater())
            return
        self.gate = outage
        if self._leave_unrecorded("recording_refused"):
            self._do(do.UpdateMedia(None, None, "now", is_awaited=False))

    def _leave_unrecorded(self, cause: str) -> bool:
        """Go on without a recording, if the route allows; otherwise the call must end."""
        self.phase = Phase.UNRECORDED
        if self._plan.on_no_permit == "refuse":
            self.must_end = cause
        return not self.must_end

    def _end_resuming(self, reason: str) -> None:
        if self._is_resuming:
            self._do(do.ResumeOutcome(reason))
