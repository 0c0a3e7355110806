"""Who was told, how well, and what they said to it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from onrecord.contracts.events.recording import RecordedLeg
from onrecord.contracts.events.vocabulary import (
    ANNOUNCEMENT,
    RETRIEVAL,
    SIGNALLING,
    Act,
    Grade,
    Leg,
    Method,
    Party,
    Position,
    Purpose,
)
from onrecord.contracts.fact import Fact, Fields, Sealed, Service, Sha256, Slug, Text, Time
from pydantic import Field, model_validator


class NoticeSpan(Fields):
    """What was sent on the leg, and what had been received there when it ended."""

    leg: Leg
    ssrc: int = Field(ge=0, le=0xFFFFFFFF)
    first_sequence: int = Field(ge=0)
    last_sequence: int = Field(ge=0)
    octets: int = Field(ge=0)
    payload_sha256: Sha256
    received: Position | None = None
    started_at: Time
    ended_at: Time


class NoticeGiven(Fact):
    """A party was told, by a method on record, with the grade of the evidence.

    A: the party responded, or sent intact and acknowledged by the named next hop; B: sent intact;
    C: stated by a named person or system; D: published. Never "heard".

    What we did not send ourselves has no `span` and is C, with `stated_by`, or D, written;
    `received` is then how far each stream had come when it was stated: nothing before that counts.
    """

    TYPE: ClassVar[str] = "notice.given"
    APPENDED_BY: ClassVar[frozenset[Service]] = ANNOUNCEMENT | SIGNALLING
    EXAMPLE: ClassVar[dict[str, object]] = {
        "party": "caller",
        "method": "prompt",
        "notice": "recorded-caller",
        "version": "1",
        "language": "en-GB",
        "acts": ["recorded"],
        "purposes": ["quality"],
        "prompt_sha256": "cd" * 32,
        "grade": "B",
        "span": {
            "leg": "service-caller",
            "ssrc": 1,
            "first_sequence": 100,
            "last_sequence": 324,
            "octets": 36000,
            "payload_sha256": "ef" * 32,
            "received": {"ssrc": 7, "sequence": 65700, "timestamp": 36000},
            "started_at": "2026-11-23T12:00:00.000000Z",
            "ended_at": "2026-11-23T12:00:04.500000Z",
        },
    }

    party: Party
    method: Method
    notice: Text
    version: Text
    language: Text
    acts: tuple[Act, ...] = Field(max_length=3)
    purposes: tuple[Purpose, ...] = Field(max_length=6)
    prompt_sha256: Sha256 | None = None
    grade: Grade
    span: NoticeSpan | None = None
    stated_by: Text = ""
    received: tuple[RecordedLeg, ...] = Field(default=(), max_length=8)

    @property
    def appenders(self) -> frozenset[Service]:
        """Announcement states what was played, signalling what others state or have published."""
        return SIGNALLING if self.span is None else ANNOUNCEMENT

    @model_validator(mode="after")
    def _graded_by_its_evidence(self) -> Self:
        if self.span is not None and self.prompt_sha256 is not None:
            return self
        is_stated = self.grade == "C" and self.stated_by
        is_published = self.grade == "D" and self.method == "written"
        if self.span is not None or not (is_stated or is_published):
            raise ValueError("without span and prompt: C with stated_by, or D and written")
        return self


class NoticeFailed(Fact):
    """A party could not be told as the obligation asks."""

    TYPE: ClassVar[str] = "notice.failed"
    APPENDED_BY: ClassVar[frozenset[Service]] = ANNOUNCEMENT
    EXAMPLE: ClassVar[dict[str, object]] = {
        "party": "agent",
        "method": "prompt",
        "notice": "recorded-agent",
        "version": "1",
        "reason": "leg_closed",
    }

    party: Party
    method: Literal["prompt"]
    notice: Text = ""
    version: Text = ""
    reason: Slug
    span: NoticeSpan | None = None


class ObjectionMade(Fact):
    """A party said no."""

    TYPE: ClassVar[str] = "objection.made"
    APPENDED_BY: ClassVar[frozenset[Service]] = SIGNALLING
    EXAMPLE: ClassVar[dict[str, object]] = {
        "party": "caller",
        "channel": "spoken",
        "effect": "stop",
    }

    party: Party
    channel: Slug
    effect: Slug


class ConsentGiven(Fact):
    """A person agreed, in answer to a notice."""

    TYPE: ClassVar[str] = "consent.given"
    APPENDED_BY: ClassVar[frozenset[Service]] = SIGNALLING | RETRIEVAL
    EXAMPLE: ClassVar[dict[str, object]] = {
        "party": "caller",
        "purposes": ["quality"],
        "mode": "opt_in",
        "how": "key",
        "notice": "c1:notice.given:caller:0",
    }

    party: Party
    purposes: tuple[Purpose, ...] = Field(max_length=6)
    mode: Slug
    how: Slug
    expires_at: Time | None = None
    notice: Text = ""
    said_by: Annotated[Text | None, Sealed("caller")] = None


class ConsentRefused(ConsentGiven):
    """A person did not agree."""

    TYPE: ClassVar[str] = "consent.refused"


class ConsentWithdrawn(ConsentGiven):
    """A person took an earlier agreement back."""

    TYPE: ClassVar[str] = "consent.withdrawn"
