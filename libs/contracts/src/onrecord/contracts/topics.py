"""The Kafka topics: the kind of stream decides, so that each stream's `seq` is gapless in one."""

from __future__ import annotations

from onrecord.contracts.fact import StreamKind

CALLS = "onrecord.calls"
CONSENTS = "onrecord.consents"
AUDIT = "onrecord.audit"
"""Restricted: accesses, holds, erasures and policies."""

TOPIC_OF: dict[StreamKind, str] = {
    "call": CALLS,
    "subject": CONSENTS,
    "notice": CONSENTS,
    "recording": AUDIT,
    "policy": AUDIT,
}

PARTITIONS = 6
"""Partitions of each topic where onrecord creates it; fixed, because the key decides the place."""


def topic_of(stream: str) -> str:
    """The topic of a stream such as `call/<id>`. Raises KeyError for an unknown kind."""
    kind = stream.partition("/")[0]
    return {str(k): topic for k, topic in TOPIC_OF.items()}[kind]
