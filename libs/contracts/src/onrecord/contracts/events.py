"""The events of onrecord, one model each: the definition from which the JSON Schemas are made.

Fields may be added with a default; they are never renamed, removed or given another meaning.
Personal data stands only in fields marked `Sealed`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from onrecord.contracts.fact import (
    Fact,
    Fields,
    Sealed,
    Service,
    Sha256,
    Slug,
    StreamKind,
    Text,
    Time,
)
from pydantic import Field

Party = Literal["caller", "agent"]
Leg = Literal["caller", "agent", "service-caller", "service-agent"]
Grade = Literal["A", "B", "C", "D"]
Verdict = Literal["recorded", "partly_recorded", "not_recorded", "failed"]
Act = Literal["recorded", "monitored", "intruded"]
Purpose = Literal[
    "training", "supervision", "customer_service", "quality", "disputes", "regulation"
]

SIGNALLING: frozenset[Service] = frozenset({"signalling"})
ANNOUNCEMENT: frozenset[Service] = frozenset({"announcement"})
LEDGER: frozenset[Service] = frozenset({"consent-ledger"})
RECORDER: frozenset[Service] = frozenset({"media-recorder"})
RETRIEVAL: frozenset[Service] = frozenset({"retrieval"})


class Position(Fields):
    """A place in a received RTP stream (RFC 3550): extended sequence number, RTP timestamp."""

    ssrc: int = Field(ge=0, le=0xFFFFFFFF)
    sequence: int = Field(ge=0, le=0xFFFFFFFFFFFF)
    timestamp: int = Field(ge=0, le=0xFFFFFFFF)


class CallStarted(Fact):
    """A call came in and was accepted for routing."""

    TYPE: ClassVar[str] = "call.started"
    APPENDED_BY: ClassVar[frozenset[Service]] = SIGNALLING
    EXAMPLE: ClassVar[dict[str, object]] = {
        "direction": "inbound",
        "route": "main",
        "line": "main",
        "business_unit": "default",
        "worker": "signalling-1",
        "sip_call_id_hash": "ab" * 32,
        "caller_number": "+442079460123",
        "callee_number": "+442079460999",
    }

    direction: Literal["inbound", "outbound"]
    kind: Literal["recorded", "unrecorded", "emergency"] = "recorded"
    route: Text
    line: Text = ""
    business_unit: Text = "default"
    worker: Text
    sip_call_id_hash: Sha256
    ucid: Text = ""
    caller_number: Annotated[Text | None, Sealed("caller")] = None
    callee_number: Annotated[Text | None, Sealed("agent")] = None
    caller_name: Annotated[Text | None, Sealed("caller")] = None
    callee_name: Annotated[Text | None, Sealed("agent")] = None


class Obligation(Fields):
    """A duty to inform one party."""

    party: Party
    method: Literal["prompt"]
    language: Text
    acts: tuple[Act, ...] = Field(max_length=3)
    purposes: tuple[Purpose, ...] = Field(max_length=6)


class PolicyDecided(Fact):
    """The rules that apply were read: who must be told, how, and whether recording is allowed."""

    TYPE: ClassVar[str] = "policy.decided"
    APPENDED_BY: ClassVar[frozenset[Service]] = SIGNALLING
    EXAMPLE: ClassVar[dict[str, object]] = {
        "pack": "uk",
        "pack_version": "1",
        "rules": ["UK-IBR-4"],
        "obligations": [
            {
                "party": "caller",
                "method": "prompt",
                "language": "en-GB",
                "acts": ["recorded"],
                "purposes": ["quality"],
            }
        ],
        "may_record": True,
        "retention": "P6M",
    }

    pack: Slug
    pack_version: Text
    rules: tuple[Text, ...] = Field(max_length=64)
    obligations: tuple[Obligation, ...] = Field(max_length=8)
    may_record: bool
    retention: Text
    places: Annotated[dict[str, str] | None, Sealed("caller")] = None


class AnsweredLeg(Fields):
    """One party and the codec that was agreed with it."""

    party: Party
    codec: Text


class CallAnswered(Fact):
    """Both sides are connected."""

    TYPE: ClassVar[str] = "call.answered"
    APPENDED_BY: ClassVar[frozenset[Service]] = SIGNALLING
    EXAMPLE: ClassVar[dict[str, object]] = {
        "legs": [{"party": "caller", "codec": "PCMU"}, {"party": "agent", "codec": "PCMU"}],
        "media_node": "media-1",
    }

    legs: tuple[AnsweredLeg, ...] = Field(max_length=8)
    media_node: Text = ""


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


class PartyJoined(Fact):
    """Somebody came into the call."""

    TYPE: ClassVar[str] = "party.joined"
    APPENDED_BY: ClassVar[frozenset[Service]] = SIGNALLING
    EXAMPLE: ClassVar[dict[str, object]] = {"party": "agent", "role": "agent", "way": "transfer"}

    party: Party
    role: Slug
    way: Slug
    number: Annotated[Text | None, Sealed("agent")] = None


class PartyLeft(PartyJoined):
    """Somebody left the call."""

    TYPE: ClassVar[str] = "party.left"


Gate = Literal[
    "opened",
    "not_asked",
    "media_unavailable",
    "announcement_unavailable",
    "notice_failed",
    "ledger_unavailable",
    "permit_refused",
]


class CallEnded(Fact):
    """The call is over, or was never answered."""

    TYPE: ClassVar[str] = "call.ended"
    APPENDED_BY: ClassVar[frozenset[Service]] = SIGNALLING
    EXAMPLE: ClassVar[dict[str, object]] = {
        "cause": "caller_hung_up",
        "answered": True,
        "sip_code": 200,
        "talk_seconds": 61.5,
        "gate": "opened",
    }

    cause: Slug
    answered: bool
    sip_code: int = Field(ge=0, le=699)
    talk_seconds: float = Field(ge=0)
    gate: Gate


class CallVerdict(Fact):
    """What became of the call's recording: exactly one for every answered call."""

    TYPE: ClassVar[str] = "call.verdict"
    APPENDED_BY: ClassVar[frozenset[Service]] = LEDGER
    EXAMPLE: ClassVar[dict[str, object]] = {
        "verdict": "recorded",
        "causes": [],
        "kept_seconds": {"caller": 57.0, "agent": 57.0},
        "weakest_grade": "B",
    }

    verdict: Verdict
    causes: tuple[Slug, ...] = Field(default=(), max_length=32)
    rule: Text = ""
    kept_seconds: dict[str, float] = Field(default_factory=dict)
    weakest_grade: Grade | None = None


class CallVerdictAmended(CallVerdict):
    """A later finding about a call that has its verdict."""

    TYPE: ClassVar[str] = "call.verdict_amended"


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
