"""Who was given what, holds, and erasure."""

from __future__ import annotations

from typing import Annotated, ClassVar

from onrecord.contracts.events.vocabulary import LEDGER, RETRIEVAL, Leg, Purpose
from onrecord.contracts.fact import Fact, Sealed, Service, Sha256, Slug, StreamKind, Text
from pydantic import Field


class AccessGranted(Fact):
    """Somebody was given audio, for a purpose; committed before the first byte."""

    TYPE: ClassVar[str] = "access.granted"
    STREAM: ClassVar[StreamKind] = "recording"
    APPENDED_BY: ClassVar[frozenset[Service]] = LEDGER
    EXAMPLE: ClassVar[dict[str, object]] = {
        "pseudonym": "ab" * 32,
        "role": "supervisor",
        "purpose": "quality",
        "legs": ["caller", "agent"],
        "format": "wav",
        "person": "j.doe",
    }

    pseudonym: Sha256
    role: Slug
    purpose: Purpose
    legs: tuple[Leg, ...] = Field(default=(), max_length=8)
    format: Slug
    person: Annotated[Text | None, Sealed("person")] = None


class FieldsOpened(Fact):
    """Somebody was shown sealed fields, for a purpose; committed before the reply."""

    TYPE: ClassVar[str] = "fields.opened"
    STREAM: ClassVar[StreamKind] = "recording"
    APPENDED_BY: ClassVar[frozenset[Service]] = LEDGER
    EXAMPLE: ClassVar[dict[str, object]] = {
        "event_ids": ["c1:call.started"],
        "purpose": "disputes",
        "pseudonym": "ab" * 32,
        "role": "supervisor",
        "person": "j.doe",
    }

    event_ids: tuple[Text, ...] = Field(max_length=100)
    purpose: Purpose
    pseudonym: Sha256
    role: Slug
    person: Annotated[Text | None, Sealed("person")] = None


class HoldPlaced(Fact):
    """A legal hold: nothing of the recording may be erased."""

    TYPE: ClassVar[str] = "hold.placed"
    STREAM: ClassVar[StreamKind] = "recording"
    APPENDED_BY: ClassVar[frozenset[Service]] = RETRIEVAL
    EXAMPLE: ClassVar[dict[str, object]] = {
        "case": "2026-17",
        "reason": "litigation",
        "by": ["ab" * 32],
    }

    case: Text
    reason: Slug
    by: tuple[Sha256, ...] = Field(max_length=2)
    person: Annotated[Text | None, Sealed("person")] = None


class HoldReleased(HoldPlaced):
    """The hold of this case ended."""

    TYPE: ClassVar[str] = "hold.released"


class EraseOrdered(HoldPlaced):
    """Two people ordered the erasure of what the scope names."""

    TYPE: ClassVar[str] = "erase.ordered"
    EXAMPLE: ClassVar[dict[str, object]] = {
        "case": "2026-18",
        "reason": "erasure_request",
        "by": ["ab" * 32, "cd" * 32],
        "scope": "audio",
    }

    scope: Slug


class EraseCompleted(EraseOrdered):
    """The ordered erasure is done."""

    TYPE: ClassVar[str] = "erase.completed"
