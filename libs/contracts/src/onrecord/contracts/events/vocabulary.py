"""The closed vocabularies of the events, and who appends what."""

from __future__ import annotations

from typing import Literal

from onrecord.contracts.fact import Fields, Service
from pydantic import Field

Party = Literal["caller", "agent"]
Leg = Literal[
    "caller", "agent", "service-caller", "service-agent",
    "stream-0", "stream-1", "stream-2", "stream-3",
    "stream-4", "stream-5", "stream-6", "stream-7",
]  # fmt: skip
"""What can be kept on its own: a party of a call that runs through us, what we played to it, or a
stream of a recording session (RFC 7866), whose speakers `session.described` names."""

Method = Literal["prompt", "tone", "spoken", "written"]
"""How a party is told (`onrecord.policy.vocabulary.METHODS`)."""
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
    "no_notice",
    "ledger_unavailable",
    "permit_refused",
    "call_ended",
]
"""Whether the gate opened, or why it stayed shut.

`call_ended`: a party hung up first; `no_notice`: nobody stated that the parties were told.
"""

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
