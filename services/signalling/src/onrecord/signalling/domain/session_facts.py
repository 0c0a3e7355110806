"""From a recording session's streams and metadata to the fields of its facts.

Sides, not names, are the parties: `caller` is who is heard in the even streams, `agent` in the odd
ones, the other way round where the client says who began the call; in a mixed stream it is both.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from onrecord.contracts.events.session import (
    MAX_CORRELATIONS,
    MAX_DOCUMENT,
    MAX_PARTICIPANTS,
    MAX_TEXT,
)
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.plan import PARTIES
from onrecord.signalling.domain.session_media import SessionMedia
from onrecord.signalling.routes import StatedNotice
from onrecord.sip.siprec.description import AnsweredLine
from onrecord.sip.siprec.metadata import Participant
from onrecord.sip.siprec.offer import MetadataPresence, RecordingOffer
from onrecord.sip.siprec.state import RecordingState, Resolution

_HASHED = ("sip_call_id", "sip_session_id")


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who is present, and on which side each of them is.

    `present` maps a key that outlives new ids (the address, else the id) to the participant.
    """

    present: Mapping[str, Participant]
    sides: Mapping[str, tuple[Party, ...]]

    @classmethod
    def of(cls, state: RecordingState, labels: Sequence[str], kept: Sequence[bool]) -> Self:
        """Read them from what the metadata says of the lines that are kept."""
        heard = [
            tuple(participant.id for participant in found.participants)
            for found, is_kept in zip(state.resolve(labels), kept, strict=True)
            if is_kept
        ]
        present = {participant.aor or participant.id: participant for participant in state.present}
        turned = _is_turned(state, heard)
        sides = {key: _sides(one.id, heard, turned=turned) for key, one in present.items()}
        return cls(present, sides)

    def on(self, party: Party) -> list[str]:
        """The keys of those on this side."""
        return [key for key, sides in self.sides.items() if party in sides]

    def numbers(self) -> dict[str, object]:
        """The sealed fields of `call.started`: one participant for each side."""
        fields: dict[str, object] = {}
        taken: set[str] = set()
        for party, role in zip(PARTIES, ("caller", "callee"), strict=True):
            key = next((key for key in self.on(party) if key not in taken), "")
            if not key:
                continue
            taken.add(key)
            names = self.present[key].names
            fields[f"{role}_number"] = brief(_number(key))
            if names and names[0].name:
                fields[f"{role}_name"] = brief(names[0].name)
        return fields


def described(
    offer: RecordingOffer,
    state: RecordingState,
    media: SessionMedia,
    outcome: tuple[MetadataPresence, str],
) -> dict[str, object]:
    """The fields of `session.described`; `outcome`: what became of the metadata, and why."""
    participants = list(state.participants.values())[:MAX_PARTICIPANTS]
    places = {participant.id: place for place, participant in enumerate(participants)}
    heard = dict(zip(media.labels, state.resolve(media.labels), strict=True))
    presence, fault = outcome
    fields: dict[str, object] = {
        "streams": [
            _stream(leg, line, heard[line.label], places) | {"is_paused": leg not in media.live}
            for leg, line in media.kept
        ],
        "refused_lines": media.refused_lines,
        "metadata": presence,
        "fault": fault or None,
        "digest": offer.digest or None,
        "correlation": list(_correlation(offer, state))[:MAX_CORRELATIONS],
    }
    if participants:
        present = {participant.id for participant in state.present}
        fields["participants"] = [_participant(one, present) for one in participants]
    if 0 < len(offer.raw_metadata) <= MAX_DOCUMENT:
        fields["document"] = base64.b64encode(offer.raw_metadata).decode()
    return {name: value for name, value in fields.items() if value is not None}


def notice_given(
    party: str, notice: StatedNotice, system: str, received: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """The fields of `notice.given` for a notice that we did not send."""
    return {
        "party": party,
        "method": notice.method,
        "notice": notice.notice,
        "version": notice.version,
        "language": notice.language,
        "acts": list(notice.acts),
        "purposes": list(notice.purposes),
        "grade": "D" if notice.is_published else "C",
        "stated_by": system,
        "received": list(received),
    }


def passage(party: str, key: str) -> dict[str, object]:
    """The fields of `party.joined` and `party.left` for a participant of the metadata."""
    return {"party": party, "role": "participant", "way": "siprec", "number": brief(key)}


def brief(text: str) -> str:
    """The printable part of a client's text, cut to what a fact may hold of it."""
    printable = "".join(char for char in text if char.isprintable())
    return printable.encode()[:MAX_TEXT].decode(errors="ignore")


def _stream(
    leg: str, line: AnsweredLine, found: Resolution, places: Mapping[str, int]
) -> dict[str, object]:
    return {
        "leg": leg,
        "label": brief(line.label),
        "codec": line.codecs[0].name,
        "direction": line.direction,
        "heard": [places[one.id] for one in found.participants if one.id in places],
        "confidence": found.confidence,
    }


def _participant(one: Participant, present: set[str]) -> dict[str, object]:
    name = one.names[0].name if one.names else ""
    return {
        "id": brief(one.id),
        "aor": brief(one.aor),
        "name": brief(name),
        "is_present": one.id in present,
    }


def _correlation(offer: RecordingOffer, state: RecordingState) -> Iterator[dict[str, object]]:
    found = [(one.kind, one.value) for one in (*state.correlation, *offer.correlation)]
    for session in state.sessions.values():
        found += [("sip_session_id", value) for value in session.sip_session_ids]
    for kind, value in dict.fromkeys(found):
        is_hashed = kind in _HASHED
        shown = hashlib.sha256(value.encode()).hexdigest() if is_hashed else brief(value)
        yield {"kind": kind, "value": shown}


def _is_turned(state: RecordingState, heard: Sequence[tuple[str, ...]]) -> bool:
    """Whether the client says that who is heard in an odd stream began the call."""
    for number, ids in enumerate(heard):
        if len(ids) == 1 and (calling := state.participants[ids[0]].calling) is not None:
            return calling is bool(number % 2)
    return False


def _sides(
    participant: str, heard: Sequence[tuple[str, ...]], *, turned: bool
) -> tuple[Party, ...]:
    """The side of a participant who is heard alone in one of several streams; else both."""
    alone = [number for number, ids in enumerate(heard) if ids == (participant,)]
    if len(heard) < 2 or not alone:
        return PARTIES
    return (PARTIES[(alone[0] + turned) % 2],)


def _number(key: str) -> str:
    """The user or number of an address of record, the whole of anything else."""
    _, colon, rest = key.partition(":")
    return (rest if colon else key).partition("@")[0] or key
