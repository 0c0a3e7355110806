"""An entry as a Kafka record: CloudEvents in binary mode, the canonical bytes inside the value."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from onrecord.consent_ledger.domain.entries import StoredEntry
from onrecord.contracts.registry import ce_type
from onrecord.contracts.topics import topic_of
from onrecord.ledger.canonical import canonical_json
from onrecord.ledger.instant import format_time

SOURCE = "onrecord/consent-ledger"


@dataclass(frozen=True, slots=True)
class Record:
    """What is published for one entry."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def to_record(entry: StoredEntry) -> Record:
    """The record of an entry: the same entry always gives the same bytes."""
    content = entry.read()
    sealed = {name: base64.b64encode(box).decode() for name, box in entry.sealed.items()}
    headers = {
        "ce_specversion": "1.0",
        "ce_id": entry.event_id,
        "ce_type": ce_type(entry.type),
        "ce_source": SOURCE,
        "ce_time": format_time(content.time),
        "ce_subject": entry.call,
        "content-type": "application/json",
        "stream": entry.stream,
        "seq": str(entry.seq),
        "index": str(entry.index),
    }
    if entry.traceparent:
        headers["traceparent"] = entry.traceparent
    return Record(
        topic=topic_of(entry.stream),
        # What concerns no call keeps its order by its stream.
        key=(entry.call or entry.stream).encode(),
        # The canonical bytes stand in the value as they are: RFC 8785 spells a value alone as it
        # spells it inside another, and `canonical` sorts before `sealed`.
        value=b'{"canonical":' + entry.canonical + b',"sealed":' + canonical_json(sealed) + b"}",
        headers=tuple((name, text.encode()) for name, text in headers.items()),
    )
