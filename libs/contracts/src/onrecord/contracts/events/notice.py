"""Who was told, how well, and what they said to it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from onrecord.contracts.events.vocabulary import (
    ANNOUNCEMENT,
    RETRIEVAL,
    SIGNALLING,
    Act,
    Grade,
    Leg,
    Party,
    Position,
    Purpose,
)
from onrecord.contracts.fact import Fact, Fields, Sealed, Service, Sha256, Slug, Text, Time
from pydantic import Field


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
    """

    TYPE: ClassVar[str] = "notice.given"
    APPENDED_BY: ClassVar[frozenset[Service]] = ANNOUNCEMENT
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
    method: Literal["prompt"]
    notice: Text
    version: Text
    language: Text
    acts: tuple[Act, ...] = Field(max_length=3)
    purposes: tuple[Purpose, ...] = Field(max_length=6)
    prompt_sha256: Sha256
    grade: Grade
    span: NoticeSpan


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
