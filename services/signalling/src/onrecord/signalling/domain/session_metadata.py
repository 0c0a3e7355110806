"""What a recording client has said of its session so far, and who came and went by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onrecord.signalling.domain.effects import Enter, FactType
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.plan import PARTIES
from onrecord.signalling.domain.session_facts import Speakers, described, passage
from onrecord.signalling.domain.session_media import SessionMedia
from onrecord.sip.siprec.correlation import CorrelationId
from onrecord.sip.siprec.document import MetadataError
from onrecord.sip.siprec.metadata import Snapshot
from onrecord.sip.siprec.offer import RecordingOffer
from onrecord.sip.siprec.state import RecordingState


@dataclass(frozen=True, slots=True)
class Passage:
    """Somebody came in on a side, or the last one left it; `fact` says so."""

    party: Party
    is_arrival: bool
    fact: Enter


class SessionMetadata:
    """The merged metadata of one session. A broken document changes nothing but is named."""

    def __init__(self) -> None:
        self.deserted: set[Party] = set()
        self.is_wanting = False
        self._state = RecordingState()
        self._speakers = Speakers({}, {})
        self._digest = ""
        self._correlation: tuple[CorrelationId, ...] = ()
        self._descriptions = self._passages = 0

    @property
    def latest(self) -> str:
        """What tells the newest `session.described` from the earlier ones."""
        return str(self._descriptions - 1)

    def is_known_as(self, kind: str, value: str) -> bool:
        """Whether the metadata or the requests' headers gave the session this identifier."""
        known = (*self._state.correlation, *self._correlation)
        return any((one.kind, one.value) == (kind, value) for one in known)

    def describe(self, offer: RecordingOffer, media: SessionMedia, now: float) -> Enter:
        """Take an offer or update in, and give the fact that says what is known by now.

        `is_wanting` afterwards: the document could not be used, or changes what never came.
        """
        self._correlation = tuple(dict.fromkeys((*self._correlation, *offer.correlation)))
        presence, fault = offer.metadata, offer.fault
        if offer.snapshot is not None:
            try:
                self.is_wanting = self._lacks_ground(offer.snapshot)
                self._state = self._state.merge(offer.snapshot, now)
            except MetadataError as error:
                presence, fault = "quarantined", error.reason
        self.is_wanting |= presence == "quarantined"
        fields = described(offer, self._state, media, (presence, fault))
        if offer.digest and offer.digest == self._digest:
            fields.pop("document", None)  # a session timer's refresh brings it all again
        self._digest = offer.digest or self._digest
        self._descriptions += 1
        return Enter("session.described", fields, self.latest)

    def passages(self, media: SessionMedia) -> list[Passage]:
        """Who came and who went since this was asked last; the first who are named were there."""
        before = self._speakers
        kept = [bool(line.port) for line in media.answered]
        self._speakers = Speakers.of(self._state, media.labels, kept)
        if not before.present or not self._speakers.present:
            return []
        return list(self._compared(before, self._speakers))

    def _compared(self, before: Speakers, after: Speakers) -> Iterator[Passage]:
        for party in PARTIES:
            gone = [key for key in before.on(party) if key not in after.present]
            if gone and not after.on(party):
                self.deserted.add(party)
                yield self._passage(party, gone[0], is_arrival=False)
            for key in (key for key in after.on(party) if key not in before.present):
                self.deserted.discard(party)
                yield self._passage(party, key, is_arrival=True)

    def _passage(self, party: Party, key: str, *, is_arrival: bool) -> Passage:
        kind: FactType = "party.joined" if is_arrival else "party.left"
        fact = Enter(kind, passage(party, key), str(self._passages))
        self._passages += 1
        return Passage(party, is_arrival, fact)

    def _lacks_ground(self, snapshot: Snapshot) -> bool:
        """Whether it changes a state that we were never told (RFC 7866 §9.2)."""
        return snapshot.data_mode == "partial" and self._state == RecordingState()
