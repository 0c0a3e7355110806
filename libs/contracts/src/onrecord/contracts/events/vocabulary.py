"""The closed vocabularies of the events, and who appends what."""

from __future__ import annotations

from typing import Literal

from onrecord.contracts.fact import Fields, Service
from pydantic import Field

Party = Literal["caller", "agent"]
Leg = Literal["caller", "agent", "service-caller", "service-agent"]
Grade = Literal["A", "B", "C", "D"]
Verdict = Literal["recorded", "partly_recorded", "not_recorded", "failed"]
Act = Literal["recorded", "monitored", "intruded"]
Purpose = Literal[
    "training", "supervision", "customer_service", "quality", "disputes", "regulation"
]

Gate = Literal[
    "opened",
    "not_asked",
    "media_unavailable",
    "announcement_unavailable",
    "notice_failed",
    "ledger_unavailable",
    "permit_refused",
    "call_ended",
]
"""Whether the gate opened, or why it stayed shut; `call_ended`: a party hung up first."""

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
