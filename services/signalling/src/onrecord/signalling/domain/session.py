"""The descriptions of a call whose media passes the recorder (RFC 3264 between two parties).

Each party is told the recorder's address and what the other agreed to. Later offers (hold,
retrieve, a new address) run through one exchange at a time; who comes second must wait (491).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.direct_session import other
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.negotiation import (
    answered_audio,
    answered_direction,
    has_the_same_formats,
    has_the_same_place,
    later_answer,
    later_audio,
)
from onrecord.sip import sdp
from onrecord.sip.sdp import LocalAudio, Media, SdpError, SessionDescription

_TALKING = "sendrecv"


@dataclass(frozen=True, slots=True)
class _Exchange:
    """An offer of `offerer` that the other party has yet to take; None: we made one to it.

    `before` is what the other party knew until then. `is_answered`: the offer came as the answer in
    an ACK, so that nobody waits for ours.
    """

    offerer: Party
    media: Media | None
    shape: SessionDescription | None = None
    before: LocalAudio | None = None
    is_answered: bool = False


class RecordedSession:
    """What each party said of itself, and what we told it."""

    def __init__(
        self, offer: bytes, caller: Media, opened: on.MediaOpened, session_id: int
    ) -> None:
        """Begin with the caller's offer and the addresses that the recorder opened."""
        self._offered = caller
        self._heard: dict[Party, Media] = {"caller": caller}
        self._shape: dict[Party, SessionDescription] = {}
        if offer:
            self._shape["caller"] = sdp.parse(offer)
        self._told: dict[Party, LocalAudio] = {
            "caller": LocalAudio(*opened.caller, caller.codecs, session_id),
            "agent": LocalAudio(
                *opened.agent, caller.codecs, session_id, direction=caller.direction
            ),
        }
        self._exchange: _Exchange | None = None
        self._holder: Party | None = None

    @property
    def is_held(self) -> bool:
        """Whether a party waits, or is about to: from the moment that a hold is asked for."""
        asked = self._exchange.media if self._exchange is not None else None
        return self._holder is not None or (asked is not None and asked.direction != _TALKING)

    @property
    def holder(self) -> Party:
        """Who made the other wait."""
        if self._holder is not None:
            return self._holder
        return self._exchange.offerer if self._exchange is not None else "agent"

    @property
    def agent(self) -> Media:
        """The agent's side as it was agreed."""
        return self._heard["agent"]

    @property
    def offer_to_agent(self) -> bytes:
        """What the caller can use, at the recorder's address for the agent."""
        return sdp.build_offer(self._told["agent"])

    def agree(self, body: bytes) -> do.UpdateMedia:
        """Take the agent's answer; tell the recorder. Raises `SdpError` for no common codec.

        Early media is an answer too, which the final one may replace; that may then be empty.
        """
        if not body and "agent" in self._heard:
            return self._update(is_awaited=True)
        agent = answered_audio(body, self._offered)
        self._shape["agent"] = sdp.parse(body)
        self._heard["agent"] = agent
        self._heard["caller"] = replace(self._offered, codecs=agent.codecs)
        told = self._told["caller"]
        direction = answered_direction(self._offered.direction, agent.direction)
        self._told["caller"] = replace(told, codecs=agent.codecs, direction=direction)
        return self._update(is_awaited=True)

    @property
    def reaches_both(self) -> bool:
        """Whether both hear what we play: who does not listen, or is sent nothing, is not told."""
        return all(media.direction == _TALKING for media in self._heard.values())

    @property
    def answer_to_caller(self) -> bytes:
        """What the agent took, at the recorder's address: an offer where the caller made none."""
        return self._description("caller")

    @property
    def awaits_caller(self) -> bool:
        """Whether the caller made no offer, so that its side comes with its ACK."""
        return "caller" not in self._shape

    def hear_caller(self, body: bytes) -> do.UpdateMedia:
        """Take the caller's answer to our offer; tell the recorder. Raises `SdpError`."""
        answer = answered_audio(body, self._heard["agent"])
        self._shape["caller"] = sdp.parse(body)
        self._heard["caller"] = answer
        return self._update(is_awaited=True)

    def handle(self, happening: on.Exchange, *, may_change: bool) -> list[do.Effect]:
        """Take one step of an exchange; with `may_change` False only a refresh is accepted."""
        match happening:
            case on.Reoffered(party, body):
                return self._on_offer(party, body, may_change=may_change)
            case on.ReofferAnswered(party, body):
                return self._on_answer(party, body)
            case on.ReofferRefused(party, status):
                return self._on_refusal(party, status)
            case on.Acknowledged(party, body):
                return self._on_ack(party, body)

    def _on_offer(self, party: Party, body: bytes, *, may_change: bool) -> list[do.Effect]:
        if self._exchange is not None or party not in self._heard:
            return [do.Refuse(party, 491)]
        known = self._heard[party]
        try:
            shape, media = later_audio(body, known) if body else (self._shape[party], known)
        except SdpError as fault:
            return [do.Refuse(party, fault.status or 488)]
        is_same = has_the_same_formats(media, known)
        if body and is_same and has_the_same_place(media, known):
            return [self._answer(party, shape)]
        if not may_change:
            return [do.Refuse(party, 491)]
        if not body:
            return [self._make_offer(party)]
        if is_same:
            self._heard[party] = replace(media, codecs=known.codecs)
            return [self._answer(party, shape), self._update()]
        self._exchange = _Exchange(party, media, shape, self._told[other(party)])
        return [self._reoffer(other(party), media)]

    def _on_answer(self, party: Party, body: bytes) -> list[do.Effect]:
        exchange, self._exchange = self._exchange, None
        if exchange is None or exchange.media is None or exchange.offerer != other(party):
            self._exchange = exchange
            return []
        offerer, offered = exchange.offerer, exchange.media
        try:
            shape, answered = later_answer(body, offered, self._heard[party])
        except SdpError:
            return [] if exchange.is_answered else [do.Refuse(offerer, 488)]
        self._shape[party] = shape
        self._heard[party] = answered
        self._heard[offerer] = replace(offered, codecs=answered.codecs)
        self._note_hold(offerer, offered.direction, answered.direction)
        if exchange.is_answered:
            return [self._update()]
        self._tell(offerer, answered, answered_direction(offered.direction, answered.direction))
        return [self._answer(offerer, exchange.shape or shape), self._update()]

    def _on_refusal(self, party: Party, status: int) -> list[do.Effect]:
        exchange = self._exchange
        if exchange is None or exchange.offerer != other(party):
            return []
        self._exchange = None
        if exchange.before is not None:
            version = self._told[party].version + 1  # the refused one was seen
            self._told[party] = replace(exchange.before, version=version)
        return [] if exchange.is_answered else [do.Refuse(exchange.offerer, status)]

    def _make_offer(self, party: Party) -> do.Effect:
        """Who asks for an offer wants to talk: nothing else is offered unless the other holds."""
        holds = self._holder == other(party)
        direction = self._heard[other(party)].direction if holds else _TALKING
        self._tell(party, self._heard[party], direction)
        self._exchange = _Exchange(party, None)
        return do.Answer(party, self._description(party))

    def _on_ack(self, party: Party, body: bytes) -> list[do.Effect]:
        """The answer to an offer of ours; what it changes is passed on as an offer."""
        exchange = self._exchange
        if exchange is None or exchange.media is not None or exchange.offerer != party:
            return []
        self._exchange = None
        try:
            self._shape[party], media = later_audio(body, self._heard[party])
        except SdpError:
            return []  # as if it had never been asked
        self._heard[party] = media
        if self._told[other(party)].direction == media.direction:
            return [self._update()]
        before = self._told[other(party)]
        self._exchange = _Exchange(party, media, before=before, is_answered=True)
        return [self._reoffer(other(party), media), self._update()]

    def _note_hold(self, offerer: Party, offered: str, answered: str) -> None:
        """A party that took the offer of talking, and was not given it, is held by the other."""
        if offered == answered == _TALKING:
            self._holder = None
        elif offered != _TALKING:
            self._holder = self._holder or offerer
        else:
            self._holder = other(offerer)

    def _answer(self, party: Party, shape: SessionDescription) -> do.Effect:
        """Describe our side again; a new number of m-lines is a new version."""
        if len(shape.media) != len(self._shape[party].media):
            told = self._told[party]
            self._told[party] = replace(told, version=told.version + 1)
        self._shape[party] = shape
        return do.Answer(party, self._description(party))

    def _reoffer(self, party: Party, media: Media) -> do.Effect:
        self._tell(party, media, media.direction)
        return do.Reoffer(party, self._description(party))

    def _tell(self, party: Party, media: Media, direction: str) -> None:
        told = self._told[party]
        self._told[party] = replace(
            told, codecs=media.codecs, direction=direction, version=told.version + 1
        )

    def _description(self, party: Party) -> bytes:
        shape = self._shape.get(party)
        told = self._told[party]
        return sdp.build_offer(told) if shape is None else sdp.build_answer(shape, told)

    def _update(self, *, is_awaited: bool = False) -> do.UpdateMedia:
        heard = self._heard
        return do.UpdateMedia(heard["caller"], heard["agent"], "unchanged", is_awaited=is_awaited)
