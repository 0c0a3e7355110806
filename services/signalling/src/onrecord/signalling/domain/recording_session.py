"""One recording session (RFC 7866) as a state machine: inputs and `now` in, effects out.

    OPENING ► INFORMING ► PERMITTING ► GATING ► RECORDING ◄─► PAUSED     UNRECORDED, OVER
                  ▲────────────┴──────────┴─────────┘ a party came, a stream was added

A recorder that listens plays no notice, so INFORMING waits for evidence: what is published counts
at the answer, anything else when a named system states it. Audio is kept in RECORDING only. What
ends that, from our side or the client's, shuts the recorder's gate first and is asked about later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.phase import Phase
from onrecord.signalling.domain.plan import PARTIES
from onrecord.signalling.domain.session_evidence import Evidence
from onrecord.signalling.domain.session_media import OURS, SessionMedia
from onrecord.signalling.domain.session_metadata import SessionMetadata
from onrecord.signalling.domain.session_plan import SessionPlan
from onrecord.sip.sdp import SdpError
from onrecord.sip.siprec import description
from onrecord.sip.siprec.description import Gate, RecordedMedia
from onrecord.sip.siprec.offer import RecordingOffer

_OPERATOR = "operator"
_RESTING = (Phase.INFORMING, Phase.PAUSED)


class RecordingSession:
    """The state of one session; what has no underscore may be read, everything else is its own.

    Its one SIP leg, the recording client's, goes by the name of `caller`: it called us.
    """

    passes_through: ClassVar = False

    def __init__(self, plan: SessionPlan) -> None:
        self.plan = plan
        self.phase = Phase.OPENING
        self.gate = "not_asked"
        self.media_node = ""
        self.objections = 0
        self.evidence = Evidence(plan.call_id, plan.session.notices)
        self._media = SessionMedia(plan.session_id)
        self._offer = plan.offer
        self._metadata = SessionMetadata()
        self._pauses: set[str] = set()
        self._is_stale = self._is_up = False
        self._agreed: Gate = "open"
        self._owes_offer = self._owes_answer = False
        self._asked_for: frozenset[str] = frozenset()
        self._permits_asked = 0
        self._answered_at: float | None = None
        self._effects: list[do.Effect] = []

    @property
    def gate_so_far(self) -> str:
        """The gate as `call.ended` would have it now."""
        if self._answered_at is None or self.gate != "not_asked":
            return self.gate
        return "call_ended" if self.evidence.is_complete else "no_notice"

    def is_known_as(self, kind: str, value: str) -> bool:
        """Whether the metadata or the INVITE gave the session this identifier."""
        return self._metadata.is_known_as(kind, value)

    def begin(self, now: float) -> list[do.Effect]:
        """Enter the first facts and have addresses reserved."""
        self._do(do.Enter("call.started", self.plan.started))
        self._do(do.Enter("policy.decided", self.plan.decided))
        if self.plan.decision.may_record:
            self._do(do.OpenStreams(self._media.take(self._offer.media or OURS)))
        else:
            self._give_up(403, "permit_refused", now)
        return self._take_effects()

    def handle(self, happening: on.Input, now: float) -> list[do.Effect]:
        """Take an input in any phase; one that means nothing there changes nothing."""
        if self.phase is Phase.OVER or self._handle_anywhere(happening, now):
            return self._take_effects()
        if (state := self._STATES.get(self.phase)) is not None:
            state(self, happening, now)
        return self._take_effects()

    def _handle_anywhere(self, happening: on.Input, now: float) -> bool:
        is_answered = self._answered_at is not None
        match happening:
            case on.HungUp(_, is_lost) if is_answered:
                self._end("client_lost" if is_lost else "client_hung_up", 200, now)
            case on.CallerCancelled() | on.HungUp():
                self._end("client_cancelled", 487, now)
            case on.HangUpAsked(cause) if is_answered:
                self._do(do.HangUp("caller"))
                self._end(cause, 200, now)
            case on.HangUpAsked(cause):
                self._give_up(480, cause, now)
            case on.Objected(party, channel):
                self._object(party, channel)
            case on.ResumeAsked() if self.phase is not Phase.PAUSED:
                self._do(do.ResumeOutcome("not_paused"))
            case _ if is_answered:
                return self._handle_answered(happening, now)
            case _:
                return False
        return True

    def _handle_answered(self, happening: on.Input, now: float) -> bool:
        match happening:
            case on.Stated(party, notice, system, received):
                self._do(*self.evidence.state(party, notice, system, received))
                self._advance()
            case on.ReofferAnswered():
                self._agree_on_media()
            case on.ReofferRefused(_, 491):
                self._owes_offer = True
                self._do(do.ReofferLater())
            case on.ReofferDue() if self._owes_offer:
                self._do(do.Reoffer("caller", self._describe()))
            case on.RecordingFailed():
                self.phase = Phase.UNRECORDED
            case _:
                return self._handle_description(happening, now)
        return True

    def _handle_description(self, happening: on.Input, now: float) -> bool:
        match happening:
            case on.Redescribed(offer, asks_offer):
                self._redescribe(offer, now, asks_offer=asks_offer)
            case on.StreamsOpened(_, places):
                self._media.opened(places)
                self._answer_again(now)
            case on.StreamsFailed():
                self._media.give_back()
                self._owes_answer = False
                self._do(do.Refuse("caller", 503))
            case on.Acknowledged(_, body):
                self._on_acknowledged(body, now)
            case _:
                return False
        return True

    def _on_acknowledged(self, body: bytes, now: float) -> None:
        """From the first ACK on we may ask in our turn: before it, every offer is glare."""
        self._is_up = True
        if body and not self._offer.media:
            self._take_answer(body, now)
        elif self._metadata.is_wanting and self.plan.takes_update:
            self._metadata.is_wanting = False
            self._do(do.AskSnapshot("the metadata that came cannot be used by itself"))
        self._agree_on_media()

    def _object(self, party: Party, channel: str) -> None:
        """Enter it and keep nothing from now on."""
        self.objections += 1
        fields: dict[str, object] = {"party": party, "channel": channel, "effect": "stop"}
        self._do(do.Enter("objection.made", fields, f"{party}:{self.objections - 1}"))
        self._do(do.StopMedia("objection"))
        self._end_resuming("objection")
        if self.gate != "opened":
            self.gate = "permit_refused"
        self.phase = Phase.UNRECORDED
        self._agree_on_media()

    # Offers and what they say

    def _redescribe(self, offer: RecordingOffer, now: float, *, asks_offer: bool) -> None:
        """Take a re-INVITE or UPDATE: with media, with metadata, or with neither."""
        self._offer = offer
        if offer.media:
            self._owes_answer = True
            self._take(offer.media, now)
            return
        self._do(do.Answer("caller", self._describe() if asks_offer else b""))
        if offer.metadata != "absent":
            self._describe_session(now)

    def _take_answer(self, body: bytes, now: float) -> None:
        """Take the client's answer to an offer that it left to us."""
        try:
            lines = description.parse(body)
        except SdpError:
            lines = ()
        if not description.recordable(lines):
            self._do(do.HangUp("caller"))
            self._end("not_acceptable", 488, now)
            return
        self._offer = RecordingOffer(lines, "absent")
        self._take(lines, now)

    def _take(self, lines: tuple[RecordedMedia, ...], now: float) -> None:
        """Take the client's lines; what the recorder does not know it is asked for first."""
        streams = self._media.take(lines)
        self._heed_client()
        if streams:
            self._do(do.OpenStreams(streams))
        else:
            self._answer_again(now)

    def _answer_again(self, now: float) -> None:
        """Answer their offer; pause where they do, and have what they added permitted too."""
        is_owed = self._owes_answer
        body = self._describe()
        if is_owed:
            self._do(do.Answer("caller", body))
        if not self._media.live <= self._asked_for:
            self._shut("stream_added")
        self._describe_session(now)

    def _heed_client(self) -> None:
        """Keep nothing from now on where they pause, before anybody else is asked."""
        self._pauses = (self._pauses & {_OPERATOR}) | self._media.pauses
        if self._media.pauses:
            self._shut(min(self._media.pauses))
        elif not self._asked_for <= self._media.live:
            self._shut("stream_stopped")

    def _describe(self) -> bytes:
        """Our description as things stand, to be sent now."""
        self._agreed = self._wanted_media
        self._owes_offer = self._owes_answer = False
        return self._media.describe(self._agreed)

    def _describe_session(self, now: float) -> None:
        """Enter what is known by now; whoever came in has not been told."""
        self._do(self._metadata.describe(self._offer, self._media, now))
        passages = self._metadata.passages(self._media)
        self._do(*(passage.fact for passage in passages))
        came = {passage.party for passage in passages if passage.is_arrival}
        for party in came:
            self.evidence.forget(party)
        self._do(*self.evidence.published())
        if came:
            self._shut("party_joined")
        elif "agent" in self._metadata.deserted:
            self._shut("no_own_party")
        self._advance()

    # One function per phase that has inputs of its own

    def _in_opening(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.StreamsOpened(node, places):
                self.media_node, self._answered_at = node, now
                self._media.opened(places)
                self._pauses |= self._media.pauses
                self._do(do.Answer("caller", self._describe()))
                codec = self._media.kept[0][1].codecs[0].name
                legs = [{"party": party, "codec": codec} for party in PARTIES]
                self._do(do.Enter("call.answered", {"legs": legs, "media_node": node}))
                self._rest()
                self._describe_session(now)
            case on.StreamsFailed():
                self.gate = "media_unavailable"
                self._give_up(503, "media_unavailable", now)

    def _in_permitting(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.PermitGranted(grant) if not self._is_stale:
                self.phase = Phase.GATING
                self._do(do.OpenGate(grant))
            case on.PermitGranted():
                self._rest_and_ask_again()
            case on.Failed(outage):
                self._without_permit(outage)

    def _in_gating(self, happening: on.Input, now: float) -> None:
        match happening:
            case on.GateOpened():
                self.gate = "opened"
                if self._is_stale:  # the pause that made it so is on its way behind it
                    self._rest_and_ask_again()
                    return
                self._end_resuming("")
                self.phase = Phase.RECORDING
                self._agree_on_media()
            case on.Failed(outage):
                self._without_permit(outage)

    def _in_recording(self, happening: on.Input, now: float) -> None:
        if isinstance(happening, on.PauseAsked):
            self._pauses.add(_OPERATOR)
            self._shut(happening.cause, happening.actor_role, happening.actor)

    def _in_paused(self, happening: on.Input, now: float) -> None:
        if isinstance(happening, on.ResumeAsked):
            self._pauses.discard(_OPERATOR)
            self._advance()
            if self.phase is Phase.PAUSED:
                self._do(do.ResumeOutcome(self._hindrance))

    @property
    def _hindrance(self) -> str:
        """Why no permit is asked for; empty where nothing stands in the way."""
        if self._pauses:
            return min(self._pauses)
        if "agent" in self._metadata.deserted:
            return "no_own_party"
        return "" if self.evidence.is_complete else "no_notice"

    @property
    def _wanted_media(self) -> Gate:
        """Whether the client is to send: with `gate = "inactive"` not before it is kept."""
        if self.plan.session.gate == "memory":
            return "open"
        is_kept = self.gate == "opened" and self.phase is not Phase.UNRECORDED
        return "open" if is_kept and not self._hindrance else "inactive"

    def _advance(self) -> None:
        """Ask for a permit, if there is one to be had and none is under way."""
        if self.phase in _RESTING and not self._hindrance:
            self.phase = Phase.PERMITTING
            call = self.plan.call_id
            own = ("call.started", "policy.decided", "call.answered")
            latest = f"{call}:session.described:{self._metadata.latest}"
            relied_on = (*(f"{call}:{name}" for name in own), latest, *self.evidence.event_ids)
            self._do(do.RequestPermit(self._permits_asked, relied_on))
            self._permits_asked += 1
            self._asked_for = self._media.live

    def _shut(self, cause: str, role: str = "system", actor: str = "") -> None:
        """Keep nothing from now on; to go on takes a new permit."""
        if self.phase in (Phase.GATING, Phase.RECORDING):
            self._do(do.PauseMedia(cause, role, actor))
        if self.phase in (Phase.PERMITTING, Phase.GATING):
            self._is_stale = True
        elif self.phase in (*_RESTING, Phase.RECORDING):
            self._rest()

    def _rest(self) -> None:
        is_paused = self.gate == "opened" or bool(self._pauses)
        self.phase = Phase.PAUSED if is_paused else Phase.INFORMING
        self._agree_on_media()

    def _rest_and_ask_again(self) -> None:
        self._is_stale = False
        self._rest()
        self._advance()

    def _without_permit(self, outage: on.Outage) -> None:
        """Stay shut; what happened meanwhile, or the next statement, asks anew."""
        if self.gate != "opened":
            self.gate = outage
        self._end_resuming(outage)
        if self._is_stale:
            self._rest_and_ask_again()
        else:
            self._rest()

    def _agree_on_media(self) -> None:
        """Have the client send, or not, as the gate now is (RFC 7866 §7.2, figure 7)."""
        may_offer = self._is_up and not self._owes_answer and self.phase is not Phase.OVER
        if may_offer and self._agreed != self._wanted_media:
            before = self._media.description
            if (now := self._describe()) != before:  # the client may have paused all of it
                self._do(do.Reoffer("caller", now))

    def _end_resuming(self, reason: str) -> None:
        if self.gate == "opened" and self.phase in (Phase.PERMITTING, Phase.GATING):
            self._do(do.ResumeOutcome(reason))

    def _give_up(self, status: int, cause: str, now: float) -> None:
        """End a session that the client is still waiting on."""
        self._do(do.Refuse("caller", status))
        self._end(cause, status, now)

    def _end(self, cause: str, status: int, now: float) -> None:
        if self._media.legs:
            self._do(do.CloseMedia())
        self._end_resuming("call_ended")
        lasted = now - self._answered_at if self._answered_at is not None else 0.0
        fields: dict[str, object] = {
            "cause": cause,
            "answered": self._answered_at is not None,
            "sip_code": status,
            "talk_seconds": round(max(0.0, lasted), 3),
            "gate": self.gate_so_far,
        }
        self._do(do.Enter("call.ended", fields))
        self._do(do.Finish())
        self.phase = Phase.OVER

    def _do(self, *effects: do.Effect) -> None:
        self._effects += effects

    def _take_effects(self) -> list[do.Effect]:
        effects, self._effects = self._effects, []
        return effects

    _STATES: ClassVar[dict[Phase, Callable[[RecordingSession, on.Input, float], None]]] = {
        Phase.OPENING: _in_opening,
        Phase.PERMITTING: _in_permitting,
        Phase.GATING: _in_gating,
        Phase.RECORDING: _in_recording,
        Phase.PAUSED: _in_paused,
    }
