"""Permits, the gate, and what was stored."""

from __future__ import annotations

from typing import Annotated, ClassVar

from onrecord.contracts.events.vocabulary import LEDGER, RECORDER, Leg, Party, Position
from onrecord.contracts.fact import Fact, Fields, Sealed, Service, Sha256, Slug, Text, Time
from pydantic import Field


class PermitLeg(Fields):
    """A leg that may be kept, from this position on; no position means from the beginning."""

    leg: Leg
    first_kept: Position | None = None


class PermitIssued(Fact):
    """Recording may start: everybody was told, by the entries relied on."""

    TYPE: ClassVar[str] = "permit.issued"
    APPENDED_BY: ClassVar[frozenset[Service]] = LEDGER
    EXAMPLE: ClassVar[dict[str, object]] = {
        "permit_id": "c1:p0",
        "legs": [{"leg": "caller", "first_kept": None}, {"leg": "service-caller"}],
        "parties": ["caller", "agent"],
        "pack": "uk",
        "pack_version": "1",
        "relied_on": ["c1:notice.given:caller:0"],
        "media_node": "media-1",
        "not_after": "2026-11-23T12:00:35.000000Z",
        "payload_sha256": "ab" * 32,
    }

    permit_id: Text
    legs: tuple[PermitLeg, ...] = Field(max_length=8)
    parties: tuple[Party, ...] = Field(max_length=8)
    pack: Slug
    pack_version: Text
    relied_on: tuple[Text, ...] = Field(max_length=64)
    media_node: Text
    not_after: Time
    payload_sha256: Sha256


class PermitRefused(Fact):
    """Recording may not start."""

    TYPE: ClassVar[str] = "permit.refused"
    APPENDED_BY: ClassVar[frozenset[Service]] = LEDGER
    EXAMPLE: ClassVar[dict[str, object]] = {"permit_id": "c1:p0", "reason": "party_not_told"}

    permit_id: Text
    reason: Slug
    relied_on: tuple[Text, ...] = Field(default=(), max_length=64)


class RecordedLeg(Fields):
    """A leg, and the last received position when the fact came about."""

    leg: Leg
    position: Position | None = None


class RecordingStarted(Fact):
    """The gate opened: frames are kept from the permit's positions on."""

    TYPE: ClassVar[str] = "recording.started"
    APPENDED_BY: ClassVar[frozenset[Service]] = RECORDER
    EXAMPLE: ClassVar[dict[str, object]] = {
        "permit_id": "c1:p0",
        "legs": [{"leg": "caller"}, {"leg": "agent"}],
    }

    permit_id: Text
    legs: tuple[RecordedLeg, ...] = Field(max_length=8)


class RecordingPaused(Fact):
    """The gate closed for now; going on takes a new permit."""

    TYPE: ClassVar[str] = "recording.paused"
    APPENDED_BY: ClassVar[frozenset[Service]] = RECORDER
    EXAMPLE: ClassVar[dict[str, object]] = {
        "permit_id": "c1:p0",
        "cause": "card_data",
        "actor_role": "agent",
        "actor": "agent 4711",
        "legs": [{"leg": "caller"}],
    }

    permit_id: Text
    cause: Slug
    actor_role: Slug
    legs: tuple[RecordedLeg, ...] = Field(max_length=8)
    actor: Annotated[Text | None, Sealed("agent")] = None


class RecordingResumed(RecordingStarted):
    """The gate opened again, under a new permit."""

    TYPE: ClassVar[str] = "recording.resumed"
    EXAMPLE: ClassVar[dict[str, object]] = {"permit_id": "c1:p1", "legs": [{"leg": "caller"}]}


class RecordingStopped(RecordingPaused):
    """The gate closed for good."""

    TYPE: ClassVar[str] = "recording.stopped"
    EXAMPLE: ClassVar[dict[str, object]] = {
        "permit_id": "c1:p0",
        "cause": "call_ended",
        "actor_role": "system",
        "legs": [{"leg": "caller"}],
    }


class RecordingGap(Fact):
    """Permitted audio that is not in the recording, with the reason."""

    TYPE: ClassVar[str] = "recording.gap"
    APPENDED_BY: ClassVar[frozenset[Service]] = RECORDER
    EXAMPLE: ClassVar[dict[str, object]] = {
        "leg": "caller",
        "first": {"ssrc": 7, "sequence": 65701, "timestamp": 36160},
        "last": {"ssrc": 7, "sequence": 65702, "timestamp": 36320},
        "packets": 2,
        "cause": "network",
    }

    leg: Leg
    first: Position
    last: Position
    packets: int = Field(ge=0)
    cause: Slug


class StoredUnit(Fields):
    """One stored object: one leg, about a minute; its key opens it."""

    leg: Leg
    epoch: int = Field(ge=0)
    k: int = Field(ge=0)
    object_key: Text
    octets: int = Field(ge=0)
    sha256: Sha256
    key_ref: Text
    frames: int = Field(ge=0)
    first: Position
    last: Position
    started_at: Time
    ended_at: Time


class RecordingStored(Fact):
    """Units are in the object store, verified; with `final`, all of the call are."""

    TYPE: ClassVar[str] = "recording.stored"
    APPENDED_BY: ClassVar[frozenset[Service]] = RECORDER
    EXAMPLE: ClassVar[dict[str, object]] = {
        "units": [
            {
                "leg": "caller",
                "epoch": 1763899200000,
                "k": 0,
                "object_key": "c1/caller/1763899200000-0",
                "octets": 480123,
                "sha256": "ab" * 32,
                "key_ref": "c1:p0/0",
                "frames": 3000,
                "first": {"ssrc": 7, "sequence": 65701, "timestamp": 36160},
                "last": {"ssrc": 7, "sequence": 68700, "timestamp": 516160},
                "started_at": "2026-11-23T12:00:04.500000Z",
                "ended_at": "2026-11-23T12:01:04.500000Z",
            }
        ],
        "final": True,
        "unit_count": 1,
        "manifest_key": "c1/manifest",
        "manifest_sha256": "cd" * 32,
    }

    units: tuple[StoredUnit, ...] = Field(max_length=64)
    final: bool
    unit_count: int = Field(ge=0)
    manifest_key: Text | None = None
    manifest_sha256: Sha256 | None = None


class RecordingFailed(Fact):
    """Recording could not be done or finished; the cause says why."""

    TYPE: ClassVar[str] = "recording.failed"
    APPENDED_BY: ClassVar[frozenset[Service]] = RECORDER
    EXAMPLE: ClassVar[dict[str, object]] = {"cause": "object_conflict"}

    cause: Slug
