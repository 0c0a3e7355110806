"""What a recording client says about the session that it sends a copy of (RFC 7865, RFC 7866)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from onrecord.contracts.events.vocabulary import SIGNALLING, Leg
from onrecord.contracts.fact import Fact, Fields, Sealed, Service, Sha256, Slug, Text
from pydantic import Field

MAX_DOCUMENT = 20 * 1024
"""Octets of a metadata document that are kept sealed: with the rest an entry stays below 64 KiB."""

MAX_PARTICIPANTS = 20
MAX_CORRELATIONS = 32
MAX_TEXT = 128

Brief = Annotated[str, Field(max_length=MAX_TEXT)]
Opaque = Annotated[str, Field(max_length=4 * MAX_DOCUMENT // 3 + 4)]


class DescribedStream(Fields):
    """One stream: the leg that it is kept as, its `a=label`, and who is heard in it.

    `heard` are places in the sealed `participants`; `confidence` says how that is known: `send` (an
    association that holds), `past` (the last that held), `order` (by place only), `none`.
    `is_paused`: the client says that it sends nothing there, so that no permit covers it.
    """

    leg: Leg
    label: Brief
    codec: Text
    direction: Literal["recvonly", "inactive"]
    is_paused: bool = False
    heard: tuple[int, ...] = Field(default=(), max_length=MAX_PARTICIPANTS)
    confidence: Literal["send", "past", "order", "none"] = "none"


class Correlation(Fields):
    """An identifier by which another system knows the call; SIP ids as their SHA-256."""

    kind: Slug
    value: Brief


class DescribedParticipant(Fields):
    """One participant as the client names it; `is_present`: has not left every session."""

    id: Brief
    aor: Brief = ""
    name: Brief = ""
    is_present: bool = True


class SessionDescribed(Fact):
    """An offer or update of a recording session: its streams, and what its metadata says by now.

    One for each that came, so their order is the history of who was heard where. `digest` is the
    SHA-256 of the document's octets. They are kept sealed, in base64, where they are few enough and
    not those of the fact before. `fault` says why a quarantined document could not be read.
    """

    TYPE: ClassVar[str] = "session.described"
    APPENDED_BY: ClassVar[frozenset[Service]] = SIGNALLING
    EXAMPLE: ClassVar[dict[str, object]] = {
        "streams": [
            {
                "leg": "stream-0",
                "label": "1",
                "codec": "PCMU",
                "direction": "recvonly",
                "heard": [0],
                "confidence": "send",
            }
        ],
        "refused_lines": 1,
        "metadata": "present",
        "digest": "ab" * 32,
        "correlation": [{"kind": "ucid", "value": "001900014E3E7D5C"}],
        "participants": [{"id": "i9+S7y1FQpiF42DWS4psXg==", "aor": "sip:alice@example.com"}],
        "document": "PHJlY29yZGluZy8+",
    }

    streams: tuple[DescribedStream, ...] = Field(max_length=8)
    refused_lines: int = Field(default=0, ge=0)
    metadata: Literal["present", "absent", "quarantined"]
    fault: Slug | None = None
    digest: Sha256 | None = None
    correlation: tuple[Correlation, ...] = Field(default=(), max_length=MAX_CORRELATIONS)
    participants: Annotated[
        tuple[DescribedParticipant, ...] | None,
        Field(max_length=MAX_PARTICIPANTS),
        Sealed("session"),
    ] = None
    document: Annotated[Opaque | None, Sealed("session")] = None
