"""One call as a state machine: an input and `now` go in, effects come out.

    OPENING ► DIALLING ► CONNECTING ► ANSWERING ► the phases of `recording.py` ► OVER
                 │ no recorder             │
                 └─ passed through ─► ANSWERING ─► UNRECORDED

Whatever a dependency does, the call reaches UNRECORDED (`on_no_permit` is `continue`) or its end
(`refuse`), and `call.ended` says why. What the parties agree about their media is `session.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.crossing import Fields
from onrecord.signalling.domain.direct_session import DirectSession, other
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.negotiation import direct_offer, voice_of
from onrecord.signalling.domain.phase import BEFORE_ANSWER, SETTLING, Phase
from onrecord.signalling.domain.plan import PARTIES, Plan
from onrecord.signalling.domain.recording import Recording
from onrecord.signalling.domain.session import RecordedSession
from onrecord.sip.sdp import SdpError

_CAUSES = {
    404: "not_found", 408: "no_answer", 480: "no_answer", 486: "busy", 487: "no_answer",
    488: "not_acceptable", 600: "busy", 603: "declined", 604: "not_found",
}  # fmt: skip
_TIMEOUT, _BAD_GATEWAY = 408, 502
_ROLES: dict[Party, str] = {"agent": "agent", "caller": "customer"}


class Call:
    """The state of one call; what has no underscore may be read, everything else is its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.media_node = ""
        self._phase: Phase | None = Phase.OPENING
        self._recording = Recording(plan, self._do)
        self._session: RecordedSession | DirectSession = DirectSession()
        self._uses_media = False
        self._targets_tried = 0
        self._our_offer = b""
        self._heard_caller = False
        self._has_early_media = False
        self._answer_headers: Fields = ()
        self._answered_at: float | None = None
        self._effects: list[do.Effect] = []

    @classmethod
    def resume(cls, plan: Plan, gate: str, objections: int, answered_at: float) -> Call:
        """Take on a call that passes through, answered at that time under another process."""
        call = cls(plan)
        call._phase = None
        call._recording.gate, call._recording.objections = gate, objections
        call._targets_tried, call._answered_at = 1, answered_at
        return call

    @property
    def phase(self) -> Phase:
        """Where the call stands; once it is answered, where its recording does."""
        return self._phase or self._recording.phase

    @property
    def passes_through(self) -> bool:
        """Whether the descriptions go past us, so that no recorder can be between."""
        return isinstance(self._session, DirectSession) and not self._is_opening

    @property
    def gate(self) -> str:
        """Whether the gate opened, or why it stayed shut."""
        return self._recording.gate

    @property
    def objections(self) -> int:
        """How often somebody objected."""
        return self._recording.objections

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
                told = tuple(p for p in PARTIES if any(o.party == p for o in decision.obligations))
                self._do(do.OpenMedia(audio, self._rule, told))
            else:
                self._without_media("permit_refused", now)
        return self._take_effects()

    def handle(self, happening: on.Input, now: float) -> list[do.Effect]:
        """Take an input in any phase; one that means nothing there changes nothing."""
        if not self._is_over and not self._handle_anywhere(happening, now):
            if self._phase is not None:
                self._STATES[self._phase](self, happening, now)
            else:
                self._recording.handle(happening)
        if self._recording.must_end and not self._is_over:
            self._end(self._recording.must_end, 200, now, PARTIES)
        return self._take_effects()

    # Inputs that mean the same in every phase

    def _handle_anywhere(self, happening: on.Input, now: float) -> bool:
        match happening:
            case on.HungUp(party, is_lost, headers) if self._answered_at is not None:
                cause = f"{party}_{'lost' if is_lost else 'hung_up'}"
                self._do(do.HangUp(other(party), headers))
                self._end(cause, 200, now)
            case on.HungUp(party):
                self._give_up(480, f"{party}_hung_up", now)
            case on.CallerCancelled() if self.phase in BEFORE_ANSWER:
                self._end("caller_cancelled", 487, now, ("agent",))
            case on.HangUpAsked(cause) if self.phase in BEFORE_ANSWER:
                self._give_up(480, cause, now)
            case on.HangUpAsked(cause):
                self._end(cause, 200, now, PARTIES)
            case on.Objected(party, channel):
                self._object(party, channel)
            case on.ResumeAsked() if self._phase is not None:
                self._recording.handle(happening)
            case on.Reoffered() | on.ReofferAnswered() | on.ReofferRefused() if self._is_settled:
                self._renegotiate(happening)
            case on.Acknowledged() if self._phase is None:
                self._renegotiate(happening)
            case _:
                return False
        return True

    def _object(self, party: Party, channel: str) -> None:
        """Enter it and keep nothing from now on; one that comes early is heeded at the answer."""
        fields: dict[str, object] = {"party": party, "channel": channel, "effect": "stop"}
        self._do(do.Enter("objection.made", fields, f"{party}:{self.objections}"))
        self._recording.object()

    def _renegotiate(self, happening: on.Exchange) -> None:
        """Take a step of an offer inside the call; who is put on hold by it is not kept."""
        session, was_held = self._session, self._session.is_held
        effects = session.handle(happening, may_change=self.phase not in SETTLING)
        if isinstance(session, RecordedSession) and session.is_held and not was_held:
            self._recording.hold(_ROLES[session.holder])
        self._effects += effects
        if was_held and not session.is_held:
            self._recording.retrieve()

    # One function per phase

    def _in_opening(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.MediaOpened() if self.plan.audio is not None:
                self.media_node = happening.node
                plan = self.plan
                session = RecordedSession(plan.offer, self.plan.audio, happening, plan.session_id)
                self._session = session
                self._dial(session.offer_to_agent)
            case on.Failed(outage):
                self._without_media(outage, now)

    def _in_dialling(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.AgentRinging(status, reason, body, headers):
                if isinstance(self._session, RecordedSession) and body:
                    self._on_early_media(self._session, happening)
                else:
                    self._do(do.RingCaller(status, reason, body, headers))
            case on.AgentAnswered(body, headers):
                self._answer_headers = headers
                self._on_agent_answer(body, now)
            case on.AgentRefused():
                self._on_agent_refusal(happening, now)
            case on.RangTooLong() if self.plan.kind != "emergency":
                self._give_up(480, "no_answer", now)

    def _in_connecting(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.MediaUpdated() if isinstance(self._session, RecordedSession):
                self._answer_caller(self._session.answer_to_caller, now)
            case on.Failed(outage) if isinstance(self._session, RecordedSession):
                self._without_recorder(self._session, outage, now)
            case on.ReofferAnswered("agent", body):
                self._answer_caller(body, now)
            case on.ReofferRefused("agent"):
                self._give_up(503, self.gate, now)
            case on.Reoffered(party):
                self._do(do.Refuse(party, 491))

    def _in_answering(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.Acknowledged("caller", body):
                self._on_caller_ack(body, now)
            case on.MediaUpdated() if self._heard_caller:
                self._begin_recording()
            case on.Failed(outage) if self._heard_caller:
                self._begin_recording(outage)

    # Steps

    @property
    def _refuses(self) -> bool:
        return self.plan.on_no_permit == "refuse"

    @property
    def _rule(self) -> do.Bridge:
        """When the parties of a recorded call may hear each other."""
        return "on_permit" if self._refuses else "after_notices"

    @property
    def _is_over(self) -> bool:
        return self._phase is Phase.OVER

    @property
    def _is_opening(self) -> bool:
        return self._phase is Phase.OPENING and self.plan.audio is not None

    @property
    def _is_settled(self) -> bool:
        """Whether offers are the parties' own: not while the agent is asked to go direct."""
        return not (self.phase is Phase.CONNECTING and self.passes_through)

    def _dial(self, offer: bytes) -> None:
        self._phase = Phase.DIALLING
        self._our_offer = offer
        self._try_next_target()
        self._do(do.WatchRinging())

    def _try_next_target(self) -> None:
        target = self.plan.targets[self._targets_tried]
        self._targets_tried += 1
        is_last = self._targets_tried == len(self.plan.targets)
        self._do(do.InviteAgent(target, self._our_offer, is_last=is_last))

    def _on_early_media(self, session: RecordedSession, ringing: on.AgentRinging) -> None:
        """Let the caller hear the far side's tones; nothing is kept, for nobody was told."""
        try:
            update = None if session.awaits_caller else session.agree(ringing.body)
        except SdpError:
            update = None
        if update is None:
            self._do(do.RingCaller(180, "", b"", ringing.headers))
            return
        self._has_early_media = True
        self._do(replace(update, bridge="now", is_awaited=False))
        body = session.answer_to_caller
        self._do(do.RingCaller(ringing.status, ringing.reason, body, ringing.headers))

    def _on_agent_answer(self, body: bytes, now: float) -> None:
        if isinstance(self._session, DirectSession):
            self._answer_caller(body, now)
            return
        try:
            update = self._session.agree(body)
        except SdpError:
            self._give_up(488, "not_acceptable", now)
            return
        self._phase = Phase.CONNECTING
        # What the caller heard before the answer is over: now the notices come first.
        self._do(replace(update, bridge=self._rule) if self._has_early_media else update)

    def _on_agent_refusal(self, refused: on.AgentRefused, now: float) -> None:
        status, reason = refused.status, refused.reason
        is_outage = 500 <= status < 600 or status == _TIMEOUT
        if is_outage and self._targets_tried < len(self.plan.targets):
            self._try_next_target()
            return
        passable = 400 <= status <= 699 and status not in (401, 407)
        status = status if passable else _BAD_GATEWAY
        self._do(do.Refuse("caller", status, reason if passable else "", refused.headers))
        self._end(_CAUSES.get(status, "refused"), status, now)

    def _answer_caller(self, body: bytes, now: float) -> None:
        self._phase = Phase.ANSWERING
        self._answered_at = now
        session = self._session
        codec = voice_of(session.agent) if isinstance(session, RecordedSession) else None
        legs = [{"party": p, "codec": codec.name} for p in PARTIES] if codec else []
        self._do(do.Answer("caller", body, self._answer_headers))
        self._do(do.Enter("call.answered", {"legs": legs, "media_node": self.media_node}))

    def _on_caller_ack(self, body: bytes, now: float) -> None:
        """The call is up; a caller that made no offer says only now where it listens."""
        session = self._session
        if isinstance(session, DirectSession):
            self._phase = None
            if not self.plan.offer:
                self._do(do.Acknowledge("agent", body))
        elif not session.awaits_caller:
            self._begin_recording()
        else:
            try:
                self._do(session.hear_caller(body))
                self._heard_caller = True
            except SdpError:
                self._end("not_acceptable", 200, now, PARTIES)

    def _begin_recording(self, outage: on.Outage | None = None) -> None:
        self._phase = None
        if isinstance(self._session, RecordedSession) and not self._session.reaches_both:
            outage = outage or "notice_failed"
        self._recording.begin(outage)

    def _without_media(self, outage: on.Outage, now: float) -> None:
        """Before dialling: the call passes through unrecorded, or is refused."""
        self._recording.gate = outage
        if self._refuses:
            self._give_up(503 if outage == "media_unavailable" else 403, outage, now)
        else:
            self._dial(self.plan.offer)

    def _without_recorder(self, session: RecordedSession, outage: on.Outage, now: float) -> None:
        """The agent answered towards a recorder that is gone: offer it the caller's own media."""
        self._recording.gate = outage
        if self._refuses:
            self._give_up(503, outage, now)
        else:
            self._session = DirectSession()
            self._do(do.Reoffer("agent", direct_offer(self.plan.offer, session.offer_to_agent)))

    def _give_up(self, status: int, cause: str, now: float) -> None:
        """End a call that the caller is still waiting on."""
        self._do(do.Refuse("caller", status))
        self._end(cause, status, now, () if self._phase is Phase.OPENING else ("agent",))

    def _end(self, cause: str, status: int, now: float, parties: tuple[Party, ...] = ()) -> None:
        for party in parties:
            self._do(do.HangUp(party))
        if self._uses_media:
            self._do(do.CloseMedia())
        self._recording.end()
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
        self._phase = Phase.OVER

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
    }
