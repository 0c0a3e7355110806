"""One call as a state machine: an input and `now` go in, effects come out.

    OPENING ► DIALLING ► CONNECTING ► ANSWERING ► INFORMING ► PERMITTING ► GATING ► RECORDING
                 │ no recorder             │          │           │           │      │ ▲ PAUSED
                 └─ passed through ─► ANSWERING ─► UNRECORDED ◄───┴───────────┴──────┘

Audio is kept in RECORDING only. Whatever a dependency does, the call reaches UNRECORDED
(`on_no_permit` is `continue`) or its end (`refuse`), and `call.ended` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.negotiation import (
    agent_audio,
    answer_to_caller,
    direct_offer,
    is_unchanged,
    offer_to_agent,
    voice_of,
)
from onrecord.signalling.domain.phase import BEFORE_ANSWER, BEFORE_GATE, Phase
from onrecord.signalling.domain.plan import PARTIES, Plan
from onrecord.sip.sdp import Media, SdpError

_CAUSES = {
    404: "not_found", 408: "no_answer", 480: "no_answer", 486: "busy", 487: "no_answer",
    488: "not_acceptable", 600: "busy", 603: "declined", 604: "not_found",
}  # fmt: skip
_BAD_GATEWAY = 502


class Call:
    """The state of one call; what has no underscore may be read, everything else is its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.phase = Phase.OPENING
        self.gate = "not_asked"
        self.media_node = ""
        self.passes_through = plan.audio is None
        self._uses_media = False
        self._dialled = False
        self._media: on.MediaOpened | None = None
        self._agent: Media | None = None
        self._our_offer = b""
        self._our_answer = b""
        self._answered_at: float | None = None
        self._relied_on: tuple[str, ...] = ()
        self._permits_asked = 0
        self.objections = 0
        self._effects: list[do.Effect] = []

    @classmethod
    def resume(cls, plan: Plan, gate: str, objections: int, answered_at: float) -> Call:
        """Take on a call that passes through, answered at that time under another process."""
        call = cls(plan)
        call.phase, call.gate, call.objections = Phase.UNRECORDED, gate, objections
        call._dialled, call._answered_at = True, answered_at
        return call

    @property
    def gate_so_far(self) -> str:
        """The gate as `call.ended` would have it now: who hangs up before it opens is the cause."""
        waits = self._uses_media and self._answered_at is not None
        return "call_ended" if waits and self.gate == "not_asked" else self.gate

    def begin(self, now: float) -> list[do.Effect]:
        """Start the call: enter its first facts, then the recorder or, without one, the agent."""
        self._do(do.Enter("call.started", self.plan.started))
        decision, audio = self.plan.decision, self.plan.audio
        if decision is None or audio is None:
            self._dial(self.plan.offer)
        else:
            self._do(do.Enter("policy.decided", self.plan.decided))
            if decision.may_record:
                self._uses_media = True
                bridge: do.Bridge = "on_permit" if self._refuses else "after_notices"
                told = tuple(p for p in PARTIES if any(o.party == p for o in decision.obligations))
                self._do(do.OpenMedia(audio, bridge, told))
            else:
                self._without_media("permit_refused", now)
        return self._take_effects()

    def handle(self, happening: on.Input, now: float) -> list[do.Effect]:
        """Take an input in any phase; one that means nothing there changes nothing."""
        if self.phase is not Phase.OVER and not self._handle_anywhere(happening, now):
            self._STATES[self.phase](self, happening, now)
        return self._take_effects()

    # Inputs that mean the same in every phase

    def _handle_anywhere(self, happening: on.Input, now: float) -> bool:
        match happening:
            case on.HungUp(party, is_lost) if self._answered_at is not None:
                other: Party = "agent" if party == "caller" else "caller"
                self._end(f"{party}_{'lost' if is_lost else 'hung_up'}", 200, now, (other,))
            case on.HungUp(party):
                self._give_up(480, f"{party}_hung_up", now)
            case on.CallerCancelled() if self.phase in BEFORE_ANSWER:
                self._end("caller_cancelled", 487, now, ("agent",))
            case on.HangUpAsked(cause) if self.phase in BEFORE_ANSWER:
                self._give_up(480, cause, now)
            case on.HangUpAsked(cause):
                self._end(cause, 200, now, PARTIES)
            case on.Objected(party, channel):
                self._object(party, channel, now)
            case on.Reoffered() | on.ReofferAnswered() | on.ReofferRefused() if self._is_settled:
                self._renegotiate(happening)
            case on.ResumeAsked() if self.phase is not Phase.PAUSED:
                self._do(do.ResumeOutcome("not_paused"))
            case _:
                return False
        return True

    def _object(self, party: Party, channel: str, now: float) -> None:
        """Enter it and keep nothing from now on; one that comes early is heeded at the answer."""
        self.objections += 1
        fields: dict[str, object] = {"party": party, "channel": channel, "effect": "stop"}
        self._do(do.Enter("objection.made", fields, f"{party}:{self.objections - 1}"))
        if self.phase in (Phase.RECORDING, Phase.PAUSED) or self._is_resuming:
            self._do(do.StopMedia("objection"))
            self._end_resuming("objection")
            self.phase = Phase.UNRECORDED
        elif self.phase in BEFORE_GATE:
            self._do(do.StopMedia("objection"))
            self._without_permit("permit_refused", now)

    def _renegotiate(
        self, happening: on.Reoffered | on.ReofferAnswered | on.ReofferRefused
    ) -> None:
        """Pass a re-INVITE on where no recorder is between; else only a refresh is accepted."""
        other: Party = "agent" if happening.party == "caller" else "caller"
        match happening:
            case on.ReofferAnswered(_, body):
                self._do(do.Answer(other, body))
            case on.ReofferRefused(_, status):
                self._do(do.Refuse(other, status))
            case on.Reoffered(party, body) if self.passes_through and body:
                self._do(do.Reoffer(other, body))
            case on.Reoffered(party, body):
                known = self.plan.audio if party == "caller" else self._agent
                ours = self._our_answer if party == "caller" else self._our_offer
                if known is not None and ours and is_unchanged(body, known):
                    self._do(do.Answer(party, ours))
                else:
                    self._do(do.Refuse(party, 488))

    # One function per phase

    def _in_opening(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.MediaOpened() if self.plan.audio is not None:
                self._media = happening
                self.media_node = happening.node
                session_id = self.plan.session_id
                self._our_offer = offer_to_agent(self.plan.audio, happening.agent, session_id)
                self._dial(self._our_offer)
            case on.Failed(outage):
                self._without_media(outage, now)

    def _in_dialling(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.AgentRinging(status, reason, body):
                if self.passes_through:
                    self._do(do.RingCaller(status, reason, body))
                elif body:
                    # Its early media has no way through the recorder: let the phone ring itself.
                    self._do(do.RingCaller(180, "", b""))
                else:
                    self._do(do.RingCaller(status, reason, b""))
            case on.AgentAnswered(body) if self.passes_through:
                self._answer_caller(body, now)
            case on.AgentAnswered(body):
                self._agree(body, now)
            case on.AgentRefused(status, reason):
                passable = 400 <= status <= 699 and status not in (401, 407)
                status = status if passable else _BAD_GATEWAY
                self._do(do.Refuse("caller", status, reason if passable else ""))
                self._end(_CAUSES.get(status, "refused"), status, now)
            case on.RangTooLong() if self.plan.kind != "emergency":
                self._give_up(480, "no_answer", now)

    def _in_connecting(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.MediaUpdated() if self._agent is not None and self._media is not None:
                ours, session_id = self._media.caller, self.plan.session_id
                answer = answer_to_caller(self.plan.offer, self._agent, ours, session_id)
                self._our_answer = answer
                self._answer_caller(answer, now)
            case on.Failed(outage) if not self.passes_through:
                self._without_recorder(outage, now)
            case on.ReofferAnswered("agent", body):
                self._answer_caller(body, now)
            case on.ReofferRefused("agent"):
                self._give_up(503, self.gate, now)
            case on.Reoffered(party):
                self._do(do.Refuse(party, 491))

    def _in_answering(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.CallerAcknowledged(body) if self.passes_through:
                if not self.plan.offer:
                    self._do(do.AcknowledgeAgent(body))
                self.phase = Phase.UNRECORDED
            case on.CallerAcknowledged() if self.objections:
                self._without_permit("permit_refused", now)
            case on.CallerAcknowledged():
                self.phase = Phase.INFORMING
                self._do(do.Announce())

    def _in_informing(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.NoticesGiven(event_ids):
                call = self.plan.call_id
                own = ("call.started", "policy.decided", "call.answered")
                self._relied_on = (*(f"{call}:{name}" for name in own), *event_ids)
                self._ask_permit()
            case on.Failed(outage):
                self._without_permit(outage, now)

    def _in_permitting(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.PermitGranted(grant):
                self.phase = Phase.GATING
                self._do(do.OpenGate(grant))
            case on.Failed(outage):
                self._without_permit(outage, now)

    def _in_gating(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.GateOpened():
                self._end_resuming("")
                self.phase = Phase.RECORDING
                self.gate = "opened"
            case on.Failed(outage):
                self._without_permit(outage, now)

    def _in_recording(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.PauseAsked(cause, role, actor):
                self.phase = Phase.PAUSED
                self._do(do.PauseMedia(cause, role, actor))
            case on.RecordingFailed():
                self._on_recording_failed(now)

    def _in_paused(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.ResumeAsked():
                self._ask_permit()
            case on.RecordingFailed():
                self._on_recording_failed(now)

    def _in_unrecorded(self, happening: on.Input, now: float) -> None:
        """Nothing can open the gate any more: a late permit or notice changes nothing."""

    # Steps

    @property
    def _refuses(self) -> bool:
        return self.plan.on_no_permit == "refuse"

    @property
    def _is_settled(self) -> bool:
        """Whether re-INVITEs are the parties' own: not while the agent is asked to go direct."""
        return not (self.phase is Phase.CONNECTING and self.passes_through)

    @property
    def _is_resuming(self) -> bool:
        return self.gate == "opened" and self.phase in (Phase.PERMITTING, Phase.GATING)

    def _dial(self, offer: bytes) -> None:
        self.phase = Phase.DIALLING
        self._dialled = True
        self._do(do.InviteAgent(offer))
        self._do(do.WatchRinging())

    def _agree(self, body: bytes, now: float) -> None:
        caller = self.plan.audio
        try:
            agent = None if caller is None else agent_audio(body, caller)
        except SdpError:
            agent = None
        if agent is None:
            self._give_up(488, "not_acceptable", now)
            return
        self._agent = agent
        self.phase = Phase.CONNECTING
        self._do(do.UpdateMedia(caller, agent, "unchanged", is_awaited=True))

    def _answer_caller(self, body: bytes, now: float) -> None:
        self.phase = Phase.ANSWERING
        self._answered_at = now
        codec = voice_of(self._agent) if self._agent is not None else None
        legs = [{"party": p, "codec": codec.name} for p in PARTIES] if codec else []
        self._do(do.Answer("caller", body))
        self._do(do.Enter("call.answered", {"legs": legs, "media_node": self.media_node}))

    def _ask_permit(self) -> None:
        self.phase = Phase.PERMITTING
        self._do(do.RequestPermit(self._permits_asked, self._relied_on))
        self._permits_asked += 1

    def _without_media(self, outage: on.Outage, now: float) -> None:
        """Before dialling: the call passes through unrecorded, or is refused."""
        self.gate = outage
        if self._refuses:
            self._give_up(503 if outage == "media_unavailable" else 403, outage, now)
        else:
            self.passes_through = True
            self._dial(self.plan.offer)

    def _without_recorder(self, outage: on.Outage, now: float) -> None:
        """The agent answered towards a recorder that is gone: offer it the caller's own media."""
        self.gate = outage
        if self._refuses:
            self._give_up(503, outage, now)
        else:
            self.passes_through, self._agent = True, None
            self._do(do.Reoffer("agent", direct_offer(self.plan.offer, self._our_offer)))

    def _without_permit(self, outage: on.Outage, now: float) -> None:
        """After the answer: the parties are joined unrecorded, or the call ends."""
        if self._is_resuming:
            self._end_resuming(outage)
            self.phase = Phase.PAUSED
            return
        self.gate = outage
        if self._refuses:
            self._end("recording_refused", 200, now, PARTIES)
        else:
            self.phase = Phase.UNRECORDED
            self._do(do.UpdateMedia(None, None, "now", is_awaited=False))

    def _on_recording_failed(self, now: float) -> None:
        if self._refuses:
            self._end("recording_failed", 200, now, PARTIES)
        else:
            self.phase = Phase.UNRECORDED

    def _end_resuming(self, reason: str) -> None:
        if self._is_resuming:
            self._do(do.ResumeOutcome(reason))

    def _give_up(self, status: int, cause: str, now: float) -> None:
        """End a call that the caller is still waiting on."""
        self._do(do.Refuse("caller", status))
        self._end(cause, status, now, ("agent",) if self._dialled else ())

    def _end(self, cause: str, status: int, now: float, parties: tuple[Party, ...] = ()) -> None:
        for party in parties:
            self._do(do.HangUp(party))
        if self._uses_media:
            self._do(do.CloseMedia())
        self._end_resuming("call_ended")
        answered = self._answered_at is not None
        talked = now - self._answered_at if self._answered_at is not None else 0.0
        fields: dict[str, object] = {
            "cause": cause,
            "answered": answered,
            "sip_code": status,
            "talk_seconds": round(max(0.0, talked), 3),
            "gate": self.gate_so_far,
        }
        self._do(do.Enter("call.ended", fields))
        self._do(do.Finish())
        self.phase = Phase.OVER

    def _do(self, effect: do.Effect) -> None:
        self._effects.append(effect)

    def _take_effects(self) -> list[do.Effect]:
        effects, self._effects = self._effects, []
        return effects

    _STATES: ClassVar[dict[Phase, Callable[[Call, on.Input, float], None]]] = {
        Phase.OPENING: _in_opening,
        Phase.DIALLING: _in_dialling,
        Phase.CONNECTING: _in_connecting,
        Phase.ANSWERING: _in_answering,
        Phase.INFORMING: _in_informing,
        Phase.PERMITTING: _in_permitting,
        Phase.GATING: _in_gating,
        Phase.RECORDING: _in_recording,
        Phase.PAUSED: _in_paused,
        Phase.UNRECORDED: _in_unrecorded,
    }
