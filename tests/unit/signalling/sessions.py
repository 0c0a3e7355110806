"""A recording session to drive by hand: offers of the corpus, inputs in, effects out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TypeVar

from onrecord.contracts.registry import fact_class
from onrecord.policy import default_pack
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.plan import Office, Refusal
from onrecord.signalling.domain.recording_session import RecordingSession
from onrecord.signalling.domain.session_plan import SessionPlan, plan_session
from onrecord.signalling.routes import Emergency, Routes, SessionGate, SessionLine, StatedNotice
from onrecord.sip import multipart
from onrecord.sip.headers import Headers
from onrecord.sip.message import Request
from onrecord.sip.siprec import description, offer
from onrecord.sip.siprec.description import RecordedMedia
from onrecord.sip.siprec.offer import RecordingOffer
from onrecord.sip.uri import SipUri
from unit.siprec.offers import request

EffectT = TypeVar("EffectT")
TWO_LINES = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\na=label:1\r\na=sendonly\r\n"
    b"m=audio 4002 RTP/AVP 0\r\na=label:2\r\na=sendonly\r\n"
)
SAID = {"language": "en-GB", "acts": ("recorded",), "purposes": ("training", "quality")}
WRITTEN = StatedNotice(
    notice="terms", version="1", parties=("caller", "agent"), method="written", **SAID
)
GREETING = StatedNotice(
    notice="greeting",
    version="4",
    parties=("caller", "agent"),
    method="prompt",
    systems=("ivr",),
    **SAID,
)


def office(gate: SessionGate = "memory", notices: tuple[StatedNotice, ...] = (WRITTEN,)) -> Office:
    """A worker with a line for recording sessions."""
    line = SessionLine("sbc", gate, notices=notices)
    emergency = Emergency(("112",), ("",), (SipUri.parse("sip:192.0.2.9"),))
    return Office(Routes(frozenset({"192.0.2.1"}), (), emergency, line), default_pack(), "worker-1")


def planned(
    invite: Request, gate: SessionGate = "memory", *notices: StatedNotice
) -> SessionPlan | Refusal:
    """What becomes of an INVITE."""
    return plan_session(office(gate, notices), "x", invite, date(2026, 11, 23), 7)


def with_body(name: str, sdp: bytes | None, metadata: bytes | None = None) -> Request:
    """The INVITE of this name with another description and metadata, or without."""
    original = request(name)
    parts = []
    if sdp is not None:
        parts.append(multipart.Part((("Content-Type", "application/sdp"),), sdp))
    if metadata is not None:
        parts.append(multipart.Part((("Content-Type", "application/rs-metadata+xml"),), metadata))
    headers = Headers(list(original.headers))
    headers.set("Content-Type", multipart.content_type("b"))
    return Request("INVITE", original.uri, headers, multipart.write(parts, "b"))


class Driver:
    """One session and all that it did; `now` rises by a second with each input."""

    def __init__(
        self,
        name: str = "oracle",
        gate: SessionGate = "memory",
        notices: tuple[StatedNotice, ...] = (WRITTEN,),
        invite: Request | None = None,
    ) -> None:
        """Begin a session with the offer of this name, or with another INVITE."""
        plan = planned(invite or request(name), gate, *notices)
        assert isinstance(plan, SessionPlan), plan
        self.session = RecordingSession(plan)
        self.name = name
        self.now = 100.0
        self.effects = self.session.begin(self.now)

    def happen(self, happening: on.Input) -> list[do.Effect]:
        """Let something happen; every fact that is entered fits its model."""
        self.now += 1
        made = self.session.handle(happening, self.now)
        for effect in made:
            if isinstance(effect, do.Enter):
                fact_class(effect.type).model_validate(effect.fields)
        self.effects += made
        return made

    def opened(self) -> list[do.Effect]:
        """The recorder gives each stream that it was last asked for a port."""
        asked = self.last(do.OpenStreams)
        places = {s.leg: ("198.51.100.1", 40000 + 2 * int(s.leg[-1])) for s in asked.streams}
        return self.happen(on.StreamsOpened("media-1", places))

    def recording(self) -> Driver:
        """Go on until audio is kept."""
        self.opened()
        self.happen(on.Acknowledged("caller", b""))
        if not self.all(do.RequestPermit):
            for party in ("caller", "agent"):
                self.state(party)
        self.happen(on.PermitGranted("grant"))
        self.happen(on.GateOpened())
        return self

    def state(self, party: Party, sequence: int = 10) -> list[do.Effect]:
        """Let the named system state that a party was told."""
        position = {"ssrc": 7, "sequence": sequence, "timestamp": 0}
        received = ({"leg": "stream-0", "position": position},)
        return self.happen(on.Stated(party, GREETING, "ivr", received))

    def redescribed(self, changed: RecordingOffer, *, asks_offer: bool = False) -> list[do.Effect]:
        """The client sends another offer or update."""
        return self.happen(on.Redescribed(changed, asks_offer))

    def offered(self, direction: str = "sendonly") -> RecordingOffer:
        """The first offer once more, without metadata, in this direction."""
        first = self.session.plan.offer
        return RecordingOffer(turned(first.media, direction), "absent")

    def all(self, kind: type[EffectT]) -> list[EffectT]:
        """Every effect of a kind, in order."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def last(self, kind: type[EffectT]) -> EffectT:
        """The newest effect of a kind."""
        return self.all(kind)[-1]

    def facts(self, fact: str) -> list[dict[str, object]]:
        """The fields of all facts of a type."""
        return [effect.fields for effect in self.all(do.Enter) if effect.type == fact]

    @property
    def directions(self) -> list[str]:
        """The directions of the lines as we described them last."""
        bodies = [
            effect.body for effect in self.effects if isinstance(effect, do.Answer | do.Reoffer)
        ]
        return [line.media.direction for line in description.parse(bodies[-1]) if line.media.port]


def turned(media: tuple[RecordedMedia, ...], direction: str) -> tuple[RecordedMedia, ...]:
    """These lines in another direction."""
    return tuple(replace(one, media=replace(one.media, direction=direction)) for one in media)


def update(name: str) -> RecordingOffer:
    """An update of metadata only, as this vendor writes it."""
    return replace(offer.read(request(name)), media=())
