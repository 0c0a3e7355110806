"""What happens to the call itself: its start, the decision, its parties, its end, its verdict."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from onrecord.contracts.events.vocabulary import (
    LEDGER,
    SIGNALLING,
    Act,
    Gate,
    Grade,
    Party,
    Purpose,
    Verdict,
)
from onrecord.contracts.fact import Fact, Fields, Sealed, Service, Sha256, Slug, Text
from pydantic import Field


class CallStarted(Fact):
    """A call came in and was accepted for routing.

    `session`: whether we stand in the call itself, or are sent a copy of it (RFC 7866 §3).
    """

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
    session: Literal["communication", "recording"] = "communication"
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
    """What became of the call's recording: exactly one for every answered call.

    What is found later is said by `call.verdict_amended`: the latest of them holds.
    """

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
    """A later finding about a call that has its verdict: the whole verdict, as it holds now.

    `amends` is the event id of the verdict, or of the amended one, that held until now.
    """

    TYPE: ClassVar[str] = "call.verdict_amended"
    EXAMPLE: ClassVar[dict[str, object]] = {
        "verdict": "partly_recorded",
        "causes": ["spool_unwritable"],
        "kept_seconds": {"caller": 57.0, "agent": 57.0},
        "weakest_grade": "B",
        "amends": "c1:call.verdict",
    }

    amends: Text
